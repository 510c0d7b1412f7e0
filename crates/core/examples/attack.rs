//! Attacks 20 images: the model comes with the project, and the images are drawn by rule, so nothing is downloaded.

use riposte::attack::{Attacks, Goal, Pgd};
use riposte::burn::tensor::Device;
use riposte::classifier::predictions;
use riposte::data::digits::{self, Split};
use riposte::rng::Seed;
use riposte::{Classifier, ToTensor, zoo};

fn main() -> riposte::Result<()> {
    let device = Device::flex();
    let model = zoo::load("digits-robust", &device)?;
    let digits = digits::generate(Seed(0), Split::Test, 0..20);
    let images = digits.images().to_tensor(0..20, &device);
    let labels: Vec<usize> = (0..20).map(|index| digits.label(index)).collect();
    let before = pollster::block_on(predictions(model.forward(images.clone())))?;

    // Forty steps of projected gradient ascent; pixels are in [0, 1], and each may change by 0.3.
    let goal = Goal::Untargeted { labels: labels.clone() };
    let attack = Pgd { epsilon: 0.3, ..Pgd::MNIST };
    let attacked = attack.attack(&model, images, &goal, &Seed(1).inputs(0..20))?.finish();

    let after = pollster::block_on(predictions(attacked.logits))?;
    for ((label, before), after) in labels.iter().zip(before).zip(after) {
        let verdict = if after == *label { "holds" } else { "is fooled" };
        println!("A {label}: the model says {before}, and {after} under attack: it {verdict}.");
    }
    Ok(())
}
