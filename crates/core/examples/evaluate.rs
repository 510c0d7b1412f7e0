//! Counts how often a model and its riposte are right, with and without an attack. Nothing is downloaded.

use std::ops::ControlFlow;

use riposte::attack::Quantize;
use riposte::burn::tensor::Device;
use riposte::data::digits::{self, Split};
use riposte::data::pool::ClassPools;
use riposte::evaluate::{Evaluation, Gain, Summary, wilson_interval};
use riposte::post_train::{PostTrain, PostTraining};
use riposte::presets::Preset;
use riposte::rng::Seed;
use riposte::{ToTensor, zoo};

const IMAGES: usize = 40;

fn main() -> riposte::Result<()> {
    let device = Device::flex();
    let model = zoo::load("digits-robust", &device)?;
    let test = digits::generate(Seed(0), Split::Test, 0..IMAGES as u32);
    let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..2000));
    let preset = Preset::M_MNIST;
    let settings = PostTrain { iterations: 20, ..preset.post_train };
    let defense = Some(PostTraining { model: &model, pools: &pools, settings });
    let evaluation = Evaluation {
        model: &model,
        attack: preset.setup().attack,
        target: None,
        quantize: Quantize::None,
        defense,
        natural: true,
        counter: None,
    };

    let images = test.images().to_tensor(0..IMAGES, &device);
    let labels: Vec<usize> = (0..IMAGES).map(|index| test.label(index)).collect();
    let draws = Seed(1).inputs(0..IMAGES as u64);
    let records = pollster::block_on(evaluation.run(images, &labels, &draws, async |_| ControlFlow::Continue(())))?;

    let summary = Summary::of(&records);
    let (robust, riposte) = (summary.robust_correct.unwrap_or(0), summary.riposte_robust_correct.unwrap_or(0));
    println!("Right of {IMAGES}: {}, under attack {robust}, the riposte under attack {riposte}.", summary.natural_correct);
    println!(
        "95 % interval of the riposte's accuracy: {:.3?}. Gain: {:?}.",
        wilson_interval(riposte, IMAGES),
        Gain::robust(&records)
    );
    Ok(())
}
