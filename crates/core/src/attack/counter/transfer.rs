//! Points of the base model: those that strong attacks find on it, and those around which its search is misled.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte_spec::attack::{Apgd, Loss, Square};
use riposte_spec::counter::CounterKind;

use super::score::Found;
use super::search::{Look, Searched};
use super::{Attacker, Event, STARTS_SEARCH, STARTS_TRANSFER, Subjected};
use crate::Result;
use crate::attack::goal::Goal;
use crate::attack::{apgd, square};
use crate::defense::Defense;
use crate::rng::{Draws, Purpose};

/// Wrong classes that points are led to, the likeliest first.
const TARGETS: usize = 9;
/// Wrong classes that suppression and decoy try.
const WRONG_CLASSES: usize = 3;
/// Points of strong attacks that are looked at more closely after one answer to each.
const FINALISTS: usize = 3;
/// Queries of the Square attack whose point is transferred.
const QUERIES: usize = 1000;

impl<D: Defense, O: AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>> Attacker<'_, D, O> {
    /// The points that strong attacks find on the base model: of each the one of the highest value, whether it succeeded or not
    /// (Croce et al. 2022); and the image itself.
    pub(super) async fn transfer(&mut self, kind: CounterKind) -> Result<Found> {
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
        self.best_of(kind, points, FINALISTS).await
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
            self.cost.steps += draws.len();
            self.tell_of_steps(step, settings.steps).await?;
        }
        Ok(path.end().highest.images)
    }

    /// Suppression (the whole path of the search stays in a wrong class) or decoy (both its ends are wrong), by way of the
    /// likeliest wrong classes.
    pub(super) async fn around_the_search(&mut self, kind: CounterKind, look: Look) -> Result<Option<Found>> {
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
}
