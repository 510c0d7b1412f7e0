//! The update rules of attacks and training, one pass over memory each. Not differentiable.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::checks::check_same;
use crate::{List, Maybe, stock};

/// One step of projected gradient ascent in the L-inf ball.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignedStep {
    /// Length of the step along the gradient's sign; negative descends.
    pub step_size: f32,
    /// Radius of the ball around the origin.
    pub epsilon: f32,
    /// Lowest and highest pixel value.
    pub range: [f32; 2],
}

/// One step of stochastic gradient descent with momentum, as PyTorch defines it with dampening 0:
/// `g = gradient_scale * gradient + weight_decay * parameter`, `v = momentum * v + g`, `d = g + momentum * v` if nesterov else `v`,
/// `parameter - learning_rate * d`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub learning_rate: f32,
    /// Share of the velocity kept.
    pub momentum: f32,
    /// Look ahead along the new velocity.
    pub nesterov: bool,
    /// L2 penalty added to the gradient.
    pub weight_decay: f32,
    /// 1, or the inverse of what the loss was multiplied by.
    pub gradient_scale: f32,
}

/// One step of projected gradient ascent:
/// `clamp(clamp(x + step_size * sign(gradient), origin - epsilon, origin + epsilon), range)`.
///
/// x, gradient and origin `[batch, channel, height, width]` of one dtype, with kernels for f32. With `active` `[batch]`,
/// samples whose entry is 0 keep their x. The sign of 0 and of NaN is 0. Not differentiable.
///
/// # Panics
/// Where the shapes do not fit, naming them.
pub fn signed_step(
    x: Tensor<4>,
    gradient: Tensor<4>,
    origin: Tensor<4>,
    active: Option<Tensor<1>>,
    step: SignedStep,
) -> Tensor<4> {
    check_same("signed_step", &x, "gradient", &gradient);
    check_same("signed_step", &x, "origin", &origin);
    if let Some(active) = &active {
        assert!(active.dims()[0] == x.dims()[0], "signed_step: active {:?} does not fit x {:?}", active.dims(), x.dims(),);
    }
    let [x, gradient, origin] = [x, gradient, origin].map(Tensor::into_dispatch);
    let active = active.map(Tensor::into_dispatch).into();
    Tensor::from_dispatch(Dispatch::signed_step(x, gradient, origin, active, step))
}

/// One step of gradient descent with momentum on all parameters of a model, flattened: the new parameters and the new
/// velocities, detached, in the same order.
///
/// Without velocities (the first step) they become the gradients, as in PyTorch. Not differentiable.
///
/// # Panics
/// Where numbers or lengths differ, naming them.
pub fn sgd_step(
    parameters: Vec<Tensor<1>>,
    gradients: Vec<Tensor<1>>,
    velocities: Vec<Tensor<1>>,
    step: SgdStep,
) -> (Vec<Tensor<1>>, Vec<Tensor<1>>) {
    let lengths = |tensors: &[Tensor<1>]| tensors.iter().map(|tensor| tensor.dims()[0]).collect::<Vec<_>>();
    let expected = lengths(&parameters);
    let fits = |tensors: &[Tensor<1>]| lengths(tensors) == expected;
    assert!(fits(&gradients), "sgd_step: gradients {:?} differ from parameters {expected:?}", lengths(&gradients));
    let fit = velocities.is_empty() || fits(&velocities);
    assert!(fit, "sgd_step: velocities {:?} differ from parameters {expected:?}", lengths(&velocities));
    if parameters.is_empty() {
        return (parameters, velocities);
    }
    let inner = |tensors: Vec<Tensor<1>>| List(tensors.into_iter().map(Tensor::into_dispatch).collect());
    let (parameters, velocities) = Dispatch::sgd_step(inner(parameters), inner(gradients), inner(velocities), step);
    let outer = |tensors: Vec<_>| tensors.into_iter().map(Tensor::from_dispatch).collect();
    (outer(parameters), outer(velocities))
}

/// Update rules on a backend; on any device through `Dispatch`.
#[backend_extension(Cube: cfg(feature = "cubecl"), Flex, Autodiff)]
pub trait StepOps: Backend {
    /// See [`signed_step`](crate::signed_step()).
    fn signed_step(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        origin: FloatTensor<Self>,
        #[extension_type] active: Maybe<Self>,
        step: SignedStep,
    ) -> FloatTensor<Self> {
        stock::signed_step::<Self>(x, gradient, origin, active, step)
    }

    /// See [`sgd_step`](crate::sgd_step()).
    fn sgd_step(
        #[extension_type] parameters: List<Self>,
        #[extension_type] gradients: List<Self>,
        #[extension_type] velocities: List<Self>,
        step: SgdStep,
    ) -> (Vec<FloatTensor<Self>>, Vec<FloatTensor<Self>>) {
        stock::sgd_step::<Self>(parameters, gradients, velocities, step)
    }
}

/// Outside of the graph.
impl<B: StepOps, C: CheckpointStrategy> StepOps for Autodiff<B, C> {
    fn signed_step(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        origin: FloatTensor<Self>,
        active: Maybe<Self>,
        step: SignedStep,
    ) -> FloatTensor<Self> {
        let [x, gradient, origin] = [x, gradient, origin].map(|tensor| tensor.into_primitive());
        let active = active.into_option().map(|active| active.into_primitive());
        Self::from_inner(B::signed_step(x, gradient, origin, active.into(), step))
    }

    fn sgd_step(
        parameters: List<Self>,
        gradients: List<Self>,
        velocities: List<Self>,
        step: SgdStep,
    ) -> (Vec<FloatTensor<Self>>, Vec<FloatTensor<Self>>) {
        let inner = |tensors: List<Self>| List(tensors.0.into_iter().map(|tensor| tensor.into_primitive()).collect());
        let outer = |tensors: Vec<FloatTensor<B>>| tensors.into_iter().map(Self::from_inner).collect();
        let (parameters, velocities) = B::sgd_step(inner(parameters), inner(gradients), inner(velocities), step);
        (outer(parameters), outer(velocities))
    }
}
