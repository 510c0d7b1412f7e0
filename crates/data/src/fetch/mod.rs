//! Datasets by name: from the user's folder, from the cache folder, downloaded, or generated.
//!
//! Elsewhere in this crate bytes are parsed; here they are found and fetched. The order is always the same: the folder that the user names (and then
//! nothing else), the cache folder, the official hosts.

pub mod archive;
pub mod download;
mod files;
pub mod official;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use riposte_spec::dataset::{DatasetId, Split};

use download::{Downloader, Observer};
use files::Files;
use official::Mirrors;

use crate::rng::Seed;
use crate::{Dataset, digits};

/// A split of a dataset.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub dataset: Dataset,
    pub origin: Origin,
    /// What the user should know about the files, in sentences: for instance that a checksum is not the official one.
    pub notes: Vec<String>,
}

/// Where a dataset comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Generated,
    /// The folder of the files, or the archive.
    Files(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generated => f.write_str("generated"),
            Self::Files(path) => path.display().fmt(f),
        }
    }
}

/// Where datasets are looked for and how they are fetched.
#[derive(Debug, Clone)]
pub struct Library {
    /// The user's folder: if given, the only place.
    pub folder: Option<PathBuf>,
    /// Where downloads go.
    pub cache: PathBuf,
    pub mirrors: Mirrors,
    pub downloader: Downloader,
}

impl Library {
    /// `folder` is `--data` or `RIPOSTE_DATA`; `mirror` is `RIPOSTE_MIRROR`, a URL that replaces the official hosts.
    ///
    /// # Errors
    /// When there is no cache folder on this system and no `folder` either.
    pub fn new(folder: Option<PathBuf>, mirror: Option<&str>) -> Result<Self> {
        let cache = match dirs::cache_dir() {
            Some(cache) => cache.join("riposte"),
            None if folder.is_some() => PathBuf::new(),
            None => bail!("this system has no cache folder: name a folder with --data DIR"),
        };
        let mirrors = mirror.map_or_else(Mirrors::official, Mirrors::at);
        Ok(Self { folder, cache, mirrors, downloader: Downloader::default() })
    }

    /// A split of a dataset, downloaded first if need be; only the first `limit` images if it is given. `observer` follows a
    /// download and can stop it.
    ///
    /// # Errors
    /// When the files are not there, not what they should be, or cannot be fetched; [`crate::Error::Cancelled`] when `observer`
    /// stops it.
    pub fn load(&self, name: DatasetId, split: Split, limit: Option<usize>, observer: &mut Observer) -> Result<Loaded> {
        let count = limit.unwrap_or(usize::MAX).min(name.size(split));
        if name == DatasetId::Digits {
            return Ok(Loaded { dataset: generate(split, count), origin: Origin::Generated, notes: Vec::new() });
        }
        let files = match &self.folder {
            Some(folder) => in_folder(name, split, folder)?,
            None => self.in_cache(name, split, observer)?,
        };
        let (dataset, notes) = files.read(split)?;
        Ok(Loaded { dataset: dataset.take(limit.unwrap_or(usize::MAX)), origin: Origin::Files(files.place().to_owned()), notes })
    }

    /// Where `load` would take the split from without a download.
    pub fn locate(&self, name: DatasetId, split: Split) -> Option<Origin> {
        if name == DatasetId::Digits {
            return Some(Origin::Generated);
        }
        let folder = self.folder.as_ref().unwrap_or(&self.cache);
        Files::find(name, split, folder).map(|files| Origin::Files(files.place().to_owned()))
    }

    /// Makes sure that the dataset is in the cache folder, and says where. Digits need none.
    ///
    /// # Errors
    /// As for [`Library::load`].
    pub fn fetch(&self, name: DatasetId, observer: &mut Observer) -> Result<Origin> {
        if name == DatasetId::Digits {
            return Ok(Origin::Generated);
        }
        self.in_cache(name, Split::Train, observer)?;
        Ok(Origin::Files(self.in_cache(name, Split::Test, observer)?.place().to_owned()))
    }

    fn in_cache(&self, name: DatasetId, split: Split, observer: &mut Observer) -> Result<Files> {
        match name {
            DatasetId::Mnist => {
                let folder = self.cache.join("mnist");
                for file in &official::MNIST {
                    self.downloader.fetch(file, &self.mirrors.mnist, &folder, observer)?;
                }
            }
            DatasetId::Cifar10 if Files::find(name, split, &self.cache).is_none() => self.fetch_cifar10(observer)?,
            DatasetId::Cifar10 | DatasetId::Digits => {}
        }
        Files::find(name, split, &self.cache).with_context(|| format!("{name} is not in `{}`", self.cache.display()))
    }

    /// Fetches and unpacks one of the two official archives.
    fn fetch_cifar10(&self, observer: &mut Observer) -> Result<()> {
        let mirrors = &self.mirrors.cifar10;
        let binary = self.downloader.fetch(&official::CIFAR10_BINARY, mirrors, &self.cache, observer);
        let archive = match binary {
            Err(error) if !is_cancelled(&error) => {
                let python = self.downloader.fetch(&official::CIFAR10_PYTHON, mirrors, &self.cache, observer);
                python.map_err(|second| if is_cancelled(&second) { second } else { error })?
            }
            binary => binary?,
        };
        archive::unpack(&archive, &self.cache)?;
        std::fs::remove_file(&archive).with_context(|| format!("cannot remove `{}`", archive.display()))
    }
}

fn in_folder(name: DatasetId, split: Split, folder: &Path) -> Result<Files> {
    if !folder.is_dir() {
        bail!(
            "the data folder `{}` does not exist: correct --data (or RIPOSTE_DATA), or leave it out to download",
            folder.display()
        );
    }
    Files::find(name, split, folder).with_context(|| {
        format!(
            "no {name} in `{}`: it should hold {}, there or in {}. Leave --data out to download, or take --dataset digits",
            folder.display(),
            files::expected(name, split),
            files::subfolders(name),
        )
    })
}

/// The digits that the committed models know: seed 0.
fn generate(split: Split, count: usize) -> Dataset {
    const CHUNK: usize = 500;
    let chunk = |start: usize| digits::generate(Seed(0), split, start as u32..(start + CHUNK).min(count) as u32);
    let starts: Vec<usize> = (0..count.max(1)).step_by(CHUNK).collect();
    let chunks: Vec<Dataset> = starts.into_par_iter().map(chunk).collect();
    Dataset::concat(chunks).expect("chunks of one kind")
}

fn is_cancelled(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(crate::Error::Cancelled))
}
