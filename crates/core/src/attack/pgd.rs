//! Projected gradient descent in the L-infinity ball (Madry et al. 2018; the paper's white-box attack and the inner loop of
//! its Algorithm 1).

use burn::tensor::{Tensor, TensorData};
use riposte_kernels::{SignedStep, signed_step};
use riposte_spec::attack::{Loss, Pgd, Start, Stop};

use super::goal::{Goal, Objective, check_inputs};
use super::subject::{Slope, Subject};
use crate::Result;
use crate::rng::{self, Purpose, Seed};

/// An attack as settings: whoever has them can start it.
pub trait Attacks: Copy {
    /// The attack under way: it yields points of its path, `break` cancels, not pulling pauses.
    type Run<'a, S: Subject + 'a>: Iterator<Item = Step>;

    /// Attacks `images` `[batch, channel, height, width]` in `[0, 1]` on the subject's device. `inputs` numbers the images in
    /// their data set: an image's draws depend on the seed and its number, not on its batch.
    ///
    /// A classifier should rest (no autodiff): gradients are taken with respect to the image alone.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a setting is out of its range or the numbers of images, classes and inputs differ.
    fn attack<'a, S: Subject>(
        self,
        subject: &'a S,
        images: Tensor<4>,
        goal: &Goal,
        seed: Seed,
        inputs: &'a [u64],
    ) -> Result<Self::Run<'a, S>>;
}

impl Attacks for Pgd {
    type Run<'a, S: Subject + 'a> = PgdRun<'a, S>;

    fn attack<'a, S: Subject>(
        self,
        subject: &'a S,
        images: Tensor<4>,
        goal: &Goal,
        seed: Seed,
        inputs: &'a [u64],
    ) -> Result<PgdRun<'a, S>> {
        start(self, Purpose::Attack, subject, images, goal, seed, inputs)
    }
}

/// [`Attacks::attack`] with random starts of another purpose, so that a neighbor search does not repeat the attack's.
pub(crate) fn start<'a, S: Subject>(
    config: Pgd,
    purpose: Purpose,
    subject: &'a S,
    images: Tensor<4>,
    goal: &Goal,
    seed: Seed,
    inputs: &'a [u64],
) -> Result<PgdRun<'a, S>> {
    config.check()?;
    let [batch, ..] = images.dims();
    let classes = subject.class_count();
    goal.check(batch, classes, config.loss)?;
    check_inputs(inputs, batch)?;
    let objective = Objective::new(goal, config.loss, classes, &images.device());
    let mut attack = PgdRun {
        config,
        subject,
        objective,
        current: images.clone(),
        images,
        purpose,
        seed,
        inputs,
        restart: 0,
        step: 0,
        best: None,
    };
    attack.current = attack.start();
    Ok(attack)
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
    images: Tensor<4>,
    current: Tensor<4>,
    purpose: Purpose,
    seed: Seed,
    inputs: &'a [u64],
    restart: usize,
    step: usize,
    best: Option<Scored>,
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
    /// The classifier's logits on them, `[batch, class]`.
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

    fn start(&self) -> Tensor<4> {
        if self.config.start == Start::Zero || self.config.epsilon == 0.0 {
            return self.images.clone();
        }
        let [batch, channels, height, width] = self.images.dims();
        let pixels = channels * height * width;
        let mut noise = Vec::with_capacity(batch * pixels);
        for input in self.inputs {
            // A stream belongs to an input and a restart: the number of restarts does not change the first one.
            let mut stream = self.seed.stream(self.purpose, input << 8 | self.restart as u64 & 0xff);
            noise.extend((0..pixels).map(|_| rng::symmetric(&mut stream, self.config.epsilon)));
        }
        let noise = Tensor::from_data(TensorData::new(noise, self.images.dims()), &self.images.device());
        (self.images.clone() + noise).clamp(0.0, 1.0)
    }

    /// One PGD step: up the objective along the sign of its gradient, back into the ball and the pixel range.
    fn ascend(&self) -> (Tensor<2>, Tensor<4>) {
        let Slope { logits, gradient, .. } = self.subject.slope(self.current.clone(), &|logits| self.objective.distance(logits));
        let active = match self.config.stop {
            Stop::Never => None,
            Stop::AtSuccess => Some(1.0 - self.objective.succeeded(logits.clone())),
        };
        // A targeted attack walks down the same gradient.
        let step_size = self.objective.direction() * self.config.step_size;
        let step = SignedStep { step_size, epsilon: self.config.epsilon, range: [0.0, 1.0] };
        let next = signed_step(self.current.clone(), gradient, self.images.clone(), active, step);
        (logits, next)
    }

    fn end_restart(&mut self, logits: Tensor<2>) {
        let scored = Scored {
            succeeded: self.objective.succeeded(logits.clone()),
            objective: self.objective.value(logits.clone()),
            end: Attacked { images: self.current.clone(), logits },
        };
        self.best = Some(match self.best.take() {
            None => scored,
            Some(best) => best.or_better(scored),
        });
        self.restart += 1;
        self.step = 0;
        if self.restart < self.config.restarts {
            self.current = self.start();
        }
    }
}

impl<S: Subject> Iterator for PgdRun<'_, S> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.restart == self.config.restarts {
            return None;
        }
        let (restart, step, images) = (self.restart, self.step, self.current.clone());
        let logits = if step < self.config.steps {
            let (logits, next) = self.ascend();
            self.current = next;
            self.step += 1;
            logits
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
        let [batch] = better.dims();
        let of_logits = better.clone().reshape([batch, 1]).expand(self.end.logits.dims());
        let of_images = better.clone().reshape([batch, 1, 1, 1]).expand(self.end.images.dims());
        Self {
            end: Attacked {
                images: self.end.images.mask_where(of_images, other.end.images),
                logits: self.end.logits.mask_where(of_logits, other.end.logits),
            },
            succeeded: self.succeeded.mask_where(better.clone(), other.succeeded),
            objective: self.objective.mask_where(better, other.objective),
        }
    }
}
