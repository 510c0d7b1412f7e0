//! Models, packed images and the manifest of both: what the site holds beside its code.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use flate2::Compression;
use riposte_protocol::{Asset, DatasetEntry, Manifest, ModelEntry, TRAINING_IMAGES, TRAINING_PHOTOGRAPHS};

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
    let has_model = |dataset: &str| offered.iter().any(|model| model.dataset == dataset);
    let mut datasets = datasets(&assets, data, compression, has_model)?;
    offered.retain(|model| datasets.iter().any(|set| set.id == model.dataset));
    datasets.retain(|set| offered.iter().any(|model| set.id == model.dataset));
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
    has_model: impl Fn(&str) -> bool,
) -> Result<Vec<DatasetEntry>> {
    let digits = |id: &str, name: &str, about: &str| DatasetEntry {
        id: id.to_owned(),
        name: name.to_owned(),
        about: about.to_owned(),
        classes: (0..10).map(|class| class.to_string()).collect(),
        channels: 1,
        height: 28,
        width: 28,
        test: None,
        train: None,
        training_images: TRAINING_IMAGES,
    };
    let mut datasets = Vec::new();
    let wanted = |id: &str, pack: &dyn Fn() -> Result<Option<Packs>>| if has_model(id) { pack() } else { Ok(None) };
    if let Some(packs) = wanted("mnist", &|| pack::mnist(data))? {
        // Named `.pack`, not `.gz`: some servers announce `.gz` as an encoding, and the browser would unpack it unasked.
        let mut mnist =
            digits("mnist", "MNIST", "Handwritten digits, collected in the 1990s: the classic test of a small network.");
        mnist.test = Some(write(assets, "mnist-test.pack", &gzip(&packs.test, compression)?)?);
        mnist.train = Some(write(assets, "mnist-train.pack", &gzip(&packs.train, compression)?)?);
        datasets.push(mnist);
    }
    if let Some(packs) = wanted("cifar10", &|| pack::cifar10(data))? {
        let classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
        datasets.push(DatasetEntry {
            classes: classes.map(str::to_owned).to_vec(),
            channels: 3,
            height: 32,
            width: 32,
            test: Some(write(assets, "cifar10-test.pack", &gzip(&packs.test, compression)?)?),
            train: Some(write(assets, "cifar10-train.pack", &gzip(&packs.train, compression)?)?),
            training_images: TRAINING_PHOTOGRAPHS,
            ..digits(
                "cifar10",
                "CIFAR-10",
                "Tiny color photographs of ten kinds of things: what the paper\u{2019}s main figures are about.",
            )
        });
    }
    datasets.push(digits("digits", "Drawn digits", "Digits drawn by a program, stroke by stroke: nothing to download."));
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
    let text = std::fs::read_to_string(card)?;
    let fields: serde_json::Value = serde_json::from_str(&text)?;
    let field = |name: &str| fields[name].as_str().map(str::to_owned).with_context(|| format!("the card has no `{name}`"));
    let weights = std::fs::read(card.with_extension("safetensors")).context("the weights beside the card")?;
    let id = field("id")?;
    let weights = write(assets, &format!("{id}.safetensors"), &weights)?;
    Ok(ModelEntry { dataset: field("dataset")?, id, card: text, weights })
}
