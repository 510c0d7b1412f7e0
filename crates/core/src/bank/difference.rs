//! How far a copy is from the base model.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use half::bf16;

use crate::classifier::read;
use crate::{Error, Result};

/// What adapted in a copy: for each parameter that moved, by its place in the order of a module visitor, its shape and how far.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference(pub(super) BTreeMap<usize, (Vec<usize>, Vec<bf16>)>);

impl Difference {
    pub(super) async fn between<C: Module>(base: &C, adapted: &C) -> Result<Self> {
        let [mut before, mut after] = [Flat::default(), Flat::default()];
        base.visit(&mut before);
        adapted.visit(&mut after);
        let mut found = BTreeMap::new();
        for (place, ((shape, before), (_, after))) in before.0.into_iter().zip(after.0).enumerate() {
            let values = read(after - before).await?;
            if values.iter().any(|value| !value.is_finite()) {
                return Err(Error::Diverged("a parameter of a copy is not finite".to_owned()));
            }
            if values.iter().any(|value| *value != 0.0) {
                found.insert(place, (shape, values.into_iter().map(bf16::from_f32).collect()));
            }
        }
        Ok(Self(found))
    }
}

/// `base` moved by the mean of some differences, at rest.
pub(super) fn moved<C: Module>(base: &C, differences: &[Difference]) -> C {
    // `valid` gives the copy running statistics of its own, which clones would share with the base model.
    base.valid().map(&mut Move { differences, place: 0 })
}

struct Move<'a> {
    differences: &'a [Difference],
    place: usize,
}

impl ModuleMapper for Move<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let moves: Vec<&[bf16]> =
            self.differences.iter().filter_map(|copy| copy.0.get(&self.place).map(|(_, values)| values.as_slice())).collect();
        self.place += 1;
        if moves.is_empty() {
            return param;
        }
        let share = 1.0 / self.differences.len() as f32;
        let (id, tensor, mapper) = param.consume();
        let mut sum = vec![0.0; tensor.dims().iter().product()];
        for values in moves {
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value.to_f32());
        }
        let by = Tensor::from_data(TensorData::new(sum, tensor.dims()), &tensor.device());
        Param::from_mapped_value(id, tensor + by, mapper)
    }
}

/// Parameters and running statistics, flattened, with their shapes.
#[derive(Default)]
struct Flat(Vec<(Vec<usize>, Tensor<1>)>);

impl ModuleVisitor for Flat {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        self.0.push((tensor.dims().to_vec(), tensor.flatten(0, D - 1)));
    }
}
