//! Light forms of the defense: which parameters adapt, and samples that are kept.

use std::ops::ControlFlow;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use riposte::data::digits::{self, Split};
use riposte::data::pool::ClassPools;
use riposte::data::{Dataset, Images};
use riposte::defense::Defense;
use riposte::models::{Architecture, Model};
use riposte::neighbor::Neighbors;
use riposte::post_train::{
    Adaptation, BatchNormMode, Exit, Parameters, Perturbation, PostTrain, PostTraining, Progress, Samples,
};
use riposte::presets::Preset;
use riposte::rng::{Purpose, Seed};
use riposte::spec::Choice;
use riposte::weights::StateDict;
use riposte::{Classifier, Error, ToTensor, classifier};

use crate::formula;

/// One of each family, small.
const NETS: [&str; 6] = ["fast-mnist-cnn", "madry-mnist-cnn", "trades-mnist-cnn", "preact-resnet-w4-b1", "wrn-10-2", "cnn-a"];

/// Keys of the layer that gives the logits, and beginnings of those of the last stage.
fn late(net: &str) -> (&'static str, &'static [&'static str]) {
    match net {
        "fast-mnist-cnn" | "cnn-a" => ("7.", &["5."]),
        "madry-mnist-cnn" => ("fc2.", &["fc1."]),
        "trades-mnist-cnn" => ("classifier.fc3.", &["classifier.fc1.", "classifier.fc2."]),
        "preact-resnet-w4-b1" => ("linear.", &["layer4.", "bn."]),
        "wrn-10-2" => ("fc.", &["block3.", "bn1."]),
        other => unreachable!("{other}"),
    }
}

/// Whether the parameter `key` of `net` adapts.
fn adapts(net: &str, key: &str, parameters: Parameters) -> bool {
    let (head, stage) = late(net);
    let in_head = key.starts_with(head);
    !key.contains("running_")
        && match parameters {
            Parameters::All => true,
            Parameters::Head => in_head,
            Parameters::LastStage => in_head || stage.iter().any(|beginning| key.starts_with(beginning)),
            Parameters::Normalization => key.split('.').rev().nth(1).is_some_and(|layer| layer.starts_with("bn")),
        }
}

fn has(net: &str, parameters: Parameters) -> bool {
    parameters != Parameters::Normalization || net.starts_with("preact") || net.starts_with("wrn")
}

#[test]
fn what_is_named_adapts_and_nothing_else_moves_by_a_bit() {
    for net in NETS {
        for parameters in Parameters::ALL.iter().copied().filter(|parameters| has(net, *parameters)) {
            let subject = Subject::new(net);
            let before = weights(&subject.model);
            let after = weights(&subject.adapt(PostTrain { parameters, ..subject.settings() }));
            for (key, old) in &before.0 {
                let moved = after.0[key] != *old;
                assert_eq!(moved, adapts(net, key, parameters), "{net} {parameters} {key}");
            }
        }
    }
}

#[test]
fn a_part_that_adapts_after_what_was_computed_once_adapts_as_through_the_whole_network() {
    for net in NETS {
        for parameters in Parameters::ALL.iter().copied().filter(|parameters| has(net, *parameters)) {
            let subject = Subject::new(net);
            let settings = subject.settings();
            let light = weights(&subject.adapt(PostTrain { parameters, ..settings }));
            let frozen = subject.model.clone().map(&mut Freeze { keys: subject.model.keys().iter(), net, parameters });
            let whole = weights(&Subject { model: frozen, ..subject }.adapt(settings));
            let before = weights(&Subject::new(net).model);
            for (key, whole) in &whole.0 {
                // The same sums over the same samples, perhaps in another order; the steps are about 1e-3 long.
                let off = distance(&whole.values, &light.0[key].values);
                let moved = distance(&whole.values, &before.0[key].values);
                assert!(off <= 1e-4 * moved + 1e-9, "{net} {parameters} {key}: {off} apart after a move of {moved}");
            }
        }
    }
}

#[test]
fn a_head_alone_follows_the_float64_definition_of_logistic_regression() {
    let subject = Subject::new("fast-mnist-cnn");
    let settings = PostTrain { parameters: Parameters::Head, iterations: 20, ..subject.settings() };
    let adapted = weights(&subject.adapt(settings));
    let before = weights(&subject.model);
    // Kept samples, perturbed once: the features of the last hidden layer are the same in all steps.
    let stages = subject.model.stages().unwrap();
    let features = stages.last_stage(stages.trunk(subject.batch(settings)));
    let [batch, width] = features.dims();
    let features: Vec<f64> = read(features).into_iter().map(f64::from).collect();
    let value = |key: &str| before.0[key].values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
    // [class, width + 1], the bias last.
    let (weight, bias) = (value("7.weight"), value("7.bias"));
    let mut rows: Vec<Vec<f64>> = (0..10).map(|class| [&weight[class * width..][..width], &[bias[class]]].concat()).collect();
    let mut velocity = vec![vec![0.0; width + 1]; 10];
    let [momentum, rate] = [settings.momentum, settings.learning_rate].map(f64::from);
    for _ in 0..settings.iterations {
        let mut gradient = vec![vec![0.0; width + 1]; 10];
        for sample in 0..batch {
            let input = [&features[sample * width..][..width], &[1.0]].concat();
            let logits: Vec<f64> = rows.iter().map(|row| row.iter().zip(&input).map(|(a, b)| a * b).sum()).collect();
            let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
            let label = if sample < batch / 2 { CLASSES[0] } else { CLASSES[1] };
            for (class, logit) in logits.iter().enumerate() {
                let error = (logit.exp() / total - f64::from(u8::from(class == label))) / batch as f64;
                gradient[class].iter_mut().zip(&input).for_each(|(sum, value)| *sum += error * value);
            }
        }
        for ((row, velocity), gradient) in rows.iter_mut().zip(&mut velocity).zip(&gradient) {
            for ((weight, velocity), gradient) in row.iter_mut().zip(velocity).zip(gradient) {
                *velocity = momentum * *velocity + gradient;
                *weight -= rate * (gradient + momentum * *velocity);
            }
        }
    }
    for (class, row) in rows.iter().enumerate() {
        let found = [&adapted.0["7.weight"].values[class * width..][..width], &[adapted.0["7.bias"].values[class]]].concat();
        for (entry, (expected, found)) in row.iter().zip(found).enumerate() {
            // Weights of size 0.1 rounded 20 times to 24 bits: 20 x 6e-9; moves are about 1e-2.
            assert!((expected - f64::from(found)).abs() < 2e-6, "{class} {entry}: {found} instead of {expected}");
        }
    }
}

#[test]
fn kept_samples_are_those_of_the_first_iteration() {
    let subject = Subject::new("fast-mnist-cnn");
    for perturbation in [Preset::M_MNIST.post_train.perturbation, Preset::M_MNIST.fast, Perturbation::Normal] {
        for samples in [Samples::Kept, Samples::Redrawn] {
            let mut seen: Vec<Vec<usize>> = Vec::new();
            let settings = PostTrain { perturbation, samples, ..subject.settings() };
            let observe = async |progress: Progress<'_, Model>| {
                if let Progress::Adapted(iteration) = progress {
                    seen.push(iteration.samples.to_vec());
                }
                ControlFlow::Continue(())
            };
            let defense = PostTraining { model: &subject.model, pools: &subject.pools, settings };
            pollster::block_on(defense.adapt(CLASSES, subject.fixed.clone(), subject.stream(), observe)).unwrap();
            assert_eq!(seen.len(), settings.iterations);
            assert_eq!(seen.iter().all(|batch| *batch == seen[0]), samples == Samples::Kept, "{perturbation:?} {samples}");
        }
    }
}

#[test]
fn another_step_on_a_batch_is_the_step_that_the_batch_given_again_makes() {
    for parameters in [Parameters::All, Parameters::LastStage, Parameters::Head] {
        for perturbation in [Preset::M_MNIST.post_train.perturbation, Preset::M_MNIST.fast] {
            let subject = Subject::new("fast-mnist-cnn");
            let settings = PostTrain { parameters, perturbation, ..subject.settings() };
            let images = subject.pools.samples().images().to_tensor(0..settings.batch_size, &Device::flex());
            let labels: Vec<usize> = (0..settings.batch_size).map(|sample| subject.pools.label(sample)).collect();
            let start = Tensor::full(images.dims(), 0.01, &Device::flex());
            let run = |again: bool| {
                let mut adaptation = Adaptation::new(&subject.model, settings);
                for step in 0..3 {
                    if again && step > 0 {
                        adaptation.again();
                    } else {
                        adaptation.step(images.clone(), &labels, subject.fixed.clone(), Some(start.clone()));
                    }
                }
                weights(&adaptation.model())
            };
            assert_eq!(run(true), run(false), "{parameters} {perturbation:?}");
        }
    }
}

#[test]
fn an_adaptation_that_ends_early_is_the_one_with_as_many_iterations() {
    let subject = Subject::new("fast-mnist-cnn");
    for parameters in [Parameters::All, Parameters::Head] {
        let settings = PostTrain { parameters, iterations: 60, samples: Samples::Redrawn, ..subject.settings() };
        let answer = |settings: PostTrain| {
            let image = subject.pools.samples().images().to_tensor([0], &Device::flex());
            let logits = subject.model.forward(image.clone());
            let neighbors = Neighbors {
                images: image.clone() + subject.fixed.clone(),
                inputs: image,
                original: vec![CLASSES[0]],
                neighbor: vec![CLASSES[1]],
                neighbor_logits: logits.clone(),
                logits,
            };
            let mut steps = 0;
            let count = async |progress: Progress<'_, Model>| {
                steps += usize::from(matches!(progress, Progress::Adapted(_)));
                ControlFlow::Continue(())
            };
            let defense = PostTraining { model: &subject.model, pools: &subject.pools, settings };
            let answer = pollster::block_on(defense.respond(neighbors, Seed(1).input(0), count)).unwrap();
            (steps, weights(&answer.adapted.unwrap()))
        };
        let (steps, early) = answer(PostTrain { exit: Exit::Settled, ..settings });
        assert!((10..60).contains(&steps), "{parameters}: {steps}");
        assert_eq!(answer(PostTrain { iterations: steps, ..settings }), (steps, early), "{parameters}");
        assert_eq!(answer(settings).0, 60);
    }
}

#[test]
fn nothing_adapts_where_the_class_is_ahead_and_else_the_answer_is_that_of_all_iterations() {
    let subject = Subject::new("fast-mnist-cnn");
    let settings = PostTrain { iterations: 3, ..subject.settings() };
    let image = subject.pools.samples().images().to_tensor([0], &Device::flex());
    let says = |logits: Tensor<2>| pollster::block_on(classifier::read(logits)).unwrap();
    for (lead, adapts) in [(Exit::LEAD + 0.01, false), (Exit::LEAD - 0.01, true)] {
        let logits: Vec<f32> = (0..10).map(|class| if class == CLASSES[0] { lead } else { 0.0 }).collect();
        let logits = Tensor::<1>::from_floats(logits.as_slice(), &Device::flex()).reshape([1, 10]);
        let answer = |exit: Exit| {
            let neighbors = Neighbors {
                images: image.clone() + subject.fixed.clone(),
                inputs: image.clone(),
                original: vec![CLASSES[0]],
                neighbor: vec![CLASSES[1]],
                neighbor_logits: logits.clone(),
                logits: logits.clone(),
            };
            let defense = PostTraining { model: &subject.model, pools: &subject.pools, settings: PostTrain { exit, ..settings } };
            let observe = async |_: Progress<'_, Model>| ControlFlow::Continue(());
            pollster::block_on(defense.respond(neighbors, Seed(1).input(0), observe)).unwrap()
        };
        let (ahead, never) = (answer(Exit::Ahead), answer(Exit::Never));
        assert_eq!((ahead.adapted.is_some(), never.adapted.is_some()), (adapts, true));
        let expected = if adapts { never.logits } else { logits };
        assert_eq!(says(ahead.logits), says(expected));
    }
}

#[test]
fn parameters_that_a_network_does_not_have_are_refused_before_the_search() {
    let subject = Subject::new("fast-mnist-cnn");
    let settings = PostTrain { parameters: Parameters::Normalization, ..subject.settings() };
    let defense = PostTraining { model: &subject.model, pools: &subject.pools, settings };
    let image = subject.pools.samples().images().to_tensor([0], &Device::flex());
    let refused = pollster::block_on(defense.prepare(image, &[Seed(0).input(0)]));
    assert!(matches!(refused, Err(Error::Config(why)) if why.contains("no batch normalization")));
}

/// y' and y''
const CLASSES: [usize; 2] = [3, 8];

/// A network with random weights, samples of its shape, and a fixed perturbation.
struct Subject {
    model: Model,
    pools: ClassPools,
    fixed: Tensor<4>,
}

impl Subject {
    fn new(net: &str) -> Self {
        let device = Device::flex();
        let architecture: Architecture = net.parse().unwrap();
        let [channels, height, width] = architecture.image_shape();
        let pools = match channels {
            1 => ClassPools::new(digits::generate(Seed(0), Split::Train, 0..200)),
            _ => {
                let pixels = formula::unit("pixels", 200 * channels * height * width).into_iter().map(|v| (v * 255.0) as u8);
                let images = Images::new(pixels.collect(), channels, height, width).unwrap();
                ClassPools::new(Dataset::new(images, (0..200).map(|sample| sample % 10).collect(), 10).unwrap())
            }
        };
        let fixed = formula::symmetric("delta_fix", channels * height * width, 8.0 / 255.0);
        let fixed = Tensor::<1>::from_floats(fixed.as_slice(), &device).reshape([1, channels, height, width]);
        Self { model: Model::random(architecture, Seed(0), &device), pools, fixed }
    }

    /// Few samples, kept.
    fn settings(&self) -> PostTrain {
        PostTrain {
            iterations: 3,
            batch_size: 8,
            learning_rate: 0.01,
            batch_norm: BatchNormMode::Frozen,
            samples: Samples::Kept,
            ..Preset::M_MNIST.post_train
        }
    }

    fn stream(&self) -> riposte::rng::Stream {
        Seed(1).stream(Purpose::PostTrain, 0)
    }

    fn adapt(&self, settings: PostTrain) -> Model {
        let defense = PostTraining { model: &self.model, pools: &self.pools, settings };
        let silent = async |_: Progress<'_, Model>| ControlFlow::Continue(());
        pollster::block_on(defense.adapt(CLASSES, self.fixed.clone(), self.stream(), silent)).unwrap()
    }

    /// The perturbed samples that it adapts on.
    fn batch(&self, settings: PostTrain) -> Tensor<4> {
        let mut stream = self.stream();
        let half = settings.batch_size / 2;
        let mut samples = self.pools.draw(CLASSES[0], half, &mut stream).unwrap();
        samples.extend(self.pools.draw(CLASSES[1], half, &mut stream).unwrap());
        let images = self.pools.samples().images().to_tensor(samples, &Device::flex());
        // Both directions: the headline's.
        let halves = [images.clone().narrow(0, 0, half) + self.fixed.clone(), images.narrow(0, half, half) - self.fixed.clone()];
        Tensor::cat(halves.to_vec(), 0)
    }
}

/// Stops the gradients of what does not adapt: the whole network passes forward and backward for the rest.
struct Freeze<'a> {
    keys: std::slice::Iter<'a, String>,
    net: &'a str,
    parameters: Parameters,
}

impl ModuleMapper for Freeze<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let key = self.keys.next().expect("every parameter has a name");
        let adapts = key.contains("running_") || adapts(self.net, key, self.parameters);
        if adapts { param } else { param.set_require_grad(false) }
    }
}

fn weights(model: &Model) -> StateDict {
    pollster::block_on(model.weights()).unwrap()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    pollster::block_on(classifier::read(tensor)).unwrap()
}
