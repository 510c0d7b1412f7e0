//! Batch normalization. x, the output and their gradients are of one dtype, f32 or f16, the rest is f32.

use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::kernels::activation::ActivationKind;
use super::kernels::normalization as kernels;
use super::launch::{buffer, element, elementwise, empty, empty_like, optional, slope, width};
use super::{fit, single};
use crate::{Activation, BatchNormBackward, MovingAverage, NormalizationBackwardOps, NormalizationOps, Statistics, stock};

/// Workgroups that keep a device busy.
const BUSY: usize = 512;

impl NormalizationOps for CubeBackend {
    fn batch_norm_act(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        mean: CubeTensor,
        var: CubeTensor,
        epsilon: f64,
        activation: Activation,
    ) -> CubeTensor {
        if !fit([Some(&x)], [Some(&gamma), Some(&beta), Some(&mean), Some(&var)]) {
            return stock::batch_norm_act::<Self>(x, gamma, beta, mean, var, epsilon, activation);
        }
        let [x, gamma, beta, mean, var] = [x, gamma, beta, mean, var].map(into_contiguous);
        normalized(&x, [&gamma, &beta, &mean, &var], epsilon, activation)
    }

    fn batch_norm_train_act(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        epsilon: f64,
        activation: Activation,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        if !fit([Some(&x)], [Some(&gamma), Some(&beta)]) {
            return stock::batch_norm_train_act::<Self>(x, gamma, beta, epsilon, activation);
        }
        let [x, gamma, beta] = [x, gamma, beta].map(into_contiguous);
        let [mean, var] = statistics(&x);
        let y = normalized(&x, [&gamma, &beta, &mean, &var], epsilon, activation);
        (y, mean, var)
    }

    fn moving_statistics(
        running_mean: CubeTensor,
        running_var: CubeTensor,
        mean: CubeTensor,
        var: CubeTensor,
        average: MovingAverage,
    ) -> (CubeTensor, CubeTensor) {
        if !single([&running_mean, &running_var, &mean, &var]) {
            return stock::moving_statistics::<Self>(running_mean, running_var, mean, var, average);
        }
        let [running_mean, running_var, mean, var] = [running_mean, running_var, mean, var].map(into_contiguous);
        let channels = running_mean.meta.num_elements();
        let [new_mean, new_var] = [&running_mean, &running_var].map(empty_like);
        let (count, dim) = elementwise(channels);
        unsafe {
            kernels::moving_statistics::launch_unchecked(
                &new_mean.client,
                count,
                dim,
                buffer(&running_mean),
                buffer(&running_var),
                buffer(&mean),
                buffer(&var),
                buffer(&new_mean),
                buffer(&new_var),
                channels as u32,
                average.momentum,
                average.correction,
            );
        }
        (new_mean, new_var)
    }
}

impl NormalizationBackwardOps for CubeBackend {
    fn batch_norm_act_backward(pass: BatchNormBackward<Self>) -> [Option<CubeTensor>; 3] {
        let activations = [Some(&pass.gradient), pass.x.as_ref(), pass.output.as_ref()];
        if !fit(activations, [Some(&pass.gamma), Some(&pass.mean), Some(&pass.var)]) {
            return stock::batch_norm_act_backward(pass);
        }
        gradients(&BatchNormBackward {
            gradient: into_contiguous(pass.gradient),
            output: pass.output.map(into_contiguous),
            x: pass.x.map(into_contiguous),
            gamma: into_contiguous(pass.gamma),
            mean: into_contiguous(pass.mean),
            var: into_contiguous(pass.var),
            ..pass
        })
    }
}

/// x `[batch, channel, height, width]`, the rest `[channel]`.
fn normalized(x: &CubeTensor, [gamma, beta, mean, var]: [&CubeTensor; 4], epsilon: f64, activation: Activation) -> CubeTensor {
    let [_, channels, height, columns] = x.meta.shape().dims();
    let out = empty_like(x);
    let vectors = width(height * columns);
    let size = x.meta.num_elements() / vectors;
    let (count, dim) = elementwise(size);
    unsafe {
        kernels::batch_norm::launch_unchecked(
            &x.client,
            count,
            dim,
            vectors,
            buffer(x),
            buffer(gamma),
            buffer(beta),
            buffer(mean),
            buffer(var),
            buffer(&out),
            size as u32,
            channels as u32,
            (height * columns / vectors) as u32,
            epsilon as f32,
            slope(activation),
            ActivationKind::from(activation),
            element(x),
        );
    }
    out
}

/// Mean and biased variance of each channel of x `[batch, channel, height, width]`.
fn statistics(x: &CubeTensor) -> [CubeTensor; 2] {
    let [batch, channels, height, columns] = x.meta.shape().dims();
    let plane = height * columns;
    let vectors = width(plane);
    let split = Split::new(batch, channels);
    let sums = empty(x, [split.splits, 2, channels]);
    let [mean, var] = [0, 1].map(|_| empty(x, [channels]));
    let (count, dim) = elementwise(channels);
    unsafe {
        kernels::batch_sums::launch_unchecked(
            &x.client,
            CubeCount::Static(channels as u32, split.splits as u32, 1),
            CubeDim::new_1d(kernels::UNITS),
            vectors,
            buffer(x),
            buffer(&sums),
            batch as u32,
            channels as u32,
            (plane / vectors) as u32,
            split.images as u32,
            element(x),
        );
        kernels::batch_statistics::launch_unchecked(
            &x.client,
            count,
            dim,
            buffer(x),
            buffer(&sums),
            buffer(&mean),
            buffer(&var),
            split.splits as u32,
            channels as u32,
            plane as u32,
            (batch * plane) as f32,
            element(x),
        );
    }
    [mean, var]
}

/// How a sum over the batch is divided among workgroups, one for each channel and split.
struct Split {
    images: usize,
    splits: usize,
}

impl Split {
    fn new(batch: usize, channels: usize) -> Self {
        let images = batch.div_ceil(BUSY.div_ceil(channels).min(batch));
        Self { images, splits: batch.div_ceil(images) }
    }
}

/// Gradients of x, gamma, beta, each present when wanted.
fn gradients(pass: &BatchNormBackward<CubeBackend>) -> [Option<CubeTensor>; 3] {
    let [x_wanted, gamma_wanted, beta_wanted] = pass.wanted;
    if pass.statistics == Statistics::Batch
        && x_wanted
        && let Some(x) = &pass.x
    {
        let [x, gamma, beta] = through_statistics(pass, x);
        return [Some(x), gamma_wanted.then_some(gamma), beta_wanted.then_some(beta)];
    }
    if !gamma_wanted && !beta_wanted {
        return [x_wanted.then(|| past_constants(pass)), None, None];
    }
    // With the sums, where a kernel may have nine buffers: gradient, output, x, mean, var, gamma, both results and the numbers.
    let together = x_wanted && pass.gradient.client.properties().hardware.max_bindings >= 9;
    let x = match together {
        true => Some(empty_like(&pass.gradient)),
        false => x_wanted.then(|| past_constants(pass)),
    };
    let (sums, splits) = channel_sums(pass, x.as_ref().filter(|_| together));
    let [channels] = pass.gamma.meta.shape().dims();
    let [gamma, beta] = [gamma_wanted, beta_wanted].map(|wanted| wanted.then(|| empty(&sums, [channels])));
    let (count, dim) = elementwise(channels);
    unsafe {
        kernels::add_channel_sums::launch_unchecked(
            &sums.client,
            count,
            dim,
            buffer(&sums),
            gamma.as_ref().map(buffer).into(),
            beta.as_ref().map(buffer).into(),
            splits as u32,
            channels as u32,
        );
    }
    [x, gamma, beta]
}

/// Gradient of x where the statistics are constants.
fn past_constants(pass: &BatchNormBackward<CubeBackend>) -> CubeTensor {
    let [_, channels, height, columns] = pass.gradient.meta.shape().dims();
    let out = empty_like(&pass.gradient);
    let vectors = width(height * columns);
    let size = pass.gradient.meta.num_elements() / vectors;
    let (count, dim) = elementwise(size);
    unsafe {
        kernels::batch_norm_gradient::launch_unchecked(
            &out.client,
            count,
            dim,
            vectors,
            buffer(&pass.gradient),
            pass.output.as_ref().map(buffer).into(),
            buffer(&pass.gamma),
            buffer(&pass.var),
            buffer(&out),
            size as u32,
            channels as u32,
            (height * columns / vectors) as u32,
            pass.epsilon as f32,
            slope(pass.activation),
            ActivationKind::from(pass.activation),
            element(&pass.gradient),
        );
    }
    out
}

/// Gradients of x, gamma and beta where the statistics are those of x.
fn through_statistics(pass: &BatchNormBackward<CubeBackend>, x: &CubeTensor) -> [CubeTensor; 3] {
    let [batch, channels, height, columns] = pass.gradient.meta.shape().dims();
    let plane = height * columns;
    let vectors = width(plane);
    let (sums, splits) = channel_sums(pass, None);
    let [gamma, beta] = [0, 1].map(|_| empty(&sums, [channels]));
    let coefficients = empty(&sums, [4, channels]);
    let out = empty_like(x);
    let size = x.meta.num_elements() / vectors;
    unsafe {
        let (count, dim) = elementwise(channels);
        kernels::batch_norm_coefficients::launch_unchecked(
            &sums.client,
            count,
            dim,
            buffer(&sums),
            buffer(&pass.gamma),
            buffer(&pass.mean),
            buffer(&pass.var),
            buffer(&gamma),
            buffer(&beta),
            buffer(&coefficients),
            splits as u32,
            channels as u32,
            (batch * plane) as f32,
            pass.epsilon as f32,
        );
        let (count, dim) = elementwise(size);
        kernels::batch_norm_batch_gradient::launch_unchecked(
            &out.client,
            count,
            dim,
            vectors,
            buffer(&pass.gradient),
            pass.output.as_ref().map(buffer).into(),
            buffer(x),
            buffer(&coefficients),
            buffer(&out),
            size as u32,
            channels as u32,
            (plane / vectors) as u32,
            slope(pass.activation),
            ActivationKind::from(pass.activation),
            element(&pass.gradient),
        );
    }
    [out, gamma, beta]
}

/// The partial sums `[split, 2, channel]` of the gradients of gamma, if there is an x, and beta; and how many there are. Fills
/// `x_out`, if it is given, with what [`past_constants`] returns.
fn channel_sums(pass: &BatchNormBackward<CubeBackend>, x_out: Option<&CubeTensor>) -> (CubeTensor, usize) {
    let [batch, channels, height, columns] = pass.gradient.meta.shape().dims();
    let plane = height * columns;
    let vectors = width(plane);
    let split = Split::new(batch, channels);
    let sums = empty(&pass.gradient, [split.splits, 2, channels]);
    unsafe {
        kernels::batch_norm_sums::launch_unchecked(
            &sums.client,
            CubeCount::Static(channels as u32, split.splits as u32, 1),
            CubeDim::new_1d(kernels::UNITS),
            vectors,
            buffer(&pass.gradient),
            pass.output.as_ref().map(buffer).into(),
            pass.x.as_ref().map(buffer).into(),
            buffer(&pass.mean),
            buffer(&pass.var),
            optional(x_out.map(|_| &pass.gamma)),
            x_out.map(buffer).into(),
            buffer(&sums),
            batch as u32,
            channels as u32,
            (plane / vectors) as u32,
            split.images as u32,
            pass.epsilon as f32,
            slope(pass.activation),
            ActivationKind::from(pass.activation),
            element(&pass.gradient),
        );
    }
    (sums, split.splits)
}
