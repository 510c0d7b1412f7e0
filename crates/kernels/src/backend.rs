//! What a backend computes: forward and backward, without a graph.
//!
//! Every default body composes Burn's own operations, so a backend without kernels of its own implements the trait with
//! an empty block and overrides what it does better. All tensors are contiguous or strided as Burn hands them over;
//! layouts are NCHW.

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;

use crate::{Activation, ConvOptions, MovingAverage, SgdStep, SignedStep, stock};

/// What the backward pass of [`KernelBackend::conv2d_act`] or [`KernelBackend::linear_act`] is given.
///
/// The optional tensors are present exactly when a gradient that needs them is wanted: an attack asks for `x` alone and
/// so hands over the weight alone; the first layer in training asks for the weight and the bias and hands over `x` alone.
#[derive(Debug)]
pub struct LayerBackward<B: Backend> {
    /// Gradient of the loss with respect to the layer's output, of the output's shape.
    pub gradient: FloatTensor<B>,
    /// The layer's output; present exactly when the activation is not [`Activation::None`]. Its sign says which
    /// elements the activation let through: see [`Activation`].
    pub output: Option<FloatTensor<B>>,
    /// The layer's input; present exactly when the gradient of the weight is wanted.
    pub x: Option<FloatTensor<B>>,
    /// The layer's weight; present exactly when the gradient of the input is wanted.
    pub weight: Option<FloatTensor<B>>,
    /// Whether the gradient of the bias is wanted.
    pub bias: bool,
    /// The activation of the forward pass.
    pub activation: Activation,
}

/// The gradients of a layer: each present exactly when it was wanted.
#[derive(Debug)]
pub struct LayerGradients<B: Backend> {
    /// With respect to the input.
    pub x: Option<FloatTensor<B>>,
    /// With respect to the weight.
    pub weight: Option<FloatTensor<B>>,
    /// With respect to the bias, `[out]`.
    pub bias: Option<FloatTensor<B>>,
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

/// Where the mean and the variance of a batch normalization come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// Given: constants of the backward pass.
    Given,
    /// Those of the batch, biased: the gradient of the input goes through them, too.
    Batch,
}

/// What the backward pass of [`KernelBackend::batch_norm_act`] or [`KernelBackend::batch_norm_train_act`] is given.
#[derive(Debug)]
pub struct BatchNormBackward<B: Backend> {
    /// Gradient with respect to the output, `[batch, channel, height, width]`.
    pub gradient: FloatTensor<B>,
    /// The output; present exactly when the activation is not [`Activation::None`].
    pub output: Option<FloatTensor<B>>,
    /// The input; present exactly when the gradient of gamma is wanted, or that of x with the statistics of the batch.
    pub x: Option<FloatTensor<B>>,
    /// Scale, `[channel]`.
    pub gamma: FloatTensor<B>,
    /// The mean that was subtracted, `[channel]`.
    pub mean: FloatTensor<B>,
    /// The variance that was divided by, `[channel]`.
    pub var: FloatTensor<B>,
    /// Whether these two depend on the input.
    pub statistics: Statistics,
    /// Added to the variance.
    pub epsilon: f64,
    /// The activation of the forward pass.
    pub activation: Activation,
    /// Which gradients are wanted: of x, gamma, beta. At least one is.
    pub wanted: [bool; 3],
}

/// A backend with its own kernels for training a convolutional classifier, or Burn's operations in their place.
pub trait KernelBackend: Backend {
    /// `act(conv2d(x, weight) + bias)`: x `[batch, in, h, w]`, weight `[out, in, kh, kw]`, bias `[out]`.
    fn conv2d_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        options: ConvOptions,
        activation: Activation,
    ) -> FloatTensor<Self> {
        stock::conv2d_act::<Self>(x, weight, bias, options, activation)
    }

    /// Gradients of [`conv2d_act`](Self::conv2d_act).
    fn conv2d_act_backward(pass: LayerBackward<Self>, shape: ConvShape) -> LayerGradients<Self> {
        stock::conv2d_act_backward(pass, shape)
    }

    /// `act(x weight^T + bias)`: x `[batch, in]`, weight `[out, in]`, bias `[out]`.
    fn linear_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        stock::linear_act::<Self>(x, weight, bias, activation)
    }

    /// Gradients of [`linear_act`](Self::linear_act).
    fn linear_act_backward(pass: LayerBackward<Self>) -> LayerGradients<Self> {
        stock::linear_act_backward(pass)
    }

    /// `act((x - mean) / sqrt(var + epsilon) * gamma + beta)`: x `[batch, channel, h, w]`, the rest `[channel]`.
    fn batch_norm_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> FloatTensor<Self> {
        stock::batch_norm_act::<Self>(x, gamma, beta, mean, var, epsilon, activation)
    }

    /// [`batch_norm_act`](Self::batch_norm_act) with the mean and the biased variance of the batch, which come after the
    /// output, `[channel]` each.
    fn batch_norm_train_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> [FloatTensor<Self>; 3] {
        stock::batch_norm_train_act::<Self>(x, gamma, beta, epsilon, activation)
    }

    /// Gradients of either: x, gamma, beta, each present when wanted.
    fn batch_norm_act_backward(pass: BatchNormBackward<Self>) -> [Option<FloatTensor<Self>>; 3] {
        stock::batch_norm_act_backward(pass)
    }

    /// New running means and variances from those of a batch, all `[channel]`: see [`MovingAverage`].
    fn moving_statistics(
        running: [FloatTensor<Self>; 2],
        batch: [FloatTensor<Self>; 2],
        average: MovingAverage,
    ) -> [FloatTensor<Self>; 2] {
        stock::moving_statistics::<Self>(running, batch, average)
    }

    /// Maximum of square windows `size` wide that do not overlap: x `[batch, channel, h, w]` to
    /// `[batch, channel, h / size, w / size]`, rounded down. NaN where a window holds one.
    fn max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        stock::max_pool::<Self>(x, size)
    }

    /// Gradient of [`max_pool`](Self::max_pool) with respect to x: each window's goes to the first of its elements that is
    /// the maximum.
    fn max_pool_backward(gradient: FloatTensor<Self>, x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        stock::max_pool_backward::<Self>(gradient, x, size)
    }

    /// Cross-entropy of each sample, `[batch]`, and its gradient with respect to the logits, `[batch, class]`, in one
    /// pass: `-sum(targets * log_softmax(logits))` and `softmax(logits) * sum(targets) - targets`, sums over classes.
    fn cross_entropy(logits: FloatTensor<Self>, targets: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        stock::cross_entropy::<Self>(logits, targets)
    }

    /// `clamp(clamp(x + step_size * sign(gradient), origin - epsilon, origin + epsilon), low, high)` for the samples
    /// where `active` `[batch]` is not 0 (all, without it); the others keep x. Sign of 0 and of NaN is 0.
    fn signed_step(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        origin: FloatTensor<Self>,
        active: Option<FloatTensor<Self>>,
        step: SignedStep,
    ) -> FloatTensor<Self> {
        stock::signed_step::<Self>(x, gradient, origin, active, step)
    }

    /// New parameters and new velocities: see [`SgdStep`]. Without velocities (the first step) they are the gradients.
    fn sgd_step(
        parameters: Vec<FloatTensor<Self>>,
        gradients: Vec<FloatTensor<Self>>,
        velocities: Vec<FloatTensor<Self>>,
        step: SgdStep,
    ) -> [Vec<FloatTensor<Self>>; 2] {
        stock::sgd_step::<Self>(parameters, gradients, velocities, step)
    }
}
