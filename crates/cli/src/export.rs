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

/// Attacks the images of `run` once more, as the records of an earlier run have none, and writes them to `path`; where the defense is
/// attacked, also the worst points of that, of which those of an earlier run are looked for once more. Says on standard error if the
/// base model's class of an image is not that of the records.
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
    let mut arrays = BTreeMap::from([
        ("natural", floats(images.to_f32(inputs.iter().copied()))),
        ("attacked", floats(pixels.into_values().flatten().collect())),
        ("labels", integers(inputs.iter().map(|input| stage.test.label(*input) as i64).collect())),
        ("numbers", integers(inputs.iter().map(|input| *input as i64).collect())),
    ]);
    if run.setup.counter.is_some() {
        arrays.insert("countered", floats(countered(stage, run, interrupt)?));
    }
    arrays::write(path, &arrays)
}

/// The worst point of the attack on the defense for each image of `run`, in order; the image itself where no attack had a hold.
fn countered(stage: &Stage, run: &Run, interrupt: &Interrupt) -> Result<Vec<f32>> {
    let kept = stage.points.expect("what exports keeps the points");
    let mut points = kept.take();
    let computed = points.keys().next().map_or(run.first + run.images, |input| *input as usize);
    if computed > run.first {
        eprintln!("Attacking the defense once more on {} images, whose points an earlier run had.", computed - run.first);
        stage.evaluate(run, run.first..computed, 0, interrupt, |_| Ok(()))?;
        points.extend(kept.take());
    }
    let images = stage.test.images();
    let point = |input| points.remove(&(input as u64)).unwrap_or_else(|| images.to_f32([input]));
    Ok((run.first..run.first + run.images).flat_map(point).collect())
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
