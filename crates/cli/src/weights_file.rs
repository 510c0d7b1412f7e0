//! Weights files of either kind, told apart by their first bytes: safetensors, and PyTorch's `.pth` and `.pt`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader};
use riposte::data::instead;
use riposte::import::{Imported, Wanted};
use riposte::models::Architecture;
use riposte::weights::{Parameter, StateDict};
use safetensors::SafeTensors;

use crate::file;

/// Where the metadata of a safetensors file names the architecture of its weights.
pub const ARCHITECTURE: &str = "riposte.architecture";

/// The weights of a network in the file at `path`, as `wanted` says and the file shows.
///
/// # Errors
/// As [`parse`] and [`riposte::import::import`]; the message names the file.
pub fn import(path: &Path, bytes: &[u8], wanted: &Wanted) -> Result<Imported> {
    let wanted = Wanted { architecture: wanted.architecture.or_else(|| named_architecture(bytes)), ..wanted.clone() };
    let dict = parse(path, bytes)?;
    riposte::import::import(dict, &wanted).with_context(|| format!("cannot take the weights of `{}`", path.display()))
}

/// All floating-point tensors in the file at `path`, by their paths in it.
///
/// # Errors
/// If it cannot be read, is neither kind of file, or broken; the message names the file.
pub fn read(path: &Path) -> Result<StateDict> {
    parse(path, &file::read(path)?)
}

/// All floating-point tensors in the file at `path`, which holds `bytes`.
///
/// # Errors
/// If it is neither kind of file, or broken; the message names the file.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<StateDict> {
    let parsed = match kind(bytes) {
        Some(Kind::Safetensors) => StateDict::from_safetensors(bytes).map_err(anyhow::Error::from),
        Some(Kind::PyTorch) => read_pytorch(path, bytes),
        None => Err(match instead(bytes) {
            Some(what) => anyhow!("this is {what}"),
            None => anyhow!("this is neither a PyTorch file (.pth, .pt) nor a safetensors file"),
        }),
    };
    parsed.with_context(|| format!("cannot read the weights in `{}`", path.display()))
}

/// The architecture that the metadata of a safetensors file names, if there is one and it is known.
fn named_architecture(bytes: &[u8]) -> Option<Architecture> {
    if kind(bytes) != Some(Kind::Safetensors) {
        return None;
    }
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    metadata.metadata().as_ref()?.get(ARCHITECTURE)?.parse().ok()
}

#[derive(Debug, PartialEq)]
enum Kind {
    Safetensors,
    PyTorch,
}

fn kind(bytes: &[u8]) -> Option<Kind> {
    // A safetensors file begins with the length of its header, a JSON object.
    if bytes.get(8) == Some(&b'{') {
        return Some(Kind::Safetensors);
    }
    let zip = bytes.starts_with(b"PK\x03\x04");
    let pickle = bytes.starts_with(&[0x80]);
    let tar = bytes.get(257..262) == Some(b"ustar");
    (zip || pickle || tar).then_some(Kind::PyTorch)
}

/// Reads tensors from the file itself: PyTorch's containers keep them apart from the pickle that names them.
fn read_pytorch(path: &Path, bytes: &[u8]) -> Result<StateDict> {
    if let Some(what) = program(bytes) {
        bail!("{what}");
    }
    let reader = PytorchReader::new(path).map_err(|error| anyhow!("{}", in_words(&error)))?;
    // A view can declare more elements than its storage holds. Nothing that `torch.save` writes of a state dict needs that.
    let (declared, size) = (reader.tensors().values().map(|t| t.byte_len() as u128).sum::<u128>(), bytes.len());
    ensure!(
        declared <= 64 * size as u128 + (1 << 20),
        "a file of {size} bytes declares {declared} bytes of tensors: it is damaged"
    );
    let mut dict = BTreeMap::new();
    for (key, tensor) in reader.tensors() {
        if let Some(values) = floats(tensor).with_context(|| format!("parameter `{key}`"))? {
            dict.insert(key.clone(), Parameter { shape: tensor.shape().to_vec(), values });
        }
    }
    ensure!(!dict.is_empty(), "there is no floating-point tensor in it");
    if let Ok(rest) = PytorchReader::read_pickle_data(path, None) {
        statistics("", &rest, 0, &mut dict);
    }
    Ok(StateDict(dict))
}

/// What a PyTorch archive is that holds a program beside the weights, and how to get them.
fn program(bytes: &[u8]) -> Option<&'static str> {
    // The names of an archive's entries are at its end.
    let directory = &bytes[bytes.len().saturating_sub(1 << 20)..];
    let has = |name: &[u8]| bytes.starts_with(b"PK") && directory.windows(name.len()).any(|window| window == name);
    if has(b"/models/model.json") || has(b"serialized_exported_program") || has(b"/archive_format") {
        return Some(
            "this is an exported program (torch.export.save); its weights are read from what \
             `torch.save(torch.export.load(FILE).state_dict, \"weights.pth\")` writes",
        );
    }
    has(b"/code/__torch__").then_some(
        "this is a TorchScript program (torch.jit.save); its weights are read from what \
         `torch.save(torch.jit.load(FILE).state_dict(), \"weights.pth\")` writes",
    )
}

/// Why a file is not read, with its cause once.
fn in_words(error: &PytorchError) -> String {
    let text = error.to_string();
    match error {
        PytorchError::Pickle(_) if text.contains("unsupported") => text.trim_start_matches("pickle: ").to_owned(),
        PytorchError::InvalidFormat(problem) if problem.contains("Expected a dictionary") => {
            format!("it does not hold named parameters ({problem}); save what `model.state_dict()` gives")
        }
        _ => format!("not a PyTorch file, or a truncated one: {text}"),
    }
}

/// Means and standard deviations that a checkpoint keeps as plain numbers beside its tensors.
fn statistics(place: &str, value: &PickleValue, depth: usize, dict: &mut BTreeMap<String, Parameter>) {
    const DEEPEST: usize = 3;
    let number = |value: &PickleValue| match value {
        PickleValue::Float(number) => Some(*number as f32),
        PickleValue::Int(number) => Some(*number as f32),
        _ => None,
    };
    match value {
        PickleValue::Dict(items) if depth < DEEPEST => {
            for (name, value) in items {
                statistics(&if place.is_empty() { name.clone() } else { format!("{place}.{name}") }, value, depth + 1, dict);
            }
        }
        PickleValue::List(items) if riposte::import::is_statistic(place) && (1..=3).contains(&items.len()) => {
            if let Some(values) = items.iter().map(number).collect::<Option<Vec<f32>>>() {
                dict.entry(place.to_owned()).or_insert(Parameter { shape: vec![values.len()], values });
            }
        }
        PickleValue::Float(_) if riposte::import::is_statistic(place) => {
            let values: Vec<f32> = number(value).into_iter().collect();
            dict.entry(place.to_owned()).or_insert(Parameter { shape: vec![1], values });
        }
        _ => {}
    }
}

/// The values of a floating-point tensor; `None` for an integer one, such as `num_batches_tracked`.
fn floats(tensor: &pytorch_reader::Tensor) -> Result<Option<Vec<f32>>> {
    let convert: fn(&[u8]) -> f32 = match tensor.dtype() {
        DType::F64 => |b| f64::from_ne_bytes(b.try_into().expect("8 bytes")) as f32,
        DType::F32 => |b| f32::from_ne_bytes(b.try_into().expect("4 bytes")),
        DType::F16 => |b| half::f16::from_ne_bytes([b[0], b[1]]).to_f32(),
        DType::BF16 => |b| half::bf16::from_ne_bytes([b[0], b[1]]).to_f32(),
        DType::I64 | DType::I32 | DType::I16 | DType::I8 | DType::U64 | DType::U32 | DType::U16 | DType::U8 | DType::Bool => {
            return Ok(None);
        }
    };
    Ok(Some(tensor.read()?.chunks_exact(tensor.dtype().size()).map(convert).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        let dict = StateDict([("0.weight".to_owned(), Parameter { shape: vec![1], values: vec![0.0] })].into());
        let safetensors = dict.to_safetensors(riposte::weights::Precision::F32);
        assert_eq!(kind(&safetensors), Some(Kind::Safetensors));
        assert_eq!(kind(b"PK\x03\x04rest"), Some(Kind::PyTorch));
        assert_eq!(kind(b"\x80\x02rest"), Some(Kind::PyTorch));
        assert_eq!(kind(b"hello"), None);
        assert_eq!(kind(b""), None);
    }

    #[test]
    fn what_lies_in_the_place_of_weights_is_named() {
        for (bytes, word) in [(&b"<!DOCTYPE html>"[..], "web page"), (b"", "empty"), (b"hello", "neither")] {
            let error = format!("{:#}", parse(Path::new("x.pth"), bytes).unwrap_err());
            assert!(error.contains("x.pth") && error.contains(word), "{error}");
        }
    }
}
