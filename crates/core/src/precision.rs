//! In which precision a model is trained.

use burn::tensor::{Device, FloatDType, Tensor};
use riposte_kernels::stores_f16;
use serde::{Deserialize, Serialize};

use crate::optimizer::ParameterGradients;
use crate::{Classifier, Error, Result};

/// What activations and their gradients are stored as while a model trains. Parameters and their gradients, statistics, moments
/// and the loss are f32 either way, and so are the sums of convolutions, linear layers and normalizations. Attacks are f32
/// throughout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// f32.
    #[default]
    Single,
    /// f16: half the memory for activations, on devices that have kernels for it.
    Mixed,
}

/// Multiplies the loss in mixed precision, after Micikevicius et al., "Mixed precision training" (2018). Divided by the size of a
/// batch, gradients of activations would else fall among f16's smallest numbers, which below 6e-5 have fewer and fewer bits. A
/// power of two, which rounds nothing; f16 ends at 65504, and gradients of logits are at most this over the size of the batch.
const LOSS_SCALE: f32 = 1024.0;

impl Precision {
    /// Settings that are as they always were are written as they always were.
    pub(crate) fn is_single(&self) -> bool {
        *self == Self::Single
    }

    /// Whether a model on `device` can be trained so.
    ///
    /// # Errors
    /// [`Error::Config`] if the device has no kernels for f16.
    pub fn check(self, device: &Device) -> Result<()> {
        match self {
            Self::Mixed if !stores_f16(device) => Err(Error::Config(
                "mixed precision needs a GPU with 16-bit floats, and this device has none: train in single precision, or on \
                 another device"
                    .to_owned(),
            )),
            Self::Mixed | Self::Single => Ok(()),
        }
    }

    /// Differentiable logits `[batch, class]` of images, both f32, for the loss of a step.
    pub(crate) fn forward<C: Classifier>(self, model: &C, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::Single => model.forward(images.autodiff()),
            Self::Mixed => model.forward(images.cast(FloatDType::F16).autodiff()).cast(FloatDType::F32),
        }
    }

    /// Gradients of the sum of `loss` with respect to the parameters of `model`.
    pub(crate) fn gradients<C: Classifier>(self, model: &C, loss: Tensor<1>) -> ParameterGradients {
        match self {
            Self::Single => ParameterGradients::of(model, loss.backward()),
            Self::Mixed => ParameterGradients::of(model, (loss * LOSS_SCALE).backward()).times(LOSS_SCALE),
        }
    }
}
