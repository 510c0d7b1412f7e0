//! Activations in f16 where there are no kernels for them: Burn's operations in f32, rounded to f16 on the way out.

use burn::tensor::{DType, Device, FloatDType, Tensor};
use riposte_kernels::{Activation, ConvOptions, Path, cross_entropy};

use crate::random::{Random, relative_error, stored, tensor, values};

const SHAPE: [usize; 4] = [3, 4, 6, 6];
const CHANNEL: [usize; 1] = [4];

#[derive(Clone, Copy, Debug)]
enum Layer {
    Conv2d,
    Linear,
    BatchNorm,
    BatchNormTrain,
    MaxPool,
}

/// y and the gradient of x, in `dtype`; then the gradients of the parameters, which are f32, and what is f32 beside y.
fn run(layer: Layer, path: Path, dtype: FloatDType) -> [Vec<Vec<f32>>; 2] {
    let device = Device::flex().autodiff();
    let mut random = Random::new(21);
    let (count, linear) = (SHAPE.iter().product(), [5, 4 * 36]);
    // The same values in either type.
    let rounded = |values| stored(values, [count], FloatDType::F16, &device).1;
    let (inputs, upstream) = (rounded(random.numbers(count)), rounded(random.numbers(count)));
    let x = tensor(&inputs, SHAPE, &device).cast(dtype).require_grad();
    let kernel: Tensor<4> = tensor(&random.numbers(4 * 4 * 9), [4, 4, 3, 3], &device).require_grad();
    let matrix: Tensor<2> = tensor(&random.numbers(5 * 4 * 36), linear, &device).require_grad();
    let row: Tensor<1> = tensor(&random.numbers(5), [5], &device).require_grad();
    let [gamma, beta, mean] = [(); 3].map(|()| tensor::<1>(&random.numbers(4), CHANNEL, &device).require_grad());
    let var = tensor(&[0.5, 1.0, 1.5, 2.0], CHANNEL, &device);
    let relu = Activation::Relu;
    let mut beside = Vec::new();
    let y: Tensor<1> = match layer {
        Layer::Conv2d => {
            let bias = Some(beta.clone());
            path.conv2d(x.clone(), kernel.clone(), bias, ConvOptions::square(1, 1), relu).flatten(0, 3)
        }
        Layer::Linear => path.linear(x.clone().flatten(1, 3), matrix.clone(), Some(row.clone()), relu).flatten(0, 1),
        Layer::BatchNorm => {
            let mean = mean.clone().detach();
            path.batch_norm_act(x.clone(), gamma.clone(), beta.clone(), mean, var, 1e-5, relu).flatten(0, 3)
        }
        Layer::BatchNormTrain => {
            let (y, mean, var) = path.batch_norm_train_act(x.clone(), gamma.clone(), beta.clone(), 1e-5, relu);
            beside.extend([mean, var]);
            y.flatten(0, 3)
        }
        Layer::MaxPool => path.max_pool(x.clone(), 2).flatten(0, 3),
    };
    let outputs = y.dims()[0];
    let gradients = (y.clone() * tensor(&upstream[..outputs], [outputs], &device).cast(dtype)).sum().backward();
    let x: Tensor<1> = x.grad(&gradients).expect("x is tracked").flatten(0, 3);
    for tensor in [&y, &x] {
        assert_eq!(tensor.dtype(), dtype.into(), "{layer:?} {path:?}");
    }
    beside.extend(kernel.grad(&gradients).map(|gradient| gradient.flatten(0, 3)));
    beside.extend(matrix.grad(&gradients).map(|gradient| gradient.flatten(0, 1)));
    beside.extend([row, gamma, beta].iter().filter_map(|parameter| parameter.grad(&gradients)));
    for tensor in &beside {
        assert_eq!(tensor.dtype(), DType::F32, "{layer:?} {path:?}");
    }
    [[y.inner(), x].map(values).into(), beside.into_iter().map(values).collect()]
}

#[test]
fn activations_in_f16_are_those_in_f32_rounded_and_all_else_is_the_same() {
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    for layer in [Layer::Conv2d, Layer::Linear, Layer::BatchNorm, Layer::BatchNormTrain, Layer::MaxPool] {
        for path in [Path::Kernels, Path::Stock] {
            let [single, single_beside] = run(layer, path, FloatDType::F32);
            let [half, half_beside] = run(layer, path, FloatDType::F16);
            assert_eq!(single_beside.len(), half_beside.len());
            for (index, (single, half)) in single.iter().zip(half).enumerate() {
                // One rounding to f16; the kernels and Burn's operations differ by some in f32.
                let error = relative_error(half, &wide(single));
                assert!(error < 2.0f64.powi(-11) + 1e-6, "result {index} of {layer:?} by {path:?}: {error:e}");
            }
            for (index, (single, half)) in single_beside.iter().zip(half_beside).enumerate() {
                let error = relative_error(half, &wide(single));
                assert!(error < 1e-6, "f32 result {index} of {layer:?} by {path:?}: {error:e}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "conv2d: weight in F16 does not fit x in F16: F32 does")]
fn parameters_in_f16_are_refused() {
    let device = Device::flex();
    let half = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &device).cast(FloatDType::F16);
    Path::Kernels.conv2d(half([1, 2, 8, 8]), half([4, 2, 3, 3]), None, ConvOptions::square(1, 1), Activation::None);
}

#[test]
#[should_panic(expected = "cross_entropy: targets in F32 differs in type from F16")]
fn logits_in_f16_beside_targets_in_f32_are_refused() {
    let device = Device::flex();
    let zeros: Tensor<2> = Tensor::zeros([2, 10], &device);
    cross_entropy(zeros.clone().cast(FloatDType::F16), zeros);
}
