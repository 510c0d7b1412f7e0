//! Attacks on the copies: the defense adapts, the attacker knows the copies, climbs on them, and lets the defense adapt anew.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte_spec::attack::Apgd;
use riposte_spec::class::argmax;
use riposte_spec::counter::CounterKind;

use super::committee::{Committee, Rule};
use super::score::{Found, Scored};
use super::{Attacker, Event, STARTS_ROUNDS};
use crate::Result;
use crate::attack::apgd::{self, ApgdSearch};
use crate::attack::goal::{Goal, Objective};
use crate::attack::subject::Subject;
use crate::classifier::read;
use crate::defense::Defense;
use crate::rng::Purpose;

impl<D: Defense, O: AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>> Attacker<'_, D, O> {
    /// The model space attacks (Chen et al. 2022, "Towards evaluating the robustness of neural networks learned by transduction",
    /// Algorithms 1 and 2): attack the copies that are known, let the defense adapt to the point, know its copies. A defense with a slope of
    /// its own gives no hold: there are no copies whose slope would be its own.
    pub(super) async fn rounds(&mut self, kind: CounterKind, rule: Rule) -> Result<Option<Found>> {
        let model = self.attack.model;
        let goal = self.away();
        let (image, draws) = (self.subjected.image.clone(), self.subjected.draws);
        let objective = Objective::new(&goal, self.loss(3), model.class_count(), &image.device());
        if self.attack.defense.slope(image, draws, &|logits| objective.value(logits)).await?.is_some() {
            return Ok(None);
        }
        let mut copies: Vec<D::Model> = Vec::new();
        let (mut tally, mut last) = (Tally::default(), None);
        for index in 0..self.attack.settings.rounds {
            let base = (kind != CounterKind::FixedPoint || copies.is_empty()).then_some(model);
            let committee = Committee { members: base.into_iter().chain(&copies).collect(), rule };
            let image = self.subjected.image.clone();
            let known = committee.members.len();
            let number = starts(kind) + index as u16;
            let (points, values) = self.ascend(&committee, image, last, &goal, self.loss(3), number).await?;
            let point = points.narrow(0, argmax(&read(values).await?), 1);
            let adapted = self.round(kind, index, known, &point, &mut tally).await?;
            if kind == CounterKind::FixedPoint {
                copies.clear();
            }
            copies.extend(adapted);
            last = Some(point);
            if tally.falls == 2 {
                break;
            }
        }
        Ok(Some(tally.end()))
    }

    /// One ascent during which the copies adapt anew to where it is, once a round: the gradient of the defense where the copies are
    /// new, as far as it has one.
    pub(super) async fn trajectory(&mut self, kind: CounterKind) -> Result<Found> {
        let (model, settings, epsilon) = (self.attack.model, self.attack.settings, self.attack.epsilon);
        let (image, loss) = (self.subjected.image.clone(), self.loss(3));
        let objective = Objective::new(&self.away(), loss, model.class_count(), &image.device());
        let start = apgd::start(&image, epsilon, &[self.subjected.draws], starts(kind));
        let mut search = ApgdSearch::new(Apgd { epsilon, steps: settings.steps, loss, ..Apgd::STANDARD }, image, start);
        let every = settings.steps.div_ceil(settings.rounds).max(1);
        let mut copies: Vec<D::Model> = Vec::new();
        let mut tally = Tally::default();
        for step in 0..=settings.steps {
            // The first steps are on the base model: a copy that has adapted to a random start says little.
            if step > 0 && step % every == 0 {
                let known = copies.len().max(1);
                copies = self.round(kind, step / every - 1, known, &search.point(), &mut tally).await?;
                if tally.falls == 2 {
                    break;
                }
            }
            let members = if copies.is_empty() { vec![model] } else { copies.iter().collect() };
            let draws = self.subjected.draws.again(Purpose::Queries, step as u32);
            let own = self.attack.defense.slope(search.point(), draws, &|logits| objective.value(logits)).await?;
            let slope = own.unwrap_or_else(|| {
                Committee { members, rule: Rule::Average }.slope(search.point(), &|logits| objective.value(logits))
            });
            let succeeded = objective.succeeded(slope.logits.clone()).greater_elem(0.5);
            search.told(slope, succeeded);
            self.cost.steps += 1;
            self.tell_of_steps(step, settings.steps).await?;
        }
        if tally.best.is_none() {
            self.round(kind, 0, 1, &search.end().highest.images, &mut tally).await?;
        }
        Ok(tally.end())
    }

    fn away(&self) -> Goal {
        Goal::Untargeted { labels: vec![self.subjected.label] }
    }

    /// The defense answers a point: who fell is written down, and its copies are known.
    async fn round(
        &mut self,
        kind: CounterKind,
        index: usize,
        known: usize,
        point: &Tensor<4>,
        tally: &mut Tally,
    ) -> Result<Vec<D::Model>> {
        let point = self.rounded(point.clone());
        let Scored { score, copies, .. } = self.score(point.clone(), self.attack.settings.adaptations).await?;
        self.tell_of_round(kind, index, known, &point, &score).await?;
        tally.falls = if score.has_fallen() { tally.falls + 1 } else { 0 };
        let found = Found { kind, image: point, score, round: index };
        self.pool.push(found.clone());
        if tally.best.as_ref().is_none_or(|best| score.is_worse_than(&best.score)) {
            tally.best = Some(found);
        }
        Ok(copies)
    }
}

/// What the rounds so far have found.
#[derive(Debug, Default)]
struct Tally {
    best: Option<Found>,
    /// How many of the last points fooled all answers: after two the rest is left.
    falls: usize,
}

impl Tally {
    fn end(self) -> Found {
        self.best.expect("there is at least one round")
    }
}

/// The number of the first random start of a kind; it has 64.
fn starts(kind: CounterKind) -> u16 {
    STARTS_ROUNDS + ((kind as u16) << 6)
}
