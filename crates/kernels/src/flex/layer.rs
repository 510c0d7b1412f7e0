//! The backward pass of a layer as slices.

use burn::backend::flex::Flex;

use super::memory::{contiguous, slice};
use crate::{Activation, LayerBackward, LayerGradients};

/// [`LayerBackward`] as slices.
pub(super) struct Pass<'a> {
    pub(super) gradient: &'a [f32],
    pub(super) output: Option<&'a [f32]>,
    pub(super) x: Option<&'a [f32]>,
    pub(super) weight: Option<&'a [f32]>,
    pub(super) bias: bool,
    pub(super) activation: Activation,
}

/// Computes with the slices of a pass.
pub(super) fn with_pass(pass: &LayerBackward<Flex>, compute: impl FnOnce(&Pass) -> LayerGradients<Flex>) -> LayerGradients<Flex> {
    let gradient = pass.gradient.to_contiguous();
    let [output, x, weight] = [&pass.output, &pass.x, &pass.weight].map(contiguous);
    compute(&Pass {
        gradient: slice(&gradient),
        output: output.as_ref().map(slice),
        x: x.as_ref().map(slice),
        weight: weight.as_ref().map(slice),
        bias: pass.bias,
        activation: pass.activation,
    })
}
