//! The copy that adapts, step by step (Algorithm 2).

use burn::tensor::Tensor;
use riposte_kernels::{SignedStep, cross_entropy};

use super::parts::{self, Features};
use super::uploads::Uploads;
use super::{BatchNormMode, Parameters, Perturbation, PostTrain};
use crate::Classifier;
use crate::attack::Ascent;
use crate::models::layers::{freeze_statistics, train_normalization_alone};
use crate::optimizer::{Optimizer, Rule};
use crate::precision::Computes;

/// A copy of a classifier that adapts, step by step. [`PostTraining`](super::PostTraining) drives it; tests and other drivers may.
#[derive(Debug)]
pub struct Adaptation<C> {
    model: C,
    optimizer: Optimizer,
    settings: PostTrain,
    uploads: Uploads,
    batch: Option<Batch>,
}

/// What a step trains on.
#[derive(Debug)]
struct Batch {
    images: Tensor<4>,
    targets: Tensor<2>,
    fixed: Tensor<4>,
    start: Option<Tensor<4>>,
    /// Of the perturbed images, once they are known, where no step changes them.
    features: Option<Features>,
}

impl<C: Classifier> Adaptation<C> {
    /// A copy of `base`, ready to adapt, with a fresh optimizer.
    ///
    /// # Panics
    /// Steps do, if `settings` name parameters that `base` does not have ([`PostTraining`](super::PostTraining) checks that).
    pub fn new(base: &C, settings: PostTrain) -> Self {
        let model = base.clone().train();
        let model = match settings.batch_norm {
            BatchNormMode::Frozen => freeze_statistics(model),
            BatchNormMode::BatchStatistics => model,
        };
        let model = match settings.parameters {
            Parameters::Normalization => train_normalization_alone(model),
            // Those that no step's features have passed get no gradient.
            Parameters::All | Parameters::LastStage | Parameters::Head => model,
        };
        let rule = Rule::Sgd { momentum: settings.momentum, nesterov: settings.nesterov, weight_decay: 0.0 };
        Self { model, optimizer: Optimizer::new(rule), settings, uploads: Uploads::default(), batch: None }
    }

    /// One SGD step on the mean cross-entropy of a perturbed batch. `images` `[batch, channel, height, width]` in `[0, 1]`, `labels`
    /// with the samples of y' in the first half, `fixed` the fixed perturbation `[1, channel, height, width]`, `start` the random
    /// start of `Fast` and `Pgd`, of the shape of `images`. Returns what each sample adds to the loss before the step, `[batch]`.
    ///
    /// # Panics
    /// If a label is out of range, or if the perturbation needs a start and there is none.
    pub fn step(&mut self, images: Tensor<4>, labels: &[usize], fixed: Tensor<4>, start: Option<Tensor<4>>) -> Tensor<1> {
        let targets = self.uploads.targets(labels, self.model.classes(), &images.device());
        self.batch = Some(Batch { images, targets, fixed, start, features: None });
        self.again()
    }

    /// Another step on the batch of the step before: what does not adapt has been computed. Perturbations that depend on the model are
    /// made anew, from the same start.
    ///
    /// # Panics
    /// If there was no step.
    pub fn again(&mut self) -> Tensor<1> {
        let batch = self.batch.take().expect("a step before has left its batch");
        let features = match &batch.features {
            Some(features) => features.clone(),
            None => {
                let perturbed = self.perturb(&batch);
                parts::features(&self.model, perturbed, self.settings.parameters)
            }
        };
        let precision = self.settings.precision;
        let logits = parts::logits(&self.model, features.clone().into_training(precision));
        let losses = cross_entropy(precision.output(logits), batch.targets.clone());
        let gradients = precision.gradients(&self.model, losses.clone());
        self.model = self.optimizer.step(self.model.clone(), gradients, self.settings.learning_rate);
        let lasts = matches!(self.settings.perturbation, Perturbation::Fixed(_) | Perturbation::Normal);
        self.batch = Some(Batch { features: lasts.then_some(features), ..batch });
        losses.inner()
    }

    /// The model as it is now, at rest.
    pub fn model(&self) -> C {
        self.model.valid()
    }

    fn perturb(&mut self, batch: &Batch) -> Tensor<4> {
        let images = batch.images.clone();
        let unbounded = [f32::NEG_INFINITY, f32::INFINITY];
        let (epsilon, step_size, steps) = match self.settings.perturbation {
            Perturbation::Normal => return images,
            Perturbation::Fixed(direction) => {
                let signs = self.uploads.signs(direction, &images.device());
                return images + batch.fixed.clone() * signs;
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
        let start = images.clone() + batch.start.clone().expect("a random start was drawn");
        let step = SignedStep { step_size, epsilon, range: unbounded };
        let targets = &batch.targets;
        Ascent::new(images, start, step).climb(&model, steps, |logits| cross_entropy(logits, targets.clone()))
    }
}
