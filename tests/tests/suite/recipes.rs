//! The training recipes, each from its first step to a resumed run.

use burn::tensor::Device;
use riposte::data::digits::{self, Split};
use riposte::models::{Architecture, Model};
use riposte::rng::Seed;
use riposte::spec::Choice;
use riposte::train::{InnerAttack, Method, Recipe, Targets, TrainConfig, Trainer};

use crate::attacks_subjects::values;

/// Few samples of the digits, a small network.
fn trainer(config: TrainConfig) -> Trainer {
    let samples = digits::generate(Seed(0), Split::Train, 0..60);
    Trainer::new(Model::random(Architecture::FastMnistCnn, Seed(0), &Device::flex()), config, Seed(0), samples).unwrap()
}

#[test]
fn every_recipe_lowers_its_loss_and_goes_on_from_a_checkpoint() {
    for method in Method::ALL {
        let mut config =
            TrainConfig { epochs: 10, batch_size: 20, micro_batch: 20, ramp: 0.0, ..TrainConfig::of(*method, false) };
        // A small radius and few steps: what is tested is that the recipe trains, not how well.
        config.inner = InnerAttack { epsilon: config.inner.epsilon.min(0.05), steps: config.inner.steps.min(3), ..config.inner };
        config.inner.step_size = config.inner.step_size.min(config.inner.epsilon);
        config.recipe = match config.recipe {
            Recipe::Uat { targets, weight, .. } => Recipe::Uat { labelled: 40, targets, weight },
            Recipe::Max { .. } => Recipe::Max { radius: 0.3 },
            Recipe::Average { .. } => Recipe::Average { radius: 0.3 },
            recipe => recipe,
        };
        // With one of them an average and with one perturbed weights, which a checkpoint has to keep as well.
        config.average = (*method == Method::Trades).then_some(0.9);
        config.weight_perturbation = (*method == Method::Pgd).then_some(0.01);
        // So few steps have to be long; of a batch that is replayed there are eight.
        config.peak_learning_rate = if *method == Method::Free { 1e-3 } else { 5e-3 };
        let mut whole = trainer(config);
        let mut losses = Vec::new();
        let mut half = None;
        while let Some(step) = whole.step() {
            losses.push(values(step.loss)[0]);
            if step.step == 7 {
                half = Some(pollster::block_on(whole.checkpoint()).unwrap());
            }
        }
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        let [first, last] = [mean(&losses[..3]), mean(&losses[27..])];
        assert!(last < 0.7 * first, "{method}: {first} to {last}");
        let samples = digits::generate(Seed(0), Split::Train, 0..60);
        let architecture = Architecture::FastMnistCnn;
        let mut rest = Trainer::resume(architecture, config, Seed(0), samples, &half.unwrap(), &Device::flex()).unwrap();
        let again: Vec<f32> = std::iter::from_fn(|| rest.step()).map(|step| values(step.loss)[0]).collect();
        assert_eq!(again, losses[7..], "{method}");
        let end = |trainer: &Trainer| pollster::block_on(trainer.model().weights()).unwrap();
        assert!(end(&rest) == end(&whole), "{method}");
    }
}

#[test]
fn the_average_keeps_its_share_of_itself_in_each_step() {
    let config = TrainConfig { epochs: 1, batch_size: 20, micro_batch: 20, ..TrainConfig::FAST_MNIST };
    let mut plain = trainer(config);
    let mut averaged = trainer(TrainConfig { average: Some(0.75), ..config });
    let weights = |trainer: &Trainer| pollster::block_on(trainer.model().weights()).unwrap();
    let mut expected = weights(&plain);
    for _ in 0..3 {
        plain.step().unwrap();
        averaged.step().unwrap();
        for (key, value) in &mut expected.0 {
            let now = &weights(&plain).0[key].values;
            value.values.iter_mut().zip(now).for_each(|(kept, now)| *kept = *kept * 0.75 + now * 0.25);
        }
    }
    for (key, found) in weights(&averaged).0 {
        // Three sums of two products in f32.
        assert!(found.values.iter().zip(&expected.0[&key].values).all(|(a, b)| (a - b).abs() < 1e-6), "{key}");
    }
    assert!(weights(&averaged) != weights(&plain));
}

#[test]
fn a_recipe_out_of_range_is_refused_by_the_name_of_its_setting() {
    for (recipe, word) in [
        (Recipe::NoiseFgsm { noise: -1.0 }, "noise"),
        (Recipe::Trades { beta: 0.0 }, "beta"),
        (Recipe::Free { replays: 0 }, "replays"),
        (Recipe::Kurakin { share: 2.0, weight: 0.3 }, "share"),
        (Recipe::LogitPairing { weight: f32::NAN }, "weight"),
        (Recipe::Yopo { passes: 0 }, "passes"),
        (Recipe::Uat { labelled: 1000, targets: Targets::Online, weight: 1.0 }, "labelled"),
        (Recipe::Max { radius: -1.0 }, "radius"),
    ] {
        let error = TrainConfig { recipe, ..TrainConfig::FAST_MNIST }.check(1000).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let config = TrainConfig { recipe: Recipe::Free { replays: 2 }, micro_batch: 50, ..TrainConfig::FAST_MNIST };
    assert!(config.check(1000).unwrap_err().to_string().contains("whole"));
    for (config, word) in [
        (TrainConfig { average: Some(1.0), ..TrainConfig::FAST_MNIST }, "average"),
        (TrainConfig { weight_perturbation: Some(0.0), ..TrainConfig::FAST_MNIST }, "share of their length"),
        (TrainConfig { weight_perturbation: Some(0.1), ..TrainConfig::of(Method::Free, false) }, "second pass"),
    ] {
        assert!(config.check(1000).unwrap_err().to_string().contains(word), "{word}");
    }
}
