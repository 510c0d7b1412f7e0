//! The counter-riposte: attacks on a defense by someone who knows that it adapts.
//!
//! The attacker can do all that the defense does, with other draws: it chooses a point by what the defense answers there, and the
//! point is judged by draws that it never saw. Each attack is one input's; what it needs of the defense is [`Defense`].

mod ascend;
mod committee;
mod score;
mod search;

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte_spec::attack::{Apgd, Loss, Square};
use riposte_spec::class::argmax;
use riposte_spec::counter::{Counter, CounterKind, Countered, Judged, Judgment, Point, Round};

pub use committee::{Committee, Rule};
pub use search::{Look, Searched};

use super::goal::Goal;
use super::{apgd, square};
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
}

impl<D: Defense> CounterAttack<'_, D> {
    /// Attacks the defense on an image and judges the points that the attacker chose; and the image itself, as a control.
    ///
    /// An attack that the defense gives no hold, as suppression where nothing is searched, finds no point.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of its range; [`Error::Cancelled`] if `observe` breaks; as [`Defense::prepare`] and
    /// [`Defense::respond`].
    pub async fn run(
        &self,
        subjected: &Subjected,
        observe: impl AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>,
    ) -> Result<Countered> {
        self.settings.check()?;
        let mut attacker = Attacker { attack: self, subjected, observe, selections: 0, judgments: 0 };
        let natural = attacker.judge(None, 0, subjected.image.clone()).await?;
        let kinds: &[CounterKind] = match &self.settings.kind {
            CounterKind::None => &[],
            CounterKind::All => &CounterKind::SINGLE,
            single => std::slice::from_ref(single),
        };
        let (mut points, mut worst) = (Vec::new(), None::<Score>);
        for kind in kinds {
            // What has fallen is left alone.
            if worst.is_some_and(|worst| worst.has_fallen()) {
                break;
            }
            let Some(found) = attacker.attack(*kind).await? else { continue };
            if worst.is_none_or(|worst| found.score.is_worse_than(&worst)) {
                let judged = attacker.judge(Some(*kind), found.round, found.image).await?;
                points.push(Point { kind: *kind, fooled: found.score.fooled, judged });
                worst = Some(found.score);
            }
        }
        Ok(Countered { natural, points })
    }
}

/// An attack under way.
struct Attacker<'a, D: Defense, O> {
    attack: &'a CounterAttack<'a, D>,
    subjected: &'a Subjected,
    observe: O,
    /// Answers that the attacker has had, and the judges.
    selections: u16,
    judgments: u16,
}

/// Numbers of random starts, apart from those of the attacks on the base model.
const STARTS_TRANSFER: u16 = 0x4000;
const STARTS_SEARCH: u16 = 0x4100;
const STARTS_ROUNDS: u16 = 0x4200;
/// Wrong classes that points are led to, the likeliest first.
const TARGETS: usize = 9;
/// Wrong classes that suppression and decoy try.
const WRONG_CLASSES: usize = 3;
/// Points of strong attacks that are looked at more closely after one answer to each.
const FINALISTS: usize = 3;
/// Queries of the Square attack whose point is transferred.
const QUERIES: usize = 1000;

impl<D: Defense, O: AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>> Attacker<'_, D, O> {
    /// The best point of an attack; `None` if the defense has nothing that it could take hold of.
    async fn attack(&mut self, kind: CounterKind) -> Result<Option<Found>> {
        match kind {
            CounterKind::None | CounterKind::All => Err(Error::Config(format!("`{kind}` is not one attack"))),
            CounterKind::Attack => match self.subjected.attacked.clone() {
                Some(point) => self.best_of(kind, vec![point], 1).await.map(Some),
                None => Ok(None),
            },
            CounterKind::Transfer => {
                let points = self.strong_points().await?;
                self.best_of(kind, points, FINALISTS).await.map(Some)
            }
            CounterKind::Suppression => self.around_the_search(kind, Look::Path).await,
            CounterKind::Decoy => self.around_the_search(kind, Look::Ends).await,
            CounterKind::GmsaAverage => self.rounds(kind, Rule::Average).await.map(Some),
            CounterKind::GmsaMinimum => self.rounds(kind, Rule::Minimum).await.map(Some),
            CounterKind::FixedPoint => self.rounds(kind, Rule::Average).await.map(Some),
        }
    }

    /// The points that strong attacks find on the base model: of each the one of the highest value, whether it succeeded or not
    /// (Croce et al. 2022); and the image itself.
    async fn strong_points(&mut self) -> Result<Vec<Tensor<4>>> {
        let Subjected { image, label, draws, attacked } = self.subjected;
        let (model, epsilon, steps) = (self.attack.model, self.attack.epsilon, self.attack.settings.steps);
        let mut points = vec![image.clone()];
        points.extend(attacked.clone());
        let ce = Apgd { epsilon, steps, ..Apgd::STANDARD };
        let away = Goal::Untargeted { labels: vec![*label] };
        points.push(self.climb(&ce, model, image.clone(), &away, &[*draws], STARTS_TRANSFER).await?);
        let targets = self.wrong_classes(TARGETS).await?;
        let (count, loss) = (targets.len(), self.loss(4));
        let toward = Goal::Toward { labels: vec![*label; count], targets };
        let (images, all) = (image.clone().repeat_dim(0, count), vec![*draws; count]);
        let ends = self.climb(&Apgd { loss, ..ce }, model, images, &toward, &all, STARTS_TRANSFER + 1).await?;
        points.extend(ends.chunk(count, 0));
        let settings = Square { epsilon, queries: QUERIES, ..Square::STANDARD };
        let mut path = square::run(settings, model, image.clone(), &away, &[*draws], STARTS_TRANSFER)?;
        let mut step = 0;
        while path.next().is_some() {
            step += 1;
            self.tell_of_steps(step, QUERIES).await?;
        }
        points.push(path.end().images);
        Ok(points)
    }

    /// An Auto-PGD on the base model: of each image the point of the highest value.
    async fn climb(
        &mut self,
        settings: &Apgd,
        model: &D::Model,
        images: Tensor<4>,
        goal: &Goal,
        draws: &[Draws],
        number: u16,
    ) -> Result<Tensor<4>> {
        let mut path = apgd::run(*settings, model, images, goal, draws, number)?;
        let mut step = 0;
        while path.next().is_some() {
            step += 1;
            self.tell_of_steps(step, settings.steps).await?;
        }
        Ok(path.end().highest.images)
    }

    /// Suppression (the whole path of the search stays in a wrong class) or decoy (both its ends are wrong), by way of the
    /// likeliest wrong classes.
    async fn around_the_search(&mut self, kind: CounterKind, look: Look) -> Result<Option<Found>> {
        let Some(search) = self.attack.defense.search() else { return Ok(None) };
        let targets = self.wrong_classes(WRONG_CLASSES).await?;
        let count = targets.len();
        let goal = match look {
            Look::Path => Goal::Targeted { targets: targets.clone() },
            Look::Ends => Goal::Untargeted { labels: vec![self.subjected.label; count] },
        };
        let draws = vec![self.subjected.draws.again(Purpose::Selection, 0); count];
        let subject = Searched { model: self.attack.model, search: search.attack, leaves: targets, draws, look };
        let images = self.subjected.image.clone().repeat_dim(0, count);
        let number = STARTS_SEARCH + look as u16;
        let (points, _) = self.ascend(&subject, images, None, &goal, Loss::Margin, number).await?;
        self.best_of(kind, points.chunk(count, 0), 1).await.map(Some)
    }

    /// The model space attacks (Chen et al. 2022, "Towards evaluating the robustness of neural networks learned by transduction",
    /// Algorithms 1 and 2): attack the copies that are known, let the defense adapt to the point, know its copies.
    async fn rounds(&mut self, kind: CounterKind, rule: Rule) -> Result<Found> {
        let CounterAttack { model, settings, .. } = *self.attack;
        let loss = self.loss(3);
        let goal = Goal::Untargeted { labels: vec![self.subjected.label] };
        let mut copies: Vec<D::Model> = Vec::new();
        let (mut best, mut last, mut falls) = (None::<Found>, None, 0);
        for index in 0..settings.rounds {
            let base = (kind != CounterKind::FixedPoint || copies.is_empty()).then_some(model);
            let committee = Committee { members: base.into_iter().chain(&copies).collect(), rule };
            let number = STARTS_ROUNDS + index as u16 + ((kind as u16) << 6);
            let image = self.subjected.image.clone();
            let known = committee.members.len();
            let (points, values) = self.ascend(&committee, image, last, &goal, loss, number).await?;
            let values = read(values).await?;
            let point = points.narrow(0, argmax(&values), 1);
            let (score, adapted) = self.score(point.clone(), settings.adaptations).await?;
            self.tell_of_round(kind, index, known, &point, &score).await?;
            if kind == CounterKind::FixedPoint {
                copies.clear();
            }
            copies.extend(adapted);
            falls = if score.has_fallen() { falls + 1 } else { 0 };
            last = Some(point.clone());
            if best.as_ref().is_none_or(|best| score.is_worse_than(&best.score)) {
                best = Some(Found { image: point, score, round: index });
            }
            if falls == 2 {
                break;
            }
        }
        Ok(best.expect("there is at least one round"))
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
        let Score { pair, fooled, answer, truth, .. } = *score;
        self.tell(Event::Round { round: Round { kind, index, copies, pair, answer, truth, fooled }, image }).await
    }

    async fn tell(&mut self, event: Event<'_, D::Model>) -> Result<()> {
        if (self.observe)(event).await.is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// The defense on an image, by draws that the attacker has not seen.
    async fn judge(&mut self, kind: Option<CounterKind>, round: usize, image: Tensor<4>) -> Result<Judged> {
        let of = self.attack.settings.judges;
        let draws = (0..of).map(|_| self.next_draws(Purpose::Judgment)).collect::<Vec<_>>();
        let (Score { pair: [original, neighbor], fooled, answer, truth, .. }, _) = self.answers(image.clone(), &draws).await?;
        let judged = Judged { original, neighbor, right: of - fooled[0], of };
        self.tell(Event::Judged { judgment: Judgment { kind, round, judged, answer, truth }, image: &image }).await?;
        Ok(judged)
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
