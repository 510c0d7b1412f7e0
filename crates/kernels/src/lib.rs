//! The layers of a convolutional classifier for Burn, forward and backward, fast at the first call.
//!
//! Defending one image means *training* a network for a while, so the weight gradient of a convolution is the time.
//! Burn's stock path computes it as a convolution with a kernel the size of the feature map on the CPU, and needs
//! minutes of tuning on a GPU. Here each layer is one operation with its activation fused, its backward pass keeps no
//! more than it needs, and gradients are computed only for tracked parents: an attack never pays for weight gradients.
//!
//! - [`conv2d`], [`linear`], [`batch_norm_act`], [`batch_norm_train_act`], [`max_pool`], [`cross_entropy`]: differentiable (first
//!   order), ordinary `Tensor`s in and out, on any device;
//! - [`signed_step`], [`sgd_step`], [`moving_statistics`]: the update rules, one pass over memory, not differentiable;
//! - [`Path`]: the same operations through Burn's stock operations, to compare with;
//! - [`KernelBackend`]: what a backend implements. The CPU (flex) has im2col blocks and `gemm`; GPU devices have CubeCL
//!   kernels with the feature `cubecl`; everything else composes Burn's operations.
//!
//! Layouts are PyTorch's: images `[batch, channel, height, width]`, convolution weights `[out, in, height, width]`,
//! linear weights `[out, in]`.
//!
//! Types: an operation's is that of x. With x in f32 everything is f32. With x in f16 the output and the gradients of both are
//! f16 in memory, while parameters, their gradients, statistics and every sum stay f32: storage at half the size, with the
//! arithmetic of single precision. GPU devices have kernels for that ([`stores_f16`]); other types, and f16 on the CPU, take
//! the stock path.

mod autodiff;
mod backend;
#[cfg(feature = "cubecl")]
mod cube;
mod flex;
mod ops;
mod routing;
mod stock;

pub use backend::{BatchNormBackward, ConvShape, KernelBackend, LayerBackward, LayerGradients, Statistics};
pub use ops::{
    Path, batch_norm_act, batch_norm_train_act, conv2d, cross_entropy, linear, max_pool, moving_statistics, sgd_step,
    signed_step, stores_f16,
};

/// The function applied to a layer's output.
///
/// Its backward pass needs only the sign of the output: the slope is 1 where the output is positive and that of the
/// negative side elsewhere. NaN stays NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// The identity.
    None,
    /// `max(x, 0)`.
    Relu,
    /// x where positive, else x times the slope, which is at least 0.
    LeakyRelu(f32),
}

impl Activation {
    /// Slope on the negative side; `None` for the identity.
    pub fn negative_slope(self) -> Option<f32> {
        match self {
            Self::None => None,
            Self::Relu => Some(0.0),
            Self::LeakyRelu(slope) => Some(slope),
        }
    }
}

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

/// An exponential moving average of batch statistics, as PyTorch's batch normalization keeps it:
/// `(1 - momentum) * running + momentum * batch`, where the batch's variance is multiplied by the correction first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MovingAverage {
    /// Weight of the batch, from 0 to 1.
    pub momentum: f32,
    /// `n / (n - 1)` makes the unbiased variance of the biased one of n elements.
    pub correction: f32,
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
