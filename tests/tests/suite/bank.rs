//! Copies that adapted before any input came.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};
use riposte::bank::{Bank, Banked, Pair, Pick};
use riposte::data::digits::{self, Split};
use riposte::data::pool::ClassPools;
use riposte::defense::Defense;
use riposte::models::{Architecture, Model};
use riposte::neighbor::Neighbors;
use riposte::post_train::{BatchNormMode, Parameters, Perturbation, PostTrain, PostTraining, Progress};
use riposte::presets::Preset;
use riposte::rng::{Purpose, Seed};
use riposte::weights::StateDict;
use riposte::{Classifier, Error, ToTensor, classifier};

const DEVICE: fn() -> Device = Device::flex;

#[test]
fn a_copy_depends_on_the_input_through_its_two_classes_alone() {
    let (model, pools) = subject();
    for perturbation in [Preset::M_MNIST.fast, few_steps(), Perturbation::Normal, Preset::M_MNIST.post_train.perturbation] {
        let settings = PostTrain { perturbation, ..settings() };
        let defense = PostTraining { model: &model, pools: &pools, settings };
        let adapted = |input: usize, far: f32| {
            let answer = pollster::block_on(defense.respond(between(&model, input, far, [3, 8]), Seed(1).input(7), silent));
            weights(&answer.unwrap().adapted.unwrap())
        };
        let same = adapted(0, 0.1) == adapted(1, 0.2);
        assert_eq!(same, !matches!(perturbation, Perturbation::Fixed(_)), "{perturbation:?}");
    }
}

#[test]
fn a_bank_holds_what_the_full_form_makes_with_the_lower_class_first() {
    let (model, pools) = subject();
    for parameters in [Parameters::All, Parameters::Head] {
        let settings = PostTrain { parameters, perturbation: Preset::M_MNIST.fast, ..settings() };
        let mut bank = Bank::new(model.clone(), settings).unwrap();
        let pair = Pair::of(8, 3).unwrap();
        let copies = [0, 1].map(|draw| pollster::block_on(bank.make(&pools, pair, draw, Seed(5), silent)).unwrap());
        assert_ne!(copies[0], copies[1], "draws differ");
        bank.insert(pair, copies.to_vec());
        let stream = Seed(5).stream(Purpose::Bank, 3 << 40 | 8 << 20 | 1);
        let defense = PostTraining { model: &model, pools: &pools, settings };
        let fixed = Tensor::full([1, 1, 28, 28], 0.3, &DEVICE());
        let full = weights(&pollster::block_on(defense.adapt([3, 8], fixed, stream, silent)).unwrap());
        let (copy, base) = (weights(&bank.copy(pair, 1).unwrap()), weights(&model));
        for (key, base) in &base.0 {
            for ((full, copy), base) in full.0[key].values.iter().zip(&copy.0[key].values).zip(&base.values) {
                // A difference keeps 8 bits; adding it rounds to 24 bits of a weight below 1.
                assert!((full - copy).abs() <= (full - base).abs() / 256.0 + 6e-8, "{key}: {copy} instead of {full}");
            }
        }
    }
}

#[test]
fn inputs_between_two_classes_are_answered_by_one_copy_whichever_is_theirs() {
    let (model, pools) = subject();
    let mut bank = Bank::new(model.clone(), PostTrain { perturbation: Preset::M_MNIST.fast, ..settings() }).unwrap();
    let pair = Pair::of(3, 8).unwrap();
    let copies = (0..4).map(|draw| pollster::block_on(bank.make(&pools, pair, draw, Seed(5), silent)).unwrap()).collect();
    bank.insert(pair, copies);
    let search = settings().search;
    let answer = |pick, classes, input| {
        let banked = Banked { bank: &bank, search, pick };
        let found = pollster::block_on(banked.respond(between(&model, 0, 0.1, classes), Seed(1).input(input), silent));
        found.map(|answer| weights(&answer.adapted.unwrap()))
    };
    for pick in [Pick::Drawn, Pick::Mean] {
        assert_eq!(answer(pick, [3, 8], 0).unwrap(), answer(pick, [8, 3], 0).unwrap(), "{pick}");
    }
    let drawn: Vec<StateDict> = (0..16).map(|input| answer(Pick::Drawn, [3, 8], input).unwrap()).collect();
    let known: Vec<StateDict> = (0..4).map(|draw| weights(&bank.copy(pair, draw).unwrap())).collect();
    assert!(drawn.iter().all(|copy| known.contains(copy)));
    assert!(known.iter().all(|copy| drawn.contains(copy)), "16 draws of 4 miss one of them in 4 %, and not with these seeds");
    assert!(matches!(answer(Pick::Mean, [3, 5], 0), Err(Error::Config(why)) if why.contains("3-5")));
}

#[test]
fn the_mean_of_the_copies_answers_nearly_with_the_mean_of_their_logits() {
    let (model, pools) = subject();
    let mut bank = Bank::new(model.clone(), PostTrain { perturbation: Preset::M_MNIST.fast, ..settings() }).unwrap();
    let pair = Pair::of(3, 8).unwrap();
    let copies = (0..3).map(|draw| pollster::block_on(bank.make(&pools, pair, draw, Seed(5), silent)).unwrap()).collect();
    bank.insert(pair, copies);
    let image = digits::generate(Seed(0), Split::Test, 0..1).images().to_tensor([0], &DEVICE());
    let logits = |model: &Model| pollster::block_on(classifier::read(model.forward(image.clone()))).unwrap();
    let each: Vec<Vec<f32>> = (0..3).map(|draw| logits(&bank.copy(pair, draw).unwrap())).collect();
    let (mean, base) = (logits(&bank.mean(pair).unwrap()), logits(&model));
    for class in 0..10 {
        let expected = each.iter().map(|logits| logits[class]).sum::<f32>() / 3.0;
        let moved = each.iter().map(|logits| (logits[class] - base[class]).abs()).fold(0.0, f32::max);
        // Second order in the move: a few per cent of it.
        assert!((mean[class] - expected).abs() < 0.05 * moved + 1e-5, "{class}: {} instead of {expected}", mean[class]);
    }
}

#[test]
fn files_of_a_bank_give_the_same_copies_back_and_other_networks_refuse_them() {
    let (model, pools) = subject();
    let bank = Bank::new(model.clone(), PostTrain { perturbation: Preset::M_MNIST.fast, ..settings() }).unwrap();
    let pair = Pair::of(0, 1).unwrap();
    let copies = [0, 1].map(|draw| pollster::block_on(bank.make(&pools, pair, draw, Seed(5), silent)).unwrap());
    let bytes = bank.to_safetensors(&copies);
    assert_eq!(bank.from_safetensors(&bytes, 2).unwrap(), copies);
    assert!(matches!(bank.from_safetensors(&bytes, 1), Err(Error::UnexpectedKeys { keys, .. }) if keys[0].starts_with("1.")));
    let other = Model::random(Architecture::CnnA, Seed(0), &DEVICE());
    let other = Bank::new(other, *bank.settings()).unwrap();
    assert!(matches!(other.from_safetensors(&bytes, 2), Err(Error::Shape { .. } | Error::UnexpectedKeys { .. })));
}

#[test]
fn copies_with_statistics_of_their_own_leave_those_of_the_base_model_alone() {
    let architecture: Architecture = "preact-resnet-w4-b1".parse().unwrap();
    let model = Model::random(architecture, Seed(0), &DEVICE());
    let pixels = (0..40 * 3 * 32 * 32).map(|pixel| (pixel * 7 % 251) as u8).collect();
    let images = riposte::data::Images::new(pixels, 3, 32, 32).unwrap();
    let pools = ClassPools::new(riposte::data::Dataset::new(images, (0..40).map(|sample| sample % 10).collect(), 10).unwrap());
    let settings = PostTrain {
        perturbation: Perturbation::Normal,
        batch_norm: BatchNormMode::BatchStatistics,
        batch_size: 8,
        iterations: 2,
        ..Preset::M_CIFAR.post_train
    };
    let before = weights(&model);
    let mut bank = Bank::new(model.clone(), settings).unwrap();
    let pair = Pair::of(0, 1).unwrap();
    let copy = pollster::block_on(bank.make(&pools, pair, 0, Seed(5), silent)).unwrap();
    bank.insert(pair, vec![copy]);
    let copy = weights(&bank.copy(pair, 0).unwrap());
    assert_ne!(copy.0["bn.running_mean"], before.0["bn.running_mean"]);
    assert_eq!(weights(&model), before);
}

fn settings() -> PostTrain {
    PostTrain { iterations: 3, batch_size: 8, learning_rate: 0.01, ..Preset::M_MNIST.post_train }
}

fn few_steps() -> Perturbation {
    Perturbation::Pgd { epsilon: 0.3, step_size: 0.1, steps: 3 }
}

/// A random net and pools.
fn subject() -> (Model, ClassPools) {
    let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..200));
    (Model::random(Architecture::FastMnistCnn, Seed(0), &DEVICE()), pools)
}

/// What a search might have found: test image `input` between two classes, x'' `far` from it.
fn between(model: &Model, input: usize, far: f32, [original, neighbor]: [usize; 2]) -> Neighbors {
    let image = digits::generate(Seed(0), Split::Test, 0..2).images().to_tensor([input], &DEVICE());
    let logits = model.forward(image.clone());
    Neighbors {
        images: image.clone() + far,
        inputs: image,
        original: vec![original],
        neighbor: vec![neighbor],
        neighbor_logits: logits.clone(),
        logits,
    }
}

async fn silent(_: Progress<'_, Model>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn weights(model: &Model) -> StateDict {
    pollster::block_on(model.weights()).unwrap()
}
