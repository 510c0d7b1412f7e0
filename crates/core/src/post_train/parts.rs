//! The part of a network that adapts, and what the part before it makes of images.

use burn::tensor::Tensor;

use super::Parameters;
use crate::models::layers::has_normalization;
use crate::precision::{Computes, Precision};
use crate::{Classifier, Error, Result};

/// Where a forward pass stands.
#[derive(Debug, Clone)]
pub(super) enum Features {
    /// At its begin: images `[batch, channel, height, width]`.
    Images(Tensor<4>),
    /// Before the last stage: feature maps `[batch, channel, height, width]`.
    Maps(Tensor<4>),
    /// Before the head: features `[batch, feature]`.
    Vectors(Tensor<2>),
}

/// Whether `model` has the parameters that are to adapt.
///
/// # Errors
/// [`Error::Config`] that says what it lacks.
pub(super) fn check<C: Classifier>(model: &C, parameters: Parameters) -> Result<()> {
    let missing = match parameters {
        Parameters::All => None,
        Parameters::LastStage | Parameters::Head => {
            model.stages().is_none().then_some("does not name its last stage and its head")
        }
        Parameters::Normalization => (!has_normalization(model)).then_some("has no batch normalization"),
    };
    missing
        .map_or(Ok(()), |what| Err(Error::Config(format!("`{parameters}` cannot adapt: this network {what}; let `all` adapt"))))
}

/// What the part of `model` that does not adapt makes of `images` `[batch, channel, height, width]`: as the base model does, at rest.
pub(super) fn features<C: Classifier>(model: &C, images: Tensor<4>, parameters: Parameters) -> Features {
    if matches!(parameters, Parameters::All | Parameters::Normalization) {
        return Features::Images(images);
    }
    let resting = model.valid();
    let stages = resting.stages().expect("the settings were checked");
    let maps = stages.trunk(images);
    match parameters {
        Parameters::Head => Features::Vectors(stages.last_stage(maps)),
        Parameters::All | Parameters::LastStage | Parameters::Normalization => Features::Maps(maps),
    }
}

/// Logits `[batch, class]`, through the part of `model` that adapts.
pub(super) fn logits<C: Classifier>(model: &C, features: Features) -> Tensor<2> {
    let stages = || model.stages().expect("features come from stages");
    match features {
        Features::Images(images) => model.forward(images),
        Features::Maps(maps) => stages().head(stages().last_stage(maps)),
        Features::Vectors(features) => stages().head(features),
    }
}

impl Features {
    /// The same, in what `precision` computes with, under autodiff.
    pub(super) fn into_training(self, precision: Precision) -> Self {
        match self {
            Self::Images(images) => Self::Images(precision.input(images)),
            Self::Maps(maps) => Self::Maps(precision.input(maps)),
            Self::Vectors(features) => Self::Vectors(precision.input(features)),
        }
    }
}
