//! The operations around convolutions and linear layers.

use burn::tensor::Device;
use riposte_kernels::{Activation, ConvOptions, Path, SgdStep, SignedStep, cross_entropy, sgd_step, signed_step};

use crate::convolutions::gradient;
use crate::definitions::{self, BatchNorm};
use crate::random::tensor;
use crate::{Finding, noise, read};

pub const NAMES: [&str; 7] = [
    "batch normalization",
    "batch normalization by the batch",
    "max pooling",
    "cross-entropy",
    "a step of an attack",
    "a step of gradient descent",
    "NaN and infinity",
];

/// By the place among [`NAMES`]; `device` with autodiff.
pub async fn check(place: usize, device: &Device) -> Vec<Finding> {
    match place {
        0 => [
            batch_norm([3, 64, 8, 8], Activation::Relu, device).await,
            batch_norm([2, 5, 3, 7], Activation::LeakyRelu(0.1), device).await,
        ]
        .into_iter()
        .flatten()
        .collect(),
        1 => [
            batch_norm_train([3, 64, 8, 8], Activation::Relu, device).await,
            batch_norm_train([2, 5, 3, 7], Activation::LeakyRelu(0.1), device).await,
            batch_norm_train([32, 16, 32, 32], Activation::None, device).await,
        ]
        .into_iter()
        .flatten()
        .collect(),
        2 => [pooling([2, 3, 8, 8], 2, device).await, pooling([1, 2, 7, 5], 2, device).await].into_iter().flatten().collect(),
        3 => [loss(1, 10, device).await, loss(77, 3, device).await].into_iter().flatten().collect(),
        4 => attack_step(device).await,
        5 => descent(device).await,
        _ => undefined(device).await,
    }
}

/// By given statistics.
async fn batch_norm(shape: [usize; 4], activation: Activation, device: &Device) -> Vec<Finding> {
    let case = BatchNorm::new(shape, 0.0, 1e-3, activation);
    let statistics = case.statistics();
    let channel = |values: &[f32]| tensor(values, [shape[1]], device);
    let x = tensor(&case.x, shape, device).require_grad();
    let [gamma, beta] = [&case.gamma, &case.beta].map(|values| channel(values).require_grad());
    let [mean, var] = [0, 1].map(|which: usize| channel(&statistics[which]));
    let y = Path::Kernels.batch_norm_act(x.clone(), gamma.clone(), beta.clone(), mean, var, case.epsilon, activation);
    let gradients = (y.clone() * tensor(&case.upstream, shape, device)).sum().backward();
    let found = [
        read(y.inner()).await,
        gradient(x.grad(&gradients)).await,
        gradient(gamma.grad(&gradients)).await,
        gradient(beta.grad(&gradients)).await,
    ];
    let expected = case.frozen(&statistics, &complete(&found[0], case.x.len()));
    let pairs = OF_BATCH_NORM.into_iter().zip(found).zip(&expected);
    pairs.map(|((what, found), expected)| Finding::relative(what, found, expected, 1e-5)).collect()
}

/// By the statistics of the batch.
async fn batch_norm_train(shape: [usize; 4], activation: Activation, device: &Device) -> Vec<Finding> {
    let case = BatchNorm::new(shape, 0.5, 1e-5, activation);
    let x = tensor(&case.x, shape, device).require_grad();
    let [gamma, beta] = [&case.gamma, &case.beta].map(|values| tensor(values, [shape[1]], device).require_grad());
    let (y, mean, var) = Path::Kernels.batch_norm_train_act(x.clone(), gamma.clone(), beta.clone(), case.epsilon, activation);
    let gradients = (y.clone() * tensor(&case.upstream, shape, device)).sum().backward();
    let found = [
        read(y.inner()).await,
        gradient(x.grad(&gradients)).await,
        gradient(gamma.grad(&gradients)).await,
        gradient(beta.grad(&gradients)).await,
        read(mean.inner()).await,
        read(var.inner()).await,
    ];
    let expected = case.of_batch(&complete(&found[0], case.x.len()));
    let names = OF_BATCH_NORM.into_iter().chain(["mean", "variance"]);
    names.zip(found).zip(&expected).map(|((what, found), expected)| Finding::relative(what, found, expected, 1e-5)).collect()
}

const OF_BATCH_NORM: [&str; 4] = ["output", "input gradient", "gamma gradient", "beta gradient"];

/// An output to compute an expectation from, where the device gave none.
fn complete(found: &[f32], count: usize) -> Vec<f32> {
    if found.len() == count { found.to_vec() } else { vec![0.0; count] }
}

async fn pooling(shape: [usize; 4], size: usize, device: &Device) -> Vec<Finding> {
    let [batch, channels, height, width] = shape;
    let pooled_shape = [batch, channels, height / size, width / size];
    // Few distinct values, so that maxima repeat.
    let x: Vec<f32> = noise(1, shape.iter().product()).iter().map(|v| (v * 3.0).round()).collect();
    let upstream = noise(2, pooled_shape.iter().product());
    let x_tensor = tensor(&x, shape, device).require_grad();
    let y = Path::Kernels.max_pool(x_tensor.clone(), size);
    let gradients = (y.clone() * tensor(&upstream, pooled_shape, device)).sum().backward();
    let [pooled, of_x] = definitions::max_pool(shape, size, &x, &upstream);
    let y = read(y.inner()).await;
    let x = gradient(x_tensor.grad(&gradients)).await;
    vec![Finding::wrong("output", [y == pooled]), Finding::wrong("input gradient", [x == of_x])]
}

async fn loss(samples: usize, classes: usize, device: &Device) -> Vec<Finding> {
    let logits: Vec<f32> = noise(1, samples * classes).iter().map(|v| v * 30.0).collect();
    // Any weights, not only one-hot.
    let targets: Vec<f32> = noise(2, samples * classes).iter().map(|v| v.max(0.0)).collect();
    let upstream = noise(3, samples);
    let logits_tensor = tensor(&logits, [samples, classes], device).require_grad();
    let loss = cross_entropy(logits_tensor.clone(), tensor(&targets, [samples, classes], device));
    let gradients = (loss.clone() * tensor(&upstream, [samples], device)).sum().backward();
    let [losses, of_logits] = definitions::cross_entropy(classes, &logits, &targets, &upstream);
    vec![
        Finding::relative("loss", read(loss.inner()).await, &losses, 1e-5),
        Finding::relative("gradient", gradient(logits_tensor.grad(&gradients)).await, &of_logits, 1e-5),
    ]
}

async fn attack_step(device: &Device) -> Vec<Finding> {
    let device = &device.clone().without_autodiff();
    let shape = [3, 2, 3, 5];
    let origin: Vec<f32> = noise(1, 90).iter().map(|v| v.abs()).collect();
    let x: Vec<f32> = origin.iter().zip(noise(2, 90)).map(|(o, d)| o + 0.1 * d).collect();
    let mut gradient = noise(3, 90);
    (gradient[0], gradient[1]) = (0.0, f32::NAN);
    let active = [1.0, 0.0, 2.0];
    let step = SignedStep { step_size: 0.07, epsilon: 0.1, range: [0.0, 1.0] };
    let moved = signed_step(
        tensor(&x, shape, device),
        tensor(&gradient, shape, device),
        tensor(&origin, shape, device),
        Some(tensor(&active, [3], device)),
        step,
    );
    let expected = definitions::signed_step(&x, &gradient, &origin, &active, step);
    // One rounding of float32 on values up to 1.
    vec![Finding::relative("image", read(moved).await, &expected, 2e-7)]
}

async fn descent(device: &Device) -> Vec<Finding> {
    let device = &device.clone().without_autodiff();
    let mut findings = Vec::new();
    // Pairs of parameters share a launch, the last one is alone.
    for (counts, nesterov) in [(&[13usize, 1600, 8][..], false), (&[1600, 64, 10, 4], true)] {
        let step = SgdStep { learning_rate: 0.1, momentum: 0.9, nesterov, weight_decay: 0.01, gradient_scale: 1.0 };
        let drawn = |seed: u64| counts.iter().map(|&count| noise(seed, count)).collect::<Vec<_>>();
        let on_device = |values: &[Vec<f32>]| values.iter().map(|v| tensor(v, [v.len()], device)).collect::<Vec<_>>();
        let (mut parameters, mut velocities) = (on_device(&drawn(1)), Vec::new());
        for round in 0..3 {
            (parameters, velocities) = sgd_step(parameters, on_device(&drawn(10 + round)), velocities, step);
        }
        let expected = definitions::descent(&drawn(1).concat(), &[10, 11, 12].map(|seed| drawn(seed).concat()), step);
        let mut found = Vec::new();
        for parameter in parameters {
            found.extend(read(parameter).await);
        }
        findings.push(Finding::relative("parameters", found, &expected, 1e-6));
    }
    findings
}

async fn undefined(device: &Device) -> Vec<Finding> {
    let device = &device.clone().without_autodiff();
    let mut findings = Vec::new();
    for poison in [f32::NAN, f32::INFINITY] {
        let mut x = noise(1, 2 * 3 * 36);
        x[36 + 7] = poison; // image 0, channel 1, row 1, column 1
        let (x, weight) = (tensor(&x, [2, 3, 6, 6], device), tensor(&noise(2, 4 * 27), [4, 3, 3, 3], device));
        let y = read(Path::Kernels.conv2d(x, weight, None, ConvOptions::square(1, 1), Activation::None)).await;
        let right = y.iter().enumerate().map(|(i, value)| {
            let (image, row, column) = (i / 144, i % 36 / 6, i % 6);
            value.is_finite() != (image == 0 && row <= 2 && column <= 2)
        });
        findings.push(Finding::wrong("outputs that see it", right.chain([y.len() == 288])));
    }
    let identity = tensor(&[1.0], [1, 1, 1, 1], device);
    let x = tensor(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -2.0], [1, 1, 1, 4], device);
    for (activation, low) in [(Activation::Relu, [0.0, 0.0]), (Activation::LeakyRelu(0.5), [f32::NEG_INFINITY, -1.0])] {
        let y = read(Path::Kernels.conv2d(x.clone(), identity.clone(), None, ConvOptions::square(1, 0), activation)).await;
        let right = y.len() == 4 && y[0].is_nan() && y[1] == f32::INFINITY && y[2..] == low;
        findings.push(Finding::wrong("activation", [right]));
    }
    let pooled = read(Path::Kernels.max_pool(tensor(&[1.0, f32::NAN, 5.0, 2.0], [1, 1, 2, 2], device), 2)).await;
    findings.push(Finding::wrong("maximum", [pooled.len() == 1 && pooled[0].is_nan()]));
    let (logits, targets) = (tensor(&[1.0, f32::NAN], [1, 2], device), tensor(&[1.0, 0.0], [1, 2], device));
    let loss = read(cross_entropy(logits, targets)).await;
    findings.push(Finding::wrong("loss", [loss.len() == 1 && loss[0].is_nan()]));
    findings
}
