//! Linear layers.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::checks::{check_bias, check_slope, check_type};
use crate::layer::{Layer, LayerBackward, LayerGradients, tracked};
use crate::{Activation, Maybe, Path, stock};

impl Path {
    /// `act(x weight^T + bias)`: x `[batch, in]`, weight `[out, in]`, bias `[out]`; returns `[batch, out]` of x's dtype. Weight and
    /// bias are of that, too, or f32 where x is f16.
    ///
    /// # Panics
    /// Where the shapes or types do not fit, naming them.
    pub fn linear(self, x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>, activation: Activation) -> Tensor<2> {
        let [out, inputs] = weight.dims();
        assert!(x.dims()[1] == inputs, "linear: x {:?} does not fit weight {:?} ([out, in])", x.dims(), weight.dims(),);
        check_type("linear", &x, "weight", &weight);
        check_bias("linear", &x, &bias, out);
        check_slope(activation);
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        let bias = bias.map(Tensor::into_dispatch).into();
        Tensor::from_dispatch(match self {
            Self::Kernels => Dispatch::linear_act(x, weight, bias, activation),
            Self::Stock => stock::linear_act::<Dispatch>(x, weight, bias, activation),
        })
    }
}

/// Linear layers on a backend, forward; on any device through `Dispatch`, differentiable on autodiff devices.
#[backend_extension(Cube: cfg(feature = "cubecl"), Flex, Autodiff)]
pub trait LinearOps: Backend {
    /// `act(x weight^T + bias)`: see [`Path::linear`].
    fn linear_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Maybe<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        stock::linear_act::<Self>(x, weight, bias, activation)
    }
}

/// Their gradients, on a backend without a graph.
pub trait LinearBackwardOps: Backend {
    /// The wanted gradients of [`LinearOps::linear_act`].
    fn linear_act_backward(pass: LayerBackward<Self>) -> LayerGradients<Self> {
        stock::linear_act_backward(pass)
    }
}

impl<B: LinearOps + LinearBackwardOps, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn linear_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        tracked(x, weight, bias, activation, Linear)
    }
}

/// As a node of the graph.
#[derive(Clone, Copy, Debug)]
struct Linear;

impl<B: LinearOps + LinearBackwardOps> Layer<B> for Linear {
    fn forward(self, x: FloatTensor<B>, weight: FloatTensor<B>, bias: Maybe<B>, activation: Activation) -> FloatTensor<B> {
        B::linear_act(x, weight, bias, activation)
    }

    fn backward(self, pass: LayerBackward<B>) -> LayerGradients<B> {
        B::linear_act_backward(pass)
    }
}
