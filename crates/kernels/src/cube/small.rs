//! Launches of the elementwise kernels. All tensors contiguous and f32.

use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::elementwise;
use super::epilogue::ActivationKind;
use super::launch::{buffer, elementwise as grid, empty, empty_like, optional, slope, width};
use super::norm;
use crate::{Activation, BatchNormBackward, SgdStep, SignedStep};

/// Workgroups that keep a device busy.
const BUSY: usize = 512;

/// Loss `[batch]` and gradient `[batch, class]`.
pub fn cross_entropy(logits: &CubeTensor, targets: &CubeTensor) -> (CubeTensor, CubeTensor) {
    let [samples, classes] = logits.meta.shape().dims();
    let loss = empty(logits, [samples]);
    let gradient = empty(logits, [samples, classes]);
    let (count, dim) = grid(samples);
    unsafe {
        elementwise::cross_entropy::launch_unchecked(
            &logits.client,
            count,
            dim,
            buffer(logits),
            buffer(targets),
            buffer(&loss),
            buffer(&gradient),
            samples as u32,
            classes as u32,
        );
    }
    (loss, gradient)
}

pub fn signed_step(
    x: &CubeTensor,
    gradient: &CubeTensor,
    origin: &CubeTensor,
    active: Option<&CubeTensor>,
    step: SignedStep,
) -> CubeTensor {
    let size = x.meta.num_elements();
    let out = empty_like(x);
    let (count, dim) = grid(size);
    let [low, high] = step.range;
    unsafe {
        elementwise::signed_step::launch_unchecked(
            &x.client,
            count,
            dim,
            buffer(x),
            buffer(gradient),
            buffer(origin),
            optional(active),
            buffer(&out),
            size as u32,
            (size / x.meta.shape()[0]) as u32,
            step.step_size,
            step.epsilon,
            low,
            high,
        );
    }
    out
}

/// New parameter and new velocity.
pub fn sgd_step(
    parameter: &CubeTensor,
    gradient: &CubeTensor,
    velocity: Option<&CubeTensor>,
    step: SgdStep,
) -> (CubeTensor, CubeTensor) {
    let size = parameter.meta.num_elements();
    let (new_parameter, new_velocity) = (empty_like(parameter), empty_like(parameter));
    let vectors = width(size);
    let (count, dim) = grid(size / vectors);
    unsafe {
        elementwise::sgd_step::launch_unchecked(
            &parameter.client,
            count,
            dim,
            vectors,
            buffer(parameter),
            buffer(gradient),
            velocity.map(buffer).into(),
            buffer(&new_parameter),
            buffer(&new_velocity),
            (size / vectors) as u32,
            step.learning_rate,
            step.momentum,
            step.weight_decay,
            step.nesterov,
        );
    }
    (new_parameter, new_velocity)
}

/// x `[batch, channel, height, width]`, the rest `[channel]`.
pub fn batch_norm(
    x: &CubeTensor,
    [gamma, beta, mean, var]: [&CubeTensor; 4],
    epsilon: f64,
    activation: Activation,
) -> CubeTensor {
    let [_, channels, height, columns] = x.meta.shape().dims();
    let out = empty_like(x);
    let vectors = width(height * columns);
    let size = x.meta.num_elements() / vectors;
    let (count, dim) = grid(size);
    unsafe {
        norm::batch_norm::launch_unchecked(
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
        );
    }
    out
}

/// Gradients of x, gamma, beta, each present when wanted.
pub fn batch_norm_backward(pass: &BatchNormBackward<CubeBackend>) -> [Option<CubeTensor>; 3] {
    let [batch, channels, height, columns] = pass.gradient.meta.shape().dims();
    let [x_wanted, gamma_wanted, beta_wanted] = pass.wanted;
    let plane = height * columns;
    let vectors = width(plane);
    let kind = ActivationKind::from(pass.activation);
    let x = x_wanted.then(|| {
        let out = empty_like(&pass.gradient);
        let size = pass.gradient.meta.num_elements() / vectors;
        let (count, dim) = grid(size);
        unsafe {
            norm::batch_norm_gradient::launch_unchecked(
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
                (plane / vectors) as u32,
                pass.epsilon as f32,
                slope(pass.activation),
                kind,
            );
        }
        out
    });
    if !gamma_wanted && !beta_wanted {
        return [x, None, None];
    }
    let splits = BUSY.div_ceil(channels).min(batch);
    let images = batch.div_ceil(splits);
    let splits = batch.div_ceil(images);
    let sums = empty(&pass.gradient, [splits, 2, channels]);
    let [gamma, beta] = [gamma_wanted, beta_wanted].map(|w| w.then(|| empty(&sums, [channels])));
    let (count, dim) = grid(channels);
    unsafe {
        norm::batch_norm_sums::launch_unchecked(
            &sums.client,
            CubeCount::Static(channels as u32, splits as u32, 1),
            CubeDim::new_1d(norm::UNITS),
            vectors,
            buffer(&pass.gradient),
            pass.output.as_ref().map(buffer).into(),
            pass.x.as_ref().map(buffer).into(),
            buffer(&pass.mean),
            buffer(&pass.var),
            buffer(&sums),
            batch as u32,
            channels as u32,
            (plane / vectors) as u32,
            images as u32,
            pass.epsilon as f32,
            slope(pass.activation),
            kind,
        );
        norm::add_channel_sums::launch_unchecked(
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

/// x `[batch, channel, height, width]`.
pub fn max_pool(x: &CubeTensor, size: usize) -> CubeTensor {
    let [batch, channels, height, columns] = x.meta.shape().dims();
    let out = empty(x, [batch, channels, height / size, columns / size]);
    let (count, dim) = grid(out.meta.num_elements());
    unsafe {
        elementwise::max_pool::launch_unchecked(
            &x.client,
            count,
            dim,
            buffer(x),
            buffer(&out),
            elementwise::PoolingLaunch::new((batch * channels) as u32, height as u32, columns as u32),
            size as u32,
        );
    }
    out
}

/// x `[batch, channel, height, width]`, gradient of the pooled shape.
pub fn max_pool_backward(gradient: &CubeTensor, x: &CubeTensor, size: usize) -> CubeTensor {
    let [batch, channels, height, columns] = x.meta.shape().dims();
    let out = empty_like(x);
    let (count, dim) = grid(x.meta.num_elements());
    unsafe {
        elementwise::max_pool_gradient::launch_unchecked(
            &x.client,
            count,
            dim,
            buffer(gradient),
            buffer(x),
            buffer(&out),
            elementwise::PoolingLaunch::new((batch * channels) as u32, height as u32, columns as u32),
            size as u32,
        );
    }
    out
}
