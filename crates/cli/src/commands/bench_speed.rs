//! `riposte bench-speed`: the hot paths against the clock. Random weights and procedural images: it needs no files.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor, TensorData};
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
    task: &'static str,
    architecture: String,
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

/// # Errors
/// If the device is not there, has not the precision, or fails.
pub fn run(args: BenchArgs) -> Result<()> {
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
    let (task, Times { first_seconds, seconds }) = match args.task {
        BenchTask::PostTrain => ("post-train", bench.post_train(batch_size(200), args.iterations)?),
        BenchTask::PgdBatch => ("pgd-batch", bench.pgd(batch_size(500), args.steps)?),
        BenchTask::PgdSingle => ("pgd-single", bench.pgd(1, args.steps)?),
        BenchTask::TrainStep => ("train-step", bench.train_step(plain(batch_size(256)))?),
        BenchTask::FastStep => ("fast-step", bench.train_step(published(Method::Fast))?),
        BenchTask::TradesStep => {
            let published = published(Method::Trades);
            let inner = InnerAttack { steps: args.steps, ..published.inner };
            ("trades-step", bench.train_step(TrainConfig { inner, ..published })?)
        }
    };
    let threads = device::threads(args.device.threads);
    let timing = Timing {
        task,
        architecture: architecture.to_string(),
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
            milliseconds(sorted[sorted.len() / 2]),
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
    fn train_step(&self, config: TrainConfig) -> Result<Times> {
        let config = TrainConfig { epochs: 1 + self.repeats / 8, precision: self.precision, ..config };
        let mut trainer = Trainer::new(self.model(), config, self.seed, self.samples(8 * config.batch_size)?)?;
        self.time(|| {
            let step = trainer.step().expect("the run is as long as the timing");
            Ok(step.loss.try_into_scalar::<f32>().map(|_| ())?)
        })
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

/// Waits for the device by reading back.
fn finish(logits: Tensor<2>) -> Result<()> {
    pollster::block_on(riposte::classifier::predictions(logits))?;
    Ok(())
}
