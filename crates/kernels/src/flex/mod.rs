//! The CPU: Burn's flex backend with this crate's products in place of its convolutions.
//!
//! Work is split over the threads of the *current* rayon pool, in as many parts as it has threads, so that a result
//! depends on that number and on nothing else; with one thread, or too little work, nothing is spawned.

mod conv;
mod conv_backward;
mod data_gradient;
mod dot;
mod elementwise;
mod epilogue;
mod gathered;
mod geometry;
mod linear;
mod memory;
mod normalization;
mod packed;
mod pointwise;
mod pool;
mod product;
mod scattered;
mod simd;

use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};
use burn::backend::tensor::FloatTensor;

use self::conv_backward::Pass;
use self::geometry::Geometry;
use self::linear::Sizes;
use self::memory::{filled, is_f32, slice, tensor};
use crate::{
    Activation, BatchNormBackward, ConvOptions, ConvShape, KernelBackend, LayerBackward, LayerGradients, SgdStep, SignedStep,
    Statistics, stock,
};

impl KernelBackend for Flex {
    fn conv2d_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        options: ConvOptions,
        activation: Activation,
    ) -> FloatTensor<Self> {
        if !is_f32(&x) {
            return stock::conv2d_act::<Self>(x, weight, bias, options, activation);
        }
        let shape = ConvShape { x: x.shape().dims(), weight: weight.shape().dims(), options };
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), contiguous(&bias));
        let geometry = Geometry::new(shape);
        let bias = bias.as_ref().map(slice);
        // SAFETY: `forward` writes every element.
        unsafe {
            filled(shape.output(), |y| {
                conv::forward(&geometry, slice(&x), slice(&weight), bias, activation, y);
            })
        }
    }

    fn conv2d_act_backward(pass: LayerBackward<Self>, shape: ConvShape) -> LayerGradients<Self> {
        if !is_f32(&pass.gradient) {
            return stock::conv2d_act_backward(pass, shape);
        }
        with_pass(&pass, |pass| conv_backward::backward(&Geometry::new(shape), pass))
    }

    fn linear_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        if !is_f32(&x) {
            return stock::linear_act::<Self>(x, weight, bias, activation);
        }
        let [batch, inputs] = x.shape().dims();
        let [outputs, _] = weight.shape().dims();
        let sizes = Sizes { batch, inputs, outputs };
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), contiguous(&bias));
        let bias = bias.as_ref().map(slice);
        // SAFETY: `forward` writes every element.
        unsafe {
            filled([batch, outputs], |y| {
                linear::forward(sizes, slice(&x), slice(&weight), bias, activation, y);
            })
        }
    }

    fn linear_act_backward(pass: LayerBackward<Self>) -> LayerGradients<Self> {
        if !is_f32(&pass.gradient) {
            return stock::linear_act_backward(pass);
        }
        let [batch, outputs] = pass.gradient.shape().dims();
        let matrix = pass.x.as_ref().or(pass.weight.as_ref());
        let sizes = Sizes { batch, inputs: matrix.map_or(0, |matrix| matrix.shape()[1]), outputs };
        with_pass(&pass, |pass| linear::backward(sizes, pass))
    }

    fn batch_norm_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> FloatTensor<Self> {
        if !is_f32(&x) {
            return stock::batch_norm_act::<Self>(x, gamma, beta, mean, var, epsilon, activation);
        }
        let [gamma, beta, mean, var] = [gamma, beta, mean, var].map(|tensor| tensor.to_contiguous());
        let statistics: Vec<[f64; 2]> =
            slice(&mean).iter().zip(slice(&var)).map(|(&mean, &var)| [mean.into(), var.into()]).collect();
        normalized(&x.to_contiguous(), &gamma, &beta, &statistics, epsilon, activation)
    }

    fn batch_norm_train_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> [FloatTensor<Self>; 3] {
        if !is_f32(&x) {
            return stock::batch_norm_train_act::<Self>(x, gamma, beta, epsilon, activation);
        }
        let [_, channels, height, width] = x.shape().dims();
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
        let statistics = normalization::statistics(slice(&x), height * width, channels);
        let y = normalized(&x, &gamma, &beta, &statistics, epsilon, activation);
        let [mean, var] = [0, 1].map(|which| per_channel(statistics.iter().map(|of_channel| of_channel[which] as f32)));
        [y, mean, var]
    }

    fn batch_norm_act_backward(pass: BatchNormBackward<Self>) -> [Option<FloatTensor<Self>>; 3] {
        if !is_f32(&pass.gradient) {
            return stock::batch_norm_act_backward(pass);
        }
        let shape: [usize; 4] = pass.gradient.shape().dims();
        let [gradient, gamma, mean, var] = [&pass.gradient, &pass.gamma, &pass.mean, &pass.var].map(FlexTensor::to_contiguous);
        let (output, x) = (contiguous(&pass.output), contiguous(&pass.x));
        let [x_wanted, gamma_wanted, beta_wanted] = pass.wanted;
        let through_statistics = x_wanted && pass.statistics == Statistics::Batch;
        let scale: Vec<f32> = scales(&gamma, &var, pass.epsilon).iter().map(|&scale| scale as f32).collect();
        let plane = shape[2] * shape[3];
        let pass_of_slices = normalization::Backward {
            gradient: slice(&gradient),
            output: output.as_ref().map(slice),
            x: x.as_ref().map(slice),
            mean: slice(&mean),
            scale: &scale,
            plane,
            activation: pass.activation,
            sums: through_statistics || gamma_wanted || beta_wanted,
        };
        let mut sums = Vec::new();
        let mut x_gradient = None;
        if x_wanted && !through_statistics {
            // SAFETY: with somewhere to write, `run` writes every element.
            x_gradient = Some(unsafe { filled(shape, |to| sums = pass_of_slices.run(Some(to))) });
        } else {
            sums = pass_of_slices.run(None);
        }
        let precision = |var: f32| 1.0 / (f64::from(var) + pass.epsilon);
        if let (true, Some(x)) = (through_statistics, &x) {
            let count = (shape[0] * plane) as f64;
            let of_channel = |(((sums, &var), &mean), &scale): (((&[f64; 2], &f32), &f32), &f32)| {
                let factor = -f64::from(scale) * sums[1] / count * precision(var);
                [mean, scale, factor as f32, (-f64::from(scale) * sums[0] / count) as f32]
            };
            let channels: Vec<[f32; 4]> = sums.iter().zip(slice(&var)).zip(slice(&mean)).zip(&scale).map(of_channel).collect();
            let pass = normalization::ThroughStatistics {
                gradient: slice(&gradient),
                output: output.as_ref().map(slice),
                x: slice(x),
                plane,
                activation: pass.activation,
                channels: &channels,
            };
            // SAFETY: `run` writes every element.
            x_gradient = Some(unsafe { filled(shape, |to| pass.run(to)) });
        }
        let gamma_gradient = sums.iter().zip(slice(&var)).map(|(sums, &var)| (sums[1] * precision(var).sqrt()) as f32);
        [
            x_gradient,
            gamma_wanted.then(|| per_channel(gamma_gradient)),
            beta_wanted.then(|| per_channel(sums.iter().map(|sums| sums[0] as f32))),
        ]
    }

    fn max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        if !is_f32(&x) {
            return stock::max_pool::<Self>(x, size);
        }
        let [batch, channels, height, width] = x.shape().dims();
        let x = x.to_contiguous();
        let windows = pool::Windows { size, height, width };
        // SAFETY: `forward` writes every element.
        unsafe { filled([batch, channels, height / size, width / size], |y| pool::forward(windows, slice(&x), y)) }
    }

    fn max_pool_backward(gradient: FloatTensor<Self>, x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        if !is_f32(&gradient) {
            return stock::max_pool_backward::<Self>(gradient, x, size);
        }
        let shape: [usize; 4] = x.shape().dims();
        let (gradient, x) = (gradient.to_contiguous(), x.to_contiguous());
        let windows = pool::Windows { size, height: shape[2], width: shape[3] };
        // SAFETY: `backward` writes every element.
        unsafe { filled(shape, |to| pool::backward(windows, slice(&gradient), slice(&x), to)) }
    }

    fn cross_entropy(logits: FloatTensor<Self>, targets: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !is_f32(&logits) || !is_f32(&targets) {
            return stock::cross_entropy::<Self>(logits, targets);
        }
        let [batch, classes] = logits.shape().dims();
        let (logits, targets) = (logits.to_contiguous(), targets.to_contiguous());
        let [losses, gradient] = pointwise::cross_entropy(slice(&logits), slice(&targets), classes);
        (tensor(losses, [batch]), tensor(gradient, [batch, classes]))
    }

    fn signed_step(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        origin: FloatTensor<Self>,
        active: Option<FloatTensor<Self>>,
        step: SignedStep,
    ) -> FloatTensor<Self> {
        if ![&x, &gradient, &origin].into_iter().chain(&active).all(is_f32) {
            return stock::signed_step::<Self>(x, gradient, origin, active, step);
        }
        let shape: [usize; 4] = x.shape().dims();
        let [x, gradient, origin] = [x, gradient, origin].map(|tensor| tensor.to_contiguous());
        let active = contiguous(&active);
        let active = active.as_ref().map(slice);
        let image = shape[1] * shape[2] * shape[3];
        // SAFETY: `signed_step` writes every element.
        unsafe {
            filled(shape, |to| {
                let (x, gradient, origin) = (slice(&x), slice(&gradient), slice(&origin));
                pointwise::signed_step(x, gradient, origin, active, image, step, to);
            })
        }
    }

    fn sgd_step(
        parameters: Vec<FloatTensor<Self>>,
        gradients: Vec<FloatTensor<Self>>,
        velocities: Vec<FloatTensor<Self>>,
        step: SgdStep,
    ) -> [Vec<FloatTensor<Self>>; 2] {
        if !parameters.iter().chain(&gradients).all(is_f32) {
            return stock::sgd_step::<Self>(parameters, gradients, velocities, step);
        }
        let velocities = velocities.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let pairs = parameters.into_iter().zip(gradients).zip(velocities);
        let stepped = pairs.map(|((parameter, gradient), velocity)| {
            let parameter = parameter.to_contiguous();
            pointwise::sgd_step(slice(&parameter), gradient, velocity, step)
        });
        let (parameters, velocities) = stepped.unzip();
        [parameters, velocities]
    }
}

fn contiguous(tensor: &Option<FlexTensor>) -> Option<FlexTensor> {
    tensor.as_ref().map(FlexTensor::to_contiguous)
}

/// `act((x - mean) / sqrt(var + epsilon) * gamma + beta)` with the mean and variance of each channel; all contiguous.
fn normalized(
    x: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    statistics: &[[f64; 2]],
    epsilon: f64,
    activation: Activation,
) -> FlexTensor {
    // In double precision: the mean may be large and the deviation small.
    let affine = |((&gamma, &beta), &[mean, var]): ((&f32, &f32), &[f64; 2])| {
        let scale = f64::from(gamma) / (var + epsilon).sqrt();
        (scale as f32, (f64::from(beta) - mean * scale) as f32)
    };
    let (scale, shift): (Vec<f32>, Vec<f32>) = slice(gamma).iter().zip(slice(beta)).zip(statistics).map(affine).unzip();
    let shape: [usize; 4] = x.shape().dims();
    // SAFETY: `affine` writes every element.
    unsafe { filled(shape, |y| normalization::affine(slice(x), shape[2] * shape[3], &scale, &shift, activation, y)) }
}

/// A tensor of one value per channel.
fn per_channel(values: impl Iterator<Item = f32>) -> FlexTensor {
    let values: Vec<f32> = values.collect();
    let channels = values.len();
    tensor(values, [channels])
}

/// `gamma / sqrt(var + epsilon)`.
fn scales(gamma: &FlexTensor, var: &FlexTensor, epsilon: f64) -> Vec<f64> {
    let pairs = slice(gamma).iter().zip(slice(var));
    pairs.map(|(&gamma, &var)| f64::from(gamma) / (f64::from(var) + epsilon).sqrt()).collect()
}

fn with_pass(pass: &LayerBackward<Flex>, compute: impl FnOnce(&Pass) -> LayerGradients<Flex>) -> LayerGradients<Flex> {
    let gradient = pass.gradient.to_contiguous();
    let [output, x, weight] = [&pass.output, &pass.x, &pass.weight].map(contiguous);
    compute(&Pass {
        gradient: slice(&gradient),
        output: output.as_ref().map(slice),
        x: x.as_ref().map(slice),
        weight: weight.as_ref().map(slice),
        bias: pass.bias,
        activation: pass.activation,
    })
}
