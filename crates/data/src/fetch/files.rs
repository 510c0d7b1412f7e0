//! The files of a dataset in a folder, in any layout in which they circulate.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use md5::{Digest, Md5};
use riposte_spec::dataset::{DatasetId, Split};

use super::download::{hex, md5_of};
use super::{archive, official};
use crate::npy::{self, Values};
use crate::{Dataset, Images, cifar, idx, instead};

/// More images than this are in no file of CIFAR-10.
const MOST: usize = 60_000;

/// The files of one split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Files {
    /// Images and labels.
    Mnist([PathBuf; 2]),
    CifarBinary(Vec<PathBuf>),
    CifarPython(Vec<PathBuf>),
    /// The official archive, of either version.
    CifarArchive(PathBuf),
    /// Arrays as Keras names them: `x_train`, `y_train`, `x_test`, `y_test`.
    Arrays(DatasetId, PathBuf),
}

impl Files {
    /// The first complete set of files in `folder` or the subfolders in which they are usually found.
    pub(super) fn find(name: DatasetId, split: Split, folder: &Path) -> Option<Self> {
        let usual = layouts(name).iter().find_map(|subfolder| Self::find_in(name, split, &folder.join(subfolder)));
        usual.or_else(|| folders_below(folder).iter().find_map(|folder| Self::find_in(name, split, folder)))
    }

    fn find_in(name: DatasetId, split: Split, folder: &Path) -> Option<Self> {
        let file = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        match name {
            DatasetId::Digits => None,
            DatasetId::Mnist => {
                let prefix = mnist_prefix(split);
                let pair = || {
                    let images = spelled(folder, &format!("{prefix}-images"), "idx3")?;
                    Some(Self::Mnist([images, spelled(folder, &format!("{prefix}-labels"), "idx1")?]))
                };
                pair().or_else(|| file("mnist.npz").map(|file| Self::Arrays(name, file)))
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
                    .or_else(|| file("cifar10.npz").map(|file| Self::Arrays(name, file)))
            }
        }
    }

    /// The folder of the files, or the archive.
    pub(super) fn place(&self) -> &Path {
        match self {
            Self::Mnist([file, _]) => file.parent().unwrap_or(file),
            Self::CifarBinary(files) | Self::CifarPython(files) => files[0].parent().unwrap_or(&files[0]),
            Self::CifarArchive(file) | Self::Arrays(_, file) => file,
        }
    }

    /// Reads the split, and says what the user should know about its files.
    pub(super) fn read(&self, split: Split) -> Result<(Dataset, Vec<String>)> {
        match self {
            Self::Mnist(files) => read_mnist(files, split),
            Self::CifarBinary(files) => {
                let dataset = join(files.iter().map(|path| parse_batch(path, &read(path)?, cifar::parse_binary)))?;
                let note = "the unpacked binary files of CIFAR-10 have no official checksum: their structure was checked, not their content";
                let notes = [note.into()].into_iter().chain(subset(DatasetId::Cifar10, split, &dataset, &files[0]));
                Ok((dataset, notes.collect()))
            }
            Self::CifarPython(files) => {
                let first = if split == Split::Train { 0 } else { 5 };
                let mut notes = Vec::new();
                let parts = files.iter().zip(&official::CIFAR10_PYTHON_BATCHES[first..]).map(|(path, md5)| {
                    let bytes = read(path)?;
                    notes.extend(note(path, &bytes, &[md5]));
                    parse_batch(path, &bytes, cifar::parse_pickle)
                });
                let dataset = join(parts)?;
                notes.extend(subset(DatasetId::Cifar10, split, &dataset, &files[0]));
                Ok((dataset, notes))
            }
            Self::Arrays(name, file) => {
                let dataset = read_arrays(*name, split, file).with_context(|| format!("`{}` is not usable", file.display()))?;
                let note = format!("`{}` has no official checksum: its structure was checked, not its content", file.display());
                let notes = [note].into_iter().chain(subset(*name, split, &dataset, file)).collect();
                Ok((dataset, notes))
            }
            Self::CifarArchive(file) => {
                let batches = archive::batches(file, batches(split))?;
                let parts = batches.iter().map(|(name, bytes)| match name.ends_with(".bin") {
                    true => parse_batch(&file.join(name), bytes, cifar::parse_binary),
                    false => parse_batch(&file.join(name), bytes, cifar::parse_pickle),
                });
                let known = [official::CIFAR10_BINARY.md5, official::CIFAR10_PYTHON.md5];
                let mut notes = if known.contains(&md5_of(file)?.as_str()) { Vec::new() } else { vec![not_official(file)] };
                let dataset = join(parts)?;
                notes.extend(subset(DatasetId::Cifar10, split, &dataset, file));
                Ok((dataset, notes))
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
    notes.extend(subset(DatasetId::Mnist, split, &dataset, images));
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
    ensure!(count <= MOST, "`{}` is not usable: it holds {count} images, more than CIFAR-10 has", path.display());
    Ok(batch)
}

/// The split in a file of arrays as Keras writes them.
fn read_arrays(name: DatasetId, split: Split, file: &Path) -> Result<Dataset> {
    let bytes = read(file)?;
    if let Some(what) = instead(&bytes) {
        bail!("this is {what}");
    }
    let mut arrays = npy::decode_archive(&bytes)?;
    let word = if split == Split::Train { "train" } else { "test" };
    let mut take = |letter: &str| {
        let key = format!("{letter}_{word}");
        arrays.remove(&key).with_context(|| format!("it holds no array `{key}`"))
    };
    let (images, labels) = (take("x")?, take("y")?);
    let Values::U8(pixels) = &images.values else { bail!("its images are not bytes from 0 to 255") };
    let labels = labels.values.integers().context("its labels are not integers")?;
    let labels = labels.into_iter().map(|label| u8::try_from(label).context("a label is none")).collect::<Result<Vec<u8>>>()?;
    let [channels, height, width] = name.image_shape();
    let pixels = match name {
        DatasetId::Cifar10 => cifar::planar(&images.shape, pixels)?,
        _ => pixels.clone(),
    };
    let size: usize = images.shape.iter().skip(1).product();
    ensure!(size == channels * height * width, "its images have the shape {:?}", &images.shape[1..]);
    Ok(Dataset::new(Images::new(pixels, channels, height, width)?, labels, name.classes().len())?)
}

/// A note, unless the split is whole.
fn subset(name: DatasetId, split: Split, dataset: &Dataset, path: &Path) -> Option<String> {
    let (found, published) = (dataset.len(), name.size(split));
    let words = if split == Split::Train { "training" } else { "test" };
    (found != published)
        .then(|| format!("`{}` holds {found} images; {}'s {words} set has {published}", path.display(), name.title()))
}

/// A file of MNIST in a folder: as it is officially named, with the other spelling, with what browsers add to names, in capitals.
fn spelled(folder: &Path, stem: &str, kind: &str) -> Option<PathBuf> {
    let names = ['-', '.'].map(|dot| format!("{stem}{dot}{kind}-ubyte"));
    // Kaggle's archive has folders of these names with the files in them.
    let exact = names.iter().flat_map(|name| [name.clone(), format!("{name}.gz"), format!("{name}/{name}")]);
    let mut exact = exact.map(|name| folder.join(name));
    exact.find(|path| path.is_file()).or_else(|| {
        let files = fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file());
        let is_one = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).map(str::to_lowercase);
            name.is_some_and(|name| names.iter().any(|known| name.starts_with(known)))
        };
        files.filter(is_one).min()
    })
}

/// Folders within a folder, the nearest first: so many, and so deep, as archives and other programs put data into.
fn folders_below(folder: &Path) -> Vec<PathBuf> {
    const MOST: usize = 500;
    const DEEPEST: usize = 4;
    let (mut found, mut level) = (Vec::new(), vec![folder.to_owned()]);
    for _ in 0..DEEPEST {
        let within = |folder: &PathBuf| fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let below = level.iter().flat_map(within).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        level = below.map(|entry| entry.path()).take(MOST).collect();
        level.sort_unstable();
        found.extend(level.iter().cloned());
    }
    found.truncate(MOST);
    found
}

/// A note, unless the file is one of the official ones.
fn note(path: &Path, bytes: &[u8], known: &[&str]) -> Option<String> {
    (!known.contains(&hex(&Md5::digest(bytes)).as_str())).then(|| not_official(path))
}

fn not_official(path: &Path) -> String {
    format!("`{}` is not the official file (its MD5 differs); its structure was checked, not its content", path.display())
}
