//! The files of a dataset in a folder, in any layout in which they circulate.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use md5::{Digest, Md5};
use riposte_spec::dataset::{DatasetId, Split};

use super::download::{hex, md5_of};
use super::{archive, official};
use crate::{Dataset, cifar, idx};

/// Images of each batch of CIFAR-10. The binary version has no header, so this number is what guards against a cut.
const BATCH: usize = 10_000;

/// The files of one split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Files {
    /// Images and labels.
    Mnist([PathBuf; 2]),
    CifarBinary(Vec<PathBuf>),
    CifarPython(Vec<PathBuf>),
    /// The official archive, of either version.
    CifarArchive(PathBuf),
}

impl Files {
    /// The first complete set of files in `folder` or the subfolders in which they are usually found.
    pub(super) fn find(name: DatasetId, split: Split, folder: &Path) -> Option<Self> {
        layouts(name).iter().find_map(|subfolder| Self::find_in(name, split, &folder.join(subfolder)))
    }

    fn find_in(name: DatasetId, split: Split, folder: &Path) -> Option<Self> {
        let file = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        match name {
            DatasetId::Digits => None,
            DatasetId::Mnist => {
                let spelled = |stem: &str, kind: &str| {
                    ['-', '.'].iter().find_map(|dot| {
                        let plain = format!("{stem}{dot}{kind}-ubyte");
                        file(&plain).or_else(|| file(&format!("{plain}.gz")))
                    })
                };
                let prefix = mnist_prefix(split);
                let images = spelled(&format!("{prefix}-images"), "idx3")?;
                Some(Self::Mnist([images, spelled(&format!("{prefix}-labels"), "idx1")?]))
            }
            DatasetId::Cifar10 => {
                let all = |suffix: &str| {
                    batches(split).iter().map(|batch| file(&format!("{batch}{suffix}"))).collect::<Option<Vec<_>>>()
                };
                let archived = || [official::CIFAR10_BINARY, official::CIFAR10_PYTHON].iter().find_map(|known| file(known.name));
                all(".bin")
                    .map(Self::CifarBinary)
                    .or_else(|| all("").map(Self::CifarPython))
                    .or_else(|| archived().map(Self::CifarArchive))
            }
        }
    }

    /// The folder of the files, or the archive.
    pub(super) fn place(&self) -> &Path {
        match self {
            Self::Mnist([file, _]) => file.parent().unwrap_or(file),
            Self::CifarBinary(files) | Self::CifarPython(files) => files[0].parent().unwrap_or(&files[0]),
            Self::CifarArchive(file) => file,
        }
    }

    /// Reads the split, and says what the user should know about its files.
    pub(super) fn read(&self, split: Split) -> Result<(Dataset, Vec<String>)> {
        match self {
            Self::Mnist(files) => read_mnist(files, split),
            Self::CifarBinary(files) => {
                let dataset = join(files.iter().map(|path| parse_batch(path, &read(path)?, cifar::parse_binary)))?;
                let note = "the unpacked binary files of CIFAR-10 have no official checksum: their structure was checked, not their content";
                Ok((dataset, vec![note.into()]))
            }
            Self::CifarPython(files) => {
                let first = if split == Split::Train { 0 } else { 5 };
                let mut notes = Vec::new();
                let parts = files.iter().zip(&official::CIFAR10_PYTHON_BATCHES[first..]).map(|(path, md5)| {
                    let bytes = read(path)?;
                    notes.extend(note(path, &bytes, &[md5]));
                    parse_batch(path, &bytes, cifar::parse_pickle)
                });
                Ok((join(parts)?, notes))
            }
            Self::CifarArchive(file) => {
                let batches = archive::batches(file, batches(split))?;
                let parts = batches.iter().map(|(name, bytes)| match name.ends_with(".bin") {
                    true => parse_batch(&file.join(name), bytes, cifar::parse_binary),
                    false => parse_batch(&file.join(name), bytes, cifar::parse_pickle),
                });
                let known = [official::CIFAR10_BINARY.md5, official::CIFAR10_PYTHON.md5];
                let notes = if known.contains(&md5_of(file)?.as_str()) { Vec::new() } else { vec![not_official(file)] };
                Ok((join(parts)?, notes))
            }
        }
    }
}

/// What `folder` should hold, for an error message.
pub(super) fn expected(name: DatasetId, split: Split) -> String {
    match name {
        DatasetId::Digits => "nothing".into(),
        DatasetId::Mnist => {
            let prefix = mnist_prefix(split);
            format!("{prefix}-images-idx3-ubyte and {prefix}-labels-idx1-ubyte (or both with .gz)")
        }
        DatasetId::Cifar10 => {
            let batches = batches(split);
            let names = if batches.len() == 1 { batches[0].into() } else { format!("{} to {}", batches[0], batches[4]) };
            format!("{names} (with or without .bin), or {} or {}", official::CIFAR10_BINARY.name, official::CIFAR10_PYTHON.name)
        }
    }
}

/// Where else they are looked for, for an error message.
pub(super) fn subfolders(name: DatasetId) -> String {
    layouts(name)[1..].join(", ")
}

/// Subfolders in which the files are found: plain, as this program, PyTorch and TensorFlow keep them, as the archives unpack.
fn layouts(name: DatasetId) -> &'static [&'static str] {
    match name {
        DatasetId::Digits => &[],
        DatasetId::Mnist => &["", "mnist", "MNIST/raw", "MNIST", "raw"],
        DatasetId::Cifar10 => &[
            "",
            "cifar10",
            "cifar-10",
            "cifar-10-batches-bin",
            "cifar-10-batches-py",
            "cifar10/cifar-10-batches-bin",
            "cifar10/cifar-10-batches-py",
        ],
    }
}

fn mnist_prefix(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Test => "t10k",
    }
}

/// Names of the batches of a split, in the official order.
fn batches(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &archive::BATCHES[..5],
        Split::Test => &archive::BATCHES[5..],
    }
}

fn read_mnist([images, labels]: &[PathBuf; 2], split: Split) -> Result<(Dataset, Vec<String>)> {
    let first = if split == Split::Train { 0 } else { 2 };
    let (image_bytes, label_bytes) = (read(images)?, read(labels)?);
    let known = |i: usize| [official::MNIST[i].md5, official::MNIST_UNPACKED[i]];
    let mut notes: Vec<String> = note(images, &image_bytes, &known(first)).into_iter().collect();
    notes.extend(note(labels, &label_bytes, &known(first + 1)));
    let pixels = parse(images, &image_bytes, idx::parse_images)?;
    let size = (pixels.height(), pixels.width());
    ensure!(size == (28, 28), "`{}` holds images of {} x {} pixels; MNIST's have 28 x 28", images.display(), size.0, size.1);
    let labels = parse(labels, &label_bytes, idx::parse_labels)?;
    let dataset = Dataset::new(pixels, labels, 10).with_context(|| format!("in `{}`", images.display()))?;
    let published = DatasetId::Mnist.size(split);
    if dataset.len() != published {
        notes.push(format!("`{}` holds {} images; MNIST has {published}", images.display(), dataset.len()));
    }
    Ok((dataset, notes))
}

fn join(parts: impl Iterator<Item = Result<Dataset>>) -> Result<Dataset> {
    Ok(Dataset::concat(parts.collect::<Result<Vec<_>>>()?)?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn parse<T>(path: &Path, bytes: &[u8], parser: impl FnOnce(&[u8]) -> crate::Result<T>) -> Result<T> {
    parser(bytes).with_context(|| format!("`{}` is not usable", path.display()))
}

fn parse_batch(path: &Path, bytes: &[u8], parser: impl FnOnce(&[u8]) -> crate::Result<Dataset>) -> Result<Dataset> {
    let batch = parse(path, bytes, parser)?;
    let count = batch.len();
    ensure!(count == BATCH, "`{}` is not usable: it holds {count} images instead of {BATCH}; get the file again", path.display());
    Ok(batch)
}

/// A note, unless the file is one of the official ones.
fn note(path: &Path, bytes: &[u8], known: &[&str]) -> Option<String> {
    (!known.contains(&hex(&Md5::digest(bytes)).as_str())).then(|| not_official(path))
}

fn not_official(path: &Path) -> String {
    format!("`{}` is not the official file (its MD5 differs); its structure was checked, not its content", path.display())
}
