//! Runs over ranges of test images: what `riposte eval` does once, and `riposte bench` for each of its cells.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, ensure};
use riposte::attack::Quantize;
use riposte::bank::{Bank, BankUse, Banked, Riposte};
use riposte::data::Dataset;
use riposte::data::pool::ClassPools;
use riposte::defense::{Defense, Static, Transform, Transformed};
use riposte::evaluate::{Evaluation, Record, wilson_interval};
use riposte::models::Model;
use riposte::post_train::PostTraining;
use riposte::rng::Seed;
use riposte::spec::dataset::DatasetId;
use riposte::spec::results::{Header, Part, Processor, Settings};
use riposte::spec::setup::Setup;

use crate::answers::{Answers, Remembering};
use crate::device::Found;
use crate::evaluation::{Inputs, Points};
use crate::given::Given;
use crate::interrupt::Interrupt;
use crate::models::{Source, hexadecimal};
use crate::output::percent;
use crate::results::ResultsFile;
use crate::workers::Workers;

/// What the runs on a model share.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    pub source: &'a Source,
    pub model: &'a Model,
    pub dataset: DatasetId,
    pub test: &'a Dataset,
    /// `None` where no run has a defense.
    pub pools: Option<&'a ClassPools>,
    /// Of the images of both.
    pub hashes: Hashes,
    /// The pools hold the first so many training samples; `None`: all.
    pub post_samples: Option<usize>,
    pub device: &'a Found,
    pub workers: &'a Workers,
    /// Images attacked at once.
    pub batch: usize,
    /// Whose copies answer; `None`: each input has one of its own.
    pub bank: Option<(&'a Bank<Model>, &'a BankUse)>,
    /// SHA-256 of the samples that those copies adapted on, as the bank's card has it.
    pub bank_pool: Option<&'a str>,
    /// What answers in the riposte's place; `None`: nothing does.
    pub transform: Option<Transform>,
    /// Copies that an attacker on the defense has in place of those.
    pub known: Option<(&'a Bank<Model>, &'a BankUse)>,
    /// Where the points of attacks on the defense are kept; `None`: nowhere.
    pub points: Option<&'a Points>,
    /// Attacked images in the place of an attack's.
    pub given: Option<&'a Given>,
    /// Where answers are remembered; `None`: nowhere.
    pub answers: Option<&'a Answers>,
}

/// SHA-256 of images and labels that were read from files; `None` of those that the program draws.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hashes {
    pub test: Option<[u8; 32]>,
    pub pool: Option<[u8; 32]>,
}

/// A run: what is done to which images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    pub setup: Setup,
    pub seed: u64,
    /// Whether the natural images are defended, too.
    pub natural: bool,
    /// Number of the first image.
    pub first: usize,
    pub images: usize,
}

/// A run under way: its records, and the file that they go to.
#[derive(Debug)]
pub struct Begun {
    run: Run,
    file: Option<ResultsFile>,
    /// In order, from the run's first image on. Those of an earlier run that it goes on from are among them.
    pub records: Vec<Record>,
}

impl Run {
    fn end(&self) -> usize {
        self.first.saturating_add(self.images)
    }
}

impl Stage<'_> {
    /// Everything that the records of `run` depend on.
    pub fn settings(&self, run: &Run) -> Settings {
        Settings {
            architecture: self.source.architecture,
            weights_sha256: self.source.sha256.clone(),
            reading: self.source.reading.clone(),
            dataset: self.dataset,
            test_sha256: self.hashes.test.map(hexadecimal),
            pool_sha256: self.pool_sha256(run),
            first: run.first as u64,
            seed: run.seed,
            device: self.processor(),
            batch: self.batch,
            natural: run.natural,
            attack: run.setup.attack,
            target: run.setup.target,
            quantize: run.setup.quantize,
            riposte: run.setup.riposte,
            counter: run.setup.counter,
            post_samples: self.post_samples,
            bank: self.bank.map(|(_, used)| used.clone()),
            defense: self.transform,
            counter_bank: self.known.map(|(_, used)| used.clone()),
            images_sha256: self.given.map(|given| given.sha256.clone()),
        }
    }

    /// Of the samples that the copies which answer adapt on, or have adapted on.
    fn pool_sha256(&self, run: &Run) -> Option<String> {
        match (run.setup.riposte, self.bank) {
            (None, _) => None,
            (Some(_), None) => self.hashes.pool.map(hexadecimal),
            (Some(_), Some(_)) => self.bank_pool.map(str::to_owned),
        }
    }

    /// Begins `run`, or goes on where the file `out` ends.
    ///
    /// # Errors
    /// As [`ResultsFile::open`].
    pub fn begin(&self, run: Run, out: Option<&Path>) -> Result<Begun> {
        let (file, mut records) = match out {
            Some(path) => {
                let (file, records) = ResultsFile::open(path, Header::new(self.settings(&run)))?;
                (Some(file), records)
            }
            None => (None, Vec::new()),
        };
        records.truncate(run.images);
        if let Some(file) = file.as_ref().filter(|_| records.len() < run.images) {
            file.check_open()?;
        }
        Ok(Begun { run, file, records })
    }

    /// Computes what is missing of a run up to its image number `images`; `observe` sees all records each time that one is added.
    /// A file has whatever was computed, however this ends.
    ///
    /// # Errors
    /// [`riposte::Error::Cancelled`] when interrupted; an error of the core; if the file cannot be written.
    pub fn advance(&self, begun: &mut Begun, images: usize, interrupt: &Interrupt, observe: impl Fn(&[Record])) -> Result<()> {
        let begin = begun.part_begin();
        let Begun { run, file, records } = begun;
        let end = run.end().min(run.first.saturating_add(images));
        let next = run.first + records.len();
        let mut sink = |record: Record| {
            if let Some(file) = file {
                file.append(&record)?;
            }
            records.push(record);
            observe(records);
            Ok(())
        };
        match self.given {
            None => self.evaluate(run, begin..end.max(begin), next - begin, interrupt, sink),
            Some(given) => self.judge(run, given, begin..end.max(begin), next - begin, interrupt, &mut sink),
        }
    }

    /// Measures the base model on the natural images of a run, and compares with what is known of it.
    ///
    /// # Errors
    /// If `expected` (0 to 1) is outside the 95 % Wilson interval of what is found and more than half a percentage point from it;
    /// [`riposte::Error::Cancelled`] when interrupted; an error of the core.
    pub fn expect_accuracy(&self, run: &Run, expected: f64, interrupt: &Interrupt) -> Result<()> {
        let natural = Setup { attack: None, target: None, quantize: Quantize::None, riposte: None, counter: None };
        let evaluation = evaluation(self.model, &natural, None::<Static<'_, Model>>, true);
        let mut records = Vec::with_capacity(run.images);
        self.inputs(run).evaluate(&evaluation, run.first..run.end(), 0, self.workers, interrupt, |record| {
            records.push(record);
            Ok(())
        })?;
        let (right, all) = (records.iter().filter(|record| record.natural == record.label).count(), records.len());
        let [low, high] = wilson_interval(right, all);
        let found = right as f64 / all as f64;
        let is_known = (low..=high).contains(&expected) || (found - expected).abs() <= 0.005;
        ensure!(
            is_known,
            "the base model is right on {right} of {all} natural images, {}, and --expect-accuracy says {}: are its architecture and \
             its normalization ({}) those that it was trained with, and the images those that the figure is of?",
            percent(found),
            percent(expected),
            self.source.computation()
        );
        Ok(())
    }

    /// Attacks the images of a run and hands them to `defense`.
    ///
    /// # Errors
    /// [`riposte::Error::Cancelled`] when interrupted; an error of the core or of `sink`.
    pub fn attack<D>(&self, run: &Run, defense: D, interrupt: &Interrupt, sink: impl FnMut(Record) -> Result<()>) -> Result<()>
    where
        D: Defense<Model = Model, Prepared: Send> + Sync,
    {
        let setup = Setup { riposte: None, counter: None, ..run.setup };
        let evaluation = evaluation(self.model, &setup, Some(defense), false);
        self.inputs(run).evaluate(&evaluation, run.first..run.end(), 0, self.workers, interrupt, sink)
    }

    /// Evaluates some `inputs` of a run, except the first `done`.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    pub fn evaluate(
        &self,
        run: &Run,
        inputs: Range<usize>,
        done: usize,
        interrupt: &Interrupt,
        sink: impl FnMut(Record) -> Result<()>,
    ) -> Result<()> {
        let Run { setup, natural, .. } = run;
        match self.transformed() {
            None => {
                let evaluation = evaluation(self.model, setup, self.defense(run)?, *natural);
                self.inputs(run).evaluate(&evaluation, inputs, done, self.workers, interrupt, sink)
            }
            some => {
                let evaluation = evaluation(self.model, setup, some, *natural);
                self.inputs(run).evaluate(&evaluation, inputs, done, self.workers, interrupt, sink)
            }
        }
    }

    /// [`evaluate`](Self::evaluate) with images from a file: the natural images and those are each gone through without an attack, as
    /// many at a time as the workers take.
    fn judge(
        &self,
        run: &Run,
        given: &Given,
        inputs: Range<usize>,
        mut done: usize,
        interrupt: &Interrupt,
        sink: &mut impl FnMut(Record) -> Result<()>,
    ) -> Result<()> {
        let unattacked = Setup { attack: None, target: None, quantize: Quantize::None, counter: None, ..run.setup };
        let natural = if run.natural { self.defense(run)? } else { None };
        let natural = evaluation(self.model, &unattacked, natural, true);
        let attacked = evaluation(self.model, &unattacked, self.defense(run)?, true);
        let chunk = self.batch * self.workers.count();
        for begin in inputs.clone().step_by(chunk) {
            let part = begin..inputs.end.min(begin + chunk);
            let skipped = done.min(part.len());
            done -= skipped;
            let mut records = Vec::new();
            self.inputs(run).evaluate(&natural, part.clone(), skipped, self.workers, interrupt, |record| {
                records.push(record);
                Ok(())
            })?;
            let mut records = records.into_iter();
            let inputs = Inputs { given: Some(given), ..self.inputs(run) };
            inputs.evaluate(&attacked, part, skipped, self.workers, interrupt, |judged| {
                let natural = records.next().expect("there are as many natural images");
                sink(Record {
                    attacked: Some(judged.natural),
                    perturbation: Some(given.perturbation(judged.input as usize, self.test)),
                    nan: natural.nan || judged.nan,
                    riposte_attacked: judged.riposte_natural,
                    ..natural
                })
            })?;
        }
        Ok(())
    }

    fn inputs(&self, run: &Run) -> Inputs<'_> {
        Inputs { test: self.test, given: None, seed: Seed(run.seed), batch: self.batch, points: self.points }
    }

    fn transformed(&self) -> Option<Transformed<'_, Model>> {
        Some(Transformed { model: self.model, transform: self.transform? })
    }

    fn defense(&self, run: &Run) -> Result<Option<Remembering<'_>>> {
        let defense = match (run.setup.riposte, self.bank, self.pools) {
            (Some(settings), Some((bank, used)), _) => Riposte::Banked(Banked { bank, search: settings.search, pick: used.pick }),
            (Some(settings), None, Some(pools)) => Riposte::Adapting(PostTraining { model: self.model, pools, settings }),
            _ => return Ok(None),
        };
        // An attack on the defense needs the copies behind its answers.
        let answers = self.answers.filter(|_| run.setup.counter.is_none());
        let bank = self.bank.map(|(_, used)| used);
        let subject = (self.source.identity()?, self.dataset, self.post_samples, run.setup.riposte, bank);
        Ok(Some(Remembering::new(defense, self.known.map(|(known, _)| known), &subject, answers)?))
    }

    pub fn processor(&self) -> Processor {
        if self.device.is_cpu() { Processor::Cpu } else { Processor::Gpu }
    }
}

fn evaluation<'a, D: Defense<Model = Model>>(
    model: &'a Model,
    setup: &Setup,
    defense: Option<D>,
    natural: bool,
) -> Evaluation<'a, D> {
    let Setup { attack, target, quantize, counter, .. } = *setup;
    Evaluation { model, attack, target, quantize, defense, natural, counter }
}

impl Begun {
    /// Number of the first image of the part that the next record belongs to.
    pub fn part_begin(&self) -> usize {
        let next = self.run.first + self.records.len();
        self.file.as_ref().map_or(self.run.first, |file| file.part_begin() as usize).min(next)
    }

    /// Whether its records go to standard output, where nothing else should go then.
    pub fn is_output(&self) -> bool {
        self.file.as_ref().is_some_and(ResultsFile::is_output)
    }

    /// What its images were computed with; `None` without a file.
    pub fn parts(&self) -> Option<Vec<Part>> {
        self.file.as_ref().map(|file| file.parts_before(self.run.end() as u64))
    }
}

/// Images attacked at once on a device, where none are asked for.
pub fn usual_batch(device: &Found) -> usize {
    if device.is_cpu() { 128 } else { 512 }
}

/// The workers for a device.
///
/// # Errors
/// If the threads cannot be started.
pub fn workers(device: &Found, threads: usize) -> Result<Workers> {
    if device.is_cpu() { Workers::on_cpu(threads) } else { Ok(Workers::on_gpu()) }
}
