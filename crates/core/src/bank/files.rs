//! Copies as safetensors bytes.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use half::bf16;

use super::{Bank, Difference};
use crate::models::Model;
use crate::weights::{Parameter, Precision, StateDict};
use crate::{Error, Result};

impl Bank<Model> {
    /// The copies of one pair as safetensors bytes: for copy number 0 a tensor `0.KEY` for each parameter that moved, and so on.
    pub fn to_safetensors(&self, copies: &[Difference]) -> Vec<u8> {
        let keys = self.base.keys();
        let tensors = copies.iter().enumerate().flat_map(|(draw, copy)| {
            copy.0.iter().map(move |(place, (shape, values))| {
                let values = values.iter().map(|value| value.to_f32()).collect();
                (format!("{draw}.{}", keys[*place]), Parameter { shape: shape.clone(), values })
            })
        });
        StateDict(tensors.collect()).to_safetensors(Precision::Bf16)
    }

    /// What [`to_safetensors`](Self::to_safetensors) wrote, of `draws` copies.
    ///
    /// # Errors
    /// [`Error::Weights`] if the bytes are something else, [`Error::Shape`] or [`Error::UnexpectedKeys`] if they belong to another
    /// architecture.
    pub fn from_safetensors(&self, bytes: &[u8], draws: usize) -> Result<Vec<Difference>> {
        let mut places = Places::default();
        self.base.visit(&mut places);
        let known: BTreeMap<&str, (usize, &Vec<usize>)> =
            self.base.keys().iter().zip(places.0.iter().enumerate()).map(|(key, place)| (key.as_str(), place)).collect();
        let mut copies = vec![Difference(BTreeMap::new()); draws];
        for (name, Parameter { shape, values }) in StateDict::from_safetensors(bytes)?.0 {
            let found = name.split_once('.').and_then(|(draw, key)| Some((copies.get_mut(draw.parse::<usize>().ok()?)?, key)));
            let found = found.and_then(|(copy, key)| Some((copy, known.get(key)?)));
            let architecture = self.base.architecture().to_string();
            let Some((copy, (place, expected))) = found else {
                return Err(Error::UnexpectedKeys { architecture, keys: vec![name] });
            };
            if shape != **expected {
                return Err(Error::Shape { architecture, key: name, expected: expected.to_vec(), found: shape });
            }
            copy.0.insert(*place, (shape, values.into_iter().map(bf16::from_f32).collect()));
        }
        Ok(copies)
    }
}

/// Shapes of parameters and running statistics.
#[derive(Default)]
struct Places(Vec<Vec<usize>>);

impl ModuleVisitor for Places {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().dims().to_vec());
    }
}
