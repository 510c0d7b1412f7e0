//! What answers inputs, and what an attack or an evaluation needs to know of it.

mod squeezing;
mod transformed;

use std::ops::ControlFlow;

use burn::tensor::Tensor;
pub use riposte_spec::transform::{Transform, TransformKind};

pub use squeezing::{Detector, threshold};
pub use transformed::Transformed;

use crate::attack::{Slope, Value};
use crate::bank::Bank;
use crate::neighbor::NeighborSearch;
use crate::neighbor::Neighbors;
use crate::post_train::Progress;
use crate::rng::Draws;
use crate::{Classifier, Result};

/// Something that answers inputs: the classifier as it is ([`Static`]), or one that does something about each input first
/// ([`PostTraining`](crate::post_train::PostTraining)).
///
/// An answer has two halves, because the first one can be had for many inputs at once and the second one cannot.
#[allow(async_fn_in_trait, reason = "futures stay on the thread of their device's client")]
pub trait Defense {
    /// The classifier behind the answers.
    type Model: Classifier;
    /// What the first half leaves of an input for the second.
    type Prepared;

    /// How a gradient passes an answer.
    fn gradients(&self) -> Gradients;

    /// Whether the answer to an input changes with its draws.
    fn is_random(&self) -> bool;

    /// Whether the answer to a prepared input is the same whatever the draws.
    fn is_settled(&self, _prepared: &Self::Prepared) -> bool {
        !self.is_random()
    }

    /// How it searches the classes that an input is between; `None` where it does not.
    fn search(&self) -> Option<NeighborSearch> {
        None
    }

    /// Copies that answer as those do by which it answers an input of their classes, and that an attacker may know; `None` if there are
    /// none.
    fn bank(&self) -> Option<&Bank<Self::Model>> {
        None
    }

    /// What an attacker who knows the defense takes for the slope of its answer to an `image` `[1, channel, height, width]` with these draws;
    /// `None` where that is the one of [`Answer::adapted`].
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails.
    async fn slope(&self, _image: Tensor<4>, _draws: Draws, _value: Value<'_>) -> Result<Option<Slope>> {
        Ok(None)
    }

    /// The first half for a batch of `images` `[batch, channel, height, width]` in `[0, 1]`, with the draws of each.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for settings out of range, [`Error::Device`](crate::Error::Device) if the device
    /// fails.
    async fn prepare(&self, images: Tensor<4>, draws: &[Draws]) -> Result<Vec<Self::Prepared>>;

    /// The second half for one input. An adapting defense tells `observe` of its progress.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) if `observe` breaks; as [`prepare`](Self::prepare), and what the defense adds.
    async fn respond(
        &self,
        prepared: Self::Prepared,
        draws: Draws,
        observe: impl AsyncFnMut(Progress<'_, Self::Model>) -> ControlFlow<()>,
    ) -> Result<Answer<Self::Model>>;

    /// Both halves for one `image` `[1, channel, height, width]` in `[0, 1]`.
    ///
    /// # Errors
    /// As [`respond`](Self::respond).
    async fn answer(
        &self,
        image: Tensor<4>,
        draws: Draws,
        observe: impl AsyncFnMut(Progress<'_, Self::Model>) -> ControlFlow<()>,
    ) -> Result<Answer<Self::Model>> {
        let prepared = self.prepare(image, &[draws]).await?.pop().expect("one image was prepared");
        self.respond(prepared, draws, observe).await
    }
}

/// How a gradient passes an answer from the logits to the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradients {
    /// As the model computes: [`Answer::adapted`] is `None`, and the base model answers.
    Exact,
    /// Through [`Answer::adapted`] as if its parameters were constants: they depend on the input through choices alone, which have
    /// no useful derivative.
    Detached,
    /// Through the base model, as if what was done to the input before had been nothing (Athalye et al. 2018).
    Identity,
}

/// The answer to one input.
#[derive(Debug, Clone)]
pub struct Answer<C> {
    /// `[1, class]`
    pub logits: Tensor<2>,
    /// The copy that has adapted to the input and answers it; `None` where the base model answers.
    pub adapted: Option<C>,
    /// What the defense found when it searched the classes that the input is between; `None` where it does not search. A copy adapts where
    /// they differ, unless y' is ahead ([`Exit::Ahead`](crate::post_train::Exit::Ahead)).
    pub neighbors: Option<Neighbors>,
}

/// The classifier as it is.
#[derive(Debug, Clone, Copy)]
pub struct Static<'a, C>(
    /// It should rest (no autodiff).
    pub &'a C,
);

impl<C: Classifier> Defense for Static<'_, C> {
    type Model = C;
    /// Logits, `[1, class]`.
    type Prepared = Tensor<2>;

    fn gradients(&self) -> Gradients {
        Gradients::Exact
    }

    fn is_random(&self) -> bool {
        false
    }

    async fn prepare(&self, images: Tensor<4>, _: &[Draws]) -> Result<Vec<Tensor<2>>> {
        let [batch, ..] = images.dims();
        let logits = self.0.forward(images);
        Ok((0..batch).map(|index| logits.clone().narrow(0, index, 1)).collect())
    }

    async fn respond(
        &self,
        logits: Tensor<2>,
        _: Draws,
        _: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Answer<C>> {
        Ok(Answer { logits, adapted: None, neighbors: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToTensor;
    use crate::classifier::read;
    use crate::data::digits::{self, Split};
    use crate::data::pool::ClassPools;
    use crate::models::{Architecture, Model};
    use crate::post_train::{PostTrain, PostTraining};
    use crate::presets::Preset;
    use crate::rng::Seed;
    use burn::tensor::Device;

    /// Logits of each of three inputs, prepared together and alone.
    fn together_and_alone<D: Defense>(defense: &D) -> [Vec<Vec<f32>>; 2] {
        let device = Device::flex();
        let images = digits::generate(Seed(0), Split::Test, 0..3);
        let draws = Seed(1).inputs(0..3);
        let observe = async |_: Progress<'_, D::Model>| ControlFlow::Continue(());
        pollster::block_on(async {
            let prepared = defense.prepare(images.images().to_tensor(0..3, &device), &draws).await.unwrap();
            let (mut together, mut alone) = (Vec::new(), Vec::new());
            for (index, prepared) in prepared.into_iter().enumerate() {
                let answer = defense.respond(prepared, draws[index], observe).await.unwrap();
                together.push(read(answer.logits).await.unwrap());
                let image = images.images().to_tensor([index], &device);
                let answer = defense.answer(image, draws[index], observe).await.unwrap();
                alone.push(read(answer.logits).await.unwrap());
            }
            [together, alone]
        })
    }

    #[test]
    fn inputs_prepared_together_are_answered_as_alone() {
        let model = Model::random(Architecture::FastMnistCnn, Seed(0), &Device::flex());
        let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..200));
        let mut settings = PostTrain { iterations: 2, batch_size: 8, ..Preset::M_MNIST.post_train };
        settings.search.attack.steps = 5;
        let adapting = PostTraining { model: &model, pools: &pools, settings };
        for [together, alone] in [together_and_alone(&Static(&model)), together_and_alone(&adapting)] {
            for (together, alone) in together.iter().flatten().zip(alone.iter().flatten()) {
                // Sums of another order, over some thousand terms of about 0.01.
                assert!((together - alone).abs() < 1e-4, "{together} {alone}");
            }
        }
        assert_eq!(Static(&model).gradients(), Gradients::Exact);
        assert!(adapting.is_random() && !Static(&model).is_random());
    }
}
