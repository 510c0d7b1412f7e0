//! The operations around convolutions and linear layers.

use burn::tensor::Device;
use riposte_kernels::{
    Activation, ConvOptions, SgdStep, SignedStep, batch_norm_act, conv2d, cross_entropy, max_pool, sgd_step, signed_step,
};

use crate::convolutions::gradient;
use crate::random::tensor;
use crate::reference;
use crate::{Finding, noise, read};

pub const NAMES: [&str; 6] = [
    "batch normalization",
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
        1 => [pooling([2, 3, 8, 8], 2, device).await, pooling([1, 2, 7, 5], 2, device).await].into_iter().flatten().collect(),
        2 => [loss(1, 10, device).await, loss(77, 3, device).await].into_iter().flatten().collect(),
        3 => attack_step(device).await,
        4 => descent(device).await,
        _ => undefined(device).await,
    }
}

async fn batch_norm(shape: [usize; 4], activation: Activation, device: &Device) -> Vec<Finding> {
    let [_, channels, height, width] = shape;
    let count = shape.iter().product();
    let (x, upstream) = (noise(1, count), noise(2, count));
    let (gamma, beta, mean) = (noise(3, channels), noise(4, channels), noise(5, channels));
    let var: Vec<f32> = noise(6, channels).iter().map(|v| v.abs() + 0.1).collect();
    let epsilon = 1e-3;
    let tracked = |values: &[f32]| tensor(values, [channels], device).require_grad();
    let x_tensor = tensor(&x, shape, device).require_grad();
    let (gamma_tensor, beta_tensor) = (tracked(&gamma), tracked(&beta));
    let y = batch_norm_act(
        x_tensor.clone(),
        gamma_tensor.clone(),
        beta_tensor.clone(),
        tensor(&mean, [channels], device),
        tensor(&var, [channels], device),
        epsilon,
        activation,
    );
    let gradients = (y.clone() * tensor(&upstream, shape, device)).sum().backward();
    let y = read(y.inner()).await;
    if y.len() != count {
        return vec![Finding::relative("output", y, &vec![0.0; count], 1e-5)];
    }

    let signal = reference::before_activation(&upstream, &y, activation);
    let mut expected = [vec![0.0; count], vec![0.0; count], vec![0.0; channels], vec![0.0; channels]];
    for i in 0..count {
        let c = i / (height * width) % channels;
        let inverse = 1.0 / (f64::from(var[c]) + epsilon).sqrt();
        let normal = (f64::from(x[i]) - f64::from(mean[c])) * inverse;
        let value = normal * f64::from(gamma[c]) + f64::from(beta[c]);
        expected[0][i] = reference::activate(value, activation);
        expected[1][i] = signal[i] * f64::from(gamma[c]) * inverse;
        expected[2][c] += signal[i] * normal;
        expected[3][c] += signal[i];
    }
    let found = [
        y,
        gradient(x_tensor.grad(&gradients)).await,
        gradient(gamma_tensor.grad(&gradients)).await,
        gradient(beta_tensor.grad(&gradients)).await,
    ];
    let names = ["output", "input gradient", "gamma gradient", "beta gradient"];
    let pairs = names.into_iter().zip(found).zip(&expected);
    pairs.map(|((what, found), expected)| Finding::relative(what, found, expected, 1e-5)).collect()
}

async fn pooling(shape: [usize; 4], size: usize, device: &Device) -> Vec<Finding> {
    let [batch, channels, height, width] = shape;
    let (rows, columns) = (height / size, width / size);
    // Few distinct values, so that maxima repeat.
    let x: Vec<f32> = noise(1, shape.iter().product()).iter().map(|v| (v * 3.0).round()).collect();
    let upstream = noise(2, batch * channels * rows * columns);
    let x_tensor = tensor(&x, shape, device).require_grad();
    let y = max_pool(x_tensor.clone(), size);
    let gradients = (y.clone() * tensor(&upstream, [batch, channels, rows, columns], device)).sum().backward();
    let mut expected = vec![0.0; x.len()];
    let pooled: Vec<f32> = (0..upstream.len())
        .map(|i| {
            let start = (i / columns / rows * height + i / columns % rows * size) * width + i % columns * size;
            let window = (0..size * size).map(|tap| start + tap / size * width + tap % size);
            let best = window.reduce(|best, at| if x[at] > x[best] { at } else { best }).unwrap_or(start);
            expected[best] += upstream[i];
            x[best]
        })
        .collect();
    let y = read(y.inner()).await;
    let x = gradient(x_tensor.grad(&gradients)).await;
    vec![Finding::wrong("output", [y == pooled]), Finding::wrong("input gradient", [x == expected])]
}

async fn loss(samples: usize, classes: usize, device: &Device) -> Vec<Finding> {
    let logits: Vec<f32> = noise(1, samples * classes).iter().map(|v| v * 30.0).collect();
    // Any weights, not only one-hot.
    let targets: Vec<f32> = noise(2, samples * classes).iter().map(|v| v.max(0.0)).collect();
    let upstream = noise(3, samples);
    let logits_tensor = tensor(&logits, [samples, classes], device).require_grad();
    let loss = cross_entropy(logits_tensor.clone(), tensor(&targets, [samples, classes], device));
    let gradients = (loss.clone() * tensor(&upstream, [samples], device)).sum().backward();
    let mut expected = [vec![0.0; samples], vec![0.0; samples * classes]];
    for sample in 0..samples {
        let row = sample * classes..(sample + 1) * classes;
        let highest = logits[row.clone()].iter().fold(f64::MIN, |m, v| m.max(f64::from(*v)));
        let partition: f64 = logits[row.clone()].iter().map(|v| (f64::from(*v) - highest).exp()).sum();
        let total: f64 = targets[row.clone()].iter().map(|v| f64::from(*v)).sum();
        for i in row {
            let log_probability = f64::from(logits[i]) - highest - partition.ln();
            expected[0][sample] -= f64::from(targets[i]) * log_probability;
            let gradient = log_probability.exp() * total - f64::from(targets[i]);
            expected[1][i] = gradient * f64::from(upstream[sample]);
        }
    }
    vec![
        Finding::relative("loss", read(loss.inner()).await, &expected[0], 1e-5),
        Finding::relative("gradient", gradient(logits_tensor.grad(&gradients)).await, &expected[1], 1e-5),
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
    let expected: Vec<f64> = (0..90)
        .map(|i| {
            let sign = f32::from(gradient[i] > 0.0) - f32::from(gradient[i] < 0.0);
            let moved = (x[i] + 0.07 * sign).clamp(origin[i] - 0.1, origin[i] + 0.1).clamp(0.0, 1.0);
            f64::from(if active[i / 30] == 0.0 { x[i] } else { moved })
        })
        .collect();
    // One rounding of float32 on values up to 1.
    vec![Finding::relative("image", read(moved).await, &expected, 2e-7)]
}

async fn descent(device: &Device) -> Vec<Finding> {
    let device = &device.clone().without_autodiff();
    let mut findings = Vec::new();
    // Pairs of parameters share a launch, the last one is alone.
    for (counts, nesterov) in [(&[13usize, 1600, 8][..], false), (&[1600, 64, 10, 4], true)] {
        let step = SgdStep { learning_rate: 0.1, momentum: 0.9, nesterov, weight_decay: 0.01 };
        let drawn = |seed: u64| counts.iter().map(|&count| noise(seed, count)).collect::<Vec<_>>();
        let on_device = |values: &[Vec<f32>]| values.iter().map(|v| tensor(v, [v.len()], device)).collect::<Vec<_>>();
        let mut expected: Vec<f64> = drawn(1).into_iter().flatten().map(f64::from).collect();
        let mut speeds = vec![0.0; expected.len()];
        let (mut parameters, mut velocities) = (on_device(&drawn(1)), Vec::new());
        for round in 0..3 {
            let gradients = drawn(10 + round);
            (parameters, velocities) = sgd_step(parameters, on_device(&gradients), velocities, step);
            for ((value, speed), gradient) in expected.iter_mut().zip(&mut speeds).zip(gradients.into_iter().flatten()) {
                let g = f64::from(gradient) + 0.01 * *value;
                *speed = 0.9 * *speed + g;
                *value -= 0.1 * if nesterov { g + 0.9 * *speed } else { *speed };
            }
        }
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
        let y = read(conv2d(x, weight, None, ConvOptions::square(1, 1), Activation::None)).await;
        let right = y.iter().enumerate().map(|(i, value)| {
            let (image, row, column) = (i / 144, i % 36 / 6, i % 6);
            value.is_finite() != (image == 0 && row <= 2 && column <= 2)
        });
        findings.push(Finding::wrong("outputs that see it", right.chain([y.len() == 288])));
    }
    let identity = tensor(&[1.0], [1, 1, 1, 1], device);
    let x = tensor(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -2.0], [1, 1, 1, 4], device);
    for (activation, low) in [(Activation::Relu, [0.0, 0.0]), (Activation::LeakyRelu(0.5), [f32::NEG_INFINITY, -1.0])] {
        let y = read(conv2d(x.clone(), identity.clone(), None, ConvOptions::square(1, 0), activation)).await;
        let right = y.len() == 4 && y[0].is_nan() && y[1] == f32::INFINITY && y[2..] == low;
        findings.push(Finding::wrong("activation", [right]));
    }
    let pooled = read(max_pool(tensor(&[1.0, f32::NAN, 5.0, 2.0], [1, 1, 2, 2], device), 2)).await;
    findings.push(Finding::wrong("maximum", [pooled.len() == 1 && pooled[0].is_nan()]));
    let (logits, targets) = (tensor(&[1.0, f32::NAN], [1, 2], device), tensor(&[1.0, 0.0], [1, 2], device));
    let loss = read(cross_entropy(logits, targets)).await;
    findings.push(Finding::wrong("loss", [loss.len() == 1 && loss[0].is_nan()]));
    findings
}
