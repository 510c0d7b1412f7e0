//! Convolutions.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::checks::{check_bias, check_slope, check_type};
use crate::layer::{Layer, LayerBackward, LayerGradients, tracked};
use crate::{Activation, Maybe, Path, stock};

/// Stride and zero padding of a convolution, `[height, width]`. No dilation, no groups: no model here has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    /// Step between output positions, at least 1.
    pub stride: [usize; 2],
    /// Zeros added on both sides.
    pub padding: [usize; 2],
}

impl ConvOptions {
    /// The same stride and padding in both directions.
    pub const fn square(stride: usize, padding: usize) -> Self {
        Self { stride: [stride; 2], padding: [padding; 2] }
    }
}

/// Shapes that the backward pass of a convolution needs and cannot read off the tensors it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Input, `[batch, in, height, width]`.
    pub x: [usize; 4],
    /// Weight, `[out, in, kernel height, kernel width]`.
    pub weight: [usize; 4],
    /// Stride and padding.
    pub options: ConvOptions,
}

impl ConvShape {
    /// Output, `[batch, out, height', width']`.
    pub fn output(&self) -> [usize; 4] {
        let size = |axis: usize| {
            let (stride, padding) = (self.options.stride[axis], self.options.padding[axis]);
            (self.x[2 + axis] + 2 * padding - self.weight[2 + axis]) / stride + 1
        };
        [self.x[0], self.weight[0], size(0), size(1)]
    }
}

impl Path {
    /// `act(conv2d(x, weight) + bias)`: x `[batch, in, height, width]`, weight `[out, in, kernel height, kernel width]`,
    /// bias `[out]`; returns `[batch, out, height', width']` of x's dtype. Weight and bias are of that, too, or f32 where x is f16.
    ///
    /// # Panics
    /// Where the shapes or types do not fit, naming them.
    pub fn conv2d(
        self,
        x: Tensor<4>,
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
        options: ConvOptions,
        activation: Activation,
    ) -> Tensor<4> {
        check(&x, &weight, &bias, options);
        check_slope(activation);
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        let bias = bias.map(Tensor::into_dispatch).into();
        Tensor::from_dispatch(match self {
            Self::Kernels => Dispatch::conv2d_act(x, weight, bias, options, activation),
            Self::Stock => stock::conv2d_act::<Dispatch>(x, weight, bias, options, activation),
        })
    }
}

/// Convolutions on a backend, forward; on any device through `Dispatch`, differentiable on autodiff devices.
#[backend_extension(Cube: cfg(feature = "cubecl"), Flex, Autodiff)]
pub trait ConvolutionOps: Backend {
    /// `act(conv2d(x, weight) + bias)`: see [`Path::conv2d`].
    fn conv2d_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Maybe<Self>,
        options: ConvOptions,
        activation: Activation,
    ) -> FloatTensor<Self> {
        stock::conv2d_act::<Self>(x, weight, bias, options, activation)
    }
}

/// Their gradients, on a backend without a graph.
pub trait ConvolutionBackwardOps: Backend {
    /// The wanted gradients of [`ConvolutionOps::conv2d_act`].
    fn conv2d_act_backward(pass: LayerBackward<Self>, shape: ConvShape) -> LayerGradients<Self> {
        stock::conv2d_act_backward(pass, shape)
    }
}

impl<B: ConvolutionOps + ConvolutionBackwardOps, C: CheckpointStrategy> ConvolutionOps for Autodiff<B, C> {
    fn conv2d_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        options: ConvOptions,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let shape = ConvShape { x: x.shape().dims(), weight: weight.shape().dims(), options };
        tracked(x, weight, bias, activation, shape)
    }
}

impl<B: ConvolutionOps + ConvolutionBackwardOps> Layer<B> for ConvShape {
    fn forward(self, x: FloatTensor<B>, weight: FloatTensor<B>, bias: Maybe<B>, activation: Activation) -> FloatTensor<B> {
        B::conv2d_act(x, weight, bias, self.options, activation)
    }

    fn backward(self, pass: LayerBackward<B>) -> LayerGradients<B> {
        B::conv2d_act_backward(pass, self)
    }
}

fn check(x: &Tensor<4>, weight: &Tensor<4>, bias: &Option<Tensor<1>>, options: ConvOptions) {
    let (input, kernel) = (x.dims(), weight.dims());
    assert!(options.stride.iter().all(|&stride| stride > 0), "conv2d: stride {:?} must be positive", options.stride,);
    let fits = |axis: usize| input[axis] + 2 * options.padding[axis - 2] >= kernel[axis];
    assert!(
        input[1] == kernel[1] && fits(2) && fits(3),
        "conv2d: x {input:?} does not fit weight {kernel:?} ([out, in, height, width]) with {options:?}",
    );
    let shape = ConvShape { x: input, weight: kernel, options };
    assert!(
        kernel.iter().all(|&size| size > 0) && shape.output().iter().all(|&size| size > 0),
        "conv2d: empty tensors: x {input:?}, weight {kernel:?}",
    );
    check_type("conv2d", x, "weight", weight);
    check_bias("conv2d", x, bias, kernel[0]);
}
