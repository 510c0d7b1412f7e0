//! Weights as a state dict in PyTorch's names and layout: what the safetensors files hold.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Error, Result};

/// One parameter or buffer: its shape and its values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its size in each dimension.
    pub shape: Vec<usize>,
    /// As many as the shape's product.
    pub values: Vec<f32>,
}

/// Parameters and buffers by their PyTorch names (`layer1.0.conv1.weight`), linear weights as `[out, in]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateDict(pub BTreeMap<String, Parameter>);

/// How to store the values of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Single precision.
    F32,
    /// Half precision; one-dimensional parameters (biases, batch normalization) stay f32.
    F16,
    /// The upper half of each f32: 8 significant bits, in the whole range. For differences, which f16 would lose below 6e-8.
    Bf16,
}

impl StateDict {
    /// Reads safetensors bytes. Floating-point tensors of any width become f32; integer buffers such as
    /// `num_batches_tracked` are not parameters of a model here and are left out.
    ///
    /// # Errors
    /// [`Error::Weights`] if the bytes are not a safetensors file.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|error| Error::Weights(format!("not a safetensors file, or a truncated one: {error}")))?;
        let mut dict = BTreeMap::new();
        for (key, view) in file.iter() {
            if let Some(values) = floats(&view)? {
                dict.insert(key.to_owned(), Parameter { shape: view.shape().to_vec(), values });
            }
        }
        Ok(Self(dict))
    }

    /// Writes safetensors bytes that PyTorch's `load_state_dict` accepts after `safetensors.torch.load_file`.
    pub fn to_safetensors(&self, precision: Precision) -> Vec<u8> {
        let stored: Vec<(&str, Dtype, &[usize], Vec<u8>)> = self
            .0
            .iter()
            .map(|(key, parameter)| {
                let values = parameter.values.iter();
                let (dtype, bytes): (_, Vec<u8>) = match precision {
                    Precision::F16 if parameter.shape.len() > 1 => {
                        (Dtype::F16, values.flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect())
                    }
                    Precision::F16 | Precision::F32 => (Dtype::F32, values.flat_map(|v| v.to_le_bytes()).collect()),
                    Precision::Bf16 => (Dtype::BF16, values.flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect()),
                };
                (key.as_str(), dtype, parameter.shape.as_slice(), bytes)
            })
            .collect();
        let views = stored.iter().map(|(key, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.to_vec(), bytes).expect("the bytes were made from the shape");
            (*key, view)
        });
        safetensors::serialize(views, None).expect("every view is valid")
    }

    /// Removes what checkpoints put around a state dict: `state_dict.` / `net.` / `model.` nesting and DataParallel's
    /// `module.`, as long as every key has it.
    pub fn without_wrappers(self) -> Self {
        let mut dict = self.0;
        const WRAPPERS: [&str; 5] = ["state_dict.", "model_state_dict.", "net.", "model.", "module."];
        while let Some(prefix) = WRAPPERS.iter().find(|p| !dict.is_empty() && dict.keys().all(|k| k.starts_with(**p))) {
            dict = dict.into_iter().map(|(key, value)| (key[prefix.len()..].to_owned(), value)).collect();
        }
        Self(dict)
    }
}

/// The values of a floating-point tensor as f32, or `None` for an integer one.
fn floats(view: &TensorView) -> Result<Option<Vec<f32>>> {
    let bytes = view.data();
    let values = match view.dtype() {
        Dtype::F64 => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes")) as f32).collect(),
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes"))).collect(),
        Dtype::F16 => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Dtype::BF16 => bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8 | Dtype::U64 | Dtype::U32 | Dtype::U16 | Dtype::U8 | Dtype::BOOL => {
            return Ok(None);
        }
        other => return Err(Error::Weights(format!("unsupported element type {other:?}"))),
    };
    Ok(Some(values))
}
