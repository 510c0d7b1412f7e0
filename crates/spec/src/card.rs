//! A model's card: what it is, what it was trained on, what was measured. One fact, one place.

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::dataset::DatasetId;
use crate::{Error, Result};

/// The card beside a weights file. Fields follow RobustBench's model information.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// How the command line and the page name the model.
    pub id: String,
    /// One line for people.
    pub name: String,
    /// What the weights belong to.
    pub architecture: Architecture,
    /// What it was trained on.
    pub dataset: DatasetId,
    /// The threat model that it was trained for: the L-infinity radius in pixel units.
    pub epsilon: f32,
    /// How it was trained, in one sentence, with the command that repeats it.
    pub training: String,
    /// The weights file beside the card.
    pub weights: String,
    /// SHA-256 of the weights file, in lower-case hexadecimal.
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
    /// Images that were given their label.
    pub correct: usize,
    /// Images in all.
    pub images: usize,
    /// The command that measured it.
    pub command: String,
}

impl ModelCard {
    /// Parses a card.
    ///
    /// # Errors
    /// [`Error::Card`] naming the field that is missing, unknown or of the wrong type.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| Error::Card(error.to_string()))
    }
}
