//! A model's card: what it is, what it was trained on, what was measured. One fact, one place.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The card beside a weights file. Fields follow RobustBench's model information.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// How the command line and the page name the model.
    pub id: String,
    /// One line for people.
    pub name: String,
    /// See [`Architecture`](super::Architecture).
    pub architecture: String,
    /// `mnist`, `digits` or `cifar10`.
    pub dataset: String,
    /// The threat model that it was trained for: the L-infinity radius in pixel units.
    pub epsilon: f32,
    /// How it was trained, in one sentence, with the command that repeats it.
    pub training: String,
    /// The weights file beside the card, and its SHA-256.
    pub weights: String,
    pub sha256: String,
    /// Measured accuracies.
    pub accuracies: Vec<Accuracy>,
}

/// One measured accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// `none` for natural accuracy, otherwise the attack and its settings.
    pub attack: String,
    pub correct: usize,
    pub images: usize,
    /// The command that measured it.
    pub command: String,
}

impl ModelCard {
    /// Parses a card.
    ///
    /// # Errors
    /// [`Error::Data`] naming the field that is missing, unknown or of the wrong type.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| Error::Data { what: "model card", problem: error.to_string() })
    }
}

/// Per-channel normalization `(x - mean) / std`, applied inside a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Normalization {
    /// The training set's statistics, as the F code has them.
    pub const CIFAR10: Self = Self { mean: [0.4914, 0.4822, 0.4465], std: [0.2471, 0.2435, 0.2616] };

    /// What the public weights of CNN-A were trained with.
    pub const CNN_A: Self =
        Self { mean: [125.3 / 255.0, 123.0 / 255.0, 113.9 / 255.0], std: [63.0 / 255.0, 62.1 / 255.0, 66.7 / 255.0] };

    /// Normalizes images `[batch, 3, height, width]`, in their dtype.
    pub fn apply(&self, images: Tensor<4>) -> Tensor<4> {
        let (device, dtype) = (images.device().without_autodiff(), images.dtype());
        let channels = |values: [f32; 3]| {
            let data = TensorData::new(values.to_vec(), [1, 3, 1, 1]);
            Tensor::<4>::from_data(data, (&device, dtype))
        };
        (images - channels(self.mean)) / channels(self.std)
    }
}
