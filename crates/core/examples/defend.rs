//! Attacks an image and lets the model adapt itself to it before it answers (the paper's method). Nothing is downloaded.

use std::ops::ControlFlow;

use riposte::attack::{Attacks, Goal};
use riposte::burn::tensor::Device;
use riposte::classifier::predictions;
use riposte::data::digits::{self, Split};
use riposte::data::pool::ClassPools;
use riposte::defense::Defense;
use riposte::post_train::{PostTraining, Progress};
use riposte::presets::Preset;
use riposte::rng::Seed;
use riposte::{ToTensor, zoo};

fn main() -> riposte::Result<()> {
    let device = Device::flex();
    let model = zoo::load("digits-robust", &device)?;
    let Preset { attack, post_train: settings, .. } = Preset::M_MNIST;
    let digit = digits::generate(Seed(0), Split::Test, 4..5);
    let (image, goal) = (digit.images().to_tensor([0], &device), Goal::Untargeted { labels: vec![digit.label(0)] });
    let attacked = attack.attack(&model, image, &goal, &[Seed(1).input(4)])?.finish();
    println!("A {}: under attack the model says {:?}.", digit.label(0), pollster::block_on(predictions(attacked.logits))?);

    // The defense knows neither the label nor the attack; it has the training samples of all classes.
    let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..2000));
    let riposte = PostTraining { model: &model, pools: &pools, settings };
    let watch = async |progress: Progress<'_, _>| {
        if let Progress::Searched(found) = progress {
            println!("It is between {:?} and {:?}: a copy of the model adapts to them.", found.original, found.neighbor);
        }
        ControlFlow::Continue(())
    };
    let answer = pollster::block_on(riposte.answer(attacked.images, Seed(1).input(4), watch))?;
    println!("The copy says {:?}.", pollster::block_on(predictions(answer.logits))?);
    Ok(())
}
