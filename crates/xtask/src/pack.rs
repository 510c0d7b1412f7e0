//! Packed image pools for the page, from the official MNIST and CIFAR-10 files.
//!
//! The official training sets are 47 and 154 MB of pixels; a visitor needs some thousands, and a gallery. A pack is a safetensors
//! file (`images` u8 [n, channel, height, width], `labels` u8 [n], `numbers` u32 [n]) with the images in the set's own order.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use riposte_protocol::{TRAINING_IMAGES, TRAINING_PHOTOGRAPHS};
use safetensors::tensor::{Dtype, TensorView};

use crate::content::digest;

const CLASSES: usize = 10;
/// Channels, height, width.
const MNIST: [usize; 3] = [1, 28, 28];
const CIFAR10: [usize; 3] = [3, 32, 32];
/// Test images kept of each class: the gallery's pages. Photographs hardly shrink when they are packed.
const TEST_PER_CLASS: usize = 80;
const TEST_PHOTOGRAPHS_PER_CLASS: usize = 24;

/// The binary form of CIFAR-10: an archive, with its sha256, and the batches in it, each 10,000 records of a label and an image.
const CIFAR10_ARCHIVE: (&str, &str) =
    ("cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd");
const CIFAR10_HOST: &str = "https://www.cs.toronto.edu/~kriz";
const CIFAR10_FOLDER: &str = "cifar-10-batches-bin";
const CIFAR10_BATCHES: [&str; 2] = ["test_batch.bin", "data_batch_1.bin"];
const CIFAR10_BATCH_BYTES: u64 = 30_730_000;

/// The official files, with the sha256 of each.
const FILES: [(&str, &str); 4] = [
    ("t10k-images-idx3-ubyte", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    ("t10k-labels-idx1-ubyte", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ("train-images-idx3-ubyte", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    ("train-labels-idx1-ubyte", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
];
const HOST: &str = "https://ossci-datasets.s3.amazonaws.com/mnist";

/// The two packs of a dataset: safetensors.
pub struct Packs {
    pub test: Vec<u8>,
    pub train: Vec<u8>,
}

/// Packs MNIST from the first folder that has it, or downloads it; none where it cannot be had.
pub fn mnist(data: Option<&Path>) -> Result<Option<Packs>> {
    let Some(folder) = find(data)? else { return Ok(None) };
    let [test_images, test_labels, train_images, train_labels] = FILES.map(|(name, _)| read_idx(&folder, name));
    Ok(Some(Packs {
        test: pack(&test_images?, &test_labels?, MNIST, usize::MAX, TEST_PER_CLASS)?,
        train: pack(&train_images?, &train_labels?, MNIST, TRAINING_IMAGES, usize::MAX)?,
    }))
}

/// Packs CIFAR-10 from the first folder that has its binary form, or downloads it; none where it cannot be had.
pub fn cifar10(data: Option<&Path>) -> Result<Option<Packs>> {
    let Some(folder) = find_cifar10(data) else { return Ok(None) };
    let [test, train] = CIFAR10_BATCHES.map(|name| -> Result<_> {
        let bytes = std::fs::read(folder.join(name))?;
        let records = bytes.chunks_exact(1 + CIFAR10.iter().product::<usize>());
        let labels: Vec<u8> = records.clone().map(|record| record[0]).collect();
        Ok((records.flat_map(|record| &record[1..]).copied().collect::<Vec<u8>>(), labels))
    });
    let ((test_images, test_labels), (train_images, train_labels)) = (test?, train?);
    Ok(Some(Packs {
        test: pack(&test_images, &test_labels, CIFAR10, usize::MAX, TEST_PHOTOGRAPHS_PER_CLASS)?,
        train: pack(&train_images, &train_labels, CIFAR10, TRAINING_PHOTOGRAPHS, usize::MAX)?,
    }))
}

/// A folder with the batches: in the one named, the user's cache, or that cache after a download.
fn find_cifar10(data: Option<&Path>) -> Option<PathBuf> {
    let whole = |path: PathBuf| path.metadata().is_ok_and(|file| file.len() == CIFAR10_BATCH_BYTES);
    let complete = |folder: &PathBuf| CIFAR10_BATCHES.iter().all(|name| whole(folder.join(name)));
    let cache = dirs::cache_dir().map(|cache| cache.join("riposte/cifar10"));
    let named = data.into_iter().flat_map(|data| [data.join("cifar10"), data.to_path_buf()]);
    let folders = named.chain(cache.clone()).flat_map(|folder| [folder.join(CIFAR10_FOLDER), folder]);
    if let Some(folder) = folders.into_iter().find(complete) {
        return Some(folder);
    }
    let cache = cache?;
    match download_cifar10(&cache) {
        Ok(()) => Some(cache.join(CIFAR10_FOLDER)).filter(complete),
        Err(error) => {
            eprintln!("CIFAR-10 could not be downloaded ({error:#}): the site does without it.");
            None
        }
    }
}

fn download_cifar10(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let (name, sha256) = CIFAR10_ARCHIVE;
    let archive = folder.join(name);
    fetch(&format!("{CIFAR10_HOST}/{name}"), &archive, sha256)?;
    let members = CIFAR10_BATCHES.map(|batch| format!("{CIFAR10_FOLDER}/{batch}"));
    let status = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder).args(members).status();
    ensure!(status.context("tar could not be started")?.success(), "{name}: tar failed");
    // What is packed is in the two batches: the archive is four times as large.
    std::fs::remove_file(&archive)?;
    Ok(())
}

/// A folder with all four files: the one named, the user's cache, or that cache after a download.
fn find(data: Option<&Path>) -> Result<Option<PathBuf>> {
    let complete = |folder: &Path| FILES.iter().all(|(name, _)| locate(folder, name).is_some());
    if let Some(data) = data {
        for folder in [data.join("mnist"), data.to_path_buf()] {
            if complete(&folder) {
                return Ok(Some(folder));
            }
        }
        bail!("{} does not hold the four official MNIST files", data.display());
    }
    let cache = dirs::cache_dir().map(|cache| cache.join("riposte/mnist"));
    let Some(cache) = cache else { return Ok(None) };
    if complete(&cache) {
        return Ok(Some(cache));
    }
    match download(&cache) {
        Ok(()) => Ok(Some(cache)),
        Err(error) => {
            eprintln!("MNIST could not be downloaded ({error:#}): the site has the procedural digits alone.");
            Ok(None)
        }
    }
}

/// The file, gzipped or plain.
fn locate(folder: &Path, name: &str) -> Option<PathBuf> {
    [format!("{name}.gz"), name.to_owned()].map(|name| folder.join(name)).into_iter().find(|path| path.is_file())
}

fn download(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, sha256) in FILES {
        if locate(folder, name).is_some() {
            continue;
        }
        fetch(&format!("{HOST}/{name}.gz"), &folder.join(format!("{name}.gz")), sha256)?;
    }
    Ok(())
}

/// Downloads a file and checks it.
fn fetch(url: &str, to: &Path, sha256: &str) -> Result<()> {
    eprintln!("Downloading {url}");
    let part = to.with_added_extension("part");
    let status = Command::new("curl")
        .args(["--fail", "--location", "--silent", "--show-error", "--retry", "2", "--connect-timeout", "15", "--output"])
        .arg(&part)
        .arg(url)
        .status()
        .context("curl could not be started")?;
    ensure!(status.success(), "{url}: curl failed");
    let found = digest(&std::fs::read(&part)?);
    ensure!(found == sha256, "{url}: the checksum is {found}, not {sha256}");
    std::fs::rename(&part, to)?;
    Ok(())
}

/// The payload of an idx file of bytes: a magic number, as many big-endian sizes as it says, then the values.
fn read_idx(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let path = locate(folder, name).with_context(|| format!("{name} is gone"))?;
    let raw = std::fs::read(&path)?;
    let mut bytes = Vec::new();
    if raw.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(raw.as_slice()).read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    } else {
        bytes = raw;
    }
    ensure!(bytes.len() >= 4 && bytes[..3] == [0, 0, 8], "{} is not an idx file of bytes", path.display());
    let header = 4 + 4 * usize::from(bytes[3]);
    let sizes = bytes.get(4..header).context("the idx header is cut short")?.as_chunks::<4>().0;
    let values: usize = sizes.iter().map(|size| u32::from_be_bytes(*size) as usize).product();
    ensure!(bytes.len() == header + values, "{}: {values} values promised, {} there", path.display(), bytes.len() - header);
    Ok(bytes.split_off(header))
}

/// Of the first `most` images the first `per_class` of each class.
fn pack(images: &[u8], labels: &[u8], [channels, height, width]: [usize; 3], most: usize, per_class: usize) -> Result<Vec<u8>> {
    let pixels = channels * height * width;
    ensure!(images.len() == labels.len() * pixels, "{} pixels for {} labels", images.len(), labels.len());
    let mut taken = [0; CLASSES];
    let (mut kept_images, mut kept_labels, mut kept_numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (image, &label)) in images.chunks_exact(pixels).zip(labels).take(most).enumerate() {
        let count = taken.get_mut(usize::from(label)).with_context(|| format!("label {label}"))?;
        if *count < per_class {
            *count += 1;
            kept_images.extend_from_slice(image);
            kept_labels.push(label);
            kept_numbers.extend_from_slice(&(index as u32).to_le_bytes());
        }
    }
    let count = kept_labels.len();
    let views = [
        ("images", TensorView::new(Dtype::U8, vec![count, channels, height, width], &kept_images)?),
        ("labels", TensorView::new(Dtype::U8, vec![count], &kept_labels)?),
        ("numbers", TensorView::new(Dtype::U32, vec![count], &kept_numbers)?),
    ];
    Ok(safetensors::serialize(views, None)?)
}
