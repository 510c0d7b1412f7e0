//! Post-training: the classifier adapts itself to one input before it answers (paper, section 3.4 and Algorithm 2).

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use riposte_kernels::{SignedStep, cross_entropy, signed_step};
pub use riposte_spec::post_train::{BatchNormMode, Direction, Perturbation, PostTrain, Precision, TrainingData};

use crate::attack::one_hot;
use crate::classifier::read;
use crate::data::pool::ClassPools;
use crate::models::layers::freeze_statistics;
use crate::neighbor::{Neighbors, Searches};
use crate::optimizer::{Optimizer, Rule};
use crate::precision::{self, Computes};
use crate::rng::{self, Purpose, Seed, Stream};
use crate::{Classifier, Error, Result};

/// What a run of [`Adapts::run`] ends with.
#[derive(Debug, Clone)]
pub struct Riposte<C> {
    /// The original and the neighbor class and what led to them.
    pub neighbors: Neighbors,
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
    Searched(&'a Neighbors),
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

/// A defense as settings: whoever has them can adapt a classifier to an input.
#[allow(async_fn_in_trait, reason = "futures stay on the thread of their device's client")]
pub trait Adapts {
    /// Searches the neighbor class of `input` `[1, channel, height, width]` in `[0, 1]`, adapts a copy of `base` to it and
    /// answers. `number` is the input's number in its data set: draws depend on the seed and on it alone. `base` should
    /// rest (no autodiff) and is never changed.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `observe` breaks, [`Error::Config`] for settings out of range, a precision that the device has not or
    /// classes without enough samples, [`Error::Diverged`] if the steps left the range of mixed precision, [`Error::Device`] if the
    /// device fails.
    async fn run<C: Classifier>(
        &self,
        base: &C,
        input: Tensor<4>,
        pools: &ClassPools,
        seed: Seed,
        number: u64,
        observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Riposte<C>>;

    /// The second half of [`run`](Self::run), for a caller that has searched many inputs at once: `neighbors` holds the
    /// one of this input.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    #[allow(clippy::too_many_arguments, reason = "it is `run` with one more")]
    async fn answer<C: Classifier>(
        &self,
        base: &C,
        input: Tensor<4>,
        neighbors: Neighbors,
        pools: &ClassPools,
        seed: Seed,
        number: u64,
        observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Riposte<C>>;
}

impl Adapts for PostTrain {
    async fn run<C: Classifier>(
        &self,
        base: &C,
        input: Tensor<4>,
        pools: &ClassPools,
        seed: Seed,
        number: u64,
        mut observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Riposte<C>> {
        self.check()?;
        let neighbors = self.search.search(base, input.clone(), seed, &[number]).await?;
        if observe(Progress::Searched(&neighbors)).await.is_break() {
            return Err(Error::Cancelled);
        }
        self.answer(base, input, neighbors, pools, seed, number, observe).await
    }

    async fn answer<C: Classifier>(
        &self,
        base: &C,
        input: Tensor<4>,
        neighbors: Neighbors,
        pools: &ClassPools,
        seed: Seed,
        number: u64,
        mut observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Riposte<C>> {
        self.check()?;
        let (original, neighbor) = (neighbors.original[0], neighbors.neighbor[0]);
        if original == neighbor {
            let logits = neighbors.logits.clone();
            return Ok(Riposte { neighbors, adapted: None, logits });
        }
        let device = base.device();
        precision::check(self.precision, &device)?;
        let fixed = neighbors.fixed_perturbations(input.clone());
        let mut stream = seed.stream(Purpose::PostTrain, number);
        let mut adaptation = Adaptation::new(base, *self);
        for index in 0..self.iterations {
            let (samples, labels) = draw(self, pools, original, neighbor, &mut stream)?;
            let [_, channels, height, width] = input.dims();
            let pixels = pools.gather(&samples, self.augmentation, &mut stream);
            let batch = Tensor::from_data(TensorData::new(pixels, [samples.len(), channels, height, width]), &device);
            let start = start(self, batch.dims(), &mut stream).map(|noise| Tensor::from_data(noise, &device));
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
        Ok(Riposte { neighbors, adapted: Some(adapted), logits })
    }
}

/// The samples of one batch and their labels.
fn draw(
    config: &PostTrain,
    pools: &ClassPools,
    original: usize,
    neighbor: usize,
    stream: &mut Stream,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let half = config.batch_size / 2;
    let other = match config.data {
        TrainingData::OriginalAndNeighbor => neighbor,
        TrainingData::OriginalAndRandom => rng::below(stream, pools.classes()),
        TrainingData::WholeSet => {
            let samples = pools.draw_any(config.batch_size, stream)?;
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
fn start(config: &PostTrain, shape: [usize; 4], stream: &mut Stream) -> Option<TensorData> {
    let (Perturbation::Fast { epsilon, .. } | Perturbation::Pgd { epsilon, .. }) = config.perturbation else {
        return None;
    };
    let noise: Vec<f32> = (0..shape.iter().product()).map(|_| rng::symmetric(stream, epsilon)).collect();
    Some(TensorData::new(noise, shape))
}

/// A copy of a classifier that adapts, step by step. [`Adapts::run`] drives it; tests and other drivers may.
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
