//! Networks of every form, small, against PyTorch: `golden/forms.py` wrote its logits and gradients, in double precision.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use riposte::attack::{Goal, Loss, input_gradient};
use riposte::classifier::read;
use riposte::models::{Architecture, Model};
use riposte::rng::Seed;
use riposte::weights::StateDict;
use riposte::{Classifier, Result};

use crate::formula;

/// Of the largest value: single precision keeps 2e-7 of a number, and the deepest of these nets adds up over a hundred layers.
const TOLERANCE: f32 = 1e-4;

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let read: Result<Vec<f32>> = pollster::block_on(read(tensor));
    read.unwrap()
}

fn close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(scale > 0.0 && off <= TOLERANCE * scale, "{what}: off by {off}, of {scale}");
}

#[test]
fn networks_of_every_form_compute_what_pytorch_does() {
    let bytes = std::fs::read(crate::package().join("golden/forms.safetensors")).unwrap();
    let golden = StateDict::from_safetensors(&bytes).unwrap().0;
    let mut nets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for key in golden.keys() {
        let (net, what) = key.split_once('/').unwrap();
        nets.entry(net).or_default().push(what);
    }
    assert!(nets.len() >= 12, "{nets:?}");
    let device = Device::flex();
    let images = Tensor::<4>::from_data(TensorData::new(formula::unit("images", 4 * 3072), [4, 3, 32, 32]), &device);
    for net in nets.keys() {
        let architecture: Architecture = net.parse().unwrap();
        let expected = |what: &str| golden[&format!("{net}/{what}")].values.as_slice();
        let random = Model::random(architecture, Seed(0), &device);
        let weights = formula::fill(&pollster::block_on(random.weights()).unwrap());
        let model = Model::from_weights(architecture, &weights, &device).unwrap();
        close(&format!("{net} logits"), &values(model.forward(images.clone())), expected("logits"));
        let goal = Goal::Untargeted { labels: vec![3] };
        let (_, gradient) = input_gradient(&model, images.clone().narrow(0, 0, 1), &goal, Loss::Margin);
        close(&format!("{net} gradient"), &values(gradient), expected("gradient"));
        let logits = model.train().forward(images.clone().autodiff()).inner();
        close(&format!("{net} logits by the batch's statistics"), &values(logits), expected("batch_logits"));
    }
}
