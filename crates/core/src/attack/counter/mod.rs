//! The counter-riposte: attacks on a defense by someone who knows that it adapts.
//!
//! The attacker can do all that the defense does, with other draws: it chooses a point by what the defense answers there, and the
//! point is judged by draws that it never saw. Each attack is one input's; what it needs of the defense is [`Defense`].

mod ascend;
mod committee;
mod plan;
mod queries;
mod rounds;
mod score;
mod search;
mod transfer;

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte_spec::attack::Loss;
use riposte_spec::class::argmax;
use riposte_spec::counter::{Cost, Counter, CounterKind, Countered, Judged, Judgment, Point, Round};
use riposte_spec::quantize::Quantize;

pub use committee::{Committee, Rule};
pub use search::{Look, Searched};

use super::quantized::{check_levels, quantized};
use crate::classifier::read;
use crate::defense::Defense;
use crate::post_train::Progress;
use crate::rng::{Draws, Purpose};
use crate::{Classifier, Error, Result};
use score::{Found, Score};

/// An attack on a defense. Its points lie in the L-infinity ball of radius `epsilon` around the image, in the pixel range.
#[derive(Debug)]
pub struct CounterAttack<'a, D: Defense> {
    /// The classifier behind the defense. It should rest (no autodiff).
    pub model: &'a D::Model,
    /// What is attacked.
    pub defense: &'a D,
    /// How.
    pub settings: Counter,
    /// In pixel units.
    pub epsilon: f32,
    /// Which values the pixels of its points may have.
    pub quantize: Quantize,
}

/// What came of an attack on a defense.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How the points were judged.
    pub countered: Countered,
    /// The worst point, `[1, channel, height, width]`; `None` if no attack had a hold.
    pub image: Option<Tensor<4>>,
}

/// An image under attack.
#[derive(Debug, Clone)]
pub struct Subjected {
    /// `[1, channel, height, width]` in `[0, 1]`
    pub image: Tensor<4>,
    /// Its class.
    pub label: usize,
    /// What all draws of attacker and defense follow from.
    pub draws: Draws,
    /// What the attack on the base model made of it, of the same shape; `None` if there was none.
    pub attacked: Option<Tensor<4>>,
}

/// What the observer of an attack on a defense sees.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "passed to an observer, never stored")]
pub enum Event<'a, C> {
    /// The attacker climbs: so many steps of so many.
    Ascending {
        /// Steps done.
        step: usize,
        /// Steps in all.
        of: usize,
    },
    /// The defense answers a point of the attacker, or a judge's question.
    Answering(Progress<'a, C>),
    /// The attacker has seen what the defense answers at a point.
    Round {
        /// What it has seen.
        round: Round,
        /// The point, `[1, channel, height, width]`.
        image: &'a Tensor<4>,
    },
    /// A point was judged by draws that the attacker never saw.
    Judged {
        /// What came of it.
        judgment: Judgment,
        /// The point, `[1, channel, height, width]`.
        image: &'a Tensor<4>,
    },
    /// All attacks are over.
    Ended {
        /// Those of the image.
        draws: Draws,
        /// The worst point, `[1, channel, height, width]`.
        image: &'a Tensor<4>,
    },
}

impl<D: Defense> CounterAttack<'_, D> {
    /// Attacks the defense on an image and judges the points that the attacker chose; and the image itself, as a control.
    ///
    /// An attack that the defense gives no hold, as suppression where nothing is searched, finds no point.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of its range, or the image has other levels than the points are to have; [`Error::Cancelled`] if `observe` breaks; as [`Defense::prepare`] and
    /// [`Defense::respond`].
    pub async fn run(
        &self,
        subjected: &Subjected,
        observe: impl AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>,
    ) -> Result<Ended> {
        self.settings.check()?;
        check_levels(&subjected.image, self.quantize).await?;
        let attack = CounterAttack { epsilon: self.quantize.radius(self.epsilon), ..*self };
        let mut attacker = Attacker {
            attack: &attack,
            subjected,
            observe,
            pool: Vec::new(),
            judged: Vec::new(),
            selections: 0,
            judgments: 0,
            cost: Cost::default(),
        };
        let natural = attacker.judge(None, 0, subjected.image.clone()).await?;
        let kinds: &[CounterKind] = match &self.settings.kind {
            CounterKind::None => &[],
            CounterKind::All => &CounterKind::SINGLE,
            single => std::slice::from_ref(single),
        };
        let (mut points, mut tried, mut worst) = (Vec::new(), Vec::new(), None::<Found>);
        for kind in kinds {
            // What has fallen is left alone.
            if worst.as_ref().is_some_and(|worst| worst.score.has_fallen()) {
                break;
            }
            let Some(mut found) = attacker.attack(*kind).await? else { continue };
            tried.push(*kind);
            if worst.as_ref().is_none_or(|worst| found.score.is_worse_than(&worst.score)) {
                let judged = attacker.judge(Some(*kind), found.round, found.image.clone()).await?;
                points.push(Point { kind: *kind, fooled: found.score.fooled, judged });
                if found.score.has_fallen() {
                    attacker.ask_again(&mut found).await?;
                }
                worst = Some(found);
            }
        }
        let chosen = match &worst {
            Some(worst) if !worst.score.has_fallen() => attacker.choose().await?,
            _ => None,
        };
        let image = chosen.as_ref().or(worst.as_ref()).map(|found| found.image.clone());
        let chosen = match chosen {
            Some(Found { kind, image, score, round }) => {
                let judged = attacker.judge(Some(kind), round, image).await?;
                Some(Point { kind, fooled: score.fooled, judged })
            }
            None => None,
        };
        Ok(Ended { countered: Countered { natural, tried, cost: attacker.cost, points, chosen }, image })
    }
}

/// An attack under way.
struct Attacker<'a, D: Defense, O> {
    attack: &'a CounterAttack<'a, D>,
    subjected: &'a Subjected,
    observe: O,
    /// All points that were looked at closely.
    pool: Vec<Found>,
    judged: Vec<Judgment>,
    /// Answers that the attacker has had, and the judges.
    selections: u32,
    judgments: u32,
    cost: Cost,
}

/// Numbers of random starts, apart from those of the attacks on the base model.
const STARTS_TRANSFER: u16 = 0x4000;
const STARTS_SEARCH: u16 = 0x4100;
const STARTS_PLANS: u16 = 0x4200;
const STARTS_QUERIES: u16 = 0x4300;
const STARTS_ROUNDS: u16 = 0x4400;

impl<D: Defense, O: AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>> Attacker<'_, D, O> {
    /// The best point of an attack; `None` if the defense has nothing that it could take hold of.
    async fn attack(&mut self, kind: CounterKind) -> Result<Option<Found>> {
        match kind {
            CounterKind::None | CounterKind::All => Err(Error::Config(format!("`{kind}` is not one attack"))),
            CounterKind::Attack => match self.subjected.attacked.clone() {
                Some(point) => self.best_of(kind, vec![point], 1).await.map(Some),
                None => Ok(None),
            },
            CounterKind::Transfer => self.transfer(kind).await.map(Some),
            CounterKind::Suppression => self.around_the_search(kind, Look::Path).await,
            CounterKind::Decoy => self.around_the_search(kind, Look::Ends).await,
            CounterKind::Trajectory => self.trajectory(kind).await.map(Some),
            CounterKind::Bank => self.plans(kind).await,
            CounterKind::GmsaAverage | CounterKind::FixedPoint => self.rounds(kind, Rule::Average).await,
            CounterKind::GmsaMinimum => self.rounds(kind, Rule::Minimum).await,
            CounterKind::Square => self.square(kind).await,
            CounterKind::RayS => self.rays(kind).await,
        }
    }

    /// Whether a point that fooled every answer owes that to luck: more answers to it, where the settings have finals.
    async fn ask_again(&mut self, found: &mut Found) -> Result<()> {
        let settings = self.attack.settings;
        if settings.finalists > 1 {
            let more = self.score(found.image.clone(), settings.final_answers()).await?.score;
            found.score = found.score.with(more);
        }
        Ok(())
    }

    /// The best of the finalists, by answers that none of them was found by; `None` where there is no choice.
    async fn choose(&mut self) -> Result<Option<Found>> {
        let settings = self.attack.settings;
        let mut finalists = std::mem::take(&mut self.pool);
        if settings.finalists == 1 || finalists.len() < 2 {
            return Ok(None);
        }
        finalists.sort_by(|a, b| b.score.badness(&a.score));
        finalists.truncate(settings.finalists);
        for finalist in &mut finalists {
            finalist.score = self.score(finalist.image.clone(), settings.final_answers()).await?.score;
        }
        // The first of equals, which is the better one by the answers before.
        Ok(finalists.into_iter().reduce(|best, next| if next.score.is_worse_than(&best.score) { next } else { best }))
    }

    /// The wrong classes of the image, the likeliest first, by the base model.
    async fn wrong_classes(&self, count: usize) -> Result<Vec<usize>> {
        let logits = read(self.attack.model.forward(self.subjected.image.clone())).await?;
        let mut classes: Vec<usize> = (0..logits.len()).filter(|class| *class != self.subjected.label).collect();
        classes.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
        classes.truncate(count);
        Ok(classes)
    }

    /// DLR: margins of several models can be compared by it. The margin itself where there are fewer classes than DLR needs.
    fn loss(&self, classes: usize) -> Loss {
        if self.attack.model.classes() < classes { Loss::Margin } else { Loss::Dlr }
    }

    /// A point as its pixels may be.
    fn rounded(&self, point: Tensor<4>) -> Tensor<4> {
        quantized(point, self.attack.quantize)
    }

    async fn tell_of_steps(&mut self, step: usize, of: usize) -> Result<()> {
        self.tell(Event::Ascending { step, of }).await
    }

    async fn tell_of_round(
        &mut self,
        kind: CounterKind,
        index: usize,
        copies: usize,
        image: &Tensor<4>,
        score: &Score,
    ) -> Result<()> {
        let Score { fooled, answer, truth, .. } = *score;
        let pair = self.pair(score, image).await?;
        self.tell(Event::Round { round: Round { kind, index, copies, pair, answer, truth, fooled }, image }).await
    }

    /// y' and y'' of an image with that score; twice what the base model says of it where the defense looks for no neighbor.
    async fn pair(&self, score: &Score, image: &Tensor<4>) -> Result<[usize; 2]> {
        match score.pair {
            Some(pair) => Ok(pair),
            None => Ok([argmax(&read(self.attack.model.forward(self.rounded(image.clone()))).await?); 2]),
        }
    }

    async fn tell(&mut self, event: Event<'_, D::Model>) -> Result<()> {
        if (self.observe)(event).await.is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// The defense on an image, by draws that the attacker has not seen.
    async fn judge(&mut self, kind: Option<CounterKind>, round: usize, image: Tensor<4>) -> Result<Judged> {
        // What was judged stays so.
        let known = self.judged.iter().find(|judgment| (judgment.kind, judgment.round) == (kind, round)).copied();
        let judgment = match known {
            Some(judgment) => judgment,
            None => {
                let of = self.attack.settings.judges;
                let draws = (0..of).map(|_| self.next_draws(Purpose::Judgment)).collect::<Vec<_>>();
                let score = self.answers(image.clone(), &draws).await?.score;
                let [original, neighbor] = self.pair(&score, &image).await?;
                let Score { fooled, answer, truth, .. } = score;
                let judged = Judged { original, neighbor, right: of - fooled[0], of };
                let judgment = Judgment { kind, round, judged, answer, truth };
                self.judged.push(judgment);
                judgment
            }
        };
        self.tell(Event::Judged { judgment, image: &image }).await?;
        Ok(judgment.judged)
    }

    /// Draws that neither attacker nor judges have had.
    fn next_draws(&mut self, purpose: Purpose) -> Draws {
        let number = match purpose {
            Purpose::Judgment => &mut self.judgments,
            _ => &mut self.selections,
        };
        *number += 1;
        self.subjected.draws.again(purpose, *number)
    }
}
