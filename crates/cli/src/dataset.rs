//! Datasets for the commands: which one, and whether it suits the model.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use riposte::data::Dataset;
use riposte::data::fetch::Library;
use riposte::data::pool::ClassPools;
use riposte::models::Architecture;
pub use riposte::spec::dataset::{DatasetId, Split};
use sha2::{Digest, Sha256};

use crate::interrupt::Interrupt;
use crate::progress::download_bar;

/// Where datasets are looked for: `folder` alone, or the cache folder and then the official hosts, or `RIPOSTE_MIRROR` in
/// their place. An empty folder or mirror is as none.
///
/// # Errors
/// If there is no place at all, or the folder is none.
pub fn library(folder: Option<&Path>) -> Result<Library> {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        ensure!(!folder.is_file(), "`{}` is a file; --data takes the folder that the official files are in", folder.display());
        ensure!(folder.is_dir(), "there is no folder `{}`, which --data or RIPOSTE_DATA names", folder.display());
    }
    let mirror = std::env::var("RIPOSTE_MIRROR").ok().filter(|mirror| !mirror.is_empty());
    Library::new(folder.map(Path::to_owned), mirror.as_deref())
}

/// The images of a split, or the first `limit` of them, downloaded first if need be. Says on standard error what the user should
/// know of the files.
///
/// # Errors
/// If files are missing and cannot be downloaded, or are damaged.
pub fn load(name: DatasetId, split: Split, limit: Option<usize>, folder: Option<&Path>) -> Result<Dataset> {
    load_until(name, split, limit, folder, &Interrupt::default())
}

/// [`load`], whose download `interrupt` can end.
///
/// # Errors
/// As [`load`]; [`riposte::data::Error::Cancelled`] when interrupted.
pub fn load_until(
    name: DatasetId,
    split: Split,
    limit: Option<usize>,
    folder: Option<&Path>,
    interrupt: &Interrupt,
) -> Result<Dataset> {
    // What holds for both splits is said once.
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let (dataset, notes) = look(name, split, limit, folder, || interrupt.is_over())?;
    for note in notes {
        if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(note.clone()) {
            eprintln!("Note: {note}");
        }
    }
    Ok(dataset)
}

/// [`load`] in silence, but for the bar of a download, which `stop` can end: the images, and what the user should know of the files.
///
/// # Errors
/// As [`load`].
pub fn look(
    name: DatasetId,
    split: Split,
    limit: Option<usize>,
    folder: Option<&Path>,
    stop: impl Fn() -> bool,
) -> Result<(Dataset, Vec<String>)> {
    // Digits are drawn: a folder of others does not matter to them.
    let folder = folder.filter(|_| name != DatasetId::Digits);
    let loaded = library(folder)?.load(name, split, limit, &mut download_bar(stop))?;
    Ok((loaded.dataset, loaded.notes))
}

/// [`load_until`], and the SHA-256 of the whole split, however few of its images are asked for; `None` of digits, which the program draws.
///
/// # Errors
/// As [`load_until`].
pub fn load_hashed(
    name: DatasetId,
    split: Split,
    limit: Option<usize>,
    folder: Option<&Path>,
    interrupt: &Interrupt,
) -> Result<(Dataset, Option<[u8; 32]>)> {
    if name == DatasetId::Digits {
        return Ok((load_until(name, split, limit, folder, interrupt)?, None));
    }
    let whole = load_until(name, split, None, folder, interrupt)?;
    let hash = hash(name, &whole);
    Ok((whole.take(limit.unwrap_or(usize::MAX)), hash))
}

/// SHA-256 of images and labels; `None` of digits, which the program draws.
pub fn hash(name: DatasetId, dataset: &Dataset) -> Option<[u8; 32]> {
    let images = dataset.images();
    let shape = format!("{} {} {} {} ", images.len(), images.channels(), images.height(), images.width());
    let hash = Sha256::new().chain_update(shape).chain_update(images.pixels()).chain_update(dataset.labels());
    (name != DatasetId::Digits).then(|| hash.finalize().into())
}

/// The training samples, or the first `limit` of them, by class.
///
/// # Errors
/// As [`load_until`]; if there are fewer than `limit`.
pub fn pools(name: DatasetId, limit: Option<usize>, folder: Option<&Path>, interrupt: &Interrupt) -> Result<ClassPools> {
    let samples = load_until(name, Split::Train, limit, folder, interrupt)?;
    let (asked, found) = (limit.unwrap_or(0), samples.len());
    ensure!(asked <= found, "--post-samples {asked} are more than the {found} training samples of {name}");
    Ok(ClassPools::new(samples))
}

/// # Errors
/// If the images are not of the size that the architecture takes.
pub fn check_shape(dataset: &Dataset, architecture: Architecture) -> Result<()> {
    let images = dataset.images();
    let (found, expected) = ([images.channels(), images.height(), images.width()], architecture.image_shape());
    let size = |[channels, height, width]: [usize; 3]| format!("{channels} x {height} x {width}");
    ensure!(found == expected, "`{architecture}` takes images of {}, the dataset has {}", size(expected), size(found));
    Ok(())
}
