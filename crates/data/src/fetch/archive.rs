//! The official archives of CIFAR-10 (`.tar.gz`), in either version.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, copy};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use tar::Archive;

/// Names of the batches: five of training images, then the test batch. The binary version adds `.bin`.
pub(super) const BATCHES: [&str; 6] =
    ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];

/// A batch is about 31 MB in both versions.
const MAX_BATCH: u64 = 64 << 20;

/// The named batches in an archive, each with its file name and bytes, in the order of `wanted`.
pub(super) fn batches(archive: &Path, wanted: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found: Vec<Option<(String, Vec<u8>)>> = vec![None; wanted.len()];
    each_batch(archive, |name, size, content| {
        if let Some(place) = wanted.iter().position(|batch| *batch == stem(name)) {
            let mut bytes = Vec::with_capacity(size as usize);
            content.read_to_end(&mut bytes)?;
            found[place] = Some((name.to_owned(), bytes));
        }
        Ok(())
    })?;
    let missing: Vec<&str> = wanted.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        bail!("`{}` is not CIFAR-10's archive: it lacks {}", archive.display(), missing.join(", "));
    }
    Ok(found.into_iter().flatten().collect())
}

/// Unpacks the batches into `cifar-10-batches-bin` or `cifar-10-batches-py` in `folder`: all, or the folder is not there.
pub fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    let beside = folder.join(format!("unpack-{}.tmp", std::process::id()));
    let cannot_write = || format!("cannot unpack into `{}`", folder.display());
    fs::create_dir_all(&beside).with_context(cannot_write)?;
    let (mut count, mut binary) = (0, false);
    let unpacked = each_batch(archive, |name, _, content| {
        count += 1;
        binary |= name.ends_with(".bin");
        copy(content, &mut File::create(beside.join(name))?)?;
        Ok(())
    });
    let target = folder.join(if binary { "cifar-10-batches-bin" } else { "cifar-10-batches-py" });
    let finish = || -> Result<()> {
        unpacked?;
        if count != BATCHES.len() {
            bail!("`{}` is not CIFAR-10's archive: it holds {count} batches instead of {}", archive.display(), BATCHES.len());
        }
        if target.exists() {
            fs::remove_dir_all(&target).with_context(cannot_write)?;
        }
        fs::rename(&beside, &target).with_context(cannot_write)
    };
    finish().inspect_err(|_| {
        // The first error is what the user should see.
        let _ = fs::remove_dir_all(&beside);
    })
}

/// Calls `visit` with file name, size and content of every batch. Only the last part of a path counts: nothing is written elsewhere.
fn each_batch(archive: &Path, mut visit: impl FnMut(&str, u64, &mut dyn Read) -> std::io::Result<()>) -> Result<()> {
    let walk = |archive: File, visit: &mut dyn FnMut(&str, u64, &mut dyn Read) -> std::io::Result<()>| -> std::io::Result<()> {
        let mut archive = BufReader::new(archive);
        // Some browsers unpack what they fetch and keep the name.
        let packed = archive.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let archive: Box<dyn Read> = if packed { Box::new(GzDecoder::new(archive)) } else { Box::new(archive) };
        for entry in Archive::new(archive).entries()? {
            let entry = entry?;
            let size = entry.size();
            let path = entry.path()?.into_owned();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if entry.header().entry_type().is_file() && BATCHES.contains(&stem(name)) {
                if size > MAX_BATCH {
                    return Err(std::io::Error::other(format!("{name} is absurdly large ({size} bytes)")));
                }
                visit(name, size, &mut entry.take(size))?;
            }
        }
        Ok(())
    };
    let file = File::open(archive).with_context(|| format!("cannot read `{}`", archive.display()))?;
    walk(file, &mut visit).with_context(|| format!("`{}` is damaged; get it again", archive.display()))
}

fn stem(name: &str) -> &str {
    name.strip_suffix(".bin").unwrap_or(name)
}
