//! Builds the layers of an architecture, either from a state dict or with fresh random parameters.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use riposte_kernels::Path;

use super::buffer::Buffer;
use super::layers::{BatchNorm2d, Conv2d, EPSILON, Linear, MaxPool2d};
use crate::rng::{self, Stream};
use crate::weights::{StateDict, in_short, is_reserved};
use crate::{Error, Result};

/// Where parameters come from.
pub(crate) enum Source<'a> {
    Weights(&'a StateDict),
    /// Nowhere: only whether names and shapes fit is asked, and parameters are single zeros.
    Shapes {
        shapes: &'a BTreeMap<&'a str, &'a [usize]>,
        /// How many have fitted.
        matched: &'a Cell<usize>,
    },
    Random(&'a mut Stream),
}

/// Hands out layers by their PyTorch names and remembers the names in the order in which a module visitor meets them.
pub(crate) struct Builder<'a> {
    architecture: String,
    source: Source<'a>,
    device: &'a Device,
    path: Path,
    keys: Vec<String>,
    /// Names that a state dict may hold and that no layer needs.
    ignored: BTreeSet<String>,
    /// How names of others begin.
    ignored_prefixes: Vec<&'static str>,
    batch_norm_epsilon: f64,
}

/// The distribution of fresh parameters.
enum Init {
    /// Uniform in `[-bound, bound)`: PyTorch's default for convolutions and linear layers is `1 / sqrt(fan_in)`.
    Uniform(f32),
    Constant(f32),
}

impl<'a> Builder<'a> {
    pub(crate) fn new(architecture: String, source: Source<'a>, device: &'a Device, path: Path) -> Self {
        Self {
            architecture,
            source,
            device,
            path,
            keys: Vec::new(),
            ignored: BTreeSet::new(),
            ignored_prefixes: Vec::new(),
            batch_norm_epsilon: EPSILON,
        }
    }

    /// With another number added to the variances of batch normalizations than PyTorch's default.
    pub(crate) fn with_batch_norm_epsilon(self, epsilon: Option<f64>) -> Self {
        Self { batch_norm_epsilon: epsilon.unwrap_or(EPSILON), ..self }
    }

    /// A convolution named `name` with a weight `[out, in, height, width]`.
    pub(crate) fn conv2d(&mut self, name: &str, shape: [usize; 4], stride: usize, padding: usize, bias: bool) -> Result<Conv2d> {
        let [out, input, height, width] = shape;
        let bound = 1.0 / ((input * height * width) as f32).sqrt();
        let weight = self.parameter(&format!("{name}.weight"), shape, Init::Uniform(bound))?;
        let bias = match bias {
            true => Some(self.parameter(&format!("{name}.bias"), [out], Init::Uniform(bound))?),
            false => None,
        };
        let (weight, bias) = (Param::from_tensor(weight), bias.map(Param::from_tensor));
        Ok(Conv2d { weight, bias, stride, padding, path: self.path })
    }

    /// A linear layer named `name` with a weight `[out, in]` and a bias.
    pub(crate) fn linear(&mut self, name: &str, input: usize, out: usize) -> Result<Linear> {
        let bound = 1.0 / (input as f32).sqrt();
        let weight = self.parameter(&format!("{name}.weight"), [out, input], Init::Uniform(bound))?;
        let bias = self.parameter(&format!("{name}.bias"), [out], Init::Uniform(bound))?;
        Ok(Linear { weight: Param::from_tensor(weight), bias: Param::from_tensor(bias), path: self.path })
    }

    /// A max pooling by windows of `size` by `size`.
    pub(crate) fn max_pool(&self, size: usize) -> MaxPool2d {
        MaxPool2d { size, path: self.path }
    }

    /// A batch normalization named `name` over `channels` feature maps.
    pub(crate) fn batch_norm(&mut self, name: &str, channels: usize) -> Result<BatchNorm2d> {
        let weight = self.parameter(&format!("{name}.weight"), [channels], Init::Constant(1.0))?;
        let bias = self.parameter(&format!("{name}.bias"), [channels], Init::Constant(0.0))?;
        let mean = self.parameter(&format!("{name}.running_mean"), [channels], Init::Constant(0.0))?;
        let variance = self.parameter(&format!("{name}.running_var"), [channels], Init::Constant(1.0))?;
        Ok(BatchNorm2d {
            weight: Param::from_tensor(weight),
            bias: Param::from_tensor(bias),
            running_mean: Buffer::new(mean),
            running_var: Buffer::new(variance),
            training: Param::from_bool(true),
            epsilon: self.batch_norm_epsilon,
            path: self.path,
        })
    }

    /// Lets a state dict hold `key`, a constant that the architecture makes itself.
    pub(crate) fn ignore(&mut self, key: &str) {
        self.ignored.insert(key.to_owned());
    }

    /// Lets a state dict hold names that begin with `prefix` and that no layer needs.
    pub(crate) fn ignore_all(&mut self, prefix: &'static str) {
        self.ignored_prefixes.push(prefix);
    }

    /// The names handed out, after checking that the state dict holds nothing else.
    pub(crate) fn finish(self) -> Result<Vec<String>> {
        let held: Vec<&str> = match &self.source {
            Source::Random(_) => Vec::new(),
            Source::Weights(dict) => dict.0.keys().map(String::as_str).filter(|key| !is_reserved(key)).collect(),
            Source::Shapes { shapes, .. } => shapes.keys().copied().collect(),
        };
        let known: BTreeSet<&str> = self.keys.iter().chain(&self.ignored).map(String::as_str).collect();
        let is_known = |key: &str| known.contains(key) || self.ignored_prefixes.iter().any(|prefix| key.starts_with(prefix));
        let unexpected: Vec<String> = held.into_iter().filter(|key| !is_known(key)).map(str::to_owned).collect();
        if !unexpected.is_empty() {
            return Err(Error::UnexpectedKeys { architecture: self.architecture, keys: unexpected });
        }
        Ok(self.keys)
    }

    /// That `key` of shape `expected` is there: `found` is its shape.
    fn check(&self, key: &str, expected: &[usize], found: Option<&[usize]>) -> Result<()> {
        let architecture = || self.architecture.clone();
        match found {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(Error::Shape {
                architecture: architecture(),
                key: key.to_owned(),
                expected: expected.to_vec(),
                found: found.to_vec(),
            }),
            None => Err(Error::MissingKey {
                architecture: architecture(),
                key: key.to_owned(),
                expected: expected.to_vec(),
                found: match &self.source {
                    Source::Random(_) => String::new(),
                    Source::Weights(dict) => in_short(dict.0.keys().map(String::as_str)),
                    Source::Shapes { shapes, .. } => in_short(shapes.keys().copied()),
                },
            }),
        }
    }

    fn parameter<const D: usize>(&mut self, key: &str, shape: [usize; D], init: Init) -> Result<Tensor<D>> {
        let found = match &self.source {
            Source::Random(_) => Some(&shape[..]),
            Source::Weights(dict) => dict.0.get(key).map(|parameter| parameter.shape.as_slice()),
            Source::Shapes { shapes, .. } => shapes.get(key).copied(),
        };
        self.check(key, &shape, found)?;
        self.keys.push(key.to_owned());
        let values = match &mut self.source {
            Source::Random(stream) => {
                let count = shape.iter().product();
                match init {
                    Init::Uniform(bound) => (0..count).map(|_| rng::symmetric(stream, bound)).collect(),
                    Init::Constant(value) => vec![value; count],
                }
            }
            Source::Weights(dict) => dict.0[key].values.clone(),
            Source::Shapes { matched, .. } => {
                matched.set(matched.get() + 1);
                return Ok(Tensor::zeros([1; D], self.device));
            }
        };
        Ok(Tensor::from_data(TensorData::new(values, shape), self.device))
    }
}
