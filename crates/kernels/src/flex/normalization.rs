//! Batch normalization.

use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};

use super::kernels::normalization::{Backward, ThroughStatistics, affine, statistics};
use super::memory::{contiguous, filled, is_f32, slice, tensor};
use crate::{Activation, BatchNormBackward, NormalizationBackwardOps, NormalizationOps, Statistics, stock};

/// Running statistics are moved by Burn's operations: they are a few numbers.
impl NormalizationOps for Flex {
    fn batch_norm_act(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        var: FlexTensor,
        epsilon: f64,
        activation: Activation,
    ) -> FlexTensor {
        if !is_f32(&x) {
            return stock::batch_norm_act::<Self>(x, gamma, beta, mean, var, epsilon, activation);
        }
        let [gamma, beta, mean, var] = [gamma, beta, mean, var].map(|tensor| tensor.to_contiguous());
        let statistics: Vec<[f64; 2]> =
            slice(&mean).iter().zip(slice(&var)).map(|(&mean, &var)| [mean.into(), var.into()]).collect();
        normalized(&x.to_contiguous(), &gamma, &beta, &statistics, epsilon, activation)
    }

    fn batch_norm_train_act(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f64,
        activation: Activation,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        if !is_f32(&x) {
            return stock::batch_norm_train_act::<Self>(x, gamma, beta, epsilon, activation);
        }
        let [_, channels, height, width] = x.shape().dims();
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
        let statistics = statistics(slice(&x), height * width, channels);
        let y = normalized(&x, &gamma, &beta, &statistics, epsilon, activation);
        let [mean, var] = [0, 1].map(|which| per_channel(statistics.iter().map(|of_channel| of_channel[which] as f32)));
        (y, mean, var)
    }
}

impl NormalizationBackwardOps for Flex {
    fn batch_norm_act_backward(pass: BatchNormBackward<Self>) -> [Option<FlexTensor>; 3] {
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
        let pass_of_slices = Backward {
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
            let pass = ThroughStatistics {
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
    let of_channel = |((&gamma, &beta), &[mean, var]): ((&f32, &f32), &[f64; 2])| {
        let scale = f64::from(gamma) / (var + epsilon).sqrt();
        (scale as f32, (f64::from(beta) - mean * scale) as f32)
    };
    let (scale, shift): (Vec<f32>, Vec<f32>) = slice(gamma).iter().zip(slice(beta)).zip(statistics).map(of_channel).unzip();
    let shape: [usize; 4] = x.shape().dims();
    // SAFETY: `affine` writes every element.
    unsafe { filled(shape, |y| affine(slice(x), shape[2] * shape[3], &scale, &shift, activation, y)) }
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
