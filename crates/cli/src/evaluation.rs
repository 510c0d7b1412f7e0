//! A range of test images evaluated on all cores: attacked in batches and defended one by one, their records in order.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Mutex;

use anyhow::Result;
use burn::tensor::Tensor;
use riposte::ToTensor;
use riposte::attack::{self, counter::Event};
use riposte::data::Dataset;
use riposte::defense::Defense;
use riposte::evaluate::{Evaluation, Prepared, Record};
use riposte::models::Model;
use riposte::rng::Seed;

use crate::given::Given;
use crate::host::floats;
use crate::interrupt::Interrupt;
use crate::workers::Workers;

/// Points of attacks on the defense, the worst of each input, by its number.
#[derive(Debug, Default)]
pub struct Points(Mutex<BTreeMap<u64, Vec<f32>>>);

impl Points {
    /// Keeps the point of an input in place of one that it has.
    ///
    /// # Errors
    /// If the device fails.
    fn keep(&self, input: u64, image: Tensor<4>) -> Result<()> {
        let pixels = floats(image)?;
        self.0.lock().expect("no thread panics while it has it").insert(input, pixels);
        Ok(())
    }

    /// The points.
    pub fn take(&self) -> BTreeMap<u64, Vec<f32>> {
        std::mem::take(&mut *self.0.lock().expect("no thread panics while it has it"))
    }
}

/// The images, and how they are gone through.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    pub test: &'a Dataset,
    /// Images that are gone through in the place of the test images whose numbers they have.
    pub given: Option<&'a Given>,
    pub seed: Seed,
    /// Images attacked at once.
    pub batch: usize,
    /// Where the points of attacks on the defense are kept; `None`: nowhere.
    pub points: Option<&'a Points>,
}

impl Inputs<'_> {
    /// Evaluates the test images `inputs` and hands a record of each to `sink`, in order, except the first `done`.
    ///
    /// Batches begin at multiples of the batch size from the start of `inputs`, wherever the run begins: a run that goes on
    /// computes what one without a stop does.
    ///
    /// # Errors
    /// [`riposte::Error::Cancelled`] when interrupted; an error of the core, or of `sink`.
    pub fn evaluate<D>(
        &self,
        evaluation: &Evaluation<'_, D>,
        inputs: Range<usize>,
        done: usize,
        workers: &Workers,
        interrupt: &Interrupt,
        mut sink: impl FnMut(Record) -> Result<()>,
    ) -> Result<()>
    where
        D: Defense<Model = Model, Prepared: Send> + Sync,
    {
        if done >= inputs.len() {
            return Ok(());
        }
        let aligned = done / self.batch * self.batch;
        let starts: Vec<usize> = (inputs.start + aligned..inputs.end).step_by(self.batch).collect();
        let mut skip = done - aligned;
        let prepare = |batch: Range<usize>| {
            interrupt.check()?;
            let device = riposte::Classifier::device(evaluation.model);
            let images = match self.given {
                Some(given) => given.tensor(batch.clone(), &device),
                None => self.test.images().to_tensor(batch.clone(), &device),
            };
            let labels: Vec<usize> = batch.clone().map(|index| self.test.label(index)).collect();
            let draws = self.seed.inputs(batch.map(|index| index as u64));
            let observe = async |_: attack::Progress| match interrupt.is_over() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            Ok(pollster::block_on(evaluation.prepare(images, &labels, &draws, observe))?)
        };
        let defend = |input: Prepared<D::Prepared>| {
            interrupt.check()?;
            let mut kept = Ok(());
            let observe = async |event: Event<'_, Model>| {
                if let (Event::Ended { draws, image }, Some(points)) = (event, self.points) {
                    kept = points.keep(draws.input, image.clone());
                }
                if interrupt.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let record = pollster::block_on(evaluation.defend(input, observe))?;
            kept.map(|()| record)
        };
        // As many batches at a time as there are workers: memory stays bounded, and results flow.
        for window in starts.chunks(workers.count()) {
            // Fewer batches than workers are split further: on the CPU, which alone has several workers, no image depends on those beside it.
            let parts = workers.count().div_ceil(window.len());
            let batches = window.iter().flat_map(|start| split(*start..inputs.end.min(start + self.batch), parts)).collect();
            let mut prepared = Vec::new();
            workers.run(batches, prepare, |batch| {
                prepared.extend(batch);
                Ok(())
            })?;
            workers.run(prepared.into_iter().skip(skip).collect(), defend, &mut sink)?;
            skip = 0;
        }
        Ok(())
    }
}

/// A range in at most so many parts, the first ones as long as each other.
fn split(range: Range<usize>, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let length = range.len().div_ceil(parts).max(1);
    let end = range.end;
    range.step_by(length).map(move |start| start..end.min(start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_split_into_parts_that_are_the_whole() {
        assert_eq!(split(3..10, 2).collect::<Vec<_>>(), [3..7, 7..10]);
        assert_eq!(split(0..3, 8).collect::<Vec<_>>(), [0..1, 1..2, 2..3]);
        assert_eq!(split(5..9, 1).next(), Some(5..9));
        assert_eq!(split(2..2, 4).count(), 0);
    }
}
