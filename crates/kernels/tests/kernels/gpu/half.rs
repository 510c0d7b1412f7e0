//! The kernels with activations in f16. Inputs are rounded to it beforehand and sums are f32, so what is left beside the errors
//! in f32 is one rounding of each output: 2^-11 of it.

use burn::tensor::FloatDType;
use riposte_kernels::{Activation, ConvOptions, ConvShape, Path, stores_f16};

use super::{
    check_batch_normalization, check_batch_normalization_by_the_batch, check_conv_in, check_linear_in, check_max_pooling,
    check_nan_and_infinity, gpu, square,
};
use crate::random::{tensor, values};

const F16: FloatDType = FloatDType::F16;

#[test(needs(super::WGPU))]
fn layers_of_the_models_agree_with_float64_in_f16() {
    for network in crate::models::NETWORKS {
        // Seen where a check fails.
        println!("{}", network.architecture);
        for &[channels, size, filters, kernel, stride, padding] in network.convolutions {
            check_conv_in(F16, square(3, channels, size, filters, kernel, stride, padding), network.activation, network.bias);
        }
        for &[inputs, outputs] in network.linear {
            check_linear_in(F16, 3, inputs, outputs, network.activation, true);
        }
    }
}

#[test(needs(super::WGPU))]
fn large_batches_agree_with_float64_in_f16() {
    // Split reductions, whose parts are f32, and activations that have a pass of their own.
    check_conv_in(F16, square(256, 16, 14, 32, 4, 2, 1), Activation::Relu, true);
    check_conv_in(F16, square(64, 16, 32, 16, 3, 1, 1), Activation::None, false);
    check_conv_in(F16, square(2, 512, 4, 512, 3, 1, 1), Activation::None, false);
    check_conv_in(F16, square(33, 35, 32, 37, 1, 1, 0), Activation::LeakyRelu(0.25), true);
    check_linear_in(F16, 256, 1568, 100, Activation::Relu, true);
    check_linear_in(F16, 1, 1568, 100, Activation::None, true);
}

#[test(needs(super::WGPU))]
fn odd_extents_strides_and_paddings_agree_with_float64_in_f16() {
    for (x, weight, stride, padding) in [
        ([2, 3, 5, 7], [5, 3, 3, 2], [1, 2], [0, 1]),
        ([1, 1, 1, 1], [1, 1, 1, 1], [1, 1], [0, 0]),
        ([3, 7, 9, 11], [13, 7, 2, 5], [3, 1], [1, 2]),
        ([2, 5, 8, 6], [17, 5, 4, 4], [2, 3], [3, 2]),
        ([5, 67, 3, 3], [3, 67, 3, 3], [2, 2], [1, 1]),
        ([2, 4, 4, 4], [4, 4, 1, 1], [1, 1], [2, 2]),
    ] {
        let shape = ConvShape { x, weight, options: ConvOptions { stride, padding } };
        // A slope that rounds nothing where a pass of its own stores the gradient before the activation.
        check_conv_in(F16, shape, Activation::LeakyRelu(0.25), true);
        check_conv_in(F16, shape, Activation::Relu, false);
    }
    check_linear_in(F16, 5, 13, 67, Activation::LeakyRelu(0.25), false);
    check_linear_in(F16, 33, 1, 1, Activation::None, true);
}

#[test(needs(super::WGPU))]
fn batch_normalization_agrees_with_float64_in_f16() {
    check_batch_normalization(F16);
    check_batch_normalization_by_the_batch(F16);
}

#[test(needs(super::WGPU))]
fn max_pooling_agrees_with_its_definition_in_f16() {
    check_max_pooling(F16);
}

#[test(needs(super::WGPU))]
fn nan_infinity_and_sums_beyond_f16_reach_the_output() {
    check_nan_and_infinity(F16);
    let device = gpu();
    let x = tensor(&[100.0, -100.0, 60.0], [1, 1, 1, 3], &device).cast(F16);
    let thousand = tensor(&[1000.0], [1, 1, 1, 1], &device);
    let y = Path::Kernels.conv2d(x, thousand, None, ConvOptions::square(1, 0), Activation::None);
    // 60000 is a multiple of 32, which is what numbers of this size are apart.
    assert_eq!(values(y), [f32::INFINITY, f32::NEG_INFINITY, 60000.0]);
}

#[test(needs(super::WGPU))]
fn the_device_says_that_it_stores_f16_and_the_cpu_that_it_does_not() {
    assert!(!stores_f16(&burn::tensor::Device::flex()));
    let device = gpu();
    assert!(stores_f16(&device), "of the adapters that tests know, all store f16");
}
