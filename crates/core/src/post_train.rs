//! Post-training: the classifier adapts itself to one input before it answers (paper, section 3.4 and Algorithm 2).

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use riposte_kernels::{SignedStep, cross_entropy, signed_step};
use serde::{Deserialize, Serialize};

use crate::attack::one_hot;
use crate::classifier::read;
use crate::data::pool::{Augmentation, ClassPools};
use crate::models::layers::freeze_statistics;
use crate::neighbour::{NeighbourSearch, Neighbours};
use crate::optimizer::{Optimizer, Rule};
use crate::precision::Precision;
use crate::rng::{self, Purpose, Seed, Stream};
use crate::{Classifier, Error, Result};

/// Settings of the defense. Presets: [`crate::presets`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PostTrain {
    pub search: NeighbourSearch,
    pub perturbation: Perturbation,
    pub data: TrainingData,
    pub augmentation: Augmentation,
    /// K: SGD steps. The paper calls them epochs; each is one batch.
    pub iterations: usize,
    /// M: samples of a batch, half of them of each class. Even.
    pub batch_size: usize,
    pub learning_rate: f32,
    pub momentum: f32,
    pub nesterov: bool,
    pub batch_norm: BatchNormMode,
    /// Of the SGD steps; the search and the perturbations are f32.
    #[serde(default, skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
}

/// How the samples of a batch are perturbed (section 3.4). None of them is clipped to the pixel range: the reference
/// code does not, either.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Perturbation {
    /// The fixed perturbation of equations 5 to 7: no gradient needed.
    Fixed(Direction),
    /// FGSM from a uniform start in the ball (Wong et al. 2020).
    Fast { epsilon: f32, step_size: f32 },
    /// PGD from a uniform start in the ball (Madry et al. 2018).
    Pgd { epsilon: f32, step_size: f32, steps: usize },
    /// None: ordinary training, for ablations.
    Normal,
}

/// Which way the fixed perturbation x'' - x' is added to the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Added to all (equation 7 to the letter).
    Positive,
    /// Subtracted from all.
    Negative,
    /// Added to the samples of y', subtracted from those of y'': away from either class. The paper's headline runs.
    Both,
}

/// Which training samples a batch holds (Table 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainingData {
    /// Half of the original class, half of the neighbor class: the method.
    OriginalAndNeighbour,
    /// Half of the original class, half of a class redrawn in every iteration, which can be the original one.
    OriginalAndRandom,
    /// Drawn from the whole training set.
    WholeSet,
}

/// What batch normalization does while the model adapts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNormMode {
    /// It uses its running statistics, and its affine parameters train (the F code: "eval mode").
    Frozen,
    /// It uses the batch's statistics and updates the running ones (the M code: "train mode").
    BatchStatistics,
}

/// What a run of [`PostTrain::run`] ends with.
#[derive(Debug, Clone)]
pub struct Riposte<C> {
    /// The original and the neighbor class and what led to them.
    pub neighbours: Neighbours,
    /// The adapted copy, or `None` if there is no neighbor class: then the base model answers.
    pub adapted: Option<C>,
    /// The answer's logits on the input, `[1, class]`: the adapted copy's, or the base model's.
    pub logits: Tensor<2>,
}

/// What the observer of a run sees.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "passed to an observer, never stored")]
pub enum Progress<'a, C> {
    /// The search has ended.
    Searched(&'a Neighbours),
    /// One SGD step was made.
    Adapted(Iteration<'a, C>),
}

/// One step of the adaptation.
#[derive(Debug)]
pub struct Iteration<'a, C> {
    /// From 0 to `iterations - 1`.
    pub index: usize,
    /// What each sample adds to the batch's mean loss before the step, `[batch]`, on the device.
    pub losses: Tensor<1>,
    /// Numbers of the batch's samples in the training set: first those of y', then the others.
    pub samples: &'a [usize],
    pub adaptation: &'a Adaptation<C>,
}

impl PostTrain {
    /// Searches the neighbor class of `input` `[1, channel, height, width]` in `[0, 1]`, adapts a copy of `base` to it and
    /// answers. `number` is the input's number in its data set: draws depend on the seed and on it alone. `base` should
    /// rest (no autodiff) and is never changed.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `observe` breaks, [`Error::Config`] for settings out of range, a precision that the device has not or
    /// classes without enough samples, [`Error::Diverged`] if the steps left the range of mixed precision, [`Error::Device`] if the
    /// device fails.
    pub async fn run<C: Classifier>(
        &self,
        base: &C,
        input: Tensor<4>,
        pools: &ClassPools,
        seed: Seed,
        number: u64,
        mut observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Riposte<C>> {
        self.check()?;
        let neighbours = self.search.search(base, input.clone(), seed, &[number]).await?;
        if observe(Progress::Searched(&neighbours)).await.is_break() {
            return Err(Error::Cancelled);
        }
        self.answer(base, input, neighbours, pools, seed, number, observe).await
    }

    /// The second half of [`run`](Self::run), for a caller that has searched many inputs at once: `neighbours` holds the
    /// one of this input.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    #[allow(clippy::too_many_arguments, reason = "it is `run` with one more")]
    pub async fn answer<C: Classifier>(
        &self,
        base: &C,
        input: Tensor<4>,
        neighbours: Neighbours,
        pools: &ClassPools,
        seed: Seed,
        number: u64,
        mut observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Riposte<C>> {
        self.check()?;
        let (original, neighbour) = (neighbours.original[0], neighbours.neighbour[0]);
        if original == neighbour {
            let logits = neighbours.logits.clone();
            return Ok(Riposte { neighbours, adapted: None, logits });
        }
        let device = base.device();
        self.precision.check(&device)?;
        let fixed = neighbours.fixed_perturbations(input.clone());
        let mut stream = seed.stream(Purpose::PostTrain, number);
        let mut adaptation = Adaptation::new(base, *self);
        for index in 0..self.iterations {
            let (samples, labels) = self.draw(pools, original, neighbour, &mut stream)?;
            let [_, channels, height, width] = input.dims();
            let pixels = pools.gather(&samples, self.augmentation, &mut stream);
            let batch = Tensor::from_data(TensorData::new(pixels, [samples.len(), channels, height, width]), &device);
            let start = self.start(batch.dims(), &mut stream).map(|noise| Tensor::from_data(noise, &device));
            let losses = adaptation.step(batch, &labels, fixed.clone(), start);
            let iteration = Iteration { index, losses, samples: &samples, adaptation: &adaptation };
            if observe(Progress::Adapted(iteration)).await.is_break() {
                return Err(Error::Cancelled);
            }
        }
        let adapted = adaptation.model();
        let logits = adapted.forward(input);
        // f16 ends early, and an answer of NaN would pass for class 0.
        if self.precision == Precision::Mixed && read(logits.clone()).await?.iter().any(|logit| !logit.is_finite()) {
            return Err(Error::Diverged("the adapted model's logits are not finite".to_owned()));
        }
        Ok(Riposte { neighbours, adapted: Some(adapted), logits })
    }

    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn check(&self) -> Result<()> {
        self.search.attack.check()?;
        if self.batch_size == 0 || self.batch_size % 2 == 1 {
            return Err(Error::Config(format!("the batch size must be even and at least 2, not {}", self.batch_size)));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return Err(Error::Config(format!("the learning rate must be positive, not {}", self.learning_rate)));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(Error::Config(format!("the momentum must be at least 0 and less than 1, not {}", self.momentum)));
        }
        Ok(())
    }

    /// The samples of one batch and their labels.
    fn draw(
        &self,
        pools: &ClassPools,
        original: usize,
        neighbour: usize,
        stream: &mut Stream,
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        let half = self.batch_size / 2;
        let other = match self.data {
            TrainingData::OriginalAndNeighbour => neighbour,
            TrainingData::OriginalAndRandom => rng::below(stream, pools.classes()),
            TrainingData::WholeSet => {
                let samples = pools.draw_any(self.batch_size, stream)?;
                let labels = samples.iter().map(|sample| pools.label(*sample)).collect();
                return Ok((samples, labels));
            }
        };
        let mut samples = pools.draw(original, half, stream)?;
        samples.extend(pools.draw(other, half, stream)?);
        let labels = std::iter::repeat_n(original, half).chain(std::iter::repeat_n(other, half)).collect();
        Ok((samples, labels))
    }

    /// The random start of a batch's perturbations, for those that have one.
    fn start(&self, shape: [usize; 4], stream: &mut Stream) -> Option<TensorData> {
        let (Perturbation::Fast { epsilon, .. } | Perturbation::Pgd { epsilon, .. }) = self.perturbation else {
            return None;
        };
        let noise: Vec<f32> = (0..shape.iter().product()).map(|_| rng::symmetric(stream, epsilon)).collect();
        Some(TensorData::new(noise, shape))
    }
}

/// A copy of a classifier that adapts, step by step. [`PostTrain::run`] drives it; tests and other drivers may.
#[derive(Debug)]
pub struct Adaptation<C> {
    model: C,
    optimizer: Optimizer,
    config: PostTrain,
    /// Those of the latest batch: most runs have the same in all, and an upload stalls a device.
    labels: Vec<usize>,
    targets: Option<Tensor<2>>,
    signs: Option<Tensor<4>>,
}

impl<C: Classifier> Adaptation<C> {
    /// A copy of `base`, ready to adapt, with a fresh optimizer.
    pub fn new(base: &C, config: PostTrain) -> Self {
        let model = base.clone().train();
        let model = match config.batch_norm {
            BatchNormMode::Frozen => freeze_statistics(model),
            BatchNormMode::BatchStatistics => model,
        };
        let rule = Rule::Sgd { momentum: config.momentum, nesterov: config.nesterov, weight_decay: 0.0 };
        Self { model, optimizer: Optimizer::new(rule), config, labels: Vec::new(), targets: None, signs: None }
    }

    /// One SGD step on the mean cross-entropy of a perturbed batch. `images` `[batch, channel, height, width]`, `labels` with
    /// the samples of y' in the first half, `fixed` the fixed perturbation `[1, channel, height, width]`, `start` the random
    /// start of `Fast` and `Pgd`, of the shape of `images`. Returns what each sample adds to the loss before the step, `[batch]`.
    pub fn step(&mut self, images: Tensor<4>, labels: &[usize], fixed: Tensor<4>, start: Option<Tensor<4>>) -> Tensor<1> {
        let targets = self.targets(labels, &images.device());
        let images = self.perturb(images, targets.clone(), fixed, start);
        let precision = self.config.precision;
        let losses = cross_entropy(precision.forward(&self.model, images), targets);
        let gradients = precision.gradients(&self.model, losses.clone());
        self.model = self.optimizer.step(self.model.clone(), gradients, self.config.learning_rate);
        losses.inner()
    }

    /// One-hot rows over the batch size, `[batch, class]`: cross-entropies with them add up to their mean, without operations
    /// for it forward and backward.
    fn targets(&mut self, labels: &[usize], device: &Device) -> Tensor<2> {
        if let (Some(targets), true) = (&self.targets, self.labels == labels) {
            return targets.clone();
        }
        let targets = one_hot(labels, self.model.classes(), device) / labels.len() as f32;
        self.labels = labels.to_vec();
        self.signs = None;
        self.targets.insert(targets).clone()
    }

    /// The model as it is now, at rest.
    pub fn model(&self) -> C {
        self.model.valid()
    }

    fn perturb(&mut self, images: Tensor<4>, targets: Tensor<2>, fixed: Tensor<4>, start: Option<Tensor<4>>) -> Tensor<4> {
        match self.config.perturbation {
            Perturbation::Normal => images,
            Perturbation::Fixed(direction) => {
                let signs = self.signs.get_or_insert_with(|| signs(&images, direction));
                images + fixed * signs.clone()
            }
            Perturbation::Fast { epsilon, step_size } => self.ascend(images, targets, start, epsilon, step_size, 1),
            Perturbation::Pgd { epsilon, step_size, steps } => self.ascend(images, targets, start, epsilon, step_size, steps),
        }
    }

    /// Signed steps up the loss from `start`, inside the ball, without a pixel range.
    fn ascend(
        &self,
        images: Tensor<4>,
        targets: Tensor<2>,
        start: Option<Tensor<4>>,
        epsilon: f32,
        step_size: f32,
        steps: usize,
    ) -> Tensor<4> {
        // Neither computes gradients of weights. With frozen statistics a model at rest computes the same; with batch
        // statistics it must stay in training, and its running statistics move at each of these passes, as in the M code.
        let model = match self.config.batch_norm {
            BatchNormMode::Frozen => self.model.valid(),
            BatchNormMode::BatchStatistics => self.model.clone().no_grad(),
        };
        let step = SignedStep { step_size, epsilon, range: [f32::NEG_INFINITY, f32::INFINITY] };
        let mut current = images.clone() + start.expect("a random start was drawn");
        for _ in 0..steps {
            let point = current.clone().autodiff().require_grad();
            let gradients = cross_entropy(model.forward(point.clone()), targets.clone()).backward();
            let gradient = point.grad(&gradients).expect("the loss depends on the images");
            current = signed_step(current, gradient, images.clone(), None, step);
        }
        current
    }
}

/// Of each sample the sign with which the fixed perturbation is added, `[batch, 1, 1, 1]`.
fn signs(images: &Tensor<4>, direction: Direction) -> Tensor<4> {
    let [batch, ..] = images.dims();
    let of_second_half = if direction == Direction::Positive { 1.0 } else { -1.0 };
    let of_first_half = if direction == Direction::Negative { -1.0 } else { 1.0 };
    let signs: Vec<f32> = (0..batch).map(|sample| if sample < batch / 2 { of_first_half } else { of_second_half }).collect();
    Tensor::from_data(TensorData::new(signs, [batch, 1, 1, 1]), &images.device())
}
