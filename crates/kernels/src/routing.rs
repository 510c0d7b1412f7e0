//! Public operations find their backend here: Burn decides at run time where a tensor lives.

use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, ExtensionType,
    backend_extension,
};

use crate::{Activation, ConvOptions, KernelBackend, MovingAverage, SgdStep, SignedStep};

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

/// Any number of tensors that cross Burn's dispatch together, which a `Vec` cannot on its way in.
#[derive(Debug)]
pub struct List<B: Backend>(pub Vec<FloatTensor<B>>);

impl<B: Backend> ExtensionType<B> for List<B> {
    type Target = List<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> List<Dispatch>
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrap = |tensor| DispatchTensor { kind: map_kind(BackendTensor::Float(tensor)), autodiff };
        List(self.0.into_iter().map(wrap).collect())
    }

    fn map_from_dispatch<F>(target: List<Dispatch>, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Self(target.0.into_iter().map(|tensor| unwrap_kind(tensor).float()).collect())
    }

    fn routing_tensor(target: &List<Dispatch>) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &List<Dispatch>) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &List<Dispatch>) -> DispatchAutodiffContext {
        target.0.iter().fold(DispatchAutodiffContext::Disabled, |context, tensor| context.merge(tensor.autodiff))
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

    fn routed_batch_norm_train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn routed_moving_statistics(
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        average: MovingAverage,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

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
        #[extension_type] parameters: List<Self>,
        #[extension_type] gradients: List<Self>,
        #[extension_type] velocities: List<Self>,
        step: SgdStep,
    ) -> (Vec<FloatTensor<Self>>, Vec<FloatTensor<Self>>);
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

    fn routed_batch_norm_train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        B::batch_norm_train_act(x, gamma, beta, epsilon, activation).into()
    }

    fn routed_moving_statistics(
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        average: MovingAverage,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        B::moving_statistics([running_mean, running_var], [mean, var], average).into()
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
        parameters: List<Self>,
        gradients: List<Self>,
        velocities: List<Self>,
        step: SgdStep,
    ) -> (Vec<FloatTensor<Self>>, Vec<FloatTensor<Self>>) {
        B::sgd_step(parameters.0, gradients.0, velocities.0, step).into()
    }
}
