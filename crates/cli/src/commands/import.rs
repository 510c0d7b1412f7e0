//! `riposte import`: PyTorch weights to safetensors, checked against the architecture that they fit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use riposte::models::Model;
use riposte::weights::Precision;

use crate::args::ImportArgs;
use crate::{file, models, output, weights_file};

/// # Errors
/// If the file cannot be read, is not a weights file, fits no architecture, or leaves a choice open: then nothing is written.
pub fn run(args: ImportArgs) -> Result<()> {
    let wanted = args.reading.wanted(args.architecture.map(|architecture| args.width.of(architecture)).transpose()?)?;
    let imported = weights_file::import(&args.input, &file::read(&args.input)?, &wanted)?;
    imported.notes.iter().for_each(|note| eprintln!("Note: {note}."));
    let weights = imported.weights;
    let model = Model::from_weights(imported.architecture, &weights, &Device::flex())
        .with_context(|| format!("cannot import `{}`", args.input.display()))?;
    let precision = if args.half { Precision::F16 } else { Precision::F32 };
    let named = [(weights_file::ARCHITECTURE, imported.architecture.to_string())];
    let bytes = pollster::block_on(model.weights())?.to_safetensors_with(precision, &named);
    let out = match args.out {
        Some(out) => out,
        None => beside(&args.input, &bytes)?,
    };
    file::write_atomically(&out, &bytes)?;
    let values: usize = weights.0.values().map(|parameter| parameter.values.len()).sum();
    output::line(&format!(
        "`{}`: {}, {} tensors, {values} values, {} bytes, SHA-256 {}",
        out.display(),
        imported.architecture,
        weights.0.len(),
        bytes.len(),
        models::sha256(&bytes)
    ))
}

/// Where a file goes that nobody named; never over another one.
fn beside(input: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let out = PathBuf::from(input.file_stem().context("the input has no name")?).with_added_extension("safetensors");
    let is_free = std::fs::read(&out).map_or(!out.exists(), |there| there == bytes);
    ensure!(is_free, "`{}` is there already: say with --out where to write", out.display());
    Ok(out)
}
