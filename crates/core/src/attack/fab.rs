//! The fast adaptive boundary attack, targeted, in the L-infinity norm (Croce & Hein 2020, "Minimally distorted adversarial examples
//! with a fast adaptive boundary attack", Algorithm 1): it looks for the nearest point that another class is given.

pub mod projection;

use burn::tensor::{Bool, Tensor};
use riposte_spec::attack::{Fab, Loss};

use super::goal::{Goal, Objective};
use super::pgd::{Attacked, Attacks, Step};
use super::rows::{choose, each, highest, total};
use super::subject::{Slope, Subject};
use crate::rng::Draws;
use crate::{Error, Result};

impl Attacks for Fab {
    type Run<'a, S: Subject + 'a> = FabRun<'a, S>;

    /// One run to the boundaries of the targets of a goal [`Goal::Toward`]. It does not draw.
    fn attack<'a, S: Subject>(self, subject: &'a S, images: Tensor<4>, goal: &Goal, _: &[Draws]) -> Result<FabRun<'a, S>> {
        self.check()?;
        if !matches!(goal, Goal::Toward { .. }) {
            return Err(Error::Config("FAB leads away from a label by way of a target".to_owned()));
        }
        let [batch, ..] = images.dims();
        goal.check(batch, subject.class_count(), Loss::Margin)?;
        Ok(FabRun {
            settings: self,
            subject,
            objective: Objective::new(goal, Loss::Margin, subject.class_count(), &images.device()),
            nearest: None,
            distance: Tensor::full([batch], FAR, &images.device()),
            current: images.clone(),
            images,
            step: 0,
        })
    }
}

/// η: how far a step goes beyond the hyperplane.
const OVERSHOOT: f32 = 1.05;
/// β: where an image goes on that has been fooled, from the clean image (0) to the point (1).
const BACKWARD: f32 = 0.9;
/// α_max: the largest weight of the clean image's projection.
const LARGEST_WEIGHT: f32 = 0.1;
/// Distances in a quotient are not below this.
const LEAST_DISTANCE: f32 = 1e-8;
/// More than any distance of two images.
const FAR: f32 = 2.0;

/// A run under way. Each of its `steps` items is a point after a step, before it is drawn back.
#[derive(Debug)]
pub struct FabRun<'a, S> {
    settings: Fab,
    subject: &'a S,
    objective: Objective,
    images: Tensor<4>,
    current: Tensor<4>,
    nearest: Option<Attacked>,
    /// Of the nearest point, `[batch]`.
    distance: Tensor<1>,
    step: usize,
}

impl<S: Subject> FabRun<'_, S> {
    /// The nearest points found that are not given the label, and which images have one, `[batch]`; the others' is the last point.
    ///
    /// # Panics
    /// If no step has been taken.
    pub fn end(self) -> (Attacked, Tensor<1, Bool>) {
        (self.nearest.expect("a step has been taken"), self.distance.lower_elem(FAR))
    }

    /// The next point: between the current point and the clean image, both moved onto the hyperplane that the decision boundary
    /// would be if the logits were linear in the pixels.
    fn advance(&self) -> Tensor<4> {
        let Slope { value: f, gradient: w, .. } =
            self.subject.slope(self.current.clone(), &|logits| self.objective.value(logits));
        let [batch, channels, height, width] = self.images.dims();
        let flat = |images: Tensor<4>| images.reshape([batch, channels * height * width]);
        // What w · d must be: -f at the current point; less by the way between the two at the clean image.
        let way = total(w.clone() * (self.current.clone() - self.images.clone()));
        let amounts = Tensor::cat(vec![f.clone().neg(), way - f], 0).reshape([2 * batch, 1]);
        let points = Tensor::cat(vec![flat(self.current.clone()), flat(self.images.clone())], 0);
        let w = flat(w);
        let moves = projection::project(points, Tensor::cat(vec![w.clone(), w], 0), amounts);
        let half = |index: usize| moves.clone().narrow(0, index * batch, batch).reshape(self.images.dims());
        let (from_current, from_clean) = (half(0), half(1));
        let length = |moves: &Tensor<4>| highest(moves.clone().abs()).clamp_min(LEAST_DISTANCE);
        let (current_length, clean_length) = (length(&from_current), length(&from_clean));
        let alpha = each((current_length.clone() / (current_length + clean_length)).clamp_max(LARGEST_WEIGHT));
        let from_current = self.current.clone() + from_current * OVERSHOOT;
        let from_clean = self.images.clone() + from_clean * OVERSHOOT;
        (from_current * (alpha.clone().neg() + 1.0) + from_clean * alpha).clamp(0.0, 1.0)
    }
}

impl<S: Subject> Iterator for FabRun<'_, S> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.step == self.settings.steps {
            return None;
        }
        let images = self.advance();
        let logits = self.subject.answer(images.clone());
        let fooled = self.objective.succeeded(logits.clone()).greater_elem(0.5);
        let distance = highest((images.clone() - self.images.clone()).abs());
        let nearer = fooled.clone().bool_and(distance.clone().lower(self.distance.clone()));
        self.distance = choose(&nearer, distance, self.distance.clone());
        let seen = Attacked { images: images.clone(), logits: logits.clone() };
        let some = self.distance.clone().lower_elem(FAR);
        self.nearest = Some(match self.nearest.take() {
            None => seen,
            Some(nearest) => {
                // An image without a wrong point keeps its last one.
                let replace = nearer.bool_or(some.bool_not());
                Attacked {
                    images: choose(&replace, seen.images, nearest.images),
                    logits: choose(&replace, seen.logits, nearest.logits),
                }
            }
        });
        let back = self.images.clone() + (images.clone() - self.images.clone()) * BACKWARD;
        self.current = choose(&fooled, back, images.clone());
        let step = self.step;
        self.step += 1;
        Some(Step { restart: 0, step, images, logits })
    }
}
