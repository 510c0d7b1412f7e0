use riposte_spec::card::ModelCard;
use riposte_spec::dataset::DatasetId;
use serde::{Deserialize, Serialize};

/// What a built site offers: written by `cargo xtask dist`, read by the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub datasets: Vec<DatasetEntry>,
    pub models: Vec<ModelEntry>,
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
}
