//! The kernels against float64 on the host, on whatever adapter wgpu finds.
//!
//! Errors are relative to the largest entry of the reference. float32 rounds at 6e-8; sums of K products of random signs
//! err by about sqrt(K) of that relative to their size, so 1e-5 leaves room for K up to 10^4, and the weight gradient's
//! sums over a batch of 256 get 1e-4.

use std::sync::OnceLock;

use burn::tensor::{Device, FloatDType, Tensor};
use riposte_harness::Need;

use riposte_kernels::{Activation, ConvOptions, ConvShape, Path, SgdStep, SignedStep, cross_entropy, sgd_step, signed_step};

mod half;
mod reference;

use crate::definitions::{self, BatchNorm, before_activation};
use crate::random::{Random, relative_error, stored, tensor, values};
use reference::Conv;

static WGPU: Need = Need::new("a wgpu adapter", "RIPOSTE_REQUIRE_WGPU", || match find() {
    Ok(_) => Ok(()),
    Err(error) => Err(error.clone()),
});

/// The adapter's device, with gradients. With the feature `cuda`, `RIPOSTE_TEST_CUDA=1` makes it the first CUDA device.
///
/// # Panics
/// If there is none: a test that calls this needs [`WGPU`].
fn gpu() -> Device {
    find().clone().unwrap_or_else(|error| panic!("{error}"))
}

fn find() -> &'static Result<Device, String> {
    static FOUND: OnceLock<Result<Device, String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        #[cfg(feature = "cuda")]
        if std::env::var_os("RIPOSTE_TEST_CUDA").is_some() {
            return Ok(Device::cuda(0).autodiff());
        }
        Device::wgpu_options().init().map(Device::autodiff).map_err(|error| error.to_string())
    })
}

/// How far from the reference, relative to its largest entry, activations of `dtype` are: as above, and f16 rounds at 2^-11.
fn rounding(dtype: FloatDType) -> f64 {
    match dtype {
        FloatDType::F16 => 1e-5 + 2.0f64.powi(-11),
        _ => 1e-5,
    }
}

/// The same tensor, which is of this type.
fn of_type<const D: usize>(tensor: Tensor<D>, dtype: FloatDType) -> Tensor<D> {
    assert_eq!(tensor.dtype(), dtype.into());
    tensor
}

fn noise(seed: u64, count: usize) -> Vec<f32> {
    Random::new(seed).numbers(count)
}

/// Forward and all gradients of one convolution against the reference.
fn check_conv(shape: ConvShape, activation: Activation, with_bias: bool) {
    check_conv_in(FloatDType::F32, shape, activation, with_bias);
}

/// The same with activations of `dtype`.
fn check_conv_in(dtype: FloatDType, shape: ConvShape, activation: Activation, with_bias: bool) {
    let device = gpu();
    let conv = Conv { shape };
    let [filters, ..] = shape.weight;
    let (x_tensor, x) = stored(noise(1, shape.x.iter().product()), shape.x, dtype, &device);
    let weight = noise(2, shape.weight.iter().product());
    let bias = with_bias.then(|| noise(3, filters));
    let (upstream_tensor, upstream) = stored(noise(4, shape.output().iter().product()), shape.output(), dtype, &device);

    let x_tensor = x_tensor.require_grad();
    let weight_tensor = tensor(&weight, shape.weight, &device).require_grad();
    let bias_tensor = bias.as_ref().map(|bias| tensor(bias, [filters], &device).require_grad());
    let y = Path::Kernels.conv2d(x_tensor.clone(), weight_tensor.clone(), bias_tensor.clone(), shape.options, activation);
    let gradients = (y.clone() * upstream_tensor).sum().backward();
    let y = values(of_type(y.inner(), dtype));

    let case = format!("{dtype:?} {shape:?} {activation:?} bias {with_bias}");
    let expected = conv.forward(&x, &weight, bias.as_deref(), activation);
    let forward = relative_error(y.iter().copied(), &expected);
    assert!(forward < rounding(dtype), "forward {forward:e}: {case}");

    // The mask from the device's own output: where rounding flips the sign of an output near 0, both answers are right.
    let signal = before_activation(&upstream, &y, activation);
    let x_gradient = values(of_type(x_tensor.grad(&gradients).unwrap(), dtype));
    let x_error = relative_error(x_gradient, &conv.data_gradient(&signal, &weight));
    assert!(x_error < rounding(dtype), "data gradient {x_error:e}: {case}");
    let weight_gradient = values(of_type(weight_tensor.grad(&gradients).unwrap(), FloatDType::F32));
    let weight_error = relative_error(weight_gradient, &conv.weight_gradient(&signal, &x));
    assert!(weight_error < 1e-4, "weight gradient {weight_error:e}: {case}");
    if let Some(bias) = bias_tensor {
        let bias_gradient = values(of_type(bias.grad(&gradients).unwrap(), FloatDType::F32));
        let bias_error = relative_error(bias_gradient, &conv.bias_gradient(&signal));
        assert!(bias_error < 1e-4, "bias gradient {bias_error:e}: {case}");
    }
}

fn square(batch: usize, channels: usize, size: usize, filters: usize, kernel: usize, stride: usize, padding: usize) -> ConvShape {
    ConvShape {
        x: [batch, channels, size, size],
        weight: [filters, channels, kernel, kernel],
        options: ConvOptions::square(stride, padding),
    }
}

#[test(needs(WGPU))]
fn mnist_cnn_convolutions_agree_with_float64_at_every_batch() {
    for batch in [1, 3, 32, 256] {
        check_conv(square(batch, 1, 28, 16, 4, 2, 1), Activation::Relu, true);
        check_conv(square(batch, 16, 14, 32, 4, 2, 1), Activation::Relu, true);
    }
}

#[test(needs(WGPU))]
fn madry_and_trades_cnn_convolutions_agree_with_float64() {
    check_conv(square(256, 1, 28, 32, 5, 1, 2), Activation::Relu, true);
    check_conv(square(1, 32, 14, 64, 5, 1, 2), Activation::Relu, true);
    check_conv(square(8, 32, 14, 64, 5, 1, 2), Activation::Relu, true);
    check_conv(square(4, 1, 28, 32, 3, 1, 0), Activation::Relu, true);
    check_conv(square(4, 32, 26, 32, 3, 1, 0), Activation::Relu, true);
    check_conv(square(4, 32, 12, 64, 3, 1, 0), Activation::Relu, true);
    check_conv(square(4, 64, 10, 64, 3, 1, 0), Activation::Relu, true);
}

/// Forward and data gradient by the tiles of large products, which the networks have from batches of 32 on; rows, columns and terms fill
/// none of them.
#[test(needs(WGPU))]
fn large_products_agree_with_float64() {
    check_conv(square(33, 35, 32, 37, 1, 1, 0), Activation::LeakyRelu(0.1), true);
    for (x, filters, stride) in [([9, 34, 63, 60], 37, 1), ([33, 35, 31, 33], 36, 2)] {
        let shape = ConvShape { x, weight: [filters, x[1], 3, 3], options: ConvOptions::square(stride, 1) };
        check_conv(shape, Activation::Relu, true);
    }
}

#[test(needs(WGPU))]
fn residual_network_convolutions_agree_with_float64() {
    for batch in [1, 3] {
        check_conv(square(batch, 3, 32, 64, 3, 1, 1), Activation::None, false);
        check_conv(square(batch, 64, 32, 64, 3, 1, 1), Activation::None, false);
        check_conv(square(batch, 64, 32, 128, 3, 2, 1), Activation::None, false);
        check_conv(square(batch, 64, 32, 128, 1, 2, 0), Activation::None, false);
        check_conv(square(batch, 128, 16, 128, 3, 1, 1), Activation::None, false);
        check_conv(square(batch, 256, 8, 512, 3, 2, 1), Activation::None, false);
        check_conv(square(batch, 256, 8, 512, 1, 2, 0), Activation::None, false);
        check_conv(square(batch, 512, 4, 512, 3, 1, 1), Activation::None, false);
    }
    check_conv(square(1, 160, 16, 320, 3, 2, 1), Activation::LeakyRelu(0.1), false);
    check_conv(square(1, 640, 8, 640, 3, 1, 1), Activation::None, false);
    check_conv(square(2, 16, 32, 160, 1, 1, 0), Activation::None, false);
}

#[test(needs(WGPU))]
fn every_layer_of_every_network_agrees_with_float64() {
    for network in crate::models::NETWORKS {
        // Seen where a check fails.
        println!("{}", network.architecture);
        for batch in [1, 3] {
            for &[channels, size, filters, kernel, stride, padding] in network.convolutions {
                let shape = square(batch, channels, size, filters, kernel, stride, padding);
                check_conv(shape, network.activation, network.bias);
            }
            for &[inputs, outputs] in network.linear {
                check_linear(batch, inputs, outputs, network.activation, true);
            }
        }
    }
}

#[test(needs(WGPU))]
fn odd_extents_strides_and_paddings_agree_with_float64() {
    for (x, weight, stride, padding) in [
        ([2, 3, 5, 7], [5, 3, 3, 2], [1, 2], [0, 1]),
        ([1, 1, 1, 1], [1, 1, 1, 1], [1, 1], [0, 0]),
        ([3, 7, 9, 11], [13, 7, 2, 5], [3, 1], [1, 2]),
        ([2, 5, 8, 6], [17, 5, 4, 4], [2, 3], [3, 2]),
        ([1, 2, 13, 3], [66, 2, 5, 3], [4, 2], [2, 1]),
        ([5, 67, 3, 3], [3, 67, 3, 3], [2, 2], [1, 1]),
        ([2, 4, 10, 10], [4, 4, 1, 1], [3, 3], [0, 0]),
        ([2, 4, 4, 4], [4, 4, 1, 1], [1, 1], [2, 2]),
    ] {
        let shape = ConvShape { x, weight, options: ConvOptions { stride, padding } };
        check_conv(shape, Activation::None, true);
        check_conv(shape, Activation::LeakyRelu(0.1), true);
        check_conv(shape, Activation::Relu, false);
    }
}

/// Forward and all gradients of one linear layer against the reference: a convolution over a single position.
fn check_linear(batch: usize, inputs: usize, outputs: usize, activation: Activation, with_bias: bool) {
    check_linear_in(FloatDType::F32, batch, inputs, outputs, activation, with_bias);
}

/// The same with activations of `dtype`.
fn check_linear_in(dtype: FloatDType, batch: usize, inputs: usize, outputs: usize, activation: Activation, with_bias: bool) {
    let device = gpu();
    let conv = Conv {
        shape: ConvShape { x: [batch, inputs, 1, 1], weight: [outputs, inputs, 1, 1], options: ConvOptions::square(1, 0) },
    };
    let (x_tensor, x) = stored(noise(1, batch * inputs), [batch, inputs], dtype, &device);
    let weight = noise(2, outputs * inputs);
    let bias = with_bias.then(|| noise(3, outputs));
    let (upstream_tensor, upstream) = stored(noise(4, batch * outputs), [batch, outputs], dtype, &device);

    let x_tensor = x_tensor.require_grad();
    let weight_tensor = tensor(&weight, [outputs, inputs], &device).require_grad();
    let bias_tensor = bias.as_ref().map(|bias| tensor(bias, [outputs], &device).require_grad());
    let y = Path::Kernels.linear(x_tensor.clone(), weight_tensor.clone(), bias_tensor.clone(), activation);
    let gradients = (y.clone() * upstream_tensor).sum().backward();
    let y = values(of_type(y.inner(), dtype));

    let case = format!("{dtype:?} [{batch}, {inputs}] -> {outputs} {activation:?} bias {with_bias}");
    let forward = relative_error(y.iter().copied(), &conv.forward(&x, &weight, bias.as_deref(), activation));
    assert!(forward < rounding(dtype), "forward {forward:e}: {case}");
    let signal = before_activation(&upstream, &y, activation);
    let x_gradient = values(of_type(x_tensor.grad(&gradients).unwrap(), dtype));
    let x_error = relative_error(x_gradient, &conv.data_gradient(&signal, &weight));
    assert!(x_error < rounding(dtype), "data gradient {x_error:e}: {case}");
    let weight_gradient = values(of_type(weight_tensor.grad(&gradients).unwrap(), FloatDType::F32));
    let weight_error = relative_error(weight_gradient, &conv.weight_gradient(&signal, &x));
    assert!(weight_error < 1e-4, "weight gradient {weight_error:e}: {case}");
    if let Some(bias) = bias_tensor {
        let bias_gradient = values(of_type(bias.grad(&gradients).unwrap(), FloatDType::F32));
        let bias_error = relative_error(bias_gradient, &conv.bias_gradient(&signal));
        assert!(bias_error < 1e-4, "bias gradient {bias_error:e}: {case}");
    }
}

#[test(needs(WGPU))]
fn linear_layers_agree_with_float64() {
    for batch in [1, 7, 256] {
        check_linear(batch, 1568, 100, Activation::Relu, true);
        check_linear(batch, 100, 10, Activation::None, true);
    }
    check_linear(3, 3136, 1024, Activation::Relu, true);
    check_linear(4, 512, 10, Activation::None, true);
    check_linear(2, 640, 10, Activation::None, true);
    check_linear(5, 13, 67, Activation::LeakyRelu(0.2), false);
    check_linear(33, 1, 1, Activation::None, true);
}

#[test(needs(WGPU))]
fn gradients_reach_only_what_is_tracked() {
    let device = gpu();
    let shape = square(3, 5, 6, 7, 3, 1, 1);
    let (x, weight, bias) = (noise(1, 3 * 5 * 36), noise(2, 7 * 5 * 9), noise(3, 7));
    let upstream = noise(4, 3 * 7 * 36);
    let conv = Conv { shape };
    for tracked in 1..8u32 {
        let wants = |bit: u32| tracked >> bit & 1 == 1;
        let x_tensor = tensor(&x, shape.x, &device).set_require_grad(wants(0));
        let weight_tensor = tensor(&weight, shape.weight, &device).set_require_grad(wants(1));
        let bias_tensor = tensor(&bias, [7], &device).set_require_grad(wants(2));
        let y = Path::Kernels.conv2d(
            x_tensor.clone(),
            weight_tensor.clone(),
            Some(bias_tensor.clone()),
            shape.options,
            Activation::Relu,
        );
        let gradients = (y.clone() * tensor(&upstream, shape.output(), &device)).sum().backward();
        let signal = before_activation(&upstream, &values(y.inner()), Activation::Relu);
        let found = [
            x_tensor.grad(&gradients).map(|g| relative_error(values(g), &conv.data_gradient(&signal, &weight))),
            weight_tensor.grad(&gradients).map(|g| relative_error(values(g), &conv.weight_gradient(&signal, &x))),
            bias_tensor.grad(&gradients).map(|g| relative_error(values(g), &conv.bias_gradient(&signal))),
        ];
        for (bit, found) in found.into_iter().enumerate() {
            assert_eq!(found.is_some(), wants(bit as u32), "gradient {bit} where {tracked:03b} are tracked");
            assert!(found.unwrap_or(0.0) < 1e-5, "gradient {bit} where {tracked:03b} are tracked: {found:?}");
        }
    }
}

#[test(needs(WGPU))]
fn permuted_tensors_count_as_their_values() {
    let device = gpu();
    let shape = square(2, 6, 8, 5, 3, 2, 1);
    let (x, weight) = (noise(1, 2 * 6 * 64), noise(2, 5 * 6 * 9));
    let plain = Path::Kernels.conv2d(
        tensor(&x, shape.x, &device),
        tensor(&weight, shape.weight, &device),
        None,
        shape.options,
        Activation::None,
    );
    // The same values behind other strides.
    let twisted = |t: Tensor<4>| (t.permute([3, 1, 0, 2]) * 1.0).permute([2, 1, 3, 0]);
    let permuted = Path::Kernels.conv2d(
        twisted(tensor(&x, shape.x, &device)),
        twisted(tensor(&weight, shape.weight, &device)),
        None,
        shape.options,
        Activation::None,
    );
    assert_eq!(values(plain), values(permuted));
}

#[test(needs(WGPU))]
fn nan_and_infinity_reach_exactly_the_outputs_that_see_them() {
    check_nan_and_infinity(FloatDType::F32);
}

fn check_nan_and_infinity(dtype: FloatDType) {
    let device = gpu();
    let shape = square(2, 3, 6, 4, 3, 1, 1);
    for poison in [f32::NAN, f32::INFINITY] {
        let mut x = noise(1, 2 * 3 * 36);
        x[36 + 7] = poison; // image 0, channel 1, row 1, column 1
        let y = Path::Kernels.conv2d(
            tensor(&x, shape.x, &device).cast(dtype),
            tensor(&noise(2, 4 * 27), shape.weight, &device),
            None,
            shape.options,
            Activation::None,
        );
        for (i, value) in values(y).into_iter().enumerate() {
            let (image, row, column) = (i / 144, i % 36 / 6, i % 6);
            let sees = image == 0 && row <= 2 && column <= 2;
            assert_eq!(value.is_finite(), !sees, "{dtype:?}: {poison} in, {value} at {i}");
        }
    }
    let poisons = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -2.0];
    let identity = tensor(&[1.0], [1, 1, 1, 1], &device);
    for (activation, slope) in [(Activation::Relu, 0.0), (Activation::LeakyRelu(0.5), 0.5)] {
        let x = tensor(&poisons, [1, 1, 1, 4], &device).cast(dtype);
        let y = values(Path::Kernels.conv2d(x, identity.clone(), None, ConvOptions::square(1, 0), activation));
        assert!(y[0].is_nan() && y[1] == f32::INFINITY, "{activation:?}: {y:?}");
        let low = if slope == 0.0 { 0.0 } else { f32::NEG_INFINITY };
        assert!(y[2] == low && y[3] == -2.0 * slope, "{activation:?}: {y:?}");
    }
}

#[test(needs(WGPU))]
fn batch_normalization_agrees_with_float64() {
    check_batch_normalization(FloatDType::F32);
}

fn check_batch_normalization(dtype: FloatDType) {
    let device = gpu();
    for (shape, activation) in [
        ([3, 64, 8, 8], Activation::Relu),
        ([2, 5, 3, 7], Activation::LeakyRelu(0.1)),
        ([1, 17, 1, 1], Activation::None),
        ([33, 3, 16, 16], Activation::Relu),
    ] {
        let mut case = BatchNorm::new(shape, 0.0, 1e-3, activation);
        let (x, upstream) = crate::layers::stored_case(&mut case, dtype, &device);
        let statistics = case.statistics();
        let channel = |values: &[f32]| tensor(values, [shape[1]], &device);
        let x = x.require_grad();
        let [gamma, beta] = [&case.gamma, &case.beta].map(|values| channel(values).require_grad());
        let [mean, var] = [0, 1].map(|which: usize| channel(&statistics[which]));
        let y = Path::Kernels.batch_norm_act(x.clone(), gamma.clone(), beta.clone(), mean, var, case.epsilon, activation);
        let gradients = (y.clone() * upstream).sum().backward();
        let found = [
            values(of_type(y.inner(), dtype)),
            values(of_type(x.grad(&gradients).unwrap(), dtype)),
            values(of_type(gamma.grad(&gradients).unwrap(), FloatDType::F32)),
            values(of_type(beta.grad(&gradients).unwrap(), FloatDType::F32)),
        ];
        let expected = case.frozen(&statistics, &found[0]);
        for ((what, found), expected) in ["y", "x", "gamma", "beta"].iter().zip(found).zip(expected) {
            let error = relative_error(found, &expected);
            let below = if matches!(*what, "y" | "x") { rounding(dtype) } else { 1e-5 };
            assert!(error < below, "{what} {error:e}: {dtype:?} {shape:?} {activation:?}");
        }
    }
}

#[test(needs(WGPU))]
fn batch_normalization_by_the_batch_agrees_with_float64() {
    check_batch_normalization_by_the_batch(FloatDType::F32);
}

fn check_batch_normalization_by_the_batch(dtype: FloatDType) {
    let device = gpu();
    for (shape, activation) in [
        ([3, 64, 8, 8], Activation::Relu),
        ([2, 5, 3, 7], Activation::LeakyRelu(0.1)),
        ([33, 3, 16, 16], Activation::Relu),
        ([256, 128, 4, 4], Activation::None),
    ] {
        // Far from 0 the deviation is known to within 50 roundings of the mean.
        for (center, tolerance) in [(0.0, 1e-5), (50.0, 1e-4)] {
            let errors = crate::layers::batch_norm_train_errors(shape, center, activation, Path::Kernels, dtype, &device);
            let stored = tolerance + rounding(dtype) - rounding(FloatDType::F32);
            let right = errors[..2].iter().all(|error| *error < stored) && errors[2..].iter().all(|error| *error < tolerance);
            assert!(right, "{dtype:?} {shape:?} {activation:?} {center}: {errors:?}");
        }
    }
}

#[test(needs(WGPU))]
fn cross_entropy_and_its_gradient_agree_with_float64() {
    let device = gpu();
    for (samples, classes) in [(1, 10), (256, 10), (77, 3)] {
        let logits: Vec<f32> = noise(1, samples * classes).iter().map(|v| v * 30.0).collect();
        // Any weights, not only one-hot.
        let targets: Vec<f32> = noise(2, samples * classes).iter().map(|v| v.max(0.0)).collect();
        let upstream = noise(3, samples);
        let logits_tensor = tensor(&logits, [samples, classes], &device).require_grad();
        let loss = cross_entropy(logits_tensor.clone(), tensor(&targets, [samples, classes], &device));
        let gradients = (loss.clone() * tensor(&upstream, [samples], &device)).sum().backward();
        let expected = definitions::cross_entropy(classes, &logits, &targets, &upstream);
        let loss_error = relative_error(values(loss.inner()), &expected[0]);
        let gradient_error = relative_error(values(logits_tensor.grad(&gradients).unwrap()), &expected[1]);
        assert!(loss_error < 1e-5 && gradient_error < 1e-5, "{loss_error:e} {gradient_error:e}");
    }
}

#[test(needs(WGPU))]
fn signed_step_stays_in_the_ball_and_the_range_and_rests_where_inactive() {
    let device = gpu();
    let shape = [3, 2, 3, 5];
    let origin: Vec<f32> = noise(1, 90).iter().map(|v| v.abs()).collect();
    let mut x: Vec<f32> = origin.iter().zip(noise(2, 90)).map(|(o, d)| o + 0.1 * d).collect();
    x[2] = f32::NAN;
    let mut gradient = noise(3, 90);
    (gradient[0], gradient[1]) = (0.0, f32::NAN);
    let active = [1.0, 0.0, 2.0];
    let step = SignedStep { step_size: 0.07, epsilon: 0.1, range: [0.0, 1.0] };
    let y = values(signed_step(
        tensor(&x, shape, &device),
        tensor(&gradient, shape, &device),
        tensor(&origin, shape, &device),
        Some(tensor(&active, [3], &device)),
        step,
    ));
    let expected = definitions::signed_step(&x, &gradient, &origin, &active, step);
    for (i, (y, expected)) in y.into_iter().zip(expected).enumerate() {
        // One rounding of float32 on values up to 1.
        let near = (f64::from(y) - expected).abs() <= 1.2e-7;
        assert!(near || y.is_nan() && expected.is_nan(), "{i}: {y} instead of {expected}");
    }
}

#[test(needs(WGPU))]
fn sgd_steps_follow_pytorch_with_and_without_nesterov() {
    let device = gpu();
    // Lengths that vectors of four divide and others, which share no launch; more of the first than any launch takes.
    let many = [16, 3, 64, 8, 5, 12, 4, 20, 24, 28, 1600, 36, 40];
    for (counts, nesterov) in [(&[1][..], true), (&[13, 1600, 8], false), (&[1600, 64, 10, 4], true), (&many, true)] {
        let step = SgdStep { learning_rate: 0.1, momentum: 0.9, nesterov, weight_decay: 0.01, gradient_scale: 0.25 };
        let drawn = |seed: u64| counts.iter().map(|&count| noise(seed, count)).collect::<Vec<_>>();
        let on_device = |values: &[Vec<f32>]| values.iter().map(|v| tensor(v, [v.len()], &device)).collect::<Vec<_>>();
        let (mut parameters, mut velocities) = (on_device(&drawn(1)), Vec::new());
        for round in 0..3 {
            let gradients = drawn(10 + round);
            // Held elsewhere: it must not change.
            let (given, kept) = (on_device(&gradients), velocities.clone());
            let before: Vec<Vec<f32>> = kept.iter().cloned().map(values).collect();
            (parameters, velocities) = sgd_step(parameters, given.clone(), velocities, step);
            assert_eq!(given.into_iter().map(values).collect::<Vec<_>>(), gradients);
            assert_eq!(kept.into_iter().map(values).collect::<Vec<_>>(), before);
        }
        let expected = definitions::descent(&drawn(1).concat(), &[10, 11, 12].map(|seed| drawn(seed).concat()), step);
        for (found, expected) in parameters.into_iter().flat_map(values).zip(expected) {
            // A few roundings of float32 on values of about 1.
            assert!((f64::from(found) - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }
}

#[test(needs(WGPU))]
fn running_statistics_move_by_the_momentum() {
    let device = gpu();
    crate::steps::check_moving_statistics(Path::Kernels, &device);
}

#[test(needs(WGPU))]
fn results_do_not_change_from_run_to_run() {
    let device = gpu();
    let shape = square(16, 8, 14, 12, 3, 1, 1);
    let (x, weight) = (noise(1, 16 * 8 * 196), noise(2, 12 * 8 * 9));
    let run = || {
        let weight = tensor(&weight, shape.weight, &device).require_grad();
        let y = Path::Kernels.conv2d(tensor(&x, shape.x, &device), weight.clone(), None, shape.options, Activation::Relu);
        let gradients = y.sum().backward();
        values(weight.grad(&gradients).unwrap())
    };
    assert_eq!(run(), run());
}

#[test(needs(WGPU))]
fn max_pooling_passes_the_gradient_to_the_first_maximum() {
    check_max_pooling(FloatDType::F32);
}

fn check_max_pooling(dtype: FloatDType) {
    let device = gpu();
    for (shape, size) in [([2, 3, 8, 8], 2), ([1, 2, 7, 5], 2), ([1, 1, 9, 10], 3)] {
        let [batch, channels, height, width] = shape;
        let (rows, columns) = (height / size, width / size);
        // Few distinct values, so that maxima repeat.
        let x: Vec<f32> = noise(1, shape.iter().product()).iter().map(|v| (v * 3.0).round()).collect();
        let (x_tensor, x) = stored(x, shape, dtype, &device);
        let pooled = [batch, channels, rows, columns];
        let (upstream_tensor, upstream) = stored(noise(2, pooled.iter().product()), pooled, dtype, &device);
        let x_tensor = x_tensor.require_grad();
        let y = Path::Kernels.max_pool(x_tensor.clone(), size);
        let gradients = (y.clone() * upstream_tensor).sum().backward();

        let [pooled, expected] = definitions::max_pool(shape, size, &x, &upstream);
        assert_eq!(values(of_type(y.inner(), dtype)), pooled);
        assert_eq!(values(of_type(x_tensor.grad(&gradients).unwrap(), dtype)), expected);
    }
    let poisoned = Path::Kernels.max_pool(tensor(&[1.0, f32::NAN, 5.0, 2.0], [1, 1, 2, 2], &device).cast(dtype), 2);
    assert!(values(poisoned)[0].is_nan());
}
