//! Attackers who can only ask, on a classifier whose boundary is known.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};
use riposte::Classifier;
use riposte::ToTensor;
use riposte::attack::opt_attack::Probe;
use riposte::attack::signs::Compared;
use riposte::attack::{opt_attack, zoo};
use riposte::data::digits::{self, Split};
use riposte::data::pool::ClassPools;
use riposte::defense::Static;
use riposte::models::{Architecture, Model};
use riposte::post_train::{PostTrain, PostTraining, Progress};
use riposte::presets::Preset;
use riposte::rng::{Purpose, Seed};
use riposte::spec::Choice;
use riposte::spec::queries::{Drawn, Estimate, OptAttack, Zoo};

use crate::attacks_subjects::values;

/// Signs of a hyperplane's normal in the space of 16 pixels: its length is 4.
fn normal() -> Vec<f32> {
    (0..16).map(|pixel| if pixel % 3 == 0 { -1.0 } else { 1.0 }).collect()
}

/// Class 1 where the sum along the normal is more than 0.8 above that of an image of 0.5 in all pixels: 0.2 away from it.
fn logits(images: Tensor<4>) -> Vec<Vec<f32>> {
    let normal = normal();
    let height = |row: &[f32]| row.iter().zip(&normal).map(|(pixel, along)| (pixel - 0.5) * along).sum::<f32>();
    values(images).chunks_exact(16).map(|row| vec![0.8, height(row)]).collect()
}

fn image() -> Tensor<4> {
    Tensor::full([1, 1, 4, 4], 0.5, &Device::flex())
}

#[test]
fn both_attacks_find_about_the_nearest_point_behind_a_flat_boundary() {
    let mut stream = Seed(1).stream(Purpose::Queries, 0);
    let mut asked = 0;
    let mut ask = async |images: Tensor<4>| {
        asked += images.dims()[0];
        Ok(logits(images))
    };
    let zoo = Zoo { coordinates: 8, queries: 6000, learning_rate: 0.02, rounds: 4, ..Zoo::STANDARD };
    let found = pollster::block_on(zoo::attack(zoo, image(), 0, &mut stream, &mut ask)).unwrap();
    assert!(found.queries == asked && asked <= 6000);
    // Nothing nearer exists; the loss weighs the distance against the margin, so that the end is a little behind the boundary.
    assert!((0.2..0.24).contains(&found.distance), "{}", found.distance);
    asked = 0;
    let mut ask = async |images: Tensor<4>| {
        asked += images.dims()[0];
        Ok(logits(images))
    };
    let opt = OptAttack { queries: 6000, ..OptAttack::STANDARD };
    let found = pollster::block_on(opt_attack::attack(opt, image(), 0, &mut stream, &mut ask)).unwrap();
    assert!(found.queries == asked && asked <= 6000);
    assert!((0.2..0.21).contains(&found.distance), "{}", found.distance);
    assert!(found.first_success.unwrap() < 100 && found.largest < 0.1);
    let moved = found.image.unwrap();
    assert!(logits(moved)[0][1] >= 0.8);
}

#[test]
fn differences_have_the_size_and_the_sign_of_the_derivative() {
    for pixel in [0, 1] {
        let ask = async |image: Tensor<4>| Ok(logits(image).remove(0));
        let found = pollster::block_on(zoo::difference(image(), 0, pixel, 1e-3, ask)).unwrap();
        // The cross-entropy of class 0 rises by the probability of class 1 along the normal: 1 / (1 + e^0.8).
        let expected = f64::from(normal()[pixel]) / (1.0 + 0.8f64.exp());
        // The second derivative's part is 1e-6 of it; f32 logits near 0 add 1e-7 / 1e-3.
        assert!((found - expected).abs() < 2e-4, "{found} {expected}");
    }
    let mut stream = Seed(2).stream(Purpose::Queries, 0);
    let ask = async |images: Tensor<4>| Ok(logits(images));
    let mut signs = [0; 2];
    for _ in 0..10 {
        let probe = pollster::block_on(Probe::draw(OptAttack::STANDARD, image(), 0, &mut stream, ask)).unwrap().unwrap();
        let (found, _) = pollster::block_on(probe.difference(image(), 0, ask)).unwrap();
        // The distance along a direction d is 0.8 over its share along the normal: compared with that of the probed direction.
        let along = |direction: &[f32]| direction.iter().zip(normal()).map(|(d, n)| d * n).sum::<f32>();
        let probed: Vec<f32> = probe.direction.iter().zip(&probe.probe).map(|(d, u)| d + probe.smoothing * u).collect();
        let length = probed.iter().map(|value| value * value).sum::<f32>().sqrt();
        let expected = (0.8 * length / along(&probed) - 0.8 / along(&probe.direction)) / probe.smoothing;
        // Each distance is known to a 500th of the smoothing.
        assert!((found - expected).abs() < 0.02 * expected.abs().max(0.3), "{found} {expected}");
        signs[usize::from(found > 0.0)] += 1;
    }
    assert!(signs.iter().all(|count| *count > 0), "{signs:?}");
}

async fn on(_: Progress<'_, Model>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn with_the_same_draws_no_sign_differs_and_without_draws_none_can() {
    let device = Device::flex();
    let model = Model::random(Architecture::FastMnistCnn, Seed(0), &device);
    let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..200));
    // A rate at which three steps move the copy visibly.
    let settings = PostTrain { iterations: 3, batch_size: 8, learning_rate: 0.1, ..Preset::M_MNIST.post_train };
    let adapting = PostTraining { model: &model, pools: &pools, settings };
    let image = digits::generate(Seed(0), Split::Test, 0..1).images().to_tensor(0..1, &device);
    let draws = Seed(0).input(0);
    let mut stream = draws.stream(Purpose::Queries);
    let ask = async |images: Tensor<4>| Ok(vec![values(model.forward(images))]);
    let label = values(model.forward(image.clone()));
    let label = (0..10).max_by(|a, b| label[*a].total_cmp(&label[*b])).unwrap();
    let probe = pollster::block_on(Probe::draw(OptAttack::STANDARD, image.clone(), label, &mut stream, ask)).unwrap();
    assert!(probe.is_some(), "noise changes what random weights say");
    let still = Static(&model);
    let pixel = (100, 1e-3);
    let of_still = Compared { defense: &still, model: &model, image: image.clone(), label, draws, pixel, probe: probe.clone() };
    let of_adapting = Compared { defense: &adapting, model: &model, image, label, draws, pixel, probe };
    for estimate in Estimate::ALL {
        for drawn in Drawn::ALL {
            let signs = pollster::block_on(of_still.signs(*estimate, *drawn, &mut on)).unwrap();
            assert_eq!(signs.differing, 0, "{estimate} {drawn}: there is nothing drawn");
            assert_eq!(signs.pixels, if *estimate == Estimate::Zoo { 1 } else { 784 });
        }
        let signs = pollster::block_on(of_adapting.signs(*estimate, Drawn::Same, &mut on)).unwrap();
        assert_eq!(signs.differing, 0, "{estimate}");
    }
    let signs = pollster::block_on(of_adapting.signs(Estimate::Gradient, Drawn::Fresh, &mut on)).unwrap();
    assert!(signs.differing > 0 && signs.answers == 2, "{signs:?}");
}
