//! Datasets by name: from files, or procedural.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use riposte::data::Dataset;
pub use riposte::data::digits::Split;
use riposte::data::digits;
use riposte::data::pool::ClassPools;
use riposte::models::Architecture;
use riposte::rng::Seed;

use crate::args::{DataArgs, DatasetName};
use crate::data;
use crate::models::Source;

/// The digits are one dataset, the same in every run.
const DIGITS_SEED: Seed = Seed(0);

/// The dataset that `args` name, or the one that the model was trained on.
///
/// # Errors
/// If neither says it.
pub fn chosen(args: &DataArgs, source: &Source) -> Result<DatasetName> {
    args.dataset.or_else(|| source.dataset()).with_context(|| format!("which images for `{}`? Say it with --dataset", source.name))
}

/// All images of a split: from the files in `folder`, from the cache folder, or downloaded; the digits are drawn.
///
/// # Errors
/// If files are missing and cannot be downloaded, or are damaged.
pub fn load(name: DatasetName, split: Split, folder: Option<&Path>) -> Result<Dataset> {
    match name {
        DatasetName::Digits => draw_digits(split),
        DatasetName::Mnist => data::mnist(split, folder),
        DatasetName::Cifar10 => data::cifar10(split, folder),
    }
}

/// The training samples by class.
///
/// # Errors
/// As [`load`].
pub fn pools(name: DatasetName, folder: Option<&Path>) -> Result<ClassPools> {
    Ok(ClassPools::new(load(name, Split::Train, folder)?))
}

/// The first `count` images.
///
/// # Errors
/// If there are fewer.
pub fn first(dataset: Dataset, count: usize) -> Result<Dataset> {
    ensure!(count <= dataset.len(), "{count} samples are asked for and there are {}", dataset.len());
    Ok(dataset.take(count))
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

/// As many as MNIST has, in pieces on all cores: an image does not depend on the others.
fn draw_digits(split: Split) -> Result<Dataset> {
    const PIECE: u32 = 500;
    let count: u32 = match split {
        Split::Train => 60_000,
        Split::Test => 10_000,
    };
    let pieces: Vec<Dataset> =
        (0..count / PIECE).into_par_iter().map(|piece| digits::generate(DIGITS_SEED, split, piece * PIECE..(piece + 1) * PIECE)).collect();
    Ok(Dataset::concat(pieces)?)
}
