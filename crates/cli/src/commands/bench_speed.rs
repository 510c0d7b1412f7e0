//! `riposte bench-speed`: the hot paths against the clock. Random weights and procedural images: it needs no files.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use clap::ValueEnum;
use riposte::Classifier;
use riposte::attack::{Attacks, Goal, Pgd};
use riposte::data::pool::{Augmentation, ClassPools};
use riposte::data::{Dataset, Images};
use riposte::defense::Defense;
use riposte::models::{Architecture, LayerPath, Model};
use riposte::neighbor::Neighbors;
use riposte::optimizer::Rule;
use riposte::post_train::{BatchNormMode, PostTrain, PostTraining};
use riposte::precision::{self, Precision};
use riposte::presets::Preset;
use riposte::rng::{self, Purpose, Seed};
use riposte::train::{InnerAttack, Method, TrainConfig, Trainer};
use serde::Serialize;

use crate::args::{BenchArgs, BenchTask, Layers};
use crate::{device, output};

#[derive(Debug, Serialize)]
struct Timing {
    task: String,
    architecture: String,
    #[serde(flatten)]
    counts: Counts,
    seed: u64,
    /// The first run, with what a device compiles and allocates for it.
    first_seconds: f64,
    /// Of each run after it.
    seconds: Vec<f64>,
    layers: &'static str,
    precision: Precision,
    device: String,
    threads: usize,
    /// What the device's allocator holds of its memory after the runs. `None` on the CPU.
    reserved_bytes: Option<u64>,
}

/// How much a run of a task does.
#[derive(Debug, Serialize)]
struct Counts {
    batch_size: usize,
    /// Of the attack; `None` for a task without one.
    steps: Option<usize>,
    /// Of the post-training; `None` for a task without one.
    iterations: Option<usize>,
}

/// # Errors
/// For what the task does not take; if the device is not there, has not the precision, or fails.
pub fn run(args: BenchArgs) -> Result<()> {
    let task = args.task.to_possible_value().expect("every task has a name").get_name().to_owned();
    check(&args, &task)?;
    device::limit_threads(args.device.threads)?;
    let device = device::open(args.device.device)?;
    let architecture = args.width.of(args.architecture)?;
    let (layers, path) = match args.layers {
        Layers::Kernels => ("kernels", LayerPath::Kernels),
        Layers::Stock => ("stock", LayerPath::Stock),
    };
    let precision = args.precision;
    let attacks = matches!(args.task, BenchTask::PgdBatch | BenchTask::PgdSingle);
    ensure!(!attacks || precision == Precision::Single, "attacks are in single precision: --precision mixed is for training");
    precision::check(precision, &device.device)?;
    let (device_name, device) = (device.to_string(), device.device);
    let bench = Bench { architecture, path, precision, seed: Seed(args.seed), device, repeats: args.repeats };
    let batch_size = |default| args.batch_size.unwrap_or(default);
    let published = |method| {
        let published = TrainConfig::of(method, architecture.image_shape()[0] > 1);
        let batch_size = batch_size(published.batch_size);
        TrainConfig { batch_size, micro_batch: batch_size, ..published }
    };
    let (counts, Times { first_seconds, seconds }) = match args.task {
        BenchTask::PostTrain => {
            let (batch_size, iterations) = (batch_size(200), args.iterations.unwrap_or(50));
            (Counts { batch_size, steps: None, iterations: Some(iterations) }, bench.post_train(batch_size, iterations)?)
        }
        BenchTask::PgdBatch | BenchTask::PgdSingle => {
            let batch_size = if args.task == BenchTask::PgdSingle { 1 } else { batch_size(500) };
            let steps = args.steps.unwrap_or(40);
            (Counts { batch_size, steps: Some(steps), iterations: None }, bench.pgd(batch_size, steps)?)
        }
        BenchTask::TrainStep => bench.train_step(plain(batch_size(256)))?,
        BenchTask::FastStep => bench.train_step(published(Method::Fast))?,
        BenchTask::TradesStep => {
            let published = published(Method::Trades);
            let steps = args.steps.unwrap_or(published.inner.steps);
            bench.train_step(TrainConfig { inner: InnerAttack { steps, ..published.inner }, ..published })?
        }
    };
    let threads = device::threads(args.device.threads);
    let timing = Timing {
        task,
        architecture: architecture.to_string(),
        counts,
        seed: args.seed,
        first_seconds,
        seconds,
        layers,
        precision,
        device: device_name,
        threads,
        reserved_bytes: bench.device.memory_pool_usage().map(|usage| usage.bytes_reserved),
    };
    if args.json { output::json(&timing) } else { output::line(&timing.in_words()) }
}

/// Refuses what the task would leave aside.
fn check(args: &BenchArgs, task: &str) -> Result<()> {
    use BenchTask::{PgdBatch, PgdSingle, PostTrain, TradesStep};
    for (flag, is_given, tasks) in [
        ("--iterations", args.iterations.is_some(), &[PostTrain][..]),
        ("--steps", args.steps.is_some(), &[PgdBatch, PgdSingle, TradesStep]),
    ] {
        ensure!(!is_given || tasks.contains(&args.task), "{flag} does not belong to --task {task}");
    }
    let size = args.batch_size.unwrap_or(1);
    ensure!(args.task != PgdSingle || size == 1, "--task {task} is of one image: --batch-size {size} belongs to pgd-batch");
    Ok(())
}

impl Timing {
    fn in_words(&self) -> String {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let milliseconds = |seconds: f64| 1000.0 * seconds;
        format!(
            "{} of {} by {}{} on {}, {} threads: first run {:.2} ms, then median {:.2} ms, fastest {:.2} ms, slowest {:.2} ms, {} runs{}",
            self.task,
            self.architecture,
            self.layers,
            if self.precision == Precision::Mixed { ", mixed precision," } else { "" },
            self.device,
            self.threads,
            milliseconds(self.first_seconds),
            milliseconds(median(&sorted)),
            milliseconds(sorted[0]),
            milliseconds(sorted[sorted.len() - 1]),
            sorted.len(),
            self.reserved_bytes.map(|bytes| format!(", {} MB of the device's memory", bytes / 1_000_000)).unwrap_or_default()
        )
    }
}

struct Bench {
    architecture: Architecture,
    path: LayerPath,
    precision: Precision,
    seed: Seed,
    device: Device,
    repeats: usize,
}

impl Bench {
    /// SGD steps on batches with the fixed perturbation: what one input costs after its search, drawing and uploading of
    /// the samples included.
    fn post_train(&self, batch_size: usize, iterations: usize) -> Result<Times> {
        let model = self.model();
        let pools = ClassPools::new(self.samples(10 * batch_size.max(400))?);
        let settings = PostTrain {
            batch_size,
            iterations,
            augmentation: Augmentation::None,
            batch_norm: BatchNormMode::Frozen,
            precision: self.precision,
            ..Preset::M_MNIST.post_train
        };
        let riposte = PostTraining { model: &model, pools: &pools, settings };
        let image = self.images(1);
        let logits = model.forward(image.clone());
        let neighbors = Neighbors {
            inputs: image.clone(),
            original: vec![0],
            neighbor: vec![1],
            images: (image + 0.1).clamp(0.0, 1.0),
            logits: logits.clone(),
            neighbor_logits: logits,
        };
        self.time(|| {
            let observe = async |_: riposte::post_train::Progress<'_, Model>| ControlFlow::Continue(());
            let answer = riposte.respond(neighbors.clone(), self.seed.input(0), observe);
            finish(pollster::block_on(answer)?.logits)
        })
    }

    /// Steps that never stop early, from the image.
    fn pgd(&self, count: usize, steps: usize) -> Result<Times> {
        let (model, images) = (self.model(), self.images(count));
        let goal = Goal::Untargeted { labels: (0..count).map(|index| index % 10).collect() };
        let draws = self.seed.inputs(0..count as u64);
        let attack = Pgd { steps, ..Pgd::MNIST };
        self.time(|| finish(attack.attack(&model, images.clone(), &goal, &draws)?.finish().logits))
    }

    /// Steps of a recipe, drawing and uploading of the samples included.
    fn train_step(&self, config: TrainConfig) -> Result<(Counts, Times)> {
        let InnerAttack { steps, .. } = config.inner;
        let counts = Counts { batch_size: config.batch_size, steps: (steps > 0).then_some(steps), iterations: None };
        let config = TrainConfig { epochs: 1 + self.repeats / 8, precision: self.precision, ..config };
        let mut trainer = Trainer::new(self.model(), config, self.seed, self.samples(8 * config.batch_size)?)?;
        let times = self.time(|| {
            let step = trainer.step().expect("the run is as long as the timing");
            Ok(step.loss.try_into_scalar::<f32>().map(|_| ())?)
        })?;
        Ok((counts, times))
    }

    fn model(&self) -> Model {
        Model::random_by(self.path, self.architecture, self.seed, &self.device)
    }

    /// Noise in the shape of the architecture's images, ten classes in turn.
    fn samples(&self, count: usize) -> Result<Dataset> {
        let [channels, height, width] = self.architecture.image_shape();
        let mut stream = self.seed.stream(Purpose::Digits, 0);
        let pixels = (0..count * channels * height * width).map(|_| rng::below(&mut stream, 256) as u8).collect();
        let labels = (0..count).map(|index| (index % 10) as u8).collect();
        Ok(Dataset::new(Images::new(pixels, channels, height, width)?, labels, 10)?)
    }

    /// Noise, `[count, channel, height, width]`.
    fn images(&self, count: usize) -> Tensor<4> {
        let [channels, height, width] = self.architecture.image_shape();
        let mut stream = self.seed.stream(Purpose::Digits, 1);
        let pixels: Vec<f32> = (0..count * channels * height * width).map(|_| rng::unit(&mut stream)).collect();
        Tensor::from_data(TensorData::new(pixels, [count, channels, height, width]), &self.device)
    }

    /// Times `work`, which must wait for the device, once and then as often as asked for.
    fn time(&self, mut work: impl FnMut() -> Result<()>) -> Result<Times> {
        let mut once = || {
            let begin = Instant::now();
            work()?;
            Ok(begin.elapsed().as_secs_f64())
        };
        Ok(Times { first_seconds: once()?, seconds: (0..self.repeats).map(|_| once()).collect::<Result<_>>()? })
    }
}

/// Forward, backward and update on unperturbed images.
fn plain(batch_size: usize) -> TrainConfig {
    TrainConfig {
        batch_size,
        micro_batch: batch_size,
        rule: Rule::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.0 },
        inner: InnerAttack { epsilon: 0.0, step_size: 0.0, steps: 0, clip_start: false },
        ..TrainConfig::FAST_MNIST
    }
}

struct Times {
    first_seconds: f64,
    seconds: Vec<f64>,
}

/// Of numbers in order; between the middle two where they are even in number.
fn median(sorted: &[f64]) -> f64 {
    let count = sorted.len();
    (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0
}

/// Waits for the device by reading back.
fn finish(logits: Tensor<2>) -> Result<()> {
    pollster::block_on(riposte::classifier::predictions(logits))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }
}
