//! Models, packed images and the manifest of both: what the site holds beside its code.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use flate2::Compression;
use riposte_protocol::{Asset, DatasetEntry, Manifest, ModelEntry, TRAINING_IMAGES, TRAINING_PHOTOGRAPHS};
use riposte_spec::card::ModelCard;
use riposte_spec::dataset::DatasetId;

use crate::content::{digest, gzip};
use crate::pack::{self, Packs};

/// What a build is for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Work on the page: built again at every change.
    Debug,
    /// Visitors.
    Release,
}

/// Writes them to the folder `assets` of a site.
pub fn fill(site: &Path, data: Option<&Path>, models: &Path, profile: Profile) -> Result<()> {
    let assets = site.join("assets");
    std::fs::create_dir_all(&assets).with_context(|| assets.display().to_string())?;
    let compression = match profile {
        Profile::Debug => Compression::fast(),
        Profile::Release => Compression::best(),
    };
    let mut offered = cards(&assets, models)?;
    let has_model = |dataset: DatasetId| offered.iter().any(|model| model.card.dataset == dataset);
    let mut datasets = datasets(&assets, data, compression, has_model)?;
    offered.retain(|model| datasets.iter().any(|set| set.id == model.card.dataset));
    datasets.retain(|set| offered.iter().any(|model| set.id == model.card.dataset));
    ensure!(!offered.is_empty(), "{} holds no model for the images at hand: nothing could be attacked", models.display());
    let manifest = serde_json::to_vec(&Manifest { datasets, models: offered })?;
    write(&assets, "manifest.json", &manifest).map(drop)
}

fn write(assets: &Path, name: &str, content: &[u8]) -> Result<Asset> {
    std::fs::write(assets.join(name), content).with_context(|| name.to_owned())?;
    Ok(Asset { path: format!("assets/{name}"), bytes: content.len() as u64, sha256: digest(content) })
}

/// The datasets whose images can be had; nothing is packed, or downloaded, without a model to attack.
fn datasets(
    assets: &Path,
    data: Option<&Path>,
    compression: Compression,
    has_model: impl Fn(DatasetId) -> bool,
) -> Result<Vec<DatasetEntry>> {
    let mut datasets = Vec::new();
    let mut offer = |id: DatasetId, training_images: usize, pack: &dyn Fn() -> Result<Option<Packs>>| -> Result<()> {
        if let Some(packs) = if has_model(id) { pack()? } else { None } {
            // Named `.pack`, not `.gz`: some servers announce `.gz` as an encoding, and the browser would unpack it unasked.
            let write = |part: &str, content: &[u8]| write(assets, &format!("{id}-{part}.pack"), &gzip(content, compression)?);
            let (test, train) = (Some(write("test", &packs.test)?), Some(write("train", &packs.train)?));
            datasets.push(DatasetEntry { id, test, train, training_images });
        }
        Ok(())
    };
    offer(DatasetId::Mnist, TRAINING_IMAGES, &|| pack::mnist(data))?;
    offer(DatasetId::Cifar10, TRAINING_PHOTOGRAPHS, &|| pack::cifar10(data))?;
    datasets.push(DatasetEntry { id: DatasetId::Digits, test: None, train: None, training_images: TRAINING_IMAGES });
    Ok(datasets)
}

/// Every model of a folder: weights with a card beside them.
fn cards(assets: &Path, folder: &Path) -> Result<Vec<ModelEntry>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut cards: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    cards.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    cards.sort();
    cards.iter().map(|card| model(assets, card).with_context(|| card.display().to_string())).collect()
}

fn model(assets: &Path, card: &Path) -> Result<ModelEntry> {
    let bytes = std::fs::read(card)?;
    let weights = std::fs::read(card.with_extension("safetensors")).context("the weights beside the card")?;
    let card = ModelCard::from_json(&bytes)?;
    let weights = write(assets, &format!("{}.safetensors", card.id), &weights)?;
    Ok(ModelEntry { card, weights })
}
