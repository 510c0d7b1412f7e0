//! The training recipes, each from its first step to a resumed run.

use burn::tensor::Device;
use riposte::data::digits::{self, Split};
use riposte::models::{Architecture, Model};
use riposte::rng::Seed;
use riposte::spec::Choice;
use riposte::train::{InnerAttack, Method, Recipe, TrainConfig, Trainer};

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
    }
}

#[test]
fn a_recipe_out_of_range_is_refused_by_the_name_of_its_setting() {
    for (recipe, word) in [
        (Recipe::NoiseFgsm { noise: -1.0 }, "noise"),
        (Recipe::Trades { beta: 0.0 }, "beta"),
        (Recipe::Free { replays: 0 }, "replays"),
        (Recipe::Kurakin { share: 2.0, weight: 0.3 }, "share"),
        (Recipe::LogitPairing { weight: f32::NAN }, "weight"),
    ] {
        let error = TrainConfig { recipe, ..TrainConfig::FAST_MNIST }.check(1000).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let config = TrainConfig { recipe: Recipe::Free { replays: 2 }, micro_batch: 50, ..TrainConfig::FAST_MNIST };
    assert!(config.check(1000).unwrap_err().to_string().contains("whole"));
}
