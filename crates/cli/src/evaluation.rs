//! A range of test images, attacked in batches and defended one by one, in parallel.

use std::ops::{ControlFlow, Range};

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use riposte::data::Dataset;
use riposte::data::pool::ClassPools;
use riposte::eval::{self, Defended, Record};
use riposte::models::Model;
use riposte::neighbor::{Neighbors, Searches};
use riposte::post_train::Adapts;
use riposte::rng::Seed;
use riposte::spec::setup::Setup;
use riposte::{Classifier, ToTensor};

use crate::interrupt::Interrupt;
use crate::workers::Workers;

/// What to evaluate.
#[derive(Debug, Clone, Copy)]
pub struct Evaluation<'a> {
    pub model: &'a Model,
    pub test: &'a Dataset,
    /// The training samples. A riposte needs them.
    pub pools: Option<&'a ClassPools>,
    pub setup: Setup,
    /// Also defend the natural images.
    pub natural: bool,
    pub seed: Seed,
    /// Images attacked at once.
    pub batch: usize,
}

/// An input before its post-trainings.
struct Prepared {
    record: Record,
    natural: Option<Searched>,
    attacked: Option<Searched>,
}

/// An image `[1, channel, height, width]` and what its neighbor search found.
struct Searched {
    image: Tensor<4>,
    neighbors: Neighbors,
}

impl Evaluation<'_> {
    /// Evaluates the test images `inputs` and hands a record of each to `sink`, in order, except the first `done`.
    ///
    /// Batches begin at multiples of the batch size from the start of `inputs`, wherever the run begins: a run that goes on
    /// computes what one without a stop does.
    ///
    /// # Errors
    /// [`riposte::Error::Cancelled`] when interrupted; an error of the core, or of `sink`.
    pub fn run(
        &self,
        inputs: Range<usize>,
        done: usize,
        workers: &Workers,
        interrupt: &Interrupt,
        mut sink: impl FnMut(Record) -> Result<()>,
    ) -> Result<()> {
        if done >= inputs.len() {
            return Ok(());
        }
        let aligned = done / self.batch * self.batch;
        let starts: Vec<usize> = (inputs.start + aligned..inputs.end).step_by(self.batch).collect();
        let mut skip = done - aligned;
        // As many batches at a time as there are workers: memory stays bounded, and results flow.
        for window in starts.chunks(workers.count()) {
            let batches: Vec<Range<usize>> = window.iter().map(|start| *start..inputs.end.min(start + self.batch)).collect();
            let mut prepared = Vec::new();
            let prepare = |(batch, model): (Range<usize>, Model)| {
                interrupt.check()?;
                pollster::block_on(self.prepare(&model, batch, interrupt))
            };
            // A model is cheap to clone and cannot be shared between threads.
            let work = batches.into_iter().map(|batch| (batch, self.model.clone())).collect();
            workers.run(work, prepare, |batch| Ok(prepared.extend(batch)))?;
            let work = prepared.into_iter().skip(skip).map(|input| (input, self.model.clone())).collect();
            skip = 0;
            workers.run(work, |(input, model)| pollster::block_on(self.defend(&model, input, interrupt)), &mut sink)?;
        }
        Ok(())
    }

    async fn prepare(&self, model: &Model, batch: Range<usize>, interrupt: &Interrupt) -> Result<Vec<Prepared>> {
        let images = self.test.images().to_tensor(batch.clone(), &model.device());
        let labels: Vec<usize> = batch.clone().map(|index| self.test.label(index)).collect();
        let numbers: Vec<u64> = batch.map(|index| index as u64).collect();
        let observe = async |_| if interrupt.pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let attacked = eval::attack_batch(model, images.clone(), &labels, &numbers, &self.setup, self.seed, observe).await?;
        let defend_natural = self.natural || self.setup.attack.is_none();
        let natural = self.search(model, images.clone(), &numbers, defend_natural).await?;
        let found = self.search(model, attacked.images.clone(), &numbers, self.setup.attack.is_some()).await?;
        let inputs = attacked.records.into_iter().enumerate();
        Ok(inputs
            .map(|(index, record)| Prepared {
                record,
                natural: natural.as_ref().map(|neighbors| Searched::of(&images, neighbors, index)),
                attacked: found.as_ref().map(|neighbors| Searched::of(&attacked.images, neighbors, index)),
            })
            .collect())
    }

    async fn search(&self, model: &Model, images: Tensor<4>, numbers: &[u64], wanted: bool) -> Result<Option<Neighbors>> {
        match self.setup.riposte {
            Some(riposte) if wanted => Ok(Some(riposte.search.search(model, images, self.seed, numbers).await?)),
            _ => Ok(None),
        }
    }

    async fn defend(&self, model: &Model, input: Prepared, interrupt: &Interrupt) -> Result<Record> {
        interrupt.check()?;
        let Prepared { mut record, natural, attacked } = input;
        for (searched, slot) in [(natural, &mut record.riposte_natural), (attacked, &mut record.riposte_attacked)] {
            let Some(searched) = searched else { continue };
            let (defended, nan) = self.answer(model, searched, record.input, interrupt).await?;
            *slot = Some(defended);
            record.nan |= nan;
        }
        Ok(record)
    }

    async fn answer(&self, model: &Model, searched: Searched, number: u64, interrupt: &Interrupt) -> Result<(Defended, bool)> {
        let (riposte, pools) = self.setup.riposte.zip(self.pools).context("a riposte needs training samples")?;
        let (original, neighbor) = (searched.neighbors.original[0], searched.neighbors.neighbor[0]);
        let observe = async |_: riposte::post_train::Progress<'_, Model>| {
            if interrupt.pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let Searched { image, neighbors } = searched;
        let answer = riposte.answer(model, image, neighbors, pools, self.seed, number, observe).await?;
        Ok(eval::defended(original, neighbor, answer.logits).await?)
    }
}

impl Searched {
    fn of(images: &Tensor<4>, neighbors: &Neighbors, index: usize) -> Self {
        Self { image: images.clone().narrow(0, index, 1), neighbors: neighbors.at(index) }
    }
}
