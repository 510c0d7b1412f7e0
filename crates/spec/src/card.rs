//! A model's card: what it is, what it was trained on, what was measured. One fact, one place.

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::dataset::DatasetId;
use crate::preset::PresetName;
use crate::record::Record;
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
    /// The threat model that it was trained for: the L-infinity radius in pixel units; 0 for one that was trained without attacks.
    pub epsilon: f32,
    /// How it was trained, in one sentence, with the command that repeats it.
    pub training: String,
    /// The weights file beside the card.
    pub weights: String,
    /// SHA-256 of the weights file, in lower-case hexadecimal.
    pub sha256: String,
    /// Measured accuracies.
    pub accuracies: Vec<Accuracy>,
    /// What the command line and the page show first of this model; none for a model that has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Opening>,
}

/// An attacked image that the riposte saves, and how often it saves one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// Number of the test image.
    pub image: u64,
    /// The seed under which it is saved.
    pub seed: u64,
    /// The setup in which it is saved, and in which the counts were measured.
    pub preset: PresetName,
    /// How often the riposte saves an image, and how often it does harm.
    pub counts: Counts,
    /// The command that measured them.
    pub command: String,
}

/// What became of attacked images, each against the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Attacked images.
    pub images: usize,
    /// The base model is wrong and the riposte is right.
    pub saved: usize,
    /// The base model is wrong and the riposte is wrong, too.
    pub lost: usize,
    /// The base model is right and the riposte is wrong.
    pub spoiled: usize,
}

impl Counts {
    /// Counts the records of attacked and defended inputs; others are left out.
    pub fn of(records: &[Record]) -> Self {
        let mut counts = Self { images: 0, saved: 0, lost: 0, spoiled: 0 };
        for record in records {
            let (Some(attacked), Some(riposte)) = (record.attacked, record.riposte_attacked) else { continue };
            counts.images += 1;
            match (attacked == record.label, riposte.answer == record.label) {
                (false, true) => counts.saved += 1,
                (false, false) => counts.lost += 1,
                (true, false) => counts.spoiled += 1,
                (true, true) => {}
            }
        }
        counts
    }

    /// Attacked images on which the base model is wrong.
    pub fn fooled(&self) -> usize {
        self.saved + self.lost
    }

    /// The counts in a sentence.
    pub fn sentence(&self) -> String {
        let Self { images, saved, spoiled, .. } = self;
        format!(
            "Of {images} attacked test images, {} fool the classifier: the riposte saves {saved} of them, and spoils {spoiled} of the others.",
            self.fooled()
        )
    }
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

impl Accuracy {
    /// As a share of the images.
    pub fn share(&self) -> f64 {
        self.correct as f64 / self.images as f64
    }
}

impl ModelCard {
    /// Whether it was trained without attacks.
    pub fn is_undefended(&self) -> bool {
        self.epsilon == 0.0
    }

    /// What it was trained by, in the literature's words: `TRADES training`.
    pub fn recipe(&self) -> &str {
        self.training.split(" of ").next().unwrap_or_default()
    }

    /// Its accuracy without an attack, if it was measured.
    pub fn natural(&self) -> Option<&Accuracy> {
        self.accuracies.iter().find(|accuracy| accuracy.attack == "none")
    }

    /// Its lowest accuracy under an attack, if one was measured.
    pub fn robust(&self) -> Option<&Accuracy> {
        let attacked = self.accuracies.iter().filter(|accuracy| accuracy.attack != "none");
        attacked.min_by(|a, b| a.share().total_cmp(&b.share()))
    }

    /// Whether it is one that a suite takes where none is named: one that shows an image which the riposte saves, or one to compare it with.
    pub fn is_usual(&self) -> bool {
        self.opening.is_some() || self.is_undefended()
    }

    /// Parses a card.
    ///
    /// # Errors
    /// [`Error::Card`] naming the field that is missing, unknown or of the wrong type.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| Error::Card(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Defended;

    #[test]
    fn each_attacked_image_counts_once_and_natural_ones_do_not() {
        let record = |attacked: Option<usize>, answer: usize| Record {
            attacked,
            riposte_natural: Some(Defended { original: 3, neighbor: 5, answer: 5, ahead: false }),
            riposte_attacked: attacked.map(|original| Defended { original, neighbor: 3, answer, ahead: false }),
            ..Record::of_input(0, 3, 3)
        };
        let records =
            [record(Some(5), 3), record(Some(5), 5), record(Some(5), 8), record(Some(3), 5), record(Some(3), 3), record(None, 0)];
        let counts = Counts::of(&records);
        assert_eq!(counts, Counts { images: 5, saved: 1, lost: 2, spoiled: 1 });
        assert!(counts.sentence().contains("5 attacked") && counts.sentence().contains("3 fool"), "{}", counts.sentence());
    }
}
