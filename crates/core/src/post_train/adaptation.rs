//! The copy that adapts, step by step (Algorithm 2).

use burn::tensor::Tensor;
use riposte_kernels::{SignedStep, cross_entropy};

use super::uploads::Uploads;
use super::{BatchNormMode, Perturbation, PostTrain};
use crate::Classifier;
use crate::attack::Ascent;
use crate::models::layers::freeze_statistics;
use crate::optimizer::{Optimizer, Rule};
use crate::precision::Computes;

/// A copy of a classifier that adapts, step by step. [`PostTraining`](super::PostTraining) drives it; tests and other drivers may.
#[derive(Debug)]
pub struct Adaptation<C> {
    model: C,
    optimizer: Optimizer,
    settings: PostTrain,
    uploads: Uploads,
}

impl<C: Classifier> Adaptation<C> {
    /// A copy of `base`, ready to adapt, with a fresh optimizer.
    pub fn new(base: &C, settings: PostTrain) -> Self {
        let model = base.clone().train();
        let model = match settings.batch_norm {
            BatchNormMode::Frozen => freeze_statistics(model),
            BatchNormMode::BatchStatistics => model,
        };
        let rule = Rule::Sgd { momentum: settings.momentum, nesterov: settings.nesterov, weight_decay: 0.0 };
        Self { model, optimizer: Optimizer::new(rule), settings, uploads: Uploads::default() }
    }

    /// One SGD step on the mean cross-entropy of a perturbed batch. `images` `[batch, channel, height, width]` in `[0, 1]`, `labels`
    /// with the samples of y' in the first half, `fixed` the fixed perturbation `[1, channel, height, width]`, `start` the random
    /// start of `Fast` and `Pgd`, of the shape of `images`. Returns what each sample adds to the loss before the step, `[batch]`.
    ///
    /// # Panics
    /// If a label is out of range, or if the perturbation needs a start and there is none.
    pub fn step(&mut self, images: Tensor<4>, labels: &[usize], fixed: Tensor<4>, start: Option<Tensor<4>>) -> Tensor<1> {
        let targets = self.uploads.targets(labels, self.model.classes(), &images.device());
        let images = self.perturb(images, targets.clone(), fixed, start);
        let precision = self.settings.precision;
        let losses = cross_entropy(precision.forward(&self.model, images), targets);
        let gradients = precision.gradients(&self.model, losses.clone());
        self.model = self.optimizer.step(self.model.clone(), gradients, self.settings.learning_rate);
        losses.inner()
    }

    /// The model as it is now, at rest.
    pub fn model(&self) -> C {
        self.model.valid()
    }

    fn perturb(&mut self, images: Tensor<4>, targets: Tensor<2>, fixed: Tensor<4>, start: Option<Tensor<4>>) -> Tensor<4> {
        let unbounded = [f32::NEG_INFINITY, f32::INFINITY];
        let (epsilon, step_size, steps) = match self.settings.perturbation {
            Perturbation::Normal => return images,
            Perturbation::Fixed(direction) => {
                let signs = self.uploads.signs(direction, &images.device());
                return images + fixed * signs;
            }
            Perturbation::Fast { epsilon, step_size } => (epsilon, step_size, 1),
            Perturbation::Pgd { epsilon, step_size, steps } => (epsilon, step_size, steps),
        };
        // Neither computes gradients of weights. With frozen statistics a model at rest computes the same; with batch
        // statistics it must stay in training, and its running statistics move at each of these passes, as in Madry's code.
        let model = match self.settings.batch_norm {
            BatchNormMode::Frozen => self.model.valid(),
            BatchNormMode::BatchStatistics => self.model.clone().no_grad(),
        };
        let start = images.clone() + start.expect("a random start was drawn");
        let step = SignedStep { step_size, epsilon, range: unbounded };
        Ascent::new(images, start, step).climb(&model, steps, |logits| cross_entropy(logits, targets.clone()))
    }
}
