//! The bank attack: what the defense will adapt to is planned, and the copies of that pair are known beforehand.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte_spec::counter::CounterKind;

use super::committee::{Committee, Rule};
use super::score::Found;
use super::search::{Look, Searched};
use super::{Attacker, Event, STARTS_PLANS};
use crate::attack::goal::{Goal, Objective};
use crate::attack::subject::{Slope, Subject, Value};
use crate::bank::Pair;
use crate::defense::Defense;
use crate::rng::Purpose;
use crate::{Classifier, Result};

/// Wrong classes of which, with the label, pairs are planned.
const WRONG_CLASSES: usize = 3;
/// Points that are looked at more closely after one answer to each.
const FINALISTS: usize = 3;

/// A model and its copies of one pair of classes, as a defense with a planned pair is met: the base model has to say the one class
/// at the point, the search has to end in the other, and the copies have to err.
///
/// The value at a point is the lowest of the three, so that whoever ascends it has all of them. The search moves with the point:
/// gradients pass it as if its offset were constant (straight-through).
#[derive(Debug)]
struct Planned<'a, C> {
    searched: Searched<'a, C>,
    copies: Committee<'a, C>,
    /// y' of each row, and y''.
    pair: [Objective; 2],
}

impl<C: Classifier> Subject for Planned<'_, C> {
    fn class_count(&self) -> usize {
        self.copies.class_count()
    }

    fn answer(&self, images: Tensor<4>) -> Tensor<2> {
        self.copies.answer(images)
    }

    fn slope(&self, images: Tensor<4>, value: Value<'_>) -> Slope {
        let [original, neighbor] = &self.pair;
        let model = self.searched.model;
        let copies = self.copies.slope(images.clone(), value);
        let here = model.slope(images.clone(), &|logits| original.value(logits));
        let there = model.slope(self.searched.end(images), &|logits| neighbor.value(logits));
        Rule::Minimum.merge(copies, Rule::Minimum.merge(here, there))
    }

    fn adapts(&self) -> bool {
        true
    }
}

impl<D: Defense, O: AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>> Attacker<'_, D, O> {
    /// Plans all pairs of the label and the likeliest wrong classes, in both orders, and climbs on the mean of the copies that the
    /// attacker has of each: the expectation over the draws of a defense whose copies depend on the pair alone.
    pub(super) async fn plans(&mut self, kind: CounterKind) -> Result<Option<Found>> {
        let (Some(bank), Some(search)) = (self.attack.defense.bank(), self.attack.defense.search()) else { return Ok(None) };
        let (model, label, loss) = (self.attack.model, self.subjected.label, self.loss(3));
        let mut classes = vec![label];
        classes.extend(self.wrong_classes(WRONG_CLASSES).await?);
        let device = self.subjected.image.device();
        let away = Goal::Untargeted { labels: vec![label; 2] };
        let mut points = Vec::new();
        for (index, first) in classes.iter().enumerate() {
            for second in &classes[..index] {
                let pair = Pair::of(*first, *second).expect("the classes differ");
                let copies = (0..bank.draws(pair)).map(|draw| bank.copy(pair, draw)).collect::<Result<Vec<_>>>()?;
                if copies.is_empty() {
                    continue;
                }
                let orders = [[*first, *second], [*second, *first]];
                let classes = |at: usize| orders.iter().map(|order| order[at]).collect::<Vec<_>>();
                let wanted = |at| Objective::new(&Goal::Targeted { targets: classes(at) }, loss, model.classes(), &device);
                let draws = vec![self.subjected.draws.again(Purpose::Selection, 0); 2];
                let planned = Planned {
                    searched: Searched { model, search: search.attack, leaves: classes(0), draws, look: Look::Ends },
                    copies: Committee { members: copies.iter().collect(), rule: Rule::Average },
                    pair: [wanted(0), wanted(1)],
                };
                let images = self.subjected.image.clone().repeat_dim(0, 2);
                let number = STARTS_PLANS + points.len() as u16;
                let (ends, _) = self.ascend(&planned, images, None, &away, loss, number).await?;
                points.extend(ends.chunk(2, 0));
            }
        }
        if points.is_empty() { Ok(None) } else { self.best_of(kind, points, FINALISTS).await.map(Some) }
    }
}
