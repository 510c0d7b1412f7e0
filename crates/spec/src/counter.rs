//! Attacks on a defense by someone who knows that it adapts, and what came of them.

mod course;

use serde::{Deserialize, Serialize};

pub use course::{Course, Ending, Judgment, Round};

use crate::Result;
use crate::choice::choices;
use crate::error::refused;
use crate::record::Record;
use crate::summary::{mean_in, paired_gain, wilson_interval};

choices! {
    /// What an attacker who knows the defense does.
    pub enum CounterKind: "counter" {
        /// Nothing: the defense meets the attack on the base model alone
        None = "none",
        /// The point of the attack on the base model, judged by many draws: a control
        Attack = "attack",
        /// The points that strong attacks find on the base model, each answered by the defense
        Transfer = "transfer",
        /// Points around which the search meets no other class, so that the wrong base model answers
        Suppression = "suppression",
        /// Points where the base model's class and its neighbor are both wrong, so that the copy adapts to two wrong classes
        Decoy = "decoy",
        /// An ascent on the copies that adapt anew to its own point every few steps, through which gradients pass as if they were constant
        Trajectory = "trajectory",
        /// Points of a planned pair of classes at which the copies of that pair err, which the attacker knows from a bank
        Bank = "bank",
        /// Greedy model space attack on the mean over all copies that adapted so far (Chen et al. 2022)
        GmsaAverage = "gmsa-average" | "gmsa-avg",
        /// Greedy model space attack on the copy that resists most (Chen et al. 2022)
        GmsaMinimum = "gmsa-minimum" | "gmsa-min",
        /// Fixed-point attack: on the copies of the last round alone (Chen et al. 2022)
        FixedPoint = "fixed-point" | "fpa",
        /// The Square attack on the defense's answers: it asks for logits alone (Andriushchenko et al. 2020)
        Square = "square",
        /// RayS on the defense's answers: it asks for classes alone (Chen & Gu 2020)
        RayS = "rays",
        /// One after the other on what still stands, and for each image the worst
        All = "all",
    }
}

impl CounterKind {
    /// What [`All`](Self::All) does, in its order.
    pub const SINGLE: [Self; 11] = [
        Self::Attack,
        Self::Transfer,
        Self::Suppression,
        Self::Decoy,
        Self::Trajectory,
        Self::Bank,
        Self::GmsaAverage,
        Self::GmsaMinimum,
        Self::FixedPoint,
        Self::Square,
        Self::RayS,
    ];

    /// Whether it takes hold of the riposte alone: of its search for a neighbor, or of copies that adapt.
    pub fn needs_a_riposte(self) -> bool {
        matches!(self, Self::Suppression | Self::Decoy | Self::Bank | Self::GmsaAverage | Self::GmsaMinimum | Self::FixedPoint)
    }

    /// Whether it takes turns with the defense: a point, a new copy, a point against that copy.
    pub fn goes_in_rounds(self) -> bool {
        match self {
            Self::Trajectory | Self::GmsaAverage | Self::GmsaMinimum | Self::FixedPoint => true,
            Self::None
            | Self::Attack
            | Self::Transfer
            | Self::Suppression
            | Self::Decoy
            | Self::Bank
            | Self::Square
            | Self::RayS
            | Self::All => false,
        }
    }

    /// Whether it asks the defense for answers and knows nothing else of it.
    pub fn only_asks(self) -> bool {
        matches!(self, Self::Square | Self::RayS)
    }

    /// Whether it climbs: it uses [`Counter::steps`].
    pub fn uses_steps(self) -> bool {
        !self.only_asks() && !matches!(self, Self::None | Self::Attack)
    }

    /// Whether it uses [`Counter::rounds`].
    pub fn uses_rounds(self) -> bool {
        self.goes_in_rounds() || self == Self::All
    }

    /// Whether it uses [`Counter::queries`].
    pub fn uses_queries(self) -> bool {
        self.only_asks() || self == Self::All
    }
}

/// Settings of an attack on the defense. Its radius is that of the attack on the base model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    /// What the attacker does.
    pub kind: CounterKind,
    /// Gradient steps of each ascent.
    pub steps: usize,
    /// Rounds of ascent and adaptation; and how often the copies adapt anew along a trajectory.
    pub rounds: usize,
    /// How often the defense answers a point before the attacker believes how good it is, each time with other draws: 1 to 256.
    pub adaptations: usize,
    /// Answers that an attack which only asks may ask for. 0: such attacks find nothing.
    #[serde(default = "standard_queries")]
    pub queries: usize,
    /// How many of the best points of all rounds and attacks the attacker asks about once more before it chooses: 1 to 64. A point that
    /// is the best by few answers was partly lucky; at 1 the attacker believes its luck.
    #[serde(default = "no_finals")]
    pub finalists: usize,
    /// How often the defense answers the point that the attacker chose, with draws that the attacker never saw: 1 to 256.
    pub judges: usize,
}

impl Counter {
    /// Eight rounds of 100 steps, and 200 queries; the best six points by 4 answers are chosen among by 8 others, and judged by 16.
    pub const STANDARD: Self =
        Self { kind: CounterKind::All, steps: 100, rounds: 8, adaptations: 4, queries: 200, finalists: 6, judges: 16 };

    /// One image, watched: a riposte a round, and four judges.
    pub const DUEL: Self =
        Self { kind: CounterKind::GmsaMinimum, steps: 30, rounds: 5, adaptations: 1, queries: 50, finalists: 1, judges: 4 };

    /// The same of another kind. What that kind does not use is as in `standard`.
    #[must_use]
    pub fn of_kind(self, kind: CounterKind, standard: Self) -> Self {
        Self {
            kind,
            steps: if kind.uses_steps() { self.steps } else { standard.steps },
            rounds: if kind.uses_rounds() { self.rounds } else { standard.rounds },
            queries: if kind.uses_queries() { self.queries } else { standard.queries },
            ..self
        }
    }

    /// Answers to each of the finalists.
    pub fn final_answers(&self) -> usize {
        2 * self.adaptations
    }

    /// What it may take at most with a defense whose search takes so many steps.
    pub fn effort(&self, search_steps: usize) -> Effort {
        let Self { kind, steps, rounds, adaptations, queries, finalists, judges } = *self;
        // Each round climbs from a random start and from the last point, against the base model and the copies so far.
        let climbs = |models: usize| 2 * steps * models;
        let of_attacker = match kind {
            CounterKind::None => Effort::default(),
            CounterKind::Attack => Effort { gradients: 0, answers: adaptations },
            // Two climbs, one to each wrong class, and about as much for the queries; all their ends get an answer, three get more.
            CounterKind::Transfer => Effort { gradients: 20 * steps, answers: 22 + 3 * adaptations },
            // Each gradient of the three climbs is behind a search.
            CounterKind::Suppression | CounterKind::Decoy => {
                Effort { gradients: 3 * steps * (search_steps + 1), answers: 3 + adaptations }
            }
            CounterKind::Trajectory => Effort { gradients: steps * adaptations, answers: rounds * adaptations },
            // Six pairs in two orders; each gradient is one of the copies, of the base model, and one behind a search.
            CounterKind::Bank => Effort { gradients: 12 * steps * (search_steps + 3), answers: 12 + 3 * adaptations },
            CounterKind::Square | CounterKind::RayS => Effort { gradients: 0, answers: queries + 2 * adaptations },
            CounterKind::GmsaAverage | CounterKind::GmsaMinimum => Effort {
                gradients: (0..rounds).map(|round| climbs(1 + round * adaptations)).sum(),
                answers: rounds * adaptations,
            },
            CounterKind::FixedPoint => Effort { gradients: rounds * climbs(adaptations), answers: rounds * adaptations },
            CounterKind::All => CounterKind::SINGLE
                .iter()
                .map(|kind| Self { kind: *kind, finalists: 1, judges: 0, ..*self }.effort(search_steps))
                .fold(Effort::default(), |sum, one| Effort {
                    gradients: sum.gradients + one.gradients,
                    answers: sum.answers + one.answers + judges,
                }),
        };
        let finals = if finalists > 1 && kind != CounterKind::None { finalists * self.final_answers() } else { 0 };
        // The natural image is judged, and the point that stands.
        Effort { answers: of_attacker.answers + finals + 2 * judges, ..of_attacker }
    }

    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        for (name, value, most) in [
            ("counter rounds", self.rounds, 64),
            ("counter adaptations", self.adaptations, 256),
            ("counter finalists", self.finalists, 64),
            ("counter judges", self.judges, 256),
        ] {
            if !(1..=most).contains(&value) {
                return refused(format!("{name} must be between 1 and {most}, not {value}"));
            }
        }
        Ok(())
    }
}

/// Of records that were written before there were attacks by queries.
fn standard_queries() -> usize {
    Counter::STANDARD.queries
}

/// Of records that were written before there were finals.
fn no_finals() -> usize {
    1
}

/// What an attack on a defense takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effort {
    /// Passes of one image forth and back through one model.
    pub gradients: usize,
    /// Answers of the defense.
    pub answers: usize,
}

/// What became of an image under the attacks on the defense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Countered {
    /// The natural image, judged as the attacked ones are: a control.
    pub natural: Judged,
    /// The attacks that were tried and had a hold, in their order. What has fallen is left alone by those that come after.
    pub tried: Vec<CounterKind>,
    /// What they cost.
    pub cost: Cost,
    /// Points in the order in which they were found, each worse for the defense than the one before it by the attacker's own count.
    pub points: Vec<Point>,
    /// The one of the finalists that the attacker chose, by answers that it had not seen when it found them; `None` where there was no
    /// choice, and the last of the points stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Point>,
}

/// What an attacker spent on one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Answers of the defense; those of the judges are not in it.
    pub answers: usize,
    /// Gradient steps, each of one point, whatever the number of copies that it addresses.
    pub steps: usize,
}

/// A point that an attacker chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Who found it.
    pub kind: CounterKind,
    /// How many of the answers that the attacker saw were wrong, and how many it saw.
    pub fooled: [usize; 2],
    /// What it is by other draws.
    pub judged: Judged,
}

/// The defense on one image, by many draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// y': the class that the base model gives the image.
    pub original: usize,
    /// y'': the neighbor class in the first answer; equal to y' where there is none.
    pub neighbor: usize,
    /// How many answers were right.
    pub right: usize,
    /// How many there were.
    pub of: usize,
}

impl Judged {
    /// Share of the answers that were right.
    pub fn share(&self) -> f64 {
        self.right as f64 / self.of as f64
    }

    /// Whether most answers were right.
    pub fn is_mostly_right(&self) -> bool {
        2 * self.right > self.of
    }
}

impl Countered {
    /// The points of the attacks up to `kind`: the last one stands, as the worst so far. After all of them, the one that was chosen.
    pub fn up_to(&self, kind: CounterKind) -> Vec<Point> {
        let all = kind == CounterKind::All;
        let order = |kind: CounterKind| CounterKind::SINGLE.iter().position(|single| *single == kind);
        let found = self.points.iter().take_while(|point| all || order(point.kind) <= order(kind));
        found.chain(self.chosen.iter().filter(|_| all)).copied().collect()
    }

    /// Whether the base model alone is right: on the natural image; after an attack also under the attack on it, and at every point so
    /// far, whose first class is its own.
    fn base_is_right(&self, record: &Record, after: CounterKind) -> bool {
        let is_label = |class: usize| class == record.label;
        let under_attack = after == CounterKind::None || record.attacked.is_none_or(is_label);
        is_label(record.natural) && under_attack && self.up_to(after).iter().all(|point| is_label(point.judged.original))
    }
}

/// What is left of a defense under the attacks on it: an accuracy that is expected over the draws, with the image as the unit of
/// uncertainty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// Images.
    pub images: usize,
    /// Answers to each, by draws that the attacker never saw.
    pub judges: usize,
    /// Answers of the defense that the attacker asked for, mean of an image.
    pub answers: f64,
    /// Gradient steps of the attacker, mean of an image.
    pub steps: f64,
    /// The natural images, a control, then what is left after one attack and those before it; at the end what is left at the points
    /// that were chosen among the finalists, if there was such a choice.
    pub rows: Vec<Row>,
}

/// The defense on one point of each image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// After which attack; `none`: the natural images; `all`: at the points that were chosen among the finalists of all attacks.
    pub after: CounterKind,
    /// Mean share of right answers.
    pub accuracy: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// Images with right answers alone.
    pub always: usize,
    /// Images with more right answers than wrong ones.
    pub mostly: usize,
    /// Images on which the base model alone is right: as they are, under the attack on it, and at every point of the attacks on the
    /// defense so far.
    pub base: usize,
    /// The accuracy minus that of the base model, with its 95 % interval.
    pub gain: [f64; 3],
    /// Mean share of right answers at the point of each image where the judges found fewest, of those so far. The attacker, who chose by few
    /// answers, may have passed it over; it is a little too low, as a minimum of several counts is.
    pub worst: f64,
    /// The same minus the base model's accuracy, with its 95 % interval.
    pub worst_gain: [f64; 3],
}

impl Left {
    /// Computes the figures from the lines; `None` if no defense was attacked.
    pub fn of(records: &[Record]) -> Option<Self> {
        let countered: Vec<(&Record, &Countered)> =
            records.iter().filter_map(|record| Some((record, record.counter.as_ref()?))).collect();
        let judges = countered.first()?.1.natural.of;
        let tried = |kind: &CounterKind| countered.iter().any(|(_, countered)| countered.tried.contains(kind));
        let chose = countered.iter().any(|(_, countered)| countered.chosen.is_some());
        let kinds = std::iter::once(CounterKind::None)
            .chain(CounterKind::SINGLE.into_iter().filter(tried))
            .chain(chose.then_some(CounterKind::All));
        let per_image = |cost: fn(&Cost) -> usize| {
            countered.iter().map(|(_, countered)| cost(&countered.cost) as f64).sum::<f64>() / countered.len() as f64
        };
        let (answers, steps) = (per_image(|cost| cost.answers), per_image(|cost| cost.steps));
        let rows = kinds.map(|after| {
            let of_image = |(record, countered): &(&Record, &Countered)| {
                let points = countered.up_to(after);
                let judged = points.last().map_or(countered.natural, |point| point.judged);
                let worst = points.iter().map(|point| point.judged.share()).reduce(f64::min).unwrap_or(judged.share());
                (judged, worst, countered.base_is_right(record, after))
            };
            Row::of(after, &countered.iter().map(of_image).collect::<Vec<_>>())
        });
        Some(Self { images: countered.len(), judges, answers, steps, rows: rows.collect() })
    }
}

impl Row {
    /// Of each image the defense's answers, the least share of them that was right at a point, and whether the base model is right.
    fn of(after: CounterKind, judged: &[(Judged, f64, bool)]) -> Self {
        let over = |share: f64, base: bool| share - f64::from(u8::from(base));
        let shares: Vec<f64> = judged.iter().map(|(judged, ..)| judged.share()).collect();
        let gains: Vec<f64> = judged.iter().map(|(judged, _, base)| over(judged.share(), *base)).collect();
        let least: Vec<f64> = judged.iter().map(|(_, worst, _)| *worst).collect();
        let least_gains: Vec<f64> = judged.iter().map(|(_, worst, base)| over(*worst, *base)).collect();
        let always = judged.iter().filter(|(judged, ..)| judged.right == judged.of).count();
        let [accuracy, low, high] = share(&shares);
        let base = judged.iter().filter(|(.., base)| *base).count();
        let mostly = judged.iter().filter(|(judged, ..)| judged.is_mostly_right()).count();
        let [worst, ..] = share(&least);
        let (gain, worst_gain) = (gain(&gains), gain(&least_gains));
        Self { after, accuracy, interval: [low, high], always, mostly, base, gain, worst, worst_gain }
    }
}

/// The mean of at least one share and its 95 % interval. Shares of 0 and 1 alone, as of answers that do not depend on draws, are counts.
pub fn share(shares: &[f64]) -> [f64; 3] {
    let count = |share: f64| shares.iter().filter(|value| **value == share).count();
    let [always, never] = [count(1.0), count(0.0)];
    match always + never == shares.len() {
        true => {
            let [low, high] = wilson_interval(always, shares.len());
            [always as f64 / shares.len() as f64, low, high]
        }
        false => mean_in([0.0, 1.0], shares),
    }
}

/// The mean of at least one difference of shares and its 95 % interval. Those of counts are gains in accuracy.
fn gain(gains: &[f64]) -> [f64; 3] {
    let count = |gain: f64| gains.iter().filter(|value| **value == gain).count();
    let [won, lost, even] = [count(1.0), count(-1.0), count(0.0)];
    if won + lost + even == gains.len() { paired_gain(won, lost, gains.len()) } else { mean_in([-1.0, 1.0], gains) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(right: usize) -> Judged {
        Judged { original: 1, neighbor: 2, right, of: 4 }
    }

    /// The base model errs under its own attack on image 1 alone.
    fn record(input: u64, points: &[(CounterKind, usize)]) -> Record {
        let points = points.iter().map(|(kind, right)| Point { kind: *kind, fooled: [4 - right, 4], judged: judged(*right) });
        let points: Vec<Point> = points.collect();
        // Suppression has no hold, and image 1 has fallen before the last two.
        let tried = [CounterKind::Attack, CounterKind::Transfer, CounterKind::Decoy, CounterKind::GmsaAverage];
        let tried = tried[..if input == 1 { 2 } else { 4 }].to_vec();
        let cost = Cost { answers: 3 * points.len(), steps: 5 };
        let counter = Some(Countered { natural: judged(4), tried, cost, points, chosen: None });
        Record { attacked: Some(3 - usize::from(input == 1)), counter, ..Record::of_input(input, 3, 3) }
    }

    #[test]
    fn what_is_left_falls_from_attack_to_attack() {
        let records = [
            record(0, &[(CounterKind::Attack, 3), (CounterKind::Decoy, 2)]),
            record(1, &[(CounterKind::Transfer, 0)]),
            record(2, &[]),
        ];
        let left = Left::of(&records).unwrap();
        let rows: Vec<(CounterKind, f64, usize, usize)> =
            left.rows.iter().map(|row| (row.after, row.accuracy, row.always, row.mostly)).collect();
        assert_eq!((left.images, left.judges, left.answers, left.steps), (3, 4, 3.0, 5.0));
        assert_eq!(
            rows,
            [
                (CounterKind::None, 1.0, 3, 3),
                (CounterKind::Attack, 2.75 / 3.0, 2, 3),
                (CounterKind::Transfer, 1.75 / 3.0, 1, 2),
                (CounterKind::Decoy, 1.5 / 3.0, 1, 1),
                (CounterKind::GmsaAverage, 1.5 / 3.0, 1, 1),
            ]
        );
        // The base model says class 1 at every point.
        assert_eq!(left.rows.iter().map(|row| row.base).collect::<Vec<_>>(), [3, 1, 1, 1, 1]);
        let gains: Vec<f64> = left.rows.iter().map(|row| row.gain[0]).collect();
        assert_eq!(gains[0], 0.0);
        assert!((gains[3] - 0.5 / 3.0).abs() < 1e-12, "{gains:?}");
        assert!(left.rows.iter().all(|row| row.interval[0] <= row.accuracy && row.accuracy <= row.interval[1]));
        assert_eq!(Left::of(&[]), None);
    }

    #[test]
    fn an_interval_is_never_a_point() {
        for shares in [vec![0.75], vec![0.75; 5], vec![1.0; 3], vec![0.0], vec![0.1; 7]] {
            let [mean, low, high] = share(&shares);
            assert!((mean - shares[0]).abs() < 1e-12 && low <= mean && mean <= high && high - low > 0.1, "{shares:?}");
            assert!(0.0 <= low && high <= 1.0);
        }
        for gains in [vec![-0.25], vec![0.0; 8], vec![-0.25; 3], vec![1.0]] {
            let [mean, low, high] = gain(&gains);
            assert!(mean == gains[0] && low <= mean && mean <= high && high - low > 0.1, "{gains:?}");
            assert!(-1.0 <= low && high <= 1.0);
        }
        let [_, low, high] = gain(&[-0.25, 0.5, 0.0]);
        assert!(low < -0.25 && high > 0.4);
    }

    #[test]
    fn the_worst_point_is_the_judges_and_not_the_attackers() {
        // The attacker went from a point at which 1 of 4 answers is right to one at which 3 are.
        let records = [record(0, &[(CounterKind::Attack, 1), (CounterKind::Decoy, 3)]), record(2, &[])];
        let rows = Left::of(&records).unwrap().rows;
        let found: Vec<[f64; 2]> = rows.iter().map(|row| [row.accuracy, row.worst]).collect();
        assert_eq!(found[..2], [[1.0, 1.0], [0.625, 0.625]]);
        assert_eq!(found.last(), Some(&[0.875, 0.625]));
        let [gain, low, high] = rows.last().unwrap().worst_gain;
        assert!(gain == 0.625 - rows.last().unwrap().base as f64 / 2.0 && low <= gain && gain <= high);
    }
}
