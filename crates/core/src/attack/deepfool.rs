//! DeepFool (Moosavi-Dezfooli et al. 2016, "DeepFool: a simple and accurate method to fool deep neural networks", Algorithm 2): step
//! by step onto the nearest of the boundaries, as if they were planes.

use burn::tensor::{Bool, Tensor};
use riposte_spec::attack::{DeepFool, Loss, Norm};

use super::goal::{Goal, Objective, ranked};
use super::pgd::{Attacked, Attacks, Step};
use super::rows::{choose, each, total};
use super::subject::Subject;
use crate::Result;
use crate::rng::Draws;

impl Attacks for DeepFool {
    type Run<'a, S: Subject + 'a> = DeepFoolRun<'a, S>;

    /// A run from the class that the subject gives each image to the nearest other one, until the goal is met. It does not draw.
    fn attack<'a, S: Subject>(self, subject: &'a S, images: Tensor<4>, goal: &Goal, _: &[Draws]) -> Result<DeepFoolRun<'a, S>> {
        self.check()?;
        goal.check(images.dims()[0], subject.class_count(), Loss::Margin)?;
        let count = self.candidates.min(subject.class_count());
        let classes = ranked(subject.answer(images.clone()), count);
        let own = classes[0].one_hot.clone();
        let others = classes[1..].iter().map(|other| other.one_hot.clone() - own.clone()).collect();
        Ok(DeepFoolRun {
            settings: self,
            subject,
            objective: Objective::new(goal, Loss::Margin, subject.class_count(), &images.device()),
            differences: Tensor::cat(others, 0),
            moved: images.zeros_like(),
            current: images.clone(),
            images,
            end: None,
            step: 0,
        })
    }
}

/// How far a step goes beyond the boundary, as a share of all moves.
const OVERSHOOT: f32 = 0.02;
/// Added to each distance, in pixel units, as foolbox does: a step never stalls.
const EXTRA: f32 = 1e-4;
/// Added to the norms that are divided by.
const FLOOR: f32 = 1e-8;

/// A run under way. It yields `steps + 1` items, from the images to the last point; an image that is fooled rests.
#[derive(Debug)]
pub struct DeepFoolRun<'a, S> {
    settings: DeepFool,
    subject: &'a S,
    objective: Objective,
    images: Tensor<4>,
    current: Tensor<4>,
    /// The sum of all moves.
    moved: Tensor<4>,
    /// One-hot of each other candidate minus that of the image's own class, one batch after the other: `[other * batch, class]`.
    differences: Tensor<2>,
    end: Option<(Attacked, Tensor<1, Bool>)>,
    step: usize,
}

impl<S: Subject> DeepFoolRun<'_, S> {
    /// The last points, and which images are fooled there, `[batch]`.
    ///
    /// # Panics
    /// If no item has been taken.
    pub fn end(self) -> (Attacked, Tensor<1, Bool>) {
        self.end.expect("an item has been taken")
    }

    /// The step to the nearest boundary from the current point.
    fn nearest(&self) -> Tensor<4> {
        let [batch, channels, height, width] = self.images.dims();
        let others = self.differences.dims()[0] / batch;
        let points = self.current.clone().repeat_dim(0, others);
        let difference = |logits: Tensor<2>| (logits * self.differences.clone()).sum_dim(1).flatten(0, 1);
        let slope = self.subject.slope(points, &difference);
        let norm = match self.settings.norm {
            Norm::L2 => total(slope.gradient.clone().powi_scalar(2)).sqrt(),
            Norm::LInfinity => total(slope.gradient.clone().abs()),
        };
        let distance = (slope.value.abs() / (norm.clone() + FLOOR)).reshape([others, batch]);
        let pixels = channels * height * width;
        let index = distance.clone().argmin(0).reshape([1, batch, 1]).expand([1, batch, pixels]);
        let gradient = slope.gradient.reshape([others, batch, pixels]).gather(0, index).reshape(self.images.dims());
        let distance = distance.min_dim(0).flatten::<1>(0, 1) + EXTRA;
        match self.settings.norm {
            Norm::L2 => {
                let norm = total(gradient.clone().powi_scalar(2)).sqrt();
                gradient * each(distance / (norm + FLOOR))
            }
            Norm::LInfinity => gradient.sign() * each(distance),
        }
    }
}

impl<S: Subject> Iterator for DeepFoolRun<'_, S> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.step > self.settings.steps {
            return None;
        }
        let (step, images) = (self.step, self.current.clone());
        let logits = self.subject.answer(images.clone());
        let fooled = self.objective.succeeded(logits.clone()).greater_elem(0.5);
        self.end = Some((Attacked { images: images.clone(), logits: logits.clone() }, fooled.clone()));
        if step < self.settings.steps {
            self.moved = self.moved.clone() + self.nearest();
            let next = (self.images.clone() + self.moved.clone() * (1.0 + OVERSHOOT)).clamp(0.0, 1.0);
            self.current = choose(&fooled, images.clone(), next);
        }
        self.step += 1;
        Some(Step { restart: 0, step, images, logits })
    }
}
