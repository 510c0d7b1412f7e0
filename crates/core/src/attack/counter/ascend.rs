//! Auto-PGD on whatever an attacker has made its subject.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte_spec::attack::{Apgd, Loss};

use super::{Attacker, Event};
use crate::Result;
use crate::attack::apgd::{self, ApgdSearch};
use crate::attack::goal::{Goal, Objective};
use crate::attack::subject::Subject;
use crate::defense::Defense;

impl<D: Defense, O: AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>> Attacker<'_, D, O> {
    /// Climbs from a random start around each of `images` `[batch, channel, height, width]`, and from `also`
    /// `[1, channel, height, width]`, a point around the first of them. Returns of each start the point of the highest value, and
    /// that value: `[batch, channel, height, width]` and `[batch]`, one more where there is `also`.
    pub(super) async fn ascend<S: Subject>(
        &mut self,
        subject: &S,
        images: Tensor<4>,
        also: Option<Tensor<4>>,
        goal: &Goal,
        loss: Loss,
        number: u16,
    ) -> Result<(Tensor<4>, Tensor<1>)> {
        let [batch, ..] = images.dims();
        let steps = self.attack.settings.steps;
        let settings = Apgd { epsilon: self.attack.epsilon, steps, loss, ..Apgd::STANDARD };
        goal.check(batch, subject.class_count(), loss)?;
        let draws = vec![self.subjected.draws; batch];
        let mut starts = apgd::start(&images, settings.epsilon, &draws, number);
        let (mut centers, mut goal) = (images.clone(), goal.clone());
        if let Some(also) = also {
            starts = Tensor::cat(vec![starts, also], 0);
            centers = Tensor::cat(vec![centers, images.narrow(0, 0, 1)], 0);
            goal = goal.with_its_first_again();
        }
        let objective = Objective::new(&goal, loss, subject.class_count(), &starts.device());
        let mut search = ApgdSearch::new(settings, centers, starts);
        for step in 0..=steps {
            let slope = subject.slope(search.point(), &|logits| objective.value(logits));
            let succeeded = objective.succeeded(slope.logits.clone()).greater_elem(0.5);
            search.told(slope, succeeded);
            self.cost.steps += search.point().dims()[0];
            self.tell_of_steps(step, steps).await?;
        }
        let ended = search.end();
        Ok((ended.highest.images, ended.highest_value))
    }
}
