//! Attacks whose images survive a file: what they end with has the levels that a file can hold.

use burn::tensor::Tensor;
use riposte_spec::quantize::Quantize;

use super::rows::highest;
use super::subject::{Slope, Subject, Value};
use crate::classifier::read;
use crate::{Error, Result};

/// A subject that meets each image as a file holds it.
///
/// An attack on it succeeds with the rounded image or not at all, and one that stops at its success stops there. Gradients are those at
/// the rounded image, as if rounding had added a constant (Athalye et al. 2018, BPDA).
#[derive(Debug, Clone, Copy)]
pub struct Quantized<'a, S> {
    /// Who answers.
    pub subject: &'a S,
    /// What a file holds.
    pub quantize: Quantize,
}

impl<S: Subject> Subject for Quantized<'_, S> {
    fn class_count(&self) -> usize {
        self.subject.class_count()
    }

    fn answer(&self, images: Tensor<4>) -> Tensor<2> {
        self.subject.answer(quantized(images, self.quantize))
    }

    fn slope(&self, images: Tensor<4>, value: Value<'_>) -> Slope {
        self.subject.slope(quantized(images, self.quantize), value)
    }

    fn adapts(&self) -> bool {
        self.subject.adapts()
    }
}

/// `images` `[batch, channel, height, width]` in `[0, 1]` with each pixel at the nearest level.
pub fn quantized(images: Tensor<4>, quantize: Quantize) -> Tensor<4> {
    match quantize.most() {
        None => images,
        Some(most) => (images * most).round() / most,
    }
}

/// By how much a natural image may miss the levels: some roundings of numbers up to 1.
const ROUNDING: f32 = 1e-6;

/// Checks that natural `images` `[batch, channel, height, width]` have such levels themselves: the ball around others may hold none.
///
/// # Errors
/// [`Error::Config`] if a pixel has none of them; [`Error::Device`] if the device fails.
pub async fn check_levels(images: &Tensor<4>, quantize: Quantize) -> Result<()> {
    let Some(most) = quantize.most() else { return Ok(()) };
    let off = read(highest((quantized(images.clone(), quantize) - images.clone()).abs())).await?;
    match off.iter().position(|off| *off > ROUNDING) {
        None => Ok(()),
        Some(index) => Err(Error::Config(format!(
            "image {index} of the batch has pixels that are no multiples of 1/{most}, and `quantize` {quantize} needs natural images as a \
             file holds them: round them first"
        ))),
    }
}
