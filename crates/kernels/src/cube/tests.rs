//! The kernels against float64 on the host, on whatever adapter wgpu finds.
//!
//! Errors are relative to the largest entry of the reference. float32 rounds at 6e-8; sums of K products of random signs
//! err by about sqrt(K) of that relative to their size, so 1e-5 leaves room for K up to 10^4, and the weight gradient's
//! sums over a batch of 256 get 1e-4.

use std::sync::OnceLock;

use burn::tensor::{Device, Tensor, TensorData};

use crate::{
    Activation, ConvOptions, ConvShape, SgdStep, SignedStep, batch_norm_act, conv2d, cross_entropy, linear, sgd_step, signed_step,
};

mod reference;
mod timing;
use reference::{Conv, noise};

/// The adapter's device, with gradients; `None`, with a word on stderr, on a machine without an adapter.
fn gpu() -> Option<Device> {
    static GPU: OnceLock<Option<Device>> = OnceLock::new();
    GPU.get_or_init(|| match Device::wgpu_options().init() {
        Ok(device) => Some(device.autodiff()),
        Err(error) if std::env::var_os("RIPOSTE_REQUIRE_WGPU").is_some() => {
            panic!("RIPOSTE_REQUIRE_WGPU is set, but wgpu finds no adapter: {error}")
        }
        Err(error) => {
            eprintln!("skipped: wgpu finds no adapter ({error})");
            None
        }
    })
    .clone()
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_to_vec().unwrap()
}

/// Largest difference relative to the largest entry of `expected`.
fn error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let scale = expected.iter().fold(0.0f64, |m, v| m.max(v.abs())).max(1e-30);
    let differences = actual.iter().zip(expected).map(|(a, e)| {
        let difference = (f64::from(*a) - e).abs();
        if difference.is_nan() { f64::INFINITY } else { difference }
    });
    differences.fold(0.0, f64::max) / scale
}

/// Forward and all gradients of one convolution against the reference.
fn check_conv(shape: ConvShape, activation: Activation, with_bias: bool) {
    let Some(device) = gpu() else { return };
    let conv = Conv { shape };
    let [filters, ..] = shape.weight;
    let x = noise(1, shape.x.iter().product());
    let weight = noise(2, shape.weight.iter().product());
    let bias = with_bias.then(|| noise(3, filters));
    let upstream = noise(4, shape.output().iter().product());

    let x_tensor = tensor(&x, shape.x, &device).require_grad();
    let weight_tensor = tensor(&weight, shape.weight, &device).require_grad();
    let bias_tensor = bias.as_ref().map(|bias| tensor(bias, [filters], &device).require_grad());
    let y = conv2d(x_tensor.clone(), weight_tensor.clone(), bias_tensor.clone(), shape.options, activation);
    let gradients = (y.clone() * tensor(&upstream, shape.output(), &device)).sum().backward();
    let y = host(y.inner());

    let case = format!("{shape:?} {activation:?} bias {with_bias}");
    let expected = conv.forward(&x, &weight, bias.as_deref(), activation);
    let forward = error(&y, &expected);
    assert!(forward < 1e-5, "forward {forward:e}: {case}");

    // The mask from the device's own output: where rounding flips the sign of an output near 0, both answers are right.
    let signal = reference::before_activation(&upstream, &y, activation);
    let x_error = error(&host(x_tensor.grad(&gradients).unwrap()), &conv.data_gradient(&signal, &weight));
    assert!(x_error < 1e-5, "data gradient {x_error:e}: {case}");
    let weight_error = error(&host(weight_tensor.grad(&gradients).unwrap()), &conv.weight_gradient(&signal, &x));
    assert!(weight_error < 1e-4, "weight gradient {weight_error:e}: {case}");
    if let Some(bias) = bias_tensor {
        let bias_error = error(&host(bias.grad(&gradients).unwrap()), &conv.bias_gradient(&signal));
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

#[test]
fn mnist_cnn_convolutions_agree_with_float64_at_every_batch() {
    for batch in [1, 3, 32, 256] {
        check_conv(square(batch, 1, 28, 16, 4, 2, 1), Activation::Relu, true);
        check_conv(square(batch, 16, 14, 32, 4, 2, 1), Activation::Relu, true);
    }
}

#[test]
fn madry_and_trades_cnn_convolutions_agree_with_float64() {
    check_conv(square(256, 1, 28, 32, 5, 1, 2), Activation::Relu, true);
    check_conv(square(1, 32, 14, 64, 5, 1, 2), Activation::Relu, true);
    check_conv(square(8, 32, 14, 64, 5, 1, 2), Activation::Relu, true);
    check_conv(square(4, 1, 28, 32, 3, 1, 0), Activation::Relu, true);
    check_conv(square(4, 32, 26, 32, 3, 1, 0), Activation::Relu, true);
    check_conv(square(4, 32, 12, 64, 3, 1, 0), Activation::Relu, true);
    check_conv(square(4, 64, 10, 64, 3, 1, 0), Activation::Relu, true);
}

#[test]
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

#[test]
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
