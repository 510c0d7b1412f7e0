//! `riposte import`: PyTorch weights to safetensors, checked against the architecture.

use anyhow::{Context, Result};
use burn::tensor::Device;
use riposte::models::Model;
use riposte::weights::Precision;

use crate::args::ImportArgs;
use crate::{file, models, output, weights_file};

/// # Errors
/// If the file cannot be read, is not a weights file, or belongs to another architecture: then nothing is written.
pub fn run(args: ImportArgs) -> Result<()> {
    let weights = weights_file::read(&args.input)?;
    let model = Model::from_weights(args.width.of(args.architecture)?, &weights, &Device::flex())
        .with_context(|| format!("cannot import `{}`", args.input.display()))?;
    let infinite = weights.0.iter().find(|(_, parameter)| parameter.values.iter().any(|value| !value.is_finite()));
    if let Some((key, _)) = infinite {
        eprintln!("Warning: parameter `{key}` holds values that are not finite numbers.");
    }
    let precision = if args.half { Precision::F16 } else { Precision::F32 };
    let bytes = pollster::block_on(model.weights())?.to_safetensors(precision);
    file::write_atomically(&args.out, &bytes)?;
    let values: usize = weights.0.values().map(|parameter| parameter.values.len()).sum();
    output::line(&format!(
        "`{}`: {} tensors, {values} values, {} bytes, SHA-256 {}",
        args.out.display(),
        weights.0.len(),
        bytes.len(),
        models::sha256(&bytes)
    ))
}
