//! What the runs of a suite share: the device, the models, the images.

use std::collections::BTreeMap;

use anyhow::Result;
use riposte::data::Dataset;
use riposte::data::pool::ClassPools;
use riposte::models::Model;
use riposte::spec::Choice;
use riposte::spec::dataset::{DatasetId, Split};

use super::tasks::{Subject, Task};
use crate::answers::Answers;
use crate::args::SuiteArgs;
use crate::dataset;
use crate::device::{self, Found};
use crate::interrupt::Interrupt;
use crate::run::{self, Hashes, Stage};
use crate::workers::Workers;

pub(super) struct Hall {
    pub subjects: Vec<Subject>,
    models: Vec<Model>,
    /// Test images, training samples and the hashes of both, by the dataset's name.
    images: BTreeMap<&'static str, (Dataset, ClassPools, Hashes)>,
    pub device: Found,
    pub workers: Workers,
    pub threads: usize,
    pub batch: usize,
    pub post_samples: Option<usize>,
    answers: Answers,
}

impl Hall {
    /// Loads everything onto the device.
    ///
    /// # Errors
    /// If a file is missing or does not fit, or there is no such device.
    pub fn open(args: &SuiteArgs, subjects: Vec<Subject>) -> Result<Self> {
        device::limit_threads(args.device.threads)?;
        let device = device::open(args.device.device)?;
        let threads = device::threads(args.device.threads);
        let mut images = BTreeMap::new();
        for subject in &subjects {
            if images.contains_key(subject.dataset.name()) {
                continue;
            }
            let test = dataset::load(subject.dataset, Split::Test, None, args.data.as_deref())?;
            let pools = dataset::pools(subject.dataset, args.post_samples, args.data.as_deref(), &Interrupt::default())?;
            let hash = |images: &Dataset| dataset::hash(subject.dataset, images);
            let hashes = Hashes { test: hash(&test), pool: hash(pools.samples()) };
            images.insert(subject.dataset.name(), (test, pools, hashes));
        }
        for subject in &subjects {
            dataset::check_shape(&images[subject.dataset.name()].0, subject.source.architecture)?;
        }
        Ok(Self {
            models: subjects.iter().map(|subject| subject.source.load(&device.device)).collect::<Result<_>>()?,
            subjects,
            images,
            workers: run::workers(&device, threads)?,
            threads,
            batch: args.batch.unwrap_or(run::usual_batch(&device)),
            post_samples: args.post_samples,
            device,
            answers: Answers::default(),
        })
    }

    /// Where the runs of a task take place.
    pub fn stage_of(&self, task: &Task) -> Stage<'_> {
        self.stage(task.subject)
    }

    /// Where the runs on a model take place.
    pub fn stage(&self, subject: usize) -> Stage<'_> {
        let Subject { source, dataset, .. } = &self.subjects[subject];
        let (test, pools, hashes) = &self.images[dataset.name()];
        Stage {
            transform: None,
            source,
            model: &self.models[subject],
            dataset: *dataset,
            test,
            pools: Some(pools),
            hashes: *hashes,
            post_samples: self.post_samples,
            device: &self.device,
            workers: &self.workers,
            batch: self.batch,
            bank: None,
            bank_pool: None,
            known: None,
            points: None,
            given: None,
            answers: Some(&self.answers),
        }
    }

    /// The dataset of a model.
    pub fn dataset(&self, subject: usize) -> DatasetId {
        self.subjects[subject].dataset
    }
}
