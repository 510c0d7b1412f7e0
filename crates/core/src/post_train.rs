//! Post-training: the classifier adapts itself to one input before it answers (paper, section 3.4 and Algorithm 2).

mod adaptation;
mod parts;
mod race;
mod uploads;

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};
pub use riposte_spec::post_train::{
    BatchNormMode, Direction, Exit, Parameters, Perturbation, PostTrain, Precision, Samples, TrainingData,
};

pub use adaptation::Adaptation;
use race::Race;

use crate::attack::Start;
use crate::classifier::read;
use crate::data::pool::ClassPools;
use crate::defense::{Answer, Defense, Gradients};
use crate::neighbor::{NeighborSearch, Neighbors, Searches};
use crate::precision;
use crate::rng::{self, Draws, Purpose, Stream};
use crate::{Classifier, Error, Result};

/// The defense: a classifier that searches the neighbor class of an input, adapts a copy of itself to the two classes and lets the
/// copy answer.
///
/// Its [`answer`](Defense::answer) is the only composition of search and adaptation: command line, page and tests call it.
#[derive(Debug)]
pub struct PostTraining<'a, C> {
    /// The base model. It should rest (no autodiff) and is never changed.
    pub model: &'a C,
    /// The training samples that a copy adapts on.
    pub pools: &'a ClassPools,
    /// How it searches and adapts.
    pub settings: PostTrain,
}

// Derived, they would ask for a classifier that can be copied.
impl<C> Clone for PostTraining<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for PostTraining<'_, C> {}

/// What the observer of an answer sees.
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
    /// The copy after the step.
    pub adaptation: &'a Adaptation<C>,
}

impl<C: Classifier> Defense for PostTraining<'_, C> {
    type Model = C;
    /// Of one input.
    type Prepared = Neighbors;

    fn gradients(&self) -> Gradients {
        Gradients::Detached
    }

    fn is_random(&self) -> bool {
        true
    }

    /// An input without a neighbor is answered by the base model; but the next search could find one from another random start.
    fn is_settled(&self, neighbors: &Neighbors) -> bool {
        neighbors.original == neighbors.neighbor && self.settings.search.attack.start == Start::Zero
    }

    fn search(&self) -> Option<NeighborSearch> {
        Some(self.settings.search)
    }

    /// The neighbor search.
    async fn prepare(&self, images: Tensor<4>, draws: &[Draws]) -> Result<Vec<Neighbors>> {
        self.check()?;
        let neighbors = self.settings.search.search(self.model, images, draws).await?;
        Ok((0..neighbors.original.len()).map(|index| neighbors.at(index)).collect())
    }

    /// The adaptation and the answer.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `observe` breaks, [`Error::Config`] for settings out of range, for a precision that the device does not
    /// have, for parameters that the model does not have, and for classes without enough samples, [`Error::Diverged`] if the copy's
    /// logits are not finite, [`Error::Device`] if the device fails.
    async fn respond(
        &self,
        neighbors: Neighbors,
        draws: Draws,
        mut observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Answer<C>> {
        self.check()?;
        if observe(Progress::Searched(&neighbors)).await.is_break() {
            return Err(Error::Cancelled);
        }
        let classes = [neighbors.original[0], neighbors.neighbor[0]];
        if classes[0] == classes[1] || self.is_ahead(&neighbors).await? {
            let logits = neighbors.logits.clone();
            return Ok(Answer { logits, adapted: None, neighbors: Some(neighbors) });
        }
        let fixed = neighbors.fixed_perturbations();
        let mut race = (self.settings.exit == Exit::Settled).then(|| Race::new(classes, self.settings.iterations));
        let mut input = None;
        let settled = async |adaptation: &Adaptation<C>| match &mut race {
            Some(race) => {
                let inputs = neighbors.inputs.clone();
                let features = input.get_or_insert_with(|| parts::features(self.model, inputs, self.settings.parameters));
                let logits = parts::logits(&adaptation.model(), features.clone());
                Ok(race.is_settled(&read(logits).await?))
            }
            None => Ok(false),
        };
        let adapted = self.steps(classes, fixed, draws.stream(Purpose::PostTrain), observe, settled).await?;
        let logits = adapted.forward(neighbors.inputs.clone());
        // An answer of NaN would pass for class 0.
        if read(logits.clone()).await?.iter().any(|logit| !logit.is_finite()) {
            return Err(Error::Diverged("the adapted model's logits are not finite".to_owned()));
        }
        Ok(Answer { logits, adapted: Some(adapted), neighbors: Some(neighbors) })
    }
}

impl<C: Classifier> PostTraining<'_, C> {
    /// A copy that has adapted to the classes y' and y'' in all iterations, with `fixed` `[1, channel, height, width]` as the fixed
    /// perturbation and the draws of `stream`.
    ///
    /// # Errors
    /// As [`respond`](Defense::respond).
    pub async fn adapt(
        &self,
        classes: [usize; 2],
        fixed: Tensor<4>,
        stream: Stream,
        observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<C> {
        self.steps(classes, fixed, stream, observe, async |_: &Adaptation<C>| Ok(false)).await
    }

    /// Whether y' is so far ahead that nothing adapts.
    async fn is_ahead(&self, neighbors: &Neighbors) -> Result<bool> {
        if self.settings.exit != Exit::Ahead {
            return Ok(false);
        }
        let logits = read(neighbors.logits.clone()).await?;
        Ok(logits[neighbors.original[0]] - logits[neighbors.neighbor[0]] > Exit::LEAD)
    }

    /// [`adapt`](Self::adapt), in iterations until `settled` says so.
    async fn steps(
        &self,
        [original, neighbor]: [usize; 2],
        fixed: Tensor<4>,
        mut stream: Stream,
        mut observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
        mut settled: impl AsyncFnMut(&Adaptation<C>) -> Result<bool>,
    ) -> Result<C> {
        let Self { model, pools, settings } = *self;
        self.check()?;
        let device = model.device();
        precision::check(settings.precision, &device)?;
        let mut adaptation = Adaptation::new(model, settings);
        let mut samples = Vec::new();
        for index in 0..settings.iterations {
            let losses = if settings.samples == Samples::Kept && index > 0 {
                adaptation.again()
            } else {
                let labels;
                (samples, labels) = draw(&settings, pools, original, neighbor, &mut stream)?;
                let [_, channels, height, width] = fixed.dims();
                let pixels = pools.gather(&samples, settings.augmentation, &mut stream);
                let batch = Tensor::from_data(TensorData::new(pixels, [samples.len(), channels, height, width]), &device);
                let start = start(&settings, batch.dims(), &mut stream).map(|noise| Tensor::from_data(noise, &device));
                adaptation.step(batch, &labels, fixed.clone(), start)
            };
            let iteration = Iteration { index, losses, samples: &samples, adaptation: &adaptation };
            if observe(Progress::Adapted(iteration)).await.is_break() {
                return Err(Error::Cancelled);
            }
            if settled(&adaptation).await? {
                break;
            }
        }
        Ok(adaptation.model())
    }

    /// Whether the settings are in their ranges, and the model has what they name.
    fn check(&self) -> Result<()> {
        self.settings.check()?;
        parts::check(self.model, self.settings.parameters)
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
