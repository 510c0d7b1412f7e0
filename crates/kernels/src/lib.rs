//! The layers of a convolutional classifier for Burn, forward and backward, fast at the first call.
//!
//! Defending one image means *training* a network for a while, so the weight gradient of a convolution is the time.
//! Burn's stock path computes it as a convolution with a kernel the size of the feature map on the CPU, and needs
//! minutes of tuning on a GPU. Here each layer is one operation with its activation fused, its backward pass keeps no
//! more than it needs, and gradients are computed only for tracked parents: an attack never pays for weight gradients.
//!
//! - [`Path`]: the layers, by these kernels or by Burn's own operations to compare with: convolution, linear, batch normalization, max
//!   pooling. Differentiable (first order), ordinary `Tensor`s in and out, on any device;
//! - [`cross_entropy`](cross_entropy()): the loss, differentiable, too;
//! - [`signed_step`](signed_step()), [`sgd_step`](sgd_step()): the update rules, one pass over memory, not differentiable;
//! - [`ConvolutionOps`] and its like: what a backend computes of each. The CPU (flex) gathers windows for products in registers; GPU
//!   devices have CubeCL kernels with the feature `cubecl`; everything else composes Burn's operations.
//!
//! Layouts are PyTorch's: images `[batch, channel, height, width]`, convolution weights `[out, in, height, width]`,
//! linear weights `[out, in]`.
//!
//! Types: an operation's is that of x. With x in f32 everything is f32. With x in f16 the output and the gradients of both are
//! f16 in memory, while parameters, their gradients, statistics and every sum stay f32: storage at half the size, with the
//! arithmetic of single precision. GPU devices have kernels for that ([`stores_f16`]); other types, and f16 on the CPU, take
//! the stock path.
//!
//! The rooms: a module for each kind of operation says what it is, on tensors and on a backend, and puts it into the graph;
//! `cube` and `flex` compute it in modules of the same name, and `stock` by Burn's operations.

mod checks;
mod convolution;
mod crossing;
#[cfg(feature = "cubecl")]
mod cube;
mod flex;
mod layer;
mod linear;
mod loss;
mod normalization;
mod path;
mod pooling;
mod steps;
mod stock;

pub use convolution::{ConvOptions, ConvShape, ConvolutionBackwardOps, ConvolutionOps};
pub use crossing::{List, Maybe};
pub use layer::{LayerBackward, LayerGradients};
pub use linear::{LinearBackwardOps, LinearOps};
pub use loss::{LossOps, cross_entropy};
pub use normalization::{BatchNormBackward, MovingAverage, NormalizationBackwardOps, NormalizationOps, Statistics};
pub use path::{Path, stores_f16};
pub use pooling::{PoolingBackwardOps, PoolingOps};
pub use steps::{SgdStep, SignedStep, StepOps, sgd_step, signed_step};

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
