//! Public operations find their backend here: Burn decides at run time where a tensor lives.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType, backend_extension};

use crate::{Activation, ConvOptions, KernelBackend, SgdStep, SignedStep};

/// An optional tensor that can cross Burn's dispatch, which an `Option` cannot.
#[derive(Debug, ExtensionType)]
pub enum Maybe<B: Backend> {
    Given(FloatTensor<B>),
    Absent,
}

impl<B: Backend> From<Option<FloatTensor<B>>> for Maybe<B> {
    fn from(tensor: Option<FloatTensor<B>>) -> Self {
        tensor.map_or(Self::Absent, Self::Given)
    }
}

impl<B: Backend> Maybe<B> {
    pub(crate) fn into_option(self) -> Option<FloatTensor<B>> {
        match self {
            Self::Given(tensor) => Some(tensor),
            Self::Absent => None,
        }
    }
}

/// [`KernelBackend`]'s forward operations for any device, differentiable on autodiff devices.
#[backend_extension(Cube: cfg(feature = "cubecl"), Flex, Autodiff)]
pub trait Routed: Backend {
    fn routed_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Maybe<Self>,
        options: ConvOptions,
        activation: Activation,
    ) -> FloatTensor<Self>;

    fn routed_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Maybe<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    #[allow(clippy::too_many_arguments)]
    fn routed_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> FloatTensor<Self>;

    fn routed_max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self>;

    fn routed_cross_entropy(logits: FloatTensor<Self>, targets: FloatTensor<Self>) -> FloatTensor<Self>;

    fn routed_signed_step(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        origin: FloatTensor<Self>,
        #[extension_type] active: Maybe<Self>,
        step: SignedStep,
    ) -> FloatTensor<Self>;

    fn routed_sgd_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        #[extension_type] velocity: Maybe<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl<B: KernelBackend> Routed for B {
    fn routed_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        options: ConvOptions,
        activation: Activation,
    ) -> FloatTensor<Self> {
        B::conv2d_act(x, weight, bias.into_option(), options, activation)
    }

    fn routed_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        B::linear_act(x, weight, bias.into_option(), activation)
    }

    fn routed_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> FloatTensor<Self> {
        B::batch_norm_act(x, gamma, beta, mean, var, epsilon, activation)
    }

    fn routed_max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        B::max_pool(x, size)
    }

    fn routed_cross_entropy(logits: FloatTensor<Self>, targets: FloatTensor<Self>) -> FloatTensor<Self> {
        B::cross_entropy(logits, targets).0
    }

    fn routed_signed_step(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        origin: FloatTensor<Self>,
        active: Maybe<Self>,
        step: SignedStep,
    ) -> FloatTensor<Self> {
        B::signed_step(x, gradient, origin, active.into_option(), step)
    }

    fn routed_sgd_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        velocity: Maybe<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        B::sgd_step(parameter, gradient, velocity.into_option(), step)
    }
}
