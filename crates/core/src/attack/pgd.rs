//! Projected gradient descent in the L-infinity ball (Madry et al. 2018; the paper's white-box attack and the inner loop of
//! its Algorithm 1).

use burn::tensor::{Tensor, TensorData};
use riposte_kernels::{SignedStep, signed_step};
use serde::{Deserialize, Serialize};

use super::goal::{Goal, Loss, Objective};
use super::subject::{Slope, Subject};
use crate::rng::{self, Purpose, Seed};
use crate::{Classifier, Error, Result};

/// Settings of an attack. FGSM (Goodfellow et al. 2015) is one step of it: [`Pgd::fgsm`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pgd {
    /// Radius of the ball, in pixel units (`[0, 1]`).
    pub epsilon: f32,
    /// Length of a step along the sign of the gradient, in pixel units.
    pub step_size: f32,
    pub steps: usize,
    /// Independent starts; the strongest result of each image counts.
    pub restarts: usize,
    pub start: Start,
    pub stop: Stop,
    pub loss: Loss,
}

/// Where the attack begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the image.
    Zero,
    /// Uniform in the ball, clipped to the pixel range.
    Uniform,
}

/// When an image stops moving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// After all steps.
    Never,
    /// As soon as the attack has succeeded on it: it then rests just past the decision boundary.
    AtSuccess,
}

impl Pgd {
    /// The paper's CIFAR-10 attack (section 4.2): 20 steps of 3/255 in 8/255, one restart.
    pub const CIFAR10: Self = Self { epsilon: 8.0 / 255.0, step_size: 3.0 / 255.0, steps: 20, ..Self::MNIST };
    /// The paper's MNIST attack (section 4.2): 40 steps of 0.01 in 0.3, one restart.
    pub const MNIST: Self = Self {
        epsilon: 0.3,
        step_size: 0.01,
        steps: 40,
        restarts: 1,
        start: Start::Zero,
        stop: Stop::Never,
        loss: Loss::CrossEntropy,
    };

    /// One step to the corner of the ball.
    pub const fn fgsm(epsilon: f32) -> Self {
        Self { epsilon, step_size: epsilon, steps: 1, ..Self::MNIST }
    }

    /// Attacks `images` `[batch, channel, height, width]` in `[0, 1]` on the classifier's device. `inputs` numbers the
    /// images in their data set: an image's random starts depend on the seed and its number, not on its batch.
    ///
    /// The classifier should rest (no autodiff): gradients are taken with respect to the image alone.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of its range or the numbers of images, classes and inputs differ.
    pub fn attack<'a, C: Classifier>(
        self,
        classifier: &'a C,
        images: Tensor<4>,
        goal: &Goal,
        seed: Seed,
        inputs: &'a [u64],
    ) -> Result<Attack<'a, C>> {
        self.attack_for(Purpose::Attack, classifier, images, goal, seed, inputs)
    }

    /// [`attack`](Self::attack) with random starts of another purpose, so that a neighbor search does not repeat the
    /// attack's.
    pub(crate) fn attack_for<'a, C: Classifier>(
        self,
        purpose: Purpose,
        classifier: &'a C,
        images: Tensor<4>,
        goal: &Goal,
        seed: Seed,
        inputs: &'a [u64],
    ) -> Result<Attack<'a, C>> {
        self.check()?;
        let [batch, ..] = images.dims();
        let classes = classifier.classes();
        goal.check(batch, classes, self.loss)?;
        if inputs.len() != batch {
            return Err(Error::Config(format!("{batch} images need as many input numbers, not {}", inputs.len())));
        }
        let objective = Objective::new(goal, self.loss, classes, &images.device());
        let mut attack = Attack {
            config: self,
            classifier,
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

    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn check(&self) -> Result<()> {
        let bad =
            |what: &str, value: f32| Err(Error::Config(format!("{what} must be between 0 and 1 in pixel units, not {value}")));
        if !(0.0..=1.0).contains(&self.epsilon) {
            return bad("epsilon", self.epsilon);
        }
        if !(0.0..=1.0).contains(&self.step_size) {
            return bad("step size", self.step_size);
        }
        if !(1..=256).contains(&self.restarts) {
            return Err(Error::Config(format!("restarts must be between 1 and 256, not {}", self.restarts)));
        }
        Ok(())
    }
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

/// Logits and the input gradient of a value of each image's logits, without autodiff.
fn gradient_at<C: Classifier>(
    classifier: &C,
    images: Tensor<4>,
    value: impl FnOnce(Tensor<2>) -> Tensor<1>,
) -> (Tensor<2>, Tensor<4>) {
    let point = images.autodiff().require_grad();
    let logits = classifier.forward(point.clone());
    // Without a sum: it starts from a one for each image, which is the gradient of their sum.
    let gradients = value(logits.clone()).backward();
    let gradient = point.grad(&gradients).expect("the logits depend on the image");
    (logits.inner(), gradient)
}

/// An attack under way. Each item is a point of the path and the logits there, on the device; `break` cancels, not pulling
/// pauses. A restart yields `steps + 1` items, from its start to its last point.
#[derive(Debug)]
pub struct Attack<'a, C> {
    config: Pgd,
    classifier: &'a C,
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

impl<C: Classifier> Attack<'_, C> {
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
        let (logits, gradient) = gradient_at(self.classifier, self.current.clone(), |logits| self.objective.distance(logits));
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

impl<C: Classifier> Iterator for Attack<'_, C> {
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
            let logits = self.classifier.forward(images.clone());
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
