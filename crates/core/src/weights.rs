//! Weights as a state dict in PyTorch's names and layout: what the safetensors files hold.

use std::collections::{BTreeMap, HashMap};

use riposte_spec::architecture::Architecture;
use riposte_spec::normalization::Normalization;
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
        self.to_safetensors_with(precision, &[])
    }

    /// [`to_safetensors`](Self::to_safetensors) with names and texts in the file's metadata.
    pub fn to_safetensors_with(&self, precision: Precision, metadata: &[(&str, String)]) -> Vec<u8> {
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
        let metadata = metadata.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
        let metadata = Some(metadata).filter(|metadata: &HashMap<String, String>| !metadata.is_empty());
        safetensors::serialize(views, metadata).expect("every view is valid")
    }

    /// The normalization that the weights bring, if they do.
    ///
    /// # Errors
    /// [`Error::Config`] if it does not fit the architecture's images.
    pub fn normalization(&self, architecture: Architecture) -> Result<Option<Normalization>> {
        let [channels, ..] = architecture.image_shape();
        match (self.0.get(MEAN), self.0.get(STD)) {
            (Some(mean), Some(std)) => Ok(Some(Normalization::new(&mean.values, &std.values, channels)?)),
            (None, None) => Ok(None),
            _ => Err(Error::Config(format!("the weights have one of `{MEAN}` and `{STD}` without the other"))),
        }
    }

    /// Has the weights bring a normalization for `architecture`; `None`: raw pixels.
    pub fn set_normalization(&mut self, normalization: Option<&Normalization>, architecture: Architecture) {
        let [channels, ..] = architecture.image_shape();
        let (mean, std) = match normalization {
            Some(Normalization { mean, std }) => (mean.to_vec(), std.to_vec()),
            None => (vec![0.0; channels], vec![1.0; channels]),
        };
        for (key, values) in [(MEAN, mean), (STD, std)] {
            self.0.insert(key.to_owned(), Parameter { shape: vec![values.len()], values });
        }
    }

    /// What the weights have added to the variances of batch normalizations, if it is not PyTorch's default.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not a positive number.
    pub fn batch_norm_epsilon(&self) -> Result<Option<f32>> {
        let Some(parameter) = self.0.get(BATCH_NORM_EPSILON) else { return Ok(None) };
        match parameter.values[..] {
            [epsilon] if epsilon > 0.0 && epsilon.is_finite() => Ok(Some(epsilon)),
            _ => Err(Error::Config(format!("`{BATCH_NORM_EPSILON}` of the weights is not a positive number"))),
        }
    }

    /// Has the weights bring a number that is added to the variances of batch normalizations.
    pub fn set_batch_norm_epsilon(&mut self, epsilon: f32) {
        self.0.insert(BATCH_NORM_EPSILON.to_owned(), Parameter { shape: vec![1], values: vec![epsilon] });
    }
}

/// The name of the mean of a normalization that weights bring, `[channel]`.
pub const MEAN: &str = "normalize.mean";
/// The name of its standard deviation, `[channel]`.
pub const STD: &str = "normalize.std";
/// The name of a number that is added to the variances of batch normalizations, `[1]`, where it is not PyTorch's default.
pub const BATCH_NORM_EPSILON: &str = "batch_norm.epsilon";

/// Whether a name of a state dict is no parameter's.
pub(crate) fn is_reserved(key: &str) -> bool {
    [MEAN, STD, BATCH_NORM_EPSILON].contains(&key)
}

/// The first of some names, and how many there are.
pub(crate) fn in_short<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<&str> = names.collect();
    let count = names.len();
    let mut shown: Vec<String> = names.into_iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if count > SHOWN {
        shown.push(format!("... ({count} in all)"));
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
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
