//! The attack: projected gradient descent in the L-infinity ball (Madry et al. 2018; the paper's white-box attack and the inner
//! loop of its Algorithm 1).

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::choice::choices;
use crate::error::refused;

/// Settings of an attack. FGSM (Goodfellow et al. 2015) is one step of it: [`Pgd::fgsm`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pgd {
    /// Radius of the ball, in pixel units (`[0, 1]`).
    pub epsilon: f32,
    /// Length of a step along the sign of the gradient, in pixel units.
    pub step_size: f32,
    /// Number of steps.
    pub steps: usize,
    /// Independent starts, 1 to 256; the strongest result of each image counts.
    pub restarts: usize,
    /// Where the attack begins.
    pub start: Start,
    /// When an image stops moving.
    pub stop: Stop,
    /// What the attack ascends.
    pub loss: Loss,
}

choices! {
    /// Where the attack begins.
    pub enum Start: "start" {
        /// At the image
        Zero = "zero",
        /// At a random point, uniform in the ball and clipped to the pixel range
        Uniform = "uniform",
    }
}

choices! {
    /// When an image stops moving.
    pub enum Stop: "stop" {
        /// After all steps
        Never = "never",
        /// As soon as the attack has succeeded on it: it then rests just past the decision boundary
        AtSuccess = "at-success" | "success",
    }
}

choices! {
    /// The loss that an attack ascends (untargeted) or descends (targeted).
    pub enum Loss: "loss" {
        /// Cross-entropy to the label or the target
        CrossEntropy = "cross-entropy" | "ce",
        /// Largest other logit minus the label's logit (Carlini & Wagner 2017, without the hinge): not scaled away when the
        /// classifier is confident
        Margin = "margin",
        /// The margin divided by the lead of the largest logit over the third (Croce & Hein 2020, difference of logits ratio): not
        /// changed by the scale of the logits
        Dlr = "dlr",
    }
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

    /// Whether this is one step to the corner of the ball, wherever it starts.
    pub fn is_fgsm(&self) -> bool {
        self.steps == 1 && self.step_size == self.epsilon
    }

    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        let bad = |what: &str, value: f32| refused(format!("{what} must be between 0 and 1 in pixel units, not {value}"));
        if !(0.0..=1.0).contains(&self.epsilon) {
            return bad("epsilon", self.epsilon);
        }
        if !(0.0..=1.0).contains(&self.step_size) {
            return bad("step size", self.step_size);
        }
        if !(1..=256).contains(&self.restarts) {
            return refused(format!("restarts must be between 1 and 256, not {}", self.restarts));
        }
        Ok(())
    }
}
