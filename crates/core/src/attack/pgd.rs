//! Projected gradient descent in the L-infinity ball, or in the L2 ball (Madry et al. 2018; the paper's white-box attack and the inner loop of
//! its Algorithm 1), and what all attacks have in common.

use burn::tensor::{Tensor, TensorData};
use riposte_kernels::SignedStep;
use riposte_spec::attack::{Loss, Norm, Pgd, Start, Stop};

use super::ascent::Ascent;
use super::goal::{Goal, Objective, check_draws};
use super::rows::choose;
use super::subject::{Slope, Subject};
use crate::Result;
use crate::rng::{self, Draws, Purpose, Stream};

/// An attack as settings: whoever has them can start it.
pub trait Attacks: Copy {
    /// The attack under way. It yields points of its path, on the device; `break` cancels, not pulling pauses.
    type Run<'a, S: Subject + 'a>: Iterator<Item = Step>;

    /// Attacks `images` `[batch, channel, height, width]` in `[0, 1]` on the subject's device, with the draws of each image.
    ///
    /// A classifier should rest (no autodiff): gradients are taken with respect to the image alone.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a setting is out of its range or the numbers of images, classes and draws differ.
    fn attack<'a, S: Subject>(self, subject: &'a S, images: Tensor<4>, goal: &Goal, draws: &[Draws]) -> Result<Self::Run<'a, S>>;
}

impl Attacks for Pgd {
    type Run<'a, S: Subject + 'a> = PgdRun<'a, S>;

    fn attack<'a, S: Subject>(self, subject: &'a S, images: Tensor<4>, goal: &Goal, draws: &[Draws]) -> Result<PgdRun<'a, S>> {
        start(self, Purpose::Attack, subject, images, goal, draws)
    }
}

/// [`Attacks::attack`] with random starts of another purpose, so that a neighbor search does not repeat the attack's.
pub(crate) fn start<'a, S: Subject>(
    config: Pgd,
    purpose: Purpose,
    subject: &'a S,
    images: Tensor<4>,
    goal: &Goal,
    draws: &[Draws],
) -> Result<PgdRun<'a, S>> {
    config.check()?;
    let [batch, ..] = images.dims();
    goal.check(batch, subject.class_count(), config.loss)?;
    check_draws(draws, batch)?;
    let objective = Objective::new(goal, config.loss, subject.class_count(), &images.device());
    let starts = Starts { config, purpose, draws: draws.to_vec(), direction: objective.direction(), images };
    Ok(PgdRun { config, subject, objective, ascent: starts.ascent(0), starts, restart: 0, step: 0, best: None })
}

/// What an attack with this goal and loss ascends at each of `images` `[batch, channel, height, width]`, `[batch]`, and the
/// gradient of it with respect to the images, of their shape.
///
/// # Panics
/// If a class of the goal is out of range.
pub fn input_gradient<S: Subject>(subject: &S, images: Tensor<4>, goal: &Goal, loss: Loss) -> (Tensor<1>, Tensor<4>) {
    let objective = Objective::new(goal, loss, subject.class_count(), &images.device());
    let Slope { value, gradient, .. } = subject.slope(images, &|logits| objective.value(logits));
    (value, gradient)
}

/// An attack under way. Each item is a point of the path and the logits there, on the device; `break` cancels, not pulling
/// pauses. A restart yields `steps + 1` items, from its start to its last point.
#[derive(Debug)]
pub struct PgdRun<'a, S> {
    config: Pgd,
    subject: &'a S,
    objective: Objective,
    starts: Starts,
    ascent: Ascent,
    restart: usize,
    step: usize,
    best: Option<Scored>,
}

/// Where the restarts of an attack begin.
#[derive(Debug)]
struct Starts {
    config: Pgd,
    purpose: Purpose,
    draws: Vec<Draws>,
    /// -1 where the attack walks down, to a target.
    direction: f32,
    images: Tensor<4>,
}

/// A point of an attack's path.
#[derive(Debug, Clone)]
pub struct Step {
    /// Which restart, from 0.
    pub restart: usize,
    /// How many gradient steps led here, `0..=steps`.
    pub step: usize,
    /// `[batch, channel, height, width]`
    pub images: Tensor<4>,
    /// `[batch, class]`
    pub logits: Tensor<2>,
}

/// What an attack ends with.
#[derive(Debug, Clone)]
pub struct Attacked {
    /// The perturbed images, `[batch, channel, height, width]`, in the ball and in `[0, 1]`.
    pub images: Tensor<4>,
    /// The subject's logits on them, `[batch, class]`.
    pub logits: Tensor<2>,
}

/// A last point with what restarts are compared by.
#[derive(Debug, Clone)]
struct Scored {
    end: Attacked,
    /// `[batch]`, 1 or 0.
    succeeded: Tensor<1>,
    /// `[batch]`
    objective: Tensor<1>,
}

impl<S: Subject> PgdRun<'_, S> {
    /// Runs to the end. Of several restarts each image keeps one that succeeded, if any did, and of those the one with the
    /// highest objective.
    pub fn finish(mut self) -> Attacked {
        for _ in self.by_ref() {}
        self.best.expect("at least one restart").end
    }

    /// One PGD step: along the sign of the gradient, back into the ball and the pixel range. Returns the logits before it.
    fn ascend(&mut self) -> Tensor<2> {
        let (objective, stop) = (&self.objective, self.config.stop);
        let moving = |logits| match stop {
            Stop::Never => None,
            Stop::AtSuccess => Some(1.0 - objective.succeeded(logits)),
        };
        self.ascent.step(self.subject, |logits| objective.distance(logits), moving)
    }

    fn end_restart(&mut self, logits: Tensor<2>) {
        let scored = Scored {
            succeeded: self.objective.succeeded(logits.clone()),
            objective: self.objective.value(logits.clone()),
            end: Attacked { images: self.ascent.point(), logits },
        };
        self.best = Some(match self.best.take() {
            None => scored,
            Some(best) => best.or_better(scored),
        });
        self.restart += 1;
        self.step = 0;
        if self.restart < self.config.restarts {
            self.ascent = self.starts.ascent(self.restart);
        }
    }
}

impl Starts {
    fn ascent(&self, restart: usize) -> Ascent {
        let Pgd { epsilon, step_size, .. } = self.config;
        let step = SignedStep { step_size: self.direction * step_size, epsilon, range: [0.0, 1.0] };
        Ascent::new(self.images.clone(), self.point(restart), step).measured_by(self.config.norm)
    }

    fn point(&self, restart: usize) -> Tensor<4> {
        let Pgd { epsilon, norm, start, .. } = self.config;
        if start == Start::Zero || epsilon == 0.0 {
            return self.images.clone();
        }
        let pixels = self.images.dims()[1..].iter().product();
        let mut noise = Vec::with_capacity(self.draws.len() * pixels);
        for draws in &self.draws {
            let mut stream = draws.restart(self.purpose, restart);
            match norm {
                Norm::LInfinity => noise.extend((0..pixels).map(|_| rng::symmetric(&mut stream, epsilon))),
                Norm::L2 => noise.extend(in_ball(&mut stream, pixels, epsilon)),
            }
        }
        let noise = Tensor::from_data(TensorData::new(noise, self.images.dims()), &self.images.device());
        (self.images.clone() + noise).clamp(0.0, 1.0)
    }
}

/// A point uniform in the L2 ball of a radius in so many dimensions.
fn in_ball(stream: &mut Stream, dimensions: usize, radius: f32) -> Vec<f32> {
    let direction: Vec<f32> = (0..dimensions).map(|_| rng::normal(stream)).collect();
    let length = direction.iter().map(|part| part * part).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    let factor = radius * libm::powf(rng::unit(stream), 1.0 / dimensions as f32) / length;
    direction.into_iter().map(|part| part * factor).collect()
}

impl<S: Subject> Iterator for PgdRun<'_, S> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.restart == self.config.restarts {
            return None;
        }
        let (restart, step, images) = (self.restart, self.step, self.ascent.point());
        let logits = if step < self.config.steps {
            self.step += 1;
            self.ascend()
        } else {
            let logits = self.subject.answer(images.clone());
            self.end_restart(logits.clone());
            logits
        };
        Some(Step { restart, step, images, logits })
    }
}

impl Scored {
    /// Sample by sample the stronger of two ends; the earlier one if they are equal.
    fn or_better(self, other: Self) -> Self {
        let more_success = other.succeeded.clone().greater(self.succeeded.clone());
        let same_success = other.succeeded.clone().equal(self.succeeded.clone());
        let higher = other.objective.clone().greater(self.objective.clone());
        let better = more_success.bool_or(same_success.bool_and(higher));
        Self {
            end: Attacked {
                images: choose(&better, other.end.images, self.end.images),
                logits: choose(&better, other.end.logits, self.end.logits),
            },
            succeeded: choose(&better, other.succeeded, self.succeeded),
            objective: choose(&better, other.objective, self.objective),
        }
    }
}
