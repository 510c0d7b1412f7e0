use riposte_spec::card::ModelCard;
use riposte_spec::dataset::DatasetId;
use serde::{Deserialize, Serialize};

use crate::{Case, Prepared};

/// What a built site offers: written by `cargo xtask dist`, read by the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub datasets: Vec<DatasetEntry>,
    pub models: Vec<ModelEntry>,
    /// From an undefended classifier to one that answers back, for the datasets that have one.
    pub sequences: Vec<Sequence>,
}

/// The same image in the hands of three classifiers: one that was trained without attacks, which a change that hardly shows fools;
/// one that was trained with attacks, which holds against that change; and the same one under a stronger attack, adapting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequence {
    pub dataset: DatasetId,
    pub steps: [Step; 3],
}

/// A case of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub model: String,
    pub case: Case,
}

/// A file of the site. `path` is relative to the site's root and holds a hash of the content, so it can be cached for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asset {
    pub path: String,
    /// Size in bytes, as stored.
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetEntry {
    pub id: DatasetId,
    /// Packed test images; none: the engine draws them itself.
    pub test: Option<Asset>,
    /// Packed training images for the post-training; none: the engine draws them itself.
    pub train: Option<Asset>,
    /// How many those are: the first of the set, in its own order.
    pub training_images: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// As committed beside the weights.
    pub card: ModelCard,
    pub weights: Asset,
    /// Duels that were fought when the site was built.
    pub prepared: Option<Prepared>,
}

impl Manifest {
    /// Puts the models in the order in which they are offered. A dataset opens with its first one: of those that are trained against
    /// attacks, the one that takes least to fetch.
    pub fn sort_models(&mut self) {
        self.models.sort_by_key(|model| (model.card.is_undefended(), model.weights.bytes));
    }
}
