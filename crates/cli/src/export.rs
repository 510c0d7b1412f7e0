//! The images of a run for other programs: natural and attacked, with their labels and numbers.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Result;
use burn::tensor::Tensor;
use riposte::defense::{Answer, Defense, Gradients};
use riposte::evaluate::Record;
use riposte::models::Model;
use riposte::post_train::Progress;
use riposte::rng::Draws;
use riposte::{Classifier, Result as CoreResult};

use crate::arrays::{self, Array, Values};
use crate::host::floats;
use crate::interrupt::Interrupt;
use crate::run::{Run, Stage};

/// Attacks the images of `run` once more, as the records of an earlier run have none, and writes them to `path`. Says on standard error
/// if the base model's class of one is not that of the records.
///
/// # Errors
/// Of the core; if the file cannot be written; [`riposte::Error::Cancelled`] when interrupted.
pub fn export(stage: &Stage, run: &Run, records: &[Record], path: &Path, interrupt: &Interrupt) -> Result<()> {
    let kept = Keeping { model: stage.model, pixels: Mutex::default() };
    let mut differing = 0;
    stage.attack(run, &kept, interrupt, |record| {
        let index = (record.input as usize).saturating_sub(run.first);
        differing += usize::from(records.get(index).is_some_and(|known| known.attacked != record.attacked));
        Ok(())
    })?;
    if differing > 0 {
        eprintln!(
            "Note: of {differing} images the base model says another class than in the results: another device computed them."
        );
    }
    let pixels = kept.pixels.into_inner().expect("no thread panics while it has it");
    let inputs: Vec<usize> = pixels.keys().map(|input| *input as usize).collect();
    let images = stage.test.images();
    let shape = vec![inputs.len(), images.channels(), images.height(), images.width()];
    let integers = |values: Vec<i64>| Array { shape: vec![values.len()], values: Values::I64(values) };
    let floats = |values: Vec<f32>| Array { shape: shape.clone(), values: Values::F32(values) };
    let arrays = BTreeMap::from([
        ("natural", floats(images.to_f32(inputs.iter().copied()))),
        ("attacked", floats(pixels.into_values().flatten().collect())),
        ("labels", integers(inputs.iter().map(|input| stage.test.label(*input) as i64).collect())),
        ("numbers", integers(inputs.iter().map(|input| *input as i64).collect())),
    ]);
    arrays::write(path, &arrays)
}

/// A defense that keeps the images that reach it and answers as the classifier does.
pub struct Keeping<'a> {
    model: &'a Model,
    /// By the number of the input.
    pixels: Mutex<BTreeMap<u64, Vec<f32>>>,
}

impl Defense for &Keeping<'_> {
    type Model = Model;
    /// The image.
    type Prepared = Tensor<4>;

    fn gradients(&self) -> Gradients {
        Gradients::Exact
    }

    fn is_random(&self) -> bool {
        false
    }

    async fn prepare(&self, images: Tensor<4>, draws: &[Draws]) -> CoreResult<Vec<Tensor<4>>> {
        Ok(images.chunk(draws.len(), 0))
    }

    async fn respond(
        &self,
        image: Tensor<4>,
        draws: Draws,
        _: impl AsyncFnMut(Progress<'_, Model>) -> ControlFlow<()>,
    ) -> CoreResult<Answer<Model>> {
        let pixels = floats(image.clone()).map_err(|error| riposte::Error::Device(error.to_string()))?;
        self.pixels.lock().expect("no thread panics while it has it").insert(draws.input, pixels);
        Ok(Answer { logits: self.model.forward(image), adapted: None, neighbors: None })
    }
}
