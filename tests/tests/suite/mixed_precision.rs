//! Mixed precision: steps follow those in single precision, what is to stay f32 does, and devices without f16 say so.

use std::ops::ControlFlow;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use riposte::classifier::read;
use riposte::data::digits::{self, Split};
use riposte::data::pool::ClassPools;
use riposte::data::{Dataset, Images};
use riposte::defense::Defense;
use riposte::models::{Architecture, Model};
use riposte::optimizer::Rule;
use riposte::post_train::{Perturbation, PostTrain, PostTraining, Progress};
use riposte::precision::Precision;
use riposte::presets::Preset;
use riposte::rng::Seed;
use riposte::train::{InnerAttack, TrainConfig, Trainer};
use riposte::weights::StateDict;
use riposte::{Error, ToTensor};

use crate::devices::{WGPU, wgpu};

/// One of each kind of layer and block: normalization, residual sums, average and maximum pooling, padded shortcuts.
const ARCHITECTURES: [&str; 8] = [
    "fast-mnist-cnn",
    "madry-mnist-cnn",
    "trades-mnist-cnn",
    "preact-resnet-w8-b1",
    "wrn-10-1",
    "wrn-10-1-conv-relu",
    "resnet4b",
    "cnn-a",
];

/// 80 samples in the shape of an architecture's images.
fn samples(architecture: Architecture) -> Dataset {
    let [channels, height, width] = architecture.image_shape();
    if channels == 1 {
        return digits::generate(Seed(0), Split::Train, 0..80);
    }
    let pixels = crate::formula::unit("mixed precision", 80 * channels * height * width);
    let pixels = pixels.into_iter().map(|pixel| (pixel * 255.0) as u8).collect();
    let labels = (0..80).map(|index| index % 10).collect();
    Dataset::new(Images::new(pixels, channels, height, width).unwrap(), labels, 10).unwrap()
}

/// Losses and parameters of a run of some steps on batches of 20.
fn train(architecture: Architecture, config: TrainConfig, steps: usize, device: &Device) -> (Vec<f32>, StateDict) {
    let model = Model::random(architecture, Seed(7), device);
    let mut trainer = Trainer::new(model, config, Seed(3), samples(architecture)).unwrap();
    let losses = (0..steps).map(|_| trainer.step().unwrap().loss.into_scalar::<f32>()).collect();
    let model = trainer.model();
    model.visit(&mut AllSingle);
    (losses, pollster::block_on(model.weights()).unwrap())
}

struct AllSingle;

impl ModuleVisitor for AllSingle {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        assert_eq!(param.val().dtype(), DType::F32);
    }
}

/// How far apart two runs ended, relative to the way that one of them came from `start`: of the parameters, or of what `of` says.
fn distance(start: &StateDict, here: &StateDict, there: &StateDict, of: impl Fn(&str) -> bool) -> f64 {
    let (mut apart, mut moved) = (0.0, 0.0);
    for (key, here) in here.0.iter().filter(|(key, _)| of(key)) {
        for (index, (here, there)) in here.values.iter().zip(&there.0[key].values).enumerate() {
            // Moments begin at 0.
            let start = start.0.get(key).map_or(0.0, |start| start.values[index]);
            apart += f64::from(here - there).powi(2);
            moved += f64::from(here - start).powi(2);
        }
    }
    (apart / moved).sqrt()
}

/// Rounding to f16 turns about a share of 2^-11 of the activations on or off that are not so in f32. What these add to a gradient
/// is noise: for each layer about the root of that share, 2 %. Measured: 0.05 to 5 %.
const STEPS_APART: f64 = 0.1;
/// Sums over a batch: the roundings themselves.
const STATISTICS_APART: f64 = 2e-3;
/// Losses of about 2.3 from logits that are rounded at 2^-11.
const LOSSES_APART: f32 = 2e-3;

const PLAIN: InnerAttack = InnerAttack { epsilon: 0.0, step_size: 0.0, steps: 0, clip_start: false };

fn settings(rule: Rule, inner: InnerAttack) -> TrainConfig {
    TrainConfig { batch_size: 20, micro_batch: 20, rule, peak_learning_rate: 0.01, inner, ..TrainConfig::FAST_MNIST }
}

fn is_statistic(key: &str) -> bool {
    key.contains("running_")
}

fn close(losses: &[f32], mixed: &[f32]) -> bool {
    losses.len() == mixed.len() && losses.iter().zip(mixed).all(|(a, b)| (a - b).abs() < LOSSES_APART)
}

#[test(needs(WGPU))]
fn every_architecture_takes_the_steps_of_single_precision() {
    let device = wgpu();
    let config = settings(Rule::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-4 }, PLAIN);
    for name in ARCHITECTURES {
        let architecture: Architecture = name.parse().unwrap();
        let start = pollster::block_on(Model::random(architecture, Seed(7), &device).weights()).unwrap();
        let run = |precision| train(architecture, TrainConfig { precision, ..config }, 3, &device);
        let ((losses, single), (mixed_losses, mixed)) = (run(Precision::Single), run(Precision::Mixed));
        assert!(close(&losses, &mixed_losses), "{name}: {losses:?} {mixed_losses:?}");
        assert_ne!(losses, mixed_losses, "{name}: nothing was rounded");
        let apart = distance(&start, &single, &mixed, |key| !is_statistic(key));
        assert!(apart < STEPS_APART, "{name}: {apart:e}");
        if single.0.keys().any(|key| is_statistic(key)) {
            let apart = distance(&start, &single, &mixed, is_statistic);
            assert!(apart < STATISTICS_APART, "{name}: {apart:e}");
        }
        println!("{name}: {apart:e}");
    }
}

#[test(needs(WGPU))]
fn adam_and_micro_batches_and_an_attack_do_as_in_single_precision() {
    let device = wgpu();
    let inner = InnerAttack { epsilon: 0.3, step_size: 0.375, steps: 1, clip_start: false };
    let run = |precision| {
        let config = TrainConfig { micro_batch: 7, precision, ..settings(Rule::Adam, inner) };
        let model = Model::random(Architecture::FastMnistCnn, Seed(7), &device);
        let mut trainer = Trainer::new(model, config, Seed(3), samples(Architecture::FastMnistCnn)).unwrap();
        let losses: Vec<f32> = (0..2).map(|_| trainer.step().unwrap().loss.into_scalar::<f32>()).collect();
        (losses, pollster::block_on(trainer.checkpoint()).unwrap())
    };
    let ((losses, single), (mixed_losses, mixed)) = (run(Precision::Single), run(Precision::Mixed));
    assert!(close(&losses, &mixed_losses), "{losses:?} {mixed_losses:?}");
    // Not the parameters: Adam's first steps are signs.
    let apart = distance(&StateDict::default(), &single, &mixed, |key| key.starts_with("optimizer."));
    println!("{apart:e}");
    assert!(apart < STEPS_APART, "{apart:e}");
}

fn defense(precision: Precision) -> PostTrain {
    PostTrain {
        perturbation: Perturbation::Fast { epsilon: 0.1, step_size: 0.12 },
        iterations: 3,
        batch_size: 20,
        learning_rate: 0.01,
        precision,
        ..Preset::M_MNIST.post_train
    }
}

/// The search's images and the answer's logits.
fn answer(settings: PostTrain, device: &Device) -> riposte::Result<[Vec<f32>; 2]> {
    let model = Model::random(Architecture::FastMnistCnn, Seed(0), device);
    let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..200));
    let input = digits::generate(Seed(0), Split::Test, 0..1).images().to_tensor([0], device);
    let observe = async |_: Progress<'_, Model>| ControlFlow::Continue(());
    let defense = PostTraining { model: &model, pools: &pools, settings };
    let answer = pollster::block_on(defense.answer(input, Seed(1).input(0), observe))?;
    assert!(answer.adapted.is_some(), "a random net has a neighbor class in this ball");
    let neighbors = answer.neighbors.expect("post-training searches");
    Ok([neighbors.images.flatten(0, 3), answer.logits.flatten(0, 1)]
        .map(|tensor: Tensor<1>| pollster::block_on(read(tensor)).unwrap()))
}

#[test(needs(WGPU))]
fn post_training_answers_as_in_single_precision_after_the_same_search() {
    let device = wgpu();
    let [images, logits] = answer(defense(Precision::Single), &device).unwrap();
    let [mixed_images, mixed_logits] = answer(defense(Precision::Mixed), &device).unwrap();
    assert_eq!(images, mixed_images);
    assert_ne!(logits, mixed_logits);
    for (single, mixed) in logits.iter().zip(&mixed_logits) {
        assert!((single - mixed).abs() < 5e-3, "{logits:?} {mixed_logits:?}");
    }
}

#[test(needs(WGPU))]
fn an_answer_that_is_no_number_is_an_error() {
    let device = wgpu();
    let wild = PostTrain { learning_rate: 1e30, ..defense(Precision::Mixed) };
    assert!(matches!(answer(wild, &device), Err(Error::Diverged(_))));
}

#[test]
fn the_cpu_is_refused_in_a_sentence() {
    let device = Device::flex();
    let config = TrainConfig { precision: Precision::Mixed, ..settings(Rule::Adam, PLAIN) };
    let model = Model::random(Architecture::FastMnistCnn, Seed(7), &device);
    let error = Trainer::new(model, config, Seed(3), samples(Architecture::FastMnistCnn)).unwrap_err().to_string();
    assert!(error.contains("mixed precision needs a GPU") && error.contains("train in single precision"), "{error}");
    assert_eq!(answer(defense(Precision::Mixed), &device).unwrap_err().to_string(), error);
}

#[test]
fn a_run_that_diverged_leaves_no_checkpoint() {
    let device = Device::flex();
    let model = Model::random(Architecture::FastMnistCnn, Seed(7), &device);
    let config = TrainConfig {
        peak_learning_rate: 1e38,
        ..settings(Rule::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-4 }, PLAIN)
    };
    let mut trainer = Trainer::new(model, config, Seed(3), samples(Architecture::FastMnistCnn)).unwrap();
    (0..3).for_each(|_| drop(trainer.step()));
    let error = pollster::block_on(trainer.checkpoint()).unwrap_err();
    assert!(matches!(&error, Error::Diverged(_)) && error.to_string().contains("after step 3"), "{error}");
}

#[test]
fn settings_without_a_precision_are_in_single_precision_and_read_as_before() {
    let config = TrainConfig { precision: Precision::Mixed, ..TrainConfig::FAST_CIFAR10 };
    let mut json = serde_json::to_value(config).unwrap();
    assert_eq!(json["precision"], "mixed");
    assert_eq!(serde_json::from_value::<TrainConfig>(json.clone()).unwrap(), config);
    json.as_object_mut().unwrap().remove("precision");
    assert_eq!(serde_json::from_value::<TrainConfig>(json.clone()).unwrap(), TrainConfig::FAST_CIFAR10);
    assert_eq!(serde_json::to_value(TrainConfig::FAST_CIFAR10).unwrap(), json);
}
