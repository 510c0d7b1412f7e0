//! How a base model is trained: Fast-FGSM (Wong et al. 2020) and PGD (Madry et al. 2018) adversarial training.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::refused;
use crate::post_train::{Augmentation, Precision, single};

/// Settings of a training run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Passes over the training set.
    pub epochs: usize,
    /// Samples of a batch.
    pub batch_size: usize,
    /// So many samples of a batch are on the device at once; their gradients are summed. Smaller than the batch it bounds
    /// the memory of a step, and batch normalization then takes the statistics of each such part.
    pub micro_batch: usize,
    /// How gradients become steps.
    pub rule: Rule,
    /// The learning rate rises linearly from 0 to this and falls back to 0.
    pub peak_learning_rate: f32,
    /// Where the peak is, as a fraction of the run.
    pub peak_at: f32,
    /// What the samples are perturbed by.
    pub inner: InnerAttack,
    /// The radius and the step of the inner attack rise linearly from 0 over this fraction of the run. At full strength from
    /// the first step, PGD training on MNIST can stay where it began: all classes equally likely.
    pub ramp: f32,
    /// How the samples are augmented.
    pub augmentation: Augmentation,
    /// Of the training steps; the inner attack is f32.
    #[serde(default = "single", skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
}

/// The inner maximization of adversarial training (equation 1): signed steps from a uniform start, in the ball and in the
/// pixel range. No steps: ordinary training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InnerAttack {
    /// Radius of the ball, in pixel units.
    pub epsilon: f32,
    /// Length of a step, in pixel units.
    pub step_size: f32,
    /// Number of steps.
    pub steps: usize,
    /// Whether the random start is clipped to the pixel range: on CIFAR-10 the reference code does, on MNIST it does not, and
    /// there it matters. Most pixels of MNIST are black, so clipping takes half of the start's randomness away, and FGSM
    /// training then overfits to its own step.
    pub clip_start: bool,
}

/// Which rule turns gradients into steps. The learning rate is given step by step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Stochastic gradient descent, dampening 0.
    ///
    /// Burn's own momentum has dampening 0.1 by default, PyTorch's has 0; the reference code uses the latter.
    Sgd { momentum: f32, nesterov: bool, weight_decay: f32 },
    /// Adam (Kingma & Ba 2015) with betas 0.9 and 0.999 and epsilon 1e-8.
    Adam,
}

impl TrainConfig {
    /// Fast-FGSM on MNIST: 10 epochs of batches of 100, Adam, learning rate up to 5e-3 at 2/5 of the run, one step of
    /// 0.375 in 0.3 from a uniform start.
    pub const FAST_MNIST: Self = Self {
        epochs: 10,
        batch_size: 100,
        micro_batch: 100,
        rule: Rule::Adam,
        peak_learning_rate: 5e-3,
        peak_at: 0.4,
        inner: InnerAttack { epsilon: 0.3, step_size: 0.375, steps: 1, clip_start: false },
        ramp: 0.0,
        augmentation: Augmentation::None,
        precision: Precision::Single,
    };
    /// PGD-40 on MNIST (Madry et al. 2018) with the schedule of [`FAST_MNIST`](Self::FAST_MNIST), a lower learning
    /// rate and a ramp.
    pub const PGD_MNIST: Self = Self {
        peak_learning_rate: 1e-3,
        inner: InnerAttack { epsilon: 0.3, step_size: 0.01, steps: 40, clip_start: true },
        ramp: 0.3,
        ..Self::FAST_MNIST
    };
    /// Fast-FGSM on CIFAR-10: 15 epochs of batches of 128, SGD with momentum 0.9 and weight decay 5e-4, learning rate up to
    /// 0.2 in the middle of the run, one step of 10/255 in 8/255.
    pub const FAST_CIFAR10: Self = Self {
        epochs: 15,
        batch_size: 128,
        micro_batch: 128,
        rule: Rule::Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4 },
        peak_learning_rate: 0.2,
        peak_at: 0.5,
        inner: InnerAttack { epsilon: 8.0 / 255.0, step_size: 10.0 / 255.0, steps: 1, clip_start: true },
        ramp: 0.0,
        augmentation: Augmentation::CropFlip { padding: 4 },
        precision: Precision::Single,
    };

    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self, samples: usize) -> Result<()> {
        if self.epochs == 0 || self.batch_size == 0 || self.batch_size > samples {
            let size = self.batch_size;
            return refused(format!("training needs at least one epoch and a batch of 1 to {samples} samples, not {size}"));
        }
        if self.micro_batch == 0 {
            return refused("a micro-batch has at least one sample");
        }
        if !(self.peak_learning_rate > 0.0 && self.peak_at > 0.0 && self.peak_at < 1.0) {
            return refused("the peak learning rate must be positive and its place between 0 and 1");
        }
        if !(0.0..=1.0).contains(&self.ramp) {
            return refused(format!("the ramp is a fraction of the run, from 0 to 1, not {}", self.ramp));
        }
        Ok(())
    }

    /// The inner attack after `progress` of the run, in `[0, 1]`.
    pub fn inner_attack(&self, progress: f32) -> InnerAttack {
        let strength = if progress < self.ramp { progress / self.ramp } else { 1.0 };
        InnerAttack { epsilon: self.inner.epsilon * strength, step_size: self.inner.step_size * strength, ..self.inner }
    }

    /// Learning rate after `progress` of the run, in `[0, 1]`.
    pub fn learning_rate(&self, progress: f32) -> f32 {
        let share = if progress < self.peak_at { progress / self.peak_at } else { (1.0 - progress) / (1.0 - self.peak_at) };
        self.peak_learning_rate * share
    }
}
