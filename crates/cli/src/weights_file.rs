//! Weights files of either kind, told apart by their first bytes: safetensors, and PyTorch's `.pth` and `.pt`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use pytorch_reader::{DType, PytorchReader};
use riposte::weights::{Parameter, StateDict};

/// Names under which checkpoints keep a model's state dict beside optimizers, epochs and the like.
const NESTS: [&str; 4] = ["state_dict.", "model_state_dict.", "net.", "model."];

/// The state dict in the file at `path`, which holds `bytes`.
///
/// # Errors
/// If it is neither kind of file, or broken; the message names the file.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<StateDict> {
    let parsed = match kind(bytes) {
        Some(Kind::Safetensors) => StateDict::from_safetensors(bytes).map_err(anyhow::Error::from),
        Some(Kind::PyTorch) => read_pytorch(path, bytes.len()),
        None if bytes.is_empty() => Err(anyhow::anyhow!("the file is empty")),
        None => Err(anyhow::anyhow!("this is neither a PyTorch file (.pth, .pt) nor a safetensors file")),
    };
    let dict = parsed.with_context(|| format!("cannot read the weights in `{}`", path.display()))?;
    Ok(unwrapped(dict))
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
fn read_pytorch(path: &Path, file_size: usize) -> Result<StateDict> {
    let reader = PytorchReader::new(path).context("not a PyTorch file, or a truncated one")?;
    // A view can declare more elements than its storage holds. Nothing that `torch.save` writes of a state dict needs that.
    let declared: u128 = reader.tensors().values().map(|t| t.byte_len() as u128).sum();
    ensure!(
        declared <= 64 * file_size as u128 + (1 << 20),
        "a file of {file_size} bytes declares {declared} bytes of tensors: it is damaged"
    );
    let mut dict = BTreeMap::new();
    for (key, tensor) in reader.tensors() {
        if let Some(values) = floats(tensor).with_context(|| format!("parameter `{key}`"))? {
            dict.insert(key.clone(), Parameter { shape: tensor.shape().to_vec(), values });
        }
    }
    if dict.is_empty() {
        bail!("there is no floating-point tensor in it");
    }
    Ok(StateDict(dict))
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

/// The model's own state dict of a checkpoint that also holds other tensors, without what wraps its keys.
fn unwrapped(mut dict: StateDict) -> StateDict {
    while let Some(nest) = NESTS.iter().find(|nest| dict.0.keys().any(|key| key.starts_with(**nest))) {
        dict.0 = dict.0.into_iter().filter_map(|(key, value)| Some((key.strip_prefix(nest)?.to_owned(), value))).collect();
    }
    dict.without_wrappers()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(keys: &[&str]) -> StateDict {
        StateDict(keys.iter().map(|key| ((*key).to_owned(), Parameter { shape: vec![1], values: vec![0.0] })).collect())
    }

    #[test]
    fn a_checkpoint_gives_its_model_and_leaves_the_optimizer() {
        let checkpoint = dict(&["net.module.0.weight", "net.module.0.bias", "optimizer.state.0.momentum_buffer"]);
        assert_eq!(unwrapped(checkpoint), dict(&["0.weight", "0.bias"]));
        assert_eq!(unwrapped(dict(&["state_dict.model.conv1.weight"])), dict(&["conv1.weight"]));
        assert_eq!(unwrapped(dict(&["0.weight", "2.bias"])), dict(&["0.weight", "2.bias"]));
    }

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        let safetensors = dict(&["0.weight"]).to_safetensors(riposte::weights::Precision::F32);
        assert_eq!(kind(&safetensors), Some(Kind::Safetensors));
        assert_eq!(kind(b"PK\x03\x04rest"), Some(Kind::PyTorch));
        assert_eq!(kind(b"\x80\x02rest"), Some(Kind::PyTorch));
        assert_eq!(kind(b"hello"), None);
        assert_eq!(kind(b""), None);
    }
}
