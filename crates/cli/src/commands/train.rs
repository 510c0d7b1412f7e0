//! `riposte train`: a robust base model, step by step, with checkpoints from which a run goes on exactly.

mod folder;
mod plan;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use riposte::attack::{Attack, Quantize};
use riposte::classifier::predictions;
use riposte::data::Dataset;
use riposte::defense::Static;
use riposte::evaluate::{Evaluation, Record, Summary};
use riposte::models::{Accuracy, Model, ModelCard};
use riposte::rng::Seed;
use riposte::train::{Recipe, Trainer};
use riposte::weights::{Precision, StateDict};
use riposte::{Classifier, ToTensor};
use serde::{Deserialize, Serialize};

use crate::args::TrainArgs;
use crate::dataset::{self, Split};
use crate::device::{self, Found};
use crate::evaluation::Inputs;
use crate::interrupt::Interrupt;
use crate::workers::Workers;
use crate::{models, output, progress};
use folder::{Folder, LogLine};
use plan::Plan;

/// # Errors
/// For settings out of range, missing data, a folder with another run, a run that diverges;
/// [`riposte::Error::Cancelled`] after Ctrl-C, when the checkpoint is written.
pub fn run(args: TrainArgs) -> Result<()> {
    let plan = Plan::resolve(&args)?;
    plan.config.warnings().iter().for_each(|warning| eprintln!("Note: {warning}."));
    let mut folder = Folder::open(&args.out, &plan, args.resume)?;
    device::limit_threads(args.device.threads)?;
    let device = device::open(args.device.device)?;
    riposte::precision::check(plan.config.precision, &device.device)?;
    let samples = dataset::load(plan.dataset, Split::Train, args.samples, args.data.as_deref())?;
    dataset::check_shape(&samples, plan.architecture)?;
    let (asked, found, held_out) = (args.samples.unwrap_or(0), samples.len(), args.check_images);
    ensure!(asked <= found, "{asked} samples are asked for and {} has {found}", plan.dataset);
    ensure!(held_out < found, "--check-images {held_out} leaves none of {found} samples to train on: lower it");
    let (train, held_out) = samples.split_at(found - held_out);
    plan.config.check(train.len()).map_err(riposte::Error::from)?;
    let test = dataset::load(plan.dataset, Split::Test, args.test_images, args.data.as_deref())?;
    let (asked, found) = (args.test_images.unwrap_or(0), test.len());
    ensure!(asked <= found, "there are {found} test images of {} here: --test-images {asked} are more", plan.dataset);
    let train = match (&plan.teacher, plan.config.recipe) {
        (Some(teacher), Recipe::Uat { labelled, .. }) => {
            let source = teacher.source()?;
            dataset::check_shape(&train, source.architecture)
                .with_context(|| format!("the teacher `{}` does not suit {}", teacher.name, plan.dataset))?;
            if let Some(card) = source.card.as_ref().filter(|card| card.dataset != plan.dataset) {
                eprintln!("Note: the teacher `{}` was trained on {}, not on {}.", teacher.name, card.dataset, plan.dataset);
            }
            taught(train, labelled, &source.load(&device.device)?)?
        }
        _ => train,
    };
    let seed = Seed(plan.seed);
    let mut trainer = match folder.checkpoint()? {
        Some(checkpoint) => {
            let trainer = Trainer::resume(plan.architecture, plan.config, seed, train, &checkpoint, &device.device)
                .with_context(|| format!("cannot go on from the checkpoint in `{}`", args.out.display()))?;
            eprintln!("Going on after step {} of {}.", trainer.steps_made(), trainer.total_steps());
            trainer
        }
        None => Trainer::new(Model::random(plan.architecture, seed, &device.device), plan.config, seed, train)?,
    };
    folder.drop_log_after(trainer.steps_made())?;
    folder.extend(&plan, trainer.steps_made(), trainer.steps_per_epoch())?;
    let workers = if device.is_cpu() { Workers::on_cpu(device::threads(args.device.threads))? } else { Workers::on_gpu() };
    let session = Session { plan: &plan, workers, device, interrupt: Interrupt::listen_patiently()? };
    session.train(&mut trainer, &mut folder, &held_out, args.checkpoint_steps)?;
    session.finish(&folder, &test)
}

/// The samples with the classes that a model gives them for labels, from number `labelled` on.
fn taught(samples: Dataset, labelled: usize, teacher: &Model) -> Result<Dataset> {
    const BATCH: usize = 256;
    let unlabelled = labelled.min(samples.len())..samples.len();
    let bar = progress::bar(unlabelled.len() as u64, "Labelling");
    let mut labels = Vec::with_capacity(unlabelled.len());
    for first in unlabelled.clone().step_by(BATCH) {
        let batch = first..unlabelled.end.min(first + BATCH);
        let images = samples.images().to_tensor(batch, &teacher.device());
        labels.extend(pollster::block_on(predictions(teacher.forward(images)))?.into_iter().map(|class| class as u8));
        bar.set_position(labels.len() as u64);
    }
    bar.finish_and_clear();
    let right = unlabelled.clone().zip(&labels).filter(|(sample, label)| samples.label(*sample) == usize::from(**label)).count();
    eprintln!("The teacher gives {right} of {} samples the label that is not used.", unlabelled.len());
    Ok(samples.relabelled(unlabelled.start, &labels)?)
}

struct Session<'a> {
    plan: &'a Plan,
    workers: Workers,
    device: Found,
    interrupt: Interrupt,
}

impl Session<'_> {
    fn train(&self, trainer: &mut Trainer, folder: &mut Folder, held_out: &Dataset, checkpoint_steps: usize) -> Result<()> {
        let bar = progress::bar(trainer.total_steps() as u64, "Training");
        bar.set_position(trainer.steps_made() as u64);
        let steps = trainer.steps_made();
        let mut losses = if folder.has_logged(steps) { Losses::default() } else { folder.losses(steps) };
        let begin = Instant::now();
        loop {
            let steps = trainer.steps_made();
            let epoch_ended = steps > 0 && steps.is_multiple_of(trainer.steps_per_epoch());
            // Also after a stop between the end of an epoch and its log line.
            if epoch_ended && !folder.has_logged(steps) {
                let model = trainer.model();
                let summary = self.measure(&model, held_out, &bar).inspect_err(|error| {
                    bar.finish_and_clear();
                    tell_of_stop(error, &format!("the model was measured after step {steps} of {}", trainer.total_steps()));
                })?;
                let line = LogLine::new(steps, trainer.steps_per_epoch(), losses.take_mean(), &summary, begin.elapsed());
                bar.suspend(|| eprintln!("{line}"));
                // The weights first: a run that is killed between the two measures the epoch again.
                if folder.would_be_best(&line, self.plan) {
                    folder.save_best(&pollster::block_on(model.weights())?)?;
                }
                folder.log(line)?;
            }
            if folder.has_collapsed(self.plan) {
                bar.suspend(|| {
                    eprintln!(
                        "The accuracy has collapsed (catastrophic overfitting): stopping here, with the best epoch's weights."
                    )
                });
                break;
            }
            let Some(step) = trainer.step() else { break };
            // One number a step: on a GPU this also keeps the queue short.
            let loss = step.loss.try_into_scalar::<f32>().map_err(|error| riposte::Error::Device(error.to_string()))?;
            if !loss.is_finite() {
                return Err(riposte::Error::Diverged(format!("the loss of step {} is {loss}", step.step)).into());
            }
            losses.add(loss);
            bar.set_position(step.step as u64);
            bar.set_message(losses.message.clone());
            let stop = self.interrupt.pressed();
            if stop || step.step % trainer.steps_per_epoch() == 0 || step.step % checkpoint_steps == 0 {
                folder.save(&pollster::block_on(trainer.checkpoint())?, step.step, &losses)?;
            }
            if stop {
                bar.finish_and_clear();
                let (step, all) = (step.step, trainer.total_steps());
                eprintln!("Stopped after step {step} of {all}; the same command with --resume goes on.");
                return Err(riposte::Error::Cancelled.into());
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Measures the model of the best epoch on the test set and writes it with its card.
    fn finish(&self, folder: &Folder, test: &Dataset) -> Result<()> {
        let images = test.len();
        let best = folder.best(self.plan).context("a run has at least one epoch")?.epoch();
        let precision = if self.plan.half { Precision::F16 } else { Precision::F32 };
        let weights = folder.best_weights()?.to_safetensors(precision);
        // As stored: rounding to half precision is part of what is measured.
        let model = &Model::from_weights(self.plan.architecture, &StateDict::from_safetensors(&weights)?, &self.device.device)?;
        let bar = progress::bar(images as u64, "Measuring");
        let summary = self.measure(model, test, &bar);
        bar.finish_and_clear();
        let summary = summary.inspect_err(|error| tell_of_stop(error, "the trained model was measured on the test images"))?;
        let plan = self.plan;
        let accuracy = |attack: String, correct: usize, flags: &str| Accuracy {
            attack,
            correct,
            images: summary.images,
            command: format!(
                "riposte eval --weights {}.safetensors --dataset {} --images {} {flags}",
                plan.id, plan.dataset, summary.images
            ),
        };
        let robust = summary.robust_correct.context("the measurement attacks")?;
        let card = ModelCard {
            id: plan.id.clone(),
            name: plan.name(),
            architecture: plan.architecture,
            dataset: plan.dataset,
            epsilon: plan.config.inner.epsilon,
            training: format!(
                "{}: {}{}; epoch {best} of {}, the best on the {} held-out training samples",
                plan.title(),
                plan.command(),
                folder.extensions(),
                plan.config.epochs,
                plan.check_images
            ),
            weights: format!("{}.safetensors", plan.id),
            sha256: models::sha256(&weights),
            accuracies: vec![
                accuracy("none".to_owned(), summary.natural_correct, "--attack none --riposte none"),
                accuracy(plan.attack_in_words(), robust, &plan.attack_flags()),
            ],
            opening: None,
        };
        let path = folder.save_model(&card, &weights)?;
        output::line(&format!(
            "`{}` (epoch {best}): {} of {images} test images right, {robust} under attack ({})",
            path.display(),
            summary.natural_correct,
            plan.attack_in_words()
        ))
    }

    fn measure(&self, model: &Model, images: &Dataset, bar: &ProgressBar) -> Result<Summary> {
        let evaluation = Evaluation {
            model,
            attack: Some(Attack::Pgd(self.plan.measured)),
            target: None,
            quantize: Quantize::None,
            defense: None::<Static<'_, Model>>,
            natural: false,
            counter: None,
        };
        let inputs = Inputs {
            test: images,
            given: None,
            seed: Seed(self.plan.seed),
            batch: if self.device.is_cpu() { 128 } else { 512 },
            points: None,
        };
        let measuring = bar.length() == Some(images.len() as u64);
        let mut records: Vec<Record> = Vec::with_capacity(images.len());
        inputs.evaluate(&evaluation, 0..images.len(), 0, &self.workers, &self.interrupt, |record| {
            records.push(record);
            if measuring {
                bar.set_position(records.len() as u64);
            }
            Ok(())
        })?;
        Ok(Summary::of(&records))
    }
}

/// Says what is kept where a measurement, before which a checkpoint was written, ended by Ctrl-C.
fn tell_of_stop(error: &anyhow::Error, during: &str) {
    if crate::cancelled(error) {
        eprintln!(
            "Stopped while {during}: every step made is kept; the same command with --resume goes on with this measurement."
        );
    }
}

/// The mean loss since the last log line, and what the bar says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Losses {
    sum: f64,
    count: usize,
    #[serde(skip)]
    recent: Option<f64>,
    #[serde(skip)]
    message: String,
}

impl Losses {
    fn add(&mut self, loss: f32) {
        let loss = f64::from(loss);
        self.sum += loss;
        self.count += 1;
        let recent = self.recent.map_or(loss, |recent| 0.95 * recent + 0.05 * loss);
        self.recent = Some(recent);
        self.message = format!("loss {recent:.4}");
    }

    fn take_mean(&mut self) -> Option<f64> {
        let mean = (self.count > 0).then(|| self.sum / self.count as f64);
        (self.sum, self.count) = (0.0, 0);
        mean
    }
}
