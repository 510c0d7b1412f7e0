use burn::backend::flex::Flex;
use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use riposte_kernels::{Activation, ConvOptions, ConvolutionBackwardOps, LayerBackward, Path};

use crate::random::{Random, on_threads, relative_error, tensor, values};
use crate::reference::{Case, Results, flat, unflat};

/// Sums of a few thousand products in single precision.
const FORWARD: f64 = 1e-5;
/// Sums over a batch of 256 and every position.
const WEIGHT_GRADIENT: f64 = 1e-4;

/// Input channels, size, output channels, kernel, stride, padding of the shipped models' layers.
const LAYERS: [[usize; 6]; 33] = [
    // Fast-FGSM MNIST CNN
    [1, 28, 16, 4, 2, 1],
    [16, 14, 32, 4, 2, 1],
    // Madry MNIST CNN
    [1, 28, 32, 5, 1, 2],
    [32, 14, 64, 5, 1, 2],
    // TRADES small CNN
    [1, 28, 32, 3, 1, 0],
    [32, 26, 32, 3, 1, 0],
    [32, 12, 64, 3, 1, 0],
    [64, 10, 64, 3, 1, 0],
    // PreActResNet18 and wide residual networks
    [3, 32, 64, 3, 1, 1],
    [64, 32, 64, 3, 1, 1],
    [64, 32, 128, 3, 2, 1],
    [64, 32, 128, 1, 2, 0],
    [128, 16, 128, 3, 1, 1],
    [256, 8, 512, 3, 2, 1],
    [256, 8, 512, 1, 2, 0],
    [512, 4, 512, 3, 1, 1],
    [16, 32, 160, 3, 1, 1],
    [16, 32, 160, 1, 1, 0],
    // PreActResNet of width 16
    [3, 32, 16, 3, 1, 1],
    [16, 32, 16, 3, 1, 1],
    [16, 32, 32, 3, 2, 1],
    [16, 32, 32, 1, 2, 0],
    [32, 16, 32, 3, 1, 1],
    [32, 16, 64, 3, 2, 1],
    [64, 8, 64, 3, 1, 1],
    [64, 8, 128, 3, 2, 1],
    [64, 8, 128, 1, 2, 0],
    [128, 4, 128, 3, 1, 1],
    // ResNet-4b
    [3, 32, 16, 3, 2, 1],
    [16, 16, 32, 3, 2, 1],
    [32, 8, 32, 3, 1, 1],
    // CNN-A
    [3, 32, 16, 4, 2, 1],
    [16, 16, 32, 4, 2, 1],
];

fn layer([channels, size, out, kernel, stride, padding]: [usize; 6], batch: usize) -> Case {
    let (x, weight) = ([batch, channels, size, size], [out, channels, kernel, kernel]);
    Case::new(x, weight, ConvOptions::square(stride, padding), Activation::Relu)
}

/// Compares `count` elements of each result, or all where there are fewer, with the definition.
fn check(case: &Case, results: &Results, count: usize) {
    let mut random = Random::new(1);
    let mut sample = |total: usize| -> Vec<usize> {
        match total <= count {
            true => (0..total).collect(),
            false => (0..count).map(|_| random.index(total)).collect(),
        }
    };
    let gradient = case.before_activation(&results.y);
    let mut compare = |actual: &[f32], tolerance: f64, name: &str, expected: &dyn Fn(usize) -> f64| {
        let sampled = sample(actual.len());
        let expected: Vec<f64> = sampled.iter().map(|&at| expected(at)).collect();
        let error = relative_error(sampled.iter().map(|&at| actual[at]), &expected);
        assert!(error < tolerance, "{name}: relative error {error:e} in {:?}", case.shape);
    };
    let (x, weight, y) = (case.shape.x, case.shape.weight, case.shape.output());
    compare(&results.y, FORWARD, "output", &|at| case.y(unflat(at, y)));
    compare(&results.x, FORWARD, "input gradient", &|at| case.x_gradient(unflat(at, x), &gradient));
    compare(&results.weight, WEIGHT_GRADIENT, "weight gradient", &|at| case.weight_gradient(unflat(at, weight), &gradient));
    compare(&results.bias, WEIGHT_GRADIENT, "bias gradient", &|at| case.bias_gradient(at, &gradient));
}

#[test]
fn every_layer_agrees_with_its_definition() {
    for sizes in LAYERS {
        // One image takes other routes than several, and fewer images than threads yet others.
        for (batch, threads) in [(1, 1), (1, 2), (3, 2), (5, 1)] {
            let case = layer(sizes, batch);
            check(&case, &on_threads(threads, || case.run(Path::Kernels)), 500);
        }
    }
}

#[test]
fn large_batches_agree_with_the_definition() {
    for sizes in LAYERS.iter().filter(|sizes| sizes[0] * sizes[1] * sizes[2] < 33_000) {
        let case = layer(*sizes, 256);
        check(&case, &on_threads(2, || case.run(Path::Kernels)), 60);
    }
    // Many channels: more tiles at a time, the weight gradient without transforms, nothing transformed for a few tiles.
    for (channels, size, batch) in [(128, 4, 70), (256, 8, 17), (288, 8, 17), (384, 8, 5), (384, 8, 65)] {
        let case = layer([channels, size, channels, 3, 1, 1], batch);
        check(&case, &on_threads(2, || case.run(Path::Kernels)), 60);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn odd_sizes_agree_with_the_definition(
        (batch, channels, out) in (1usize..5, 1usize..20, 1usize..70),
        (height, width) in (1usize..12, 1usize..12),
        kernel in (1usize..6, 1usize..6),
        stride in (1usize..4, 1usize..4),
        padding in (0usize..4, 0usize..4),
        activation in prop_oneof![
            Just(Activation::None), Just(Activation::Relu), Just(Activation::LeakyRelu(0.1)),
        ],
        threads in 1usize..4,
    ) {
        prop_assume!(height + 2 * padding.0 >= kernel.0 && width + 2 * padding.1 >= kernel.1);
        let options = ConvOptions { stride: stride.into(), padding: padding.into() };
        let case = Case::new(
            [batch, channels, height, width],
            [out, channels, kernel.0, kernel.1],
            options,
            activation,
        );
        check(&case, &on_threads(threads, || case.run(Path::Kernels)), 200);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Enough channels and tiles for the transforms of 3x3 kernels, in extents that tiles of four do not divide.
    #[test]
    fn odd_sizes_of_transformed_kernels_agree_with_the_definition(
        (batch, channels, out) in (7usize..13, 16usize..50, 16usize..70),
        (height, width) in (9usize..20, 9usize..20),
        padding in (1usize..3, 1usize..3),
        threads in 1usize..4,
    ) {
        let options = ConvOptions { stride: [1, 1], padding: padding.into() };
        let case = Case::new([batch, channels, height, width], [out, channels, 3, 3], options, Activation::Relu);
        check(&case, &on_threads(threads, || case.run(Path::Kernels)), 200);
    }
}

#[test]
fn the_stock_path_agrees_with_the_kernels() {
    for sizes in [LAYERS[0], LAYERS[1], LAYERS[3], LAYERS[10], LAYERS[11]] {
        let case = layer(sizes, 3);
        let (kernels, stock) = (case.run(Path::Kernels), case.run(Path::Stock));
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&v| v.into()).collect() };
        for (actual, expected) in
            [(kernels.y, stock.y), (kernels.x, stock.x), (kernels.weight, stock.weight), (kernels.bias, stock.bias)]
        {
            // Both are within 1e-5 of the definition.
            assert!(relative_error(actual, &wide(&expected)) < 2e-5, "{sizes:?}");
        }
    }
}

#[test]
fn a_thread_count_gives_the_same_bits_every_time_and_others_agree() {
    let case = layer(LAYERS[1], 50);
    let once = on_threads(2, || case.run(Path::Kernels));
    assert_eq!(once, on_threads(2, || case.run(Path::Kernels)));
    let alone = on_threads(1, || case.run(Path::Kernels));
    assert_eq!(once.y, alone.y);
    assert_eq!(once.x, alone.x);
    let expected: Vec<f64> = alone.weight.iter().map(|&v| v.into()).collect();
    // The order of a sum of 2,450 products differs.
    assert!(relative_error(once.weight, &expected) < 1e-5);
}

#[test]
fn an_undefined_pixel_reaches_exactly_the_outputs_that_see_it() {
    for (bad, batch) in [(f32::NAN, 1), (f32::NAN, 40), (f32::INFINITY, 3)] {
        undefined_pixel([2, 9, 40, 3, 1, 1], batch, bad, [4, 4], |[row, column]| row.abs_diff(4) <= 1 && column.abs_diff(4) <= 1);
    }
}

#[test]
fn an_undefined_pixel_reaches_at_most_the_tiles_that_see_it() {
    for (bad, [bad_row, bad_column]) in [(f32::NAN, [5, 6]), (f32::INFINITY, [5, 6]), (f32::INFINITY, [4, 0])] {
        // A tile of 4x4 outputs reads the pixels from one before them to one after them.
        let reads = |tile: usize, at: usize| (tile * 4..tile * 4 + 6).contains(&(at + 1));
        let reached = |[row, column]: [usize; 2]| reads(row / 4, bad_row) && reads(column / 4, bad_column);
        undefined_pixel([40, 9, 40, 3, 1, 1], 8, bad, [bad_row, bad_column], reached);
    }
}

/// All outputs that see the pixel are undefined, and none that it must not reach.
fn undefined_pixel(
    sizes: [usize; 6],
    batch: usize,
    bad: f32,
    [bad_row, bad_column]: [usize; 2],
    reached: impl Fn([usize; 2]) -> bool,
) {
    let device = Device::flex();
    let mut case = layer(sizes, batch);
    case.x[flat([0, 1, bad_row, bad_column], case.shape.x)] = bad;
    let x = tensor(&case.x, case.shape.x, &device);
    let weight = tensor(&case.weight, case.shape.weight, &device);
    let y = values(Path::Kernels.conv2d(x, weight, None, case.shape.options, Activation::None));
    for (at, y) in y.into_iter().enumerate() {
        let [sample, _, row, column] = unflat(at, case.shape.output());
        let sees = sample == 0 && row.abs_diff(bad_row) <= 1 && column.abs_diff(bad_column) <= 1;
        assert!(!(sees && y.is_finite()), "output {at} does not see {bad}");
        assert!(y.is_finite() || sample == 0 && reached([row, column]), "output {at} is reached by {bad}");
    }
}

#[test]
fn rectification_keeps_nan_and_cuts_minus_infinity() {
    let device = Device::flex();
    let x = tensor(&[f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -2.0], [1, 1, 1, 4], &device);
    let one = tensor(&[1.0], [1, 1, 1, 1], &device);
    let act = |activation| values(Path::Kernels.conv2d(x.clone(), one.clone(), None, ConvOptions::square(1, 0), activation));
    let rectified = act(Activation::Relu);
    assert!(rectified[0].is_nan());
    assert_eq!(rectified[1..], [0.0, f32::INFINITY, 0.0]);
    let leaky = act(Activation::LeakyRelu(0.5));
    assert!(leaky[0].is_nan());
    assert_eq!(leaky[1..], [f32::NEG_INFINITY, f32::INFINITY, -1.0]);
}

#[test]
fn only_wanted_gradients_are_computed() {
    let case = layer(LAYERS[1], 2);
    let primitive = |values: &[f32], shape: [usize; 4]| {
        let tensor = tensor(values, shape, &Device::flex());
        tensor.try_into_primitive::<Flex>().expect("on the CPU")
    };
    for wanted in 1..8usize {
        let [x, weight, bias] = [1, 2, 4].map(|bit| wanted & bit != 0);
        let pass = LayerBackward {
            gradient: primitive(&case.gradient, case.shape.output()),
            output: None,
            x: weight.then(|| primitive(&case.x, case.shape.x)),
            weight: x.then(|| primitive(&case.weight, case.shape.weight)),
            bias,
            activation: Activation::None,
        };
        let gradients = Flex::conv2d_act_backward(pass, case.shape);
        let computed = [&gradients.x, &gradients.weight, &gradients.bias].map(Option::is_some);
        assert_eq!(computed, [x, weight, bias]);
    }
}

#[test]
fn a_transposed_input_is_read_in_its_own_order() {
    let device = Device::flex();
    let case = Case::new([2, 3, 6, 5], [4, 3, 3, 3], ConvOptions::square(1, 1), Activation::None);
    let x: Tensor<4> = tensor(&case.x, case.shape.x, &device);
    let weight = tensor(&case.weight, case.shape.weight, &device);
    let swapped = x.clone().swap_dims(2, 3);
    let copied = tensor(&values(swapped.clone()), [2, 3, 5, 6], &device);
    let y = |x| values(Path::Kernels.conv2d(x, weight.clone(), None, case.shape.options, case.activation));
    assert_eq!(y(swapped), y(copied));
}

#[test]
#[should_panic(expected = "x [1, 3, 8, 8] does not fit weight [4, 2, 3, 3]")]
fn shapes_that_do_not_fit_are_named() {
    let device = Device::flex();
    let (x, weight) = (Tensor::zeros([1, 3, 8, 8], &device), Tensor::zeros([4, 2, 3, 3], &device));
    Path::Kernels.conv2d(x, weight, None, ConvOptions::square(1, 1), Activation::None);
}
