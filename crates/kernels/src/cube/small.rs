//! Launches of the elementwise kernels. All tensors contiguous; x and the gradients with respect to x and to a layer's output of one
//! dtype, f32 or f16, the others f32.

use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::elementwise;
use super::epilogue::ActivationKind;
use super::launch::{buffer, element, elementwise as grid, empty, empty_like, empty_of, optional, slope, width};
use super::norm;
use crate::{Activation, BatchNormBackward, MovingAverage, SgdStep, SignedStep, Statistics};

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

/// New parameters and new velocities; without velocities those of the first step.
pub fn sgd_step(
    parameters: &[CubeTensor],
    gradients: Vec<CubeTensor>,
    velocities: Vec<CubeTensor>,
    step: SgdStep,
) -> [Vec<CubeTensor>; 2] {
    let first = velocities.is_empty();
    let gradients: Vec<CubeTensor> = gradients.into_iter().map(ours).collect();
    let velocities: Vec<CubeTensor> =
        if first { gradients.iter().map(empty_like).collect() } else { velocities.into_iter().map(ours).collect() };
    let lengths: Vec<usize> = parameters.iter().map(|parameter| parameter.meta.num_elements()).collect();
    for (vectors, members) in launches(&lengths, parameters[0].client.properties().hardware.max_bindings as usize) {
        let largest = lengths[members[0]];
        let (count, dim) = grid(largest / vectors);
        let buffers = |tensors: &[CubeTensor]| members.iter().map(|index| buffer(&tensors[*index])).collect();
        unsafe {
            elementwise::sgd_step::launch_unchecked(
                &parameters[0].client,
                count,
                dim,
                vectors,
                buffers(parameters),
                buffers(&gradients),
                buffers(&velocities),
                members.iter().map(|index| (lengths[*index] / vectors) as u32).collect(),
                step.learning_rate,
                step.momentum,
                step.weight_decay,
                step.gradient_scale,
                first.into(),
                step.nesterov,
            );
        }
    }
    [gradients, velocities]
}

/// Which parameters of these lengths share a launch, the longest first, and in vectors of how many elements. Each parameter has three
/// buffers and a launch's numbers have one; more than eight parameters make a longer shader to compile and hardly fewer launches.
fn launches(lengths: &[usize], max_bindings: usize) -> Vec<(usize, Vec<usize>)> {
    let together = (max_bindings.saturating_sub(1) / 3).clamp(1, 8);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let (mut wide, mut narrow): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|&index| width(lengths[index]) > 1);
    // The shortest join the others where that saves a launch.
    let (rest, last) = (wide.len() % together, narrow.len() % together);
    if rest > 0 && last > 0 && rest + last <= together {
        narrow.extend(wide.split_off(wide.len() - rest));
        narrow.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    }
    let chunks =
        |members: Vec<usize>, vectors| members.chunks(together).map(|chunk| (vectors, chunk.to_vec())).collect::<Vec<_>>();
    [chunks(wide, 4), chunks(narrow, 1)].concat()
}

/// A tensor whose buffer may be written to: a copy if somebody else holds it.
fn ours(tensor: CubeTensor) -> CubeTensor {
    if tensor.can_mut() { tensor } else { tensor.copy() }
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
            element(x),
        );
    }
    out
}

/// Mean and biased variance of each channel of x `[batch, channel, height, width]`.
pub fn batch_statistics(x: &CubeTensor) -> [CubeTensor; 2] {
    let [batch, channels, height, columns] = x.meta.shape().dims();
    let plane = height * columns;
    let vectors = width(plane);
    let split = Split::new(batch, channels);
    let sums = empty(x, [split.splits, 2, channels]);
    let [mean, var] = [0, 1].map(|_| empty(x, [channels]));
    let (count, dim) = grid(channels);
    unsafe {
        norm::batch_sums::launch_unchecked(
            &x.client,
            CubeCount::Static(channels as u32, split.splits as u32, 1),
            CubeDim::new_1d(norm::UNITS),
            vectors,
            buffer(x),
            buffer(&sums),
            batch as u32,
            channels as u32,
            (plane / vectors) as u32,
            split.images as u32,
            element(x),
        );
        norm::batch_statistics::launch_unchecked(
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

/// The new running mean and variance, `[channel]`.
pub fn moving_statistics(running: [&CubeTensor; 2], batch: [&CubeTensor; 2], average: MovingAverage) -> [CubeTensor; 2] {
    let channels = running[0].meta.num_elements();
    let [mean, var] = running.map(empty_like);
    let (count, dim) = grid(channels);
    unsafe {
        norm::moving_statistics::launch_unchecked(
            &mean.client,
            count,
            dim,
            buffer(running[0]),
            buffer(running[1]),
            buffer(batch[0]),
            buffer(batch[1]),
            buffer(&mean),
            buffer(&var),
            channels as u32,
            average.momentum,
            average.correction,
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
pub fn batch_norm_backward(pass: &BatchNormBackward<CubeBackend>) -> [Option<CubeTensor>; 3] {
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
    let (count, dim) = grid(channels);
    unsafe {
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

/// Gradient of x where the statistics are constants.
fn past_constants(pass: &BatchNormBackward<CubeBackend>) -> CubeTensor {
    let [_, channels, height, columns] = pass.gradient.meta.shape().dims();
    let out = empty_like(&pass.gradient);
    let vectors = width(height * columns);
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
        let (count, dim) = grid(channels);
        norm::batch_norm_coefficients::launch_unchecked(
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
        let (count, dim) = grid(size);
        norm::batch_norm_batch_gradient::launch_unchecked(
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
        norm::batch_norm_sums::launch_unchecked(
            &sums.client,
            CubeCount::Static(channels as u32, split.splits as u32, 1),
            CubeDim::new_1d(norm::UNITS),
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

/// x `[batch, channel, height, width]`.
pub fn max_pool(x: &CubeTensor, size: usize) -> CubeTensor {
    let [batch, channels, height, columns] = x.meta.shape().dims();
    let out = empty_of(x.dtype, x, [batch, channels, height / size, columns / size]);
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
            element(x),
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
            element(x),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::launches;

    #[test]
    fn every_parameter_has_one_launch_and_the_fewest_are_made() {
        // The MNIST network's: where eight buffers are promised, as in browsers, and where there are more.
        let lengths = [256, 16, 8192, 32, 156_800, 100, 1000, 10];
        let pairs = launches(&lengths, 8);
        assert_eq!(pairs, [(4, vec![4, 2]), (4, vec![6, 0]), (4, vec![5, 3]), (1, vec![1, 7])]);
        assert_eq!(launches(&lengths, 32), [(1, vec![4, 2, 6, 0, 5, 3, 1, 7])]);
        assert_eq!(launches(&[4, 5, 8], 1 << 20), [(1, vec![2, 1, 0])]);
        // Nothing to save: vectors stay.
        assert_eq!(launches(&[4, 5, 8], 7), [(4, vec![2, 0]), (1, vec![1])]);
    }
}
