//! The strong attacks against their authors' code and foolbox, on public weights and the official test images
//! (`tests/reference/autoattack.json`).

use std::ops::ControlFlow;

use burn::tensor::Device;
use riposte::ToTensor;
use riposte::attack::{Apgd, Attack, Cw, DeepFool, Fab, Norm, Square, campaign, distance};
use riposte::models::{Architecture, Model};
use riposte::rng::Seed;
use serde_json::Value;

use crate::attacks_subjects::values;
use crate::official;

/// Images of so many that ours and theirs may differ in, beyond what the seeds of either spread over.
const DISAGREE: f64 = 3.0 / 1000.0;
/// Images of a run that this test repeats; the others in the file are for whoever has the time.
const IMAGES: u64 = 200;

#[test(needs(official::OFFICIAL))]
fn each_attack_leaves_as_many_right_as_its_authors_code() {
    let subject = Subject::new("fast");
    for (name, attack) in [
        ("apgd-ce", Attack::Apgd(Apgd::STANDARD)),
        ("apgd-t", Attack::Apgd(Apgd::STANDARD_TARGETED)),
        ("fab-t", Attack::Fab(Fab::STANDARD)),
        ("square", Attack::Square(Square::STANDARD)),
    ] {
        let theirs: Vec<f64> = subject.runs(name).map(|run| run["robust"][name].as_f64().unwrap()).collect();
        let (low, high) = (theirs.iter().copied().fold(f64::MAX, f64::min), theirs.iter().copied().fold(0.0, f64::max));
        let ours = subject.right(attack) as f64;
        let slack = DISAGREE * IMAGES as f64;
        // One draw against five falls outside of their spread one time in three, by little.
        let slack = if theirs.len() == 1 { slack } else { slack + 1.0 };
        assert!(ours >= low - slack && ours <= high + slack, "{name}: {ours} right, theirs {theirs:?}");
    }
}

#[test(needs(official::OFFICIAL))]
fn perturbations_are_as_small_as_foolbox_finds_them() {
    let subject = Subject::new("fast");
    let steps = subject.file["cw_steps"].as_u64().unwrap() as usize;
    for (name, norm, attack) in [
        ("deepfool-l2", Norm::L2, Attack::DeepFool(DeepFool::STANDARD)),
        ("deepfool-linf", Norm::LInfinity, Attack::DeepFool(DeepFool { norm: Norm::LInfinity, ..DeepFool::STANDARD })),
        ("cw-l2", Norm::L2, Attack::Cw(Cw { steps, ..Cw::L2 })),
    ] {
        let Some(theirs) = subject.runs(name).next() else { panic!("no reference for {name}") };
        let mut ours = subject.norms(attack, norm, theirs["images"].as_u64().unwrap() as usize);
        ours.sort_by(f32::total_cmp);
        // The lower of the two middle ones, as PyTorch's median.
        let (found, expected) = (f64::from(ours[(ours.len() - 1) / 2]), theirs["median"].as_f64().unwrap());
        assert!((found - expected).abs() <= 0.05 * expected, "{name}: median {found}, theirs {expected}");
        let successes = theirs["successes"].as_u64().unwrap();
        assert!((ours.len() as u64).abs_diff(successes) <= 2, "{name}: {} successes, theirs {successes}", ours.len());
    }
}

/// A model with public weights, the test images, and what others found.
struct Subject {
    name: &'static str,
    model: Model,
    file: Value,
}

impl Subject {
    fn new(name: &'static str) -> Self {
        let path = crate::package().join("reference/autoattack.json");
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let weights = official::shared().weights("mnist_fast_adversarial_fgsm.pth");
        let model = Model::from_weights(Architecture::FastMnistCnn, &weights, &Device::flex()).unwrap();
        Self { name, model, file }
    }

    /// The reference runs of an attack that this test repeats.
    fn runs<'a>(&'a self, attack: &'a str) -> impl Iterator<Item = &'a Value> {
        let runs = self.file["runs"].as_array().unwrap();
        runs.iter()
            .filter(move |run| run["model"] == self.name && run["attack"] == attack && run["images"].as_u64() <= Some(IMAGES))
    }

    fn right(&self, attack: Attack) -> usize {
        self.attacked(attack, IMAGES as usize).1.iter().filter(|right| **right).count()
    }

    /// Norms of the perturbations of the images that were right and are fooled.
    fn norms(&self, attack: Attack, norm: Norm, images: usize) -> Vec<f32> {
        let (points, right) = self.attacked(attack, images);
        let natural = official::mnist().1.images().to_tensor(0..images, &Device::flex());
        let far = values(distance(norm, natural, points));
        far.into_iter().zip(right).filter(|(far, right)| !right && *far > 0.0).map(|(far, _)| far).collect()
    }

    fn attacked(&self, attack: Attack, images: usize) -> (burn::tensor::Tensor<4>, Vec<bool>) {
        let test = &official::mnist().1;
        let labels: Vec<usize> = (0..images).map(|index| test.label(index)).collect();
        let draws = Seed(0).inputs(0..images as u64);
        let natural = test.images().to_tensor(0..images, &Device::flex());
        let observe = async |_| ControlFlow::Continue(());
        let outcome = campaign(attack, &self.model, natural, &labels, &draws, observe);
        let outcome = pollster::block_on(outcome).unwrap();
        assert!(outcome.fates.iter().all(|fate| fate.doubts.is_empty()), "an ordinary model raises no doubts");
        (outcome.end.images, outcome.fates.into_iter().map(|fate| fate.right).collect())
    }
}
