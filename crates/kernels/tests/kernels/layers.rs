use burn::tensor::{Device, FloatDType, Tensor};
use proptest::prelude::*;
use riposte_kernels::{Activation, Path, cross_entropy};

use crate::definitions::{self, BatchNorm};
use crate::random::{Random, on_threads, relative_error, stored, tensor, values};

/// y, and the gradients of a random loss with respect to x, weight and bias.
fn linear([batch, inputs, outputs]: [usize; 3], activation: Activation, path: Path) -> [Vec<f32>; 4] {
    let device = Device::flex().autodiff();
    let mut random = Random::new((batch * inputs * outputs) as u64);
    let mut tracked = |shape: [usize; 2]| -> Tensor<2> { tensor(&random.numbers(shape[0] * shape[1]), shape, &device) };
    let x = tracked([batch, inputs]).require_grad();
    let weight = tracked([outputs, inputs]).require_grad();
    let bias = tracked([1, outputs]).reshape([outputs]).detach().require_grad();
    let gradient = tracked([batch, outputs]);
    let y = path.linear(x.clone(), weight.clone(), Some(bias.clone()), activation);
    let gradients = (y.clone() * gradient).sum().backward();
    [
        values(y.inner()),
        values(x.grad(&gradients).expect("x is tracked")),
        values(weight.grad(&gradients).expect("the weight is tracked")),
        values(bias.grad(&gradients).expect("the bias is tracked")),
    ]
}

/// The same from the definition, in double precision; the signs of the activation are those of the computed output.
fn linear_definition([batch, inputs, outputs]: [usize; 3], activation: Activation, y: &[f32]) -> [Vec<f64>; 4] {
    let mut random = Random::new((batch * inputs * outputs) as u64);
    let mut numbers = |count| -> Vec<f64> { random.numbers(count).iter().map(|&v| v.into()).collect() };
    let (x, weight) = (numbers(batch * inputs), numbers(outputs * inputs));
    let (bias, gradient) = (numbers(outputs), numbers(batch * outputs));
    let slope = f64::from(activation.negative_slope().unwrap_or(1.0));
    let [mut out, mut gx] = [vec![0.0; batch * outputs], vec![0.0; batch * inputs]];
    let [mut gw, mut gb] = [vec![0.0; outputs * inputs], vec![0.0; outputs]];
    for b in 0..batch {
        for o in 0..outputs {
            let at = b * outputs + o;
            let masked = gradient[at] * if y[at] > 0.0 { 1.0 } else { slope };
            let mut sum = bias[o];
            for i in 0..inputs {
                sum += x[b * inputs + i] * weight[o * inputs + i];
                gx[b * inputs + i] += masked * weight[o * inputs + i];
                gw[o * inputs + i] += masked * x[b * inputs + i];
            }
            gb[o] += masked;
            out[at] = if sum <= 0.0 { sum * slope } else { sum };
        }
    }
    [out, gx, gw, gb]
}

fn check_linear(sizes: [usize; 3], activation: Activation) {
    let computed = linear(sizes, activation, Path::Kernels);
    let defined = linear_definition(sizes, activation, &computed[0]);
    for (index, (computed, defined)) in computed.into_iter().zip(&defined).enumerate() {
        let error = relative_error(computed, defined);
        // Sums of up to 3,136 products in single precision.
        assert!(error < 1e-5, "result {index} of {sizes:?}: relative error {error:e}");
    }
}

#[test]
fn every_linear_layer_agrees_with_its_definition() {
    let layers = [[1568, 100], [100, 10], [3136, 1024], [1024, 10], [1024, 200], [200, 200], [512, 10], [640, 10]];
    for [inputs, outputs] in layers {
        for batch in [1, 2, 70] {
            on_threads(2, || check_linear([batch, inputs, outputs], Activation::Relu));
        }
    }
}

proptest! {
    #[test]
    fn odd_linear_layers_agree_with_their_definition(
        batch in 1usize..90,
        inputs in 1usize..80,
        outputs in 1usize..80,
        activation in prop_oneof![
            Just(Activation::None), Just(Activation::Relu), Just(Activation::LeakyRelu(0.1)),
        ],
    ) {
        check_linear([batch, inputs, outputs], activation);
    }
}

/// y, and the gradients of a random loss with respect to x, gamma and beta.
fn batch_norm(shape: [usize; 4], activation: Activation, path: Path) -> [Vec<f32>; 4] {
    let device = Device::flex().autodiff();
    let mut random = Random::new(7);
    let (count, channels) = (shape.iter().product(), shape[1]);
    let x = tensor(&random.numbers(count), shape, &device).require_grad();
    let mut channel = |low: f32| -> Tensor<1> {
        let numbers: Vec<f32> = random.numbers(channels).iter().map(|v| low + v).collect();
        tensor(&numbers, [channels], &device)
    };
    let (gamma, beta) = (channel(0.0).require_grad(), channel(0.0).require_grad());
    let (mean, var) = (channel(0.0), channel(1.5));
    let y = path.batch_norm_act(x.clone(), gamma.clone(), beta.clone(), mean, var, 1e-5, activation);
    let gradient = tensor(&random.numbers(count), shape, &device);
    let gradients = (y.clone() * gradient).sum().backward();
    [
        values(y.inner()),
        values(x.grad(&gradients).expect("x is tracked")),
        values(gamma.grad(&gradients).expect("gamma is tracked")),
        values(beta.grad(&gradients).expect("beta is tracked")),
    ]
}

/// Burn computes the same formula in another order; its own gradients are what is compared with.
#[test]
fn batch_normalization_agrees_with_the_stock_operations() {
    for shape in [[3, 5, 4, 4], [1, 1, 1, 1], [2, 64, 9, 7], [40, 16, 32, 32]] {
        for activation in [Activation::None, Activation::Relu, Activation::LeakyRelu(0.1)] {
            let kernels = on_threads(2, || batch_norm(shape, activation, Path::Kernels));
            let stock = batch_norm(shape, activation, Path::Stock);
            for (index, (kernels, stock)) in kernels.into_iter().zip(stock).enumerate() {
                let stock: Vec<f64> = stock.iter().map(|&v| v.into()).collect();
                let error = relative_error(kernels, &stock);
                // Sums over 40,960 elements in single precision, in different orders.
                assert!(error < 2e-5, "result {index} of {shape:?}: relative error {error:e}");
            }
        }
    }
}

/// x and upstream of a case in `dtype` on a device; where that rounds, they are rounded in the case, too.
pub fn stored_case(case: &mut BatchNorm, dtype: FloatDType, device: &Device) -> (Tensor<4>, Tensor<4>) {
    let (x, rounded_x) = stored(case.x.clone(), case.shape, dtype, device);
    let (upstream, rounded_upstream) = stored(case.upstream.clone(), case.shape, dtype, device);
    (case.x, case.upstream) = (rounded_x, rounded_upstream);
    (x, upstream)
}

/// By the statistics of the batch, x in `dtype`, on a device of any kind: errors of y, the gradients of x, gamma and beta, mean and variance.
pub fn batch_norm_train_errors(
    shape: [usize; 4],
    center: f32,
    activation: Activation,
    path: Path,
    dtype: FloatDType,
    device: &Device,
) -> [f64; 6] {
    let mut case = BatchNorm::new(shape, center, 1e-5, activation);
    let (x, upstream) = stored_case(&mut case, dtype, device);
    let x = x.require_grad();
    let [gamma, beta] = [&case.gamma, &case.beta].map(|values| tensor(values, [shape[1]], device).require_grad());
    let (y, mean, var) = path.batch_norm_train_act(x.clone(), gamma.clone(), beta.clone(), case.epsilon, activation);
    let gradients = (y.clone() * upstream).sum().backward();
    let found = [
        values(y.inner()),
        values(x.grad(&gradients).expect("x is tracked")),
        values(gamma.grad(&gradients).expect("gamma is tracked")),
        values(beta.grad(&gradients).expect("beta is tracked")),
        values(mean.inner()),
        values(var.inner()),
    ];
    let expected = case.of_batch(&found[0]);
    let mut pairs = found.into_iter().zip(&expected);
    [(); 6].map(|()| pairs.next().map(|(found, expected)| relative_error(found, expected)).expect("six results"))
}

#[test]
fn batch_normalization_by_the_batch_agrees_with_its_definition() {
    let device = Device::flex().autodiff();
    for shape in [[3, 5, 4, 4], [2, 64, 9, 7], [40, 16, 32, 32], [256, 128, 4, 4]] {
        for activation in [Activation::None, Activation::Relu, Activation::LeakyRelu(0.1)] {
            // Far from 0 the deviation is known to within 50 roundings of the mean.
            for (center, tolerance) in [(0.0, 1e-5), (50.0, 1e-4)] {
                for path in [Path::Kernels, Path::Stock] {
                    let errors =
                        on_threads(2, || batch_norm_train_errors(shape, center, activation, path, FloatDType::F32, &device));
                    assert!(
                        errors.iter().all(|error| *error < tolerance),
                        "{shape:?} {activation:?} {center} {path:?}: {errors:?}"
                    );
                }
            }
        }
    }
}

/// x alone, or the parameters alone.
#[test]
fn gradients_of_batch_normalization_reach_only_what_is_tracked() {
    let device = Device::flex().autodiff();
    let mut random = Random::new(13);
    let numbers = random.numbers(2 * 3 * 4);
    let [gamma, beta] = [(); 2].map(|()| random.numbers(3));
    let run = |wanted: [bool; 3]| {
        let x = tensor(&numbers, [2, 3, 2, 2], &device).set_require_grad(wanted[0]);
        let gamma = tensor(&gamma, [3], &device).set_require_grad(wanted[1]);
        let beta = tensor(&beta, [3], &device).set_require_grad(wanted[2]);
        let (y, _, _) = Path::Kernels.batch_norm_train_act(x.clone(), gamma.clone(), beta.clone(), 1e-5, Activation::Relu);
        let gradients = (y.clone() * y.detach()).sum().backward();
        [x.grad(&gradients).map(values), gamma.grad(&gradients).map(values), beta.grad(&gradients).map(values)]
    };
    let all = run([true; 3]);
    for wanted in 1..8u32 {
        let wanted = [0, 1, 2].map(|bit| wanted >> bit & 1 == 1);
        let expected = [0, 1, 2].map(|which| all[which].clone().filter(|_| wanted[which]));
        assert_eq!(run(wanted), expected, "{wanted:?}");
    }
}

#[test]
fn the_maximum_of_each_window_gets_its_gradient() {
    let device = Device::flex().autodiff();
    let mut random = Random::new(11);
    for (shape, size) in [([2, 3, 28, 28], 2), ([1, 2, 7, 9], 2), ([3, 1, 9, 9], 3), ([1, 1, 1, 1], 1)] {
        let numbers = random.numbers(shape.iter().product());
        let of_path = |path: Path| {
            let x = tensor(&numbers, shape, &device).require_grad();
            let y = path.max_pool(x.clone(), size);
            // Each window's gradient differs.
            let gradients = (y.clone() * y.clone().detach()).sum().backward();
            [values(y.inner()), values(x.grad(&gradients).expect("x is tracked"))]
        };
        assert_eq!(of_path(Path::Kernels), of_path(Path::Stock), "{shape:?}, windows of {size}");
    }
}

#[test]
fn an_undefined_element_makes_its_window_undefined() {
    for at in 0..4 {
        let mut window = [1.0, 2.0, 3.0, 4.0];
        window[at] = f32::NAN;
        let y = values(Path::Kernels.max_pool(tensor(&window, [1, 1, 2, 2], &Device::flex()), 2));
        assert!(y[0].is_nan());
    }
}

#[test]
fn cross_entropy_and_its_gradient_agree_with_the_definition() {
    let device = Device::flex().autodiff();
    let (batch, classes) = (7, 10);
    let mut random = Random::new(3);
    let logits: Vec<f32> = random.numbers(batch * classes).iter().map(|v| v * 20.0).collect();
    let mut targets = vec![0.0; batch * classes];
    (0..batch).for_each(|sample| targets[sample * classes + sample % classes] = 1.0);
    let weights = random.numbers(batch);

    let [losses, expected] = definitions::cross_entropy(classes, &logits, &targets, &weights);
    // The kernel, and Burn's operations.
    for dtype in [FloatDType::F32, FloatDType::F64] {
        let x: Tensor<2> = tensor(&logits, [batch, classes], &device).cast(dtype).require_grad();
        let loss = cross_entropy(x.clone(), tensor(&targets, [batch, classes], &device).cast(dtype));
        let gradients = (loss.clone() * tensor(&weights, [batch], &device).cast(dtype)).sum().backward();
        // A few roundings of logits of up to 20.
        assert!(relative_error(values(loss.inner()), &losses) < 1e-6, "{dtype:?}");
        let gradient = x.grad(&gradients).expect("the logits are tracked");
        assert!(relative_error(values(gradient), &expected) < 1e-6, "{dtype:?}");
    }
}

#[test]
fn the_loss_of_large_logits_is_finite_and_of_undefined_ones_undefined() {
    let device = Device::flex();
    let logits = tensor(&[1e4, -1e4, f32::NAN, 0.0], [2, 2], &device);
    let targets = tensor(&[0.0, 1.0, 0.0, 1.0], [2, 2], &device);
    let losses = values(cross_entropy(logits, targets));
    assert_eq!(losses[0], 2e4);
    assert!(losses[1].is_nan());
}
