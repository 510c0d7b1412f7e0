//! Models, packed images and the manifest of both: what the site holds beside its code.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use riposte_data::fetch::Library;
use riposte_data::fetch::download::Progress;
use riposte_data::pack::Pack;
use riposte_protocol::{Asset, DatasetEntry, Manifest, ModelEntry, TRAINING_IMAGES, TRAINING_PHOTOGRAPHS};
use riposte_spec::card::ModelCard;
use riposte_spec::dataset::{DatasetId, Split};

use crate::cases::{Arena, Weighed};
use crate::content::digest;

/// Writes them to the folder `assets` of a site. Datasets without a model in the folder `models`, or without images at hand, are left
/// out, and those that `wanted` does not name, if it names any.
pub fn fill(site: &Path, library: &Library, models: &Path, wanted: &[DatasetId], arena: &Arena) -> Result<()> {
    let assets = site.join("assets");
    std::fs::create_dir_all(&assets).with_context(|| assets.display().to_string())?;
    let cards = cards(models)?;
    let mut manifest = Manifest { datasets: Vec::new(), models: Vec::new(), sequences: Vec::new() };
    for dataset in [DatasetId::Mnist, DatasetId::Cifar10, DatasetId::Digits] {
        let models: Vec<Weighed> = cards.iter().filter(|(_, card)| card.dataset == dataset).cloned().collect();
        if models.is_empty() || !(wanted.is_empty() || wanted.contains(&dataset)) {
            continue;
        }
        let packs = packs(library, dataset);
        let held = packs.as_ref().ok().and_then(Option::as_ref).map(|packs| packs.test.numbers().to_vec());
        match packs {
            Ok(packs) => manifest.datasets.push(describe(&assets, dataset, packs)?),
            Err(error) => {
                eprintln!("The site does without {}: {error:#}.", dataset.title());
                continue;
            }
        }
        let picture = |name: &str, content: &[u8]| Ok(write(&assets, name, content)?.path);
        let training_images = manifest.datasets.last().map_or(TRAINING_IMAGES, |set| set.training_images);
        for (weights, card) in &models {
            let content = std::fs::read(weights).with_context(|| weights.display().to_string())?;
            let asset = write(&assets, &format!("{}.safetensors", card.id), &content)?;
            let prepared = arena.prepare(card, weights, training_images, held.as_deref(), picture)?;
            manifest.models.push(ModelEntry { card: card.clone(), weights: asset, prepared });
        }
        let undefended = models.iter().find(|(_, card)| card.is_undefended());
        let hardened = models.iter().find_map(|model| {
            let entry = manifest.models.iter().find(|entry| entry.card.id == model.1.id)?;
            Some((model, entry.prepared.as_ref()?.cases.first()?.clone()))
        });
        if let (Some(undefended), Some((hardened, last))) = (undefended, hardened) {
            manifest.sequences.extend(arena.sequence(undefended, hardened, &last, training_images, picture)?);
        }
    }
    if let Some(picture) = arena.share_picture()? {
        write(&assets, "share.png", &picture)?;
    }
    ensure!(!manifest.models.is_empty(), "{} holds no model for the images at hand: nothing could be attacked", models.display());
    write(&assets, "manifest.json", &serde_json::to_vec(&manifest)?).map(drop)
}

/// The cards of a folder with the paths of their weights, by their file names.
pub fn cards(folder: &Path) -> Result<Vec<Weighed>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: PathBuf| -> Result<_> {
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let card = ModelCard::from_json(&bytes).with_context(|| path.display().to_string())?;
        Ok((path.with_extension("safetensors"), card))
    };
    paths.into_iter().map(read).collect()
}

/// What a visitor downloads of a dataset.
struct Packs {
    test: Pack,
    train: Pack,
}

/// None of digits, which the engine draws itself.
fn packs(library: &Library, dataset: DatasetId) -> Result<Option<Packs>> {
    // Test images of each class: the gallery's pages. Photographs hardly shrink when they are packed.
    let (per_class, training_images) = match dataset {
        DatasetId::Digits => return Ok(None),
        DatasetId::Mnist => (80, TRAINING_IMAGES),
        DatasetId::Cifar10 => (24, TRAINING_PHOTOGRAPHS),
    };
    let test = Pack::of(&library.load(dataset, Split::Test, None, &mut tell)?.dataset, per_class);
    let train = Pack::all(library.load(dataset, Split::Train, Some(training_images), &mut tell)?.dataset);
    Ok(Some(Packs { test, train }))
}

/// Says once that a file is on its way.
fn tell(progress: Progress<'_>) -> ControlFlow<()> {
    if progress.received == 0 {
        eprintln!("Downloading {} ({:.0} MB).", progress.file, progress.total as f64 / 1e6);
    }
    ControlFlow::Continue(())
}

fn describe(assets: &Path, dataset: DatasetId, packs: Option<Packs>) -> Result<DatasetEntry> {
    // Named `.pack`, not `.gz`: some servers announce `.gz` as an encoding, and the browser would unpack it unasked.
    let write = |split: &str, pack: &Pack| write(assets, &format!("{dataset}-{split}.pack"), &pack.to_bytes()?);
    Ok(DatasetEntry {
        id: dataset,
        training_images: packs.as_ref().map_or(TRAINING_IMAGES, |packs| packs.train.numbers().len()),
        test: packs.as_ref().map(|packs| write("test", &packs.test)).transpose()?,
        train: packs.as_ref().map(|packs| write("train", &packs.train)).transpose()?,
    })
}

fn write(assets: &Path, name: &str, content: &[u8]) -> Result<Asset> {
    std::fs::write(assets.join(name), content).with_context(|| name.to_owned())?;
    Ok(Asset { path: format!("assets/{name}"), bytes: content.len() as u64, sha256: digest(content) })
}
