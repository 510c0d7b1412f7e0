//! In which precision a model is trained.

use burn::tensor::{Device, FloatDType, Tensor};
use riposte_kernels::stores_f16;
pub use riposte_spec::post_train::Precision;

use crate::optimizer::ParameterGradients;
use crate::{Classifier, Error, Result};

/// Multiplies the loss in mixed precision, after Micikevicius et al., "Mixed precision training" (2018). Divided by the size of a
/// batch, gradients of activations would else fall among f16's smallest numbers, which below 6e-5 have fewer and fewer bits. A
/// power of two, which rounds nothing; f16 ends at 65504, and gradients of logits are at most this over the size of the batch.
const LOSS_SCALE: f32 = 1024.0;

/// Whether a model on `device` can be trained in `precision`.
///
/// # Errors
/// [`Error::Config`] if the device has no kernels for f16.
pub fn check(precision: Precision, device: &Device) -> Result<()> {
    match precision {
        Precision::Mixed if !stores_f16(device) => Err(Error::Config(
            "mixed precision needs a GPU with 16-bit floats, and this device has none: train in single precision, or on \
             another device"
                .to_owned(),
        )),
        Precision::Mixed | Precision::Single => Ok(()),
    }
}

/// A training step in a precision.
pub(crate) trait Computes: Copy {
    /// Differentiable logits `[batch, class]` of images, both f32, for the loss of a step.
    fn forward<C: Classifier>(self, model: &C, images: Tensor<4>) -> Tensor<2> {
        self.output(model.forward(self.input(images)))
    }

    /// What a model in training takes for `values` in f32.
    fn input<const D: usize>(self, values: Tensor<D>) -> Tensor<D>;

    /// Its logits `[batch, class]` in f32.
    fn output(self, logits: Tensor<2>) -> Tensor<2>;

    /// Gradients of the sum of `loss` with respect to the parameters of `model`.
    fn gradients<C: Classifier>(self, model: &C, loss: Tensor<1>) -> ParameterGradients;
}

impl Computes for Precision {
    fn input<const D: usize>(self, values: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Single => values.autodiff(),
            Self::Mixed => values.cast(FloatDType::F16).autodiff(),
        }
    }

    fn output(self, logits: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Single => logits,
            Self::Mixed => logits.cast(FloatDType::F32),
        }
    }

    fn gradients<C: Classifier>(self, model: &C, loss: Tensor<1>) -> ParameterGradients {
        match self {
            Self::Single => ParameterGradients::of(model, loss.backward()),
            Self::Mixed => ParameterGradients::of(model, (loss * LOSS_SCALE).backward()).times(LOSS_SCALE),
        }
    }
}
