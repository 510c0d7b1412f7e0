//! Operations that read each element once: memory is the time, so each is one pass.

use core::mem::MaybeUninit;
use core::ops::Range;

use burn::backend::flex::FlexTensor;

use super::elementwise::{map1, map2, map3, masked_sums, update2};
use super::memory::{map_parts, part_range, parts, slice, split};
use crate::{Activation, SgdStep, SignedStep};

/// What one element is worth in the multiplications that [`parts`] counts: some 16 go by while one is read and written.
const WORK_PER_ELEMENT: usize = 16;

/// The gradient before the activation: the gradient, scaled down where the output was not positive.
pub(super) fn before_activation(gradient: &[f32], output: &[f32], activation: Activation, to: &mut Vec<f32>) {
    assert!(gradient.len() == output.len());
    to.clear();
    to.reserve(gradient.len());
    let spare = &mut to.spare_capacity_mut()[..gradient.len()];
    match activation {
        Activation::None => {
            spare.write_copy_of_slice(gradient);
        }
        // Not a product with 0, which would keep an infinite or undefined gradient.
        Activation::Relu => map2(gradient, output, spare, |g, y| if y <= 0.0 { 0.0 } else { g }),
        Activation::LeakyRelu(slope) => map2(gradient, output, spare, |g, y| if y <= 0.0 { g * slope } else { g }),
    }
    // SAFETY: every element was written above.
    unsafe { to.set_len(gradient.len()) };
}

/// Scale and shift per channel: `y = act(x * scale + shift)`, x `[batch, channel, ...]` with `plane` elements a channel.
pub(super) fn affine(x: &[f32], plane: usize, scale: &[f32], shift: &[f32], activation: Activation, y: &mut [MaybeUninit<f32>]) {
    each_plane(x.len(), plane, y, |index, range, y| {
        let (scale, shift) = (scale[index % scale.len()], shift[index % shift.len()]);
        let x = &x[range];
        match activation {
            Activation::None => map1(x, y, |x| x * scale + shift),
            Activation::Relu => map1(x, y, |x| {
                let value = x * scale + shift;
                if value <= 0.0 { 0.0 } else { value }
            }),
            Activation::LeakyRelu(slope) => map1(x, y, |x| {
                let value = x * scale + shift;
                if value <= 0.0 { value * slope } else { value }
            }),
        }
    });
}

/// The gradient with respect to x of [`affine`]: the gradient before the activation times the scale of its channel.
pub(super) fn affine_backward(
    gradient: &[f32],
    output: Option<&[f32]>,
    plane: usize,
    scale: &[f32],
    activation: Activation,
    to: &mut [MaybeUninit<f32>],
) {
    each_plane(gradient.len(), plane, to, |index, range, to| {
        let scale = scale[index % scale.len()];
        let gradient = &gradient[range.clone()];
        match (activation, output) {
            (Activation::None, _) | (_, None) => map1(gradient, to, |g| g * scale),
            (Activation::Relu, Some(y)) => {
                map2(gradient, &y[range], to, |g, y| if y <= 0.0 { 0.0 } else { g * scale });
            }
            (Activation::LeakyRelu(slope), Some(y)) => {
                map2(gradient, &y[range], to, |g, y| if y <= 0.0 { g * slope * scale } else { g * scale });
            }
        }
    });
}

/// For each channel, the sums over batch and plane of the gradient before the activation, and of it times `x - mean`.
/// The latter only with an x.
pub(super) fn channel_sums(
    gradient: &[f32],
    output: Option<&[f32]>,
    x: Option<&[f32]>,
    mean: &[f32],
    plane: usize,
    activation: Activation,
) -> [Vec<f64>; 2] {
    let channels = mean.len();
    let threads = parts(gradient.len() * WORK_PER_ELEMENT).min(channels);
    let ranges = (0..threads).map(|part| part_range(channels, threads, part, 1));
    let slope = activation.negative_slope().unwrap_or(1.0);
    let of_channel = |channel: usize| {
        let mut total = [0.0f64; 2];
        for start in (channel * plane..gradient.len()).step_by(channels * plane) {
            let range = start..start + plane;
            let (y, x) = (output.map(|y| &y[range.clone()]), x.map(|x| &x[range.clone()]));
            let sums = masked_sums(&gradient[range], y, x, mean[channel], slope);
            total[0] += f64::from(sums[0]);
            total[1] += f64::from(sums[1]);
        }
        total
    };
    let sums = map_parts(ranges.collect(), |channels| channels.map(of_channel).collect::<Vec<_>>());
    [0, 1].map(|index| sums.iter().flatten().map(|sum| sum[index]).collect())
}

/// Loss and gradient of each sample: see [`KernelBackend::cross_entropy`](crate::KernelBackend::cross_entropy).
pub(super) fn cross_entropy(logits: &[f32], targets: &[f32], classes: usize) -> [Vec<f32>; 2] {
    let mut losses = Vec::with_capacity(logits.len() / classes.max(1));
    let mut gradient = Vec::with_capacity(logits.len());
    let rows = logits.chunks_exact(classes).zip(targets.chunks_exact(classes));
    for (logits, targets) in rows {
        // Not `f32::max`, which would drop NaN.
        let highest = logits.iter().fold(f32::NEG_INFINITY, |a, &b| if b <= a { a } else { b });
        let start = gradient.len();
        gradient.extend(logits.iter().map(|logit| (logit - highest).exp()));
        let sum: f32 = gradient[start..].iter().sum();
        let log_sum = sum.ln() + highest;
        let weight: f32 = targets.iter().sum();
        let terms = logits.iter().zip(targets).map(|(logit, target)| target * (log_sum - logit));
        losses.push(terms.sum());
        for (gradient, target) in gradient[start..].iter_mut().zip(targets) {
            *gradient = *gradient / sum * weight - target;
        }
    }
    [losses, gradient]
}

/// See [`KernelBackend::signed_step`](crate::KernelBackend::signed_step).
pub(super) fn signed_step(
    x: &[f32],
    gradient: &[f32],
    origin: &[f32],
    active: Option<&[f32]>,
    image: usize,
    step: SignedStep,
    to: &mut [MaybeUninit<f32>],
) {
    let [low, high] = step.range;
    let SignedStep { step_size, epsilon, .. } = step;
    each_plane(x.len(), image, to, |sample, range, to| {
        if active.is_some_and(|active| active[sample] == 0.0) {
            to.write_copy_of_slice(&x[range]);
            return;
        }
        map3([&x[range.clone()], &gradient[range.clone()], &origin[range]], to, |x, g, origin| {
            let up = if g > 0.0 { step_size } else { 0.0 };
            let down = if g < 0.0 { step_size } else { 0.0 };
            let (floor, ceiling) = (origin - epsilon, origin + epsilon);
            // Comparisons, not `min` and `max`, which would drop NaN.
            let moved = x + (up - down);
            let moved = if moved < floor { floor } else { moved };
            let moved = if moved > ceiling { ceiling } else { moved };
            let moved = if moved > high { high } else { moved };
            if moved < low { low } else { moved }
        });
    });
}

/// See [`SgdStep`]. Buffers that nobody else holds are reused.
pub(super) fn sgd_step(
    parameter: FlexTensor,
    gradient: &[f32],
    velocity: Option<FlexTensor>,
    step: SgdStep,
) -> (FlexTensor, FlexTensor) {
    let momentum = if velocity.is_some() { step.momentum } else { 0.0 };
    let mut parameter = into_contiguous(parameter);
    let mut velocity = match velocity {
        Some(velocity) => into_contiguous(velocity),
        None => FlexTensor::zeros(parameter.layout().shape().clone(), parameter.dtype()),
    };
    update2(parameter.storage_mut(), velocity.storage_mut(), gradient, |p, v, g| {
        let g = g + step.weight_decay * p;
        let v = momentum * v + g;
        let direction = if step.nesterov { g + step.momentum * v } else { v };
        (p - step.learning_rate * direction, v)
    });
    (parameter, velocity)
}

/// Contiguous, without a second handle on its buffer: writing then copies only if someone else holds one.
fn into_contiguous(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.is_contiguous() && slice(&tensor).len() == tensor.layout().num_elements();
    if whole { tensor } else { tensor.to_contiguous() }
}

/// Calls `body` with the index, the range of elements and the output of each plane, planes split over the threads.
fn each_plane(
    length: usize,
    plane: usize,
    to: &mut [MaybeUninit<f32>],
    body: impl Fn(usize, Range<usize>, &mut [MaybeUninit<f32>]) + Send + Sync,
) {
    let planes = length / plane.max(1);
    let threads = parts(length * WORK_PER_ELEMENT).min(planes.max(1));
    let ranges = (0..threads).map(|part| part_range(planes, threads, part, 1));
    let outputs = split(to, ranges.clone().map(|range| range.len() * plane));
    map_parts(ranges.zip(outputs).collect(), |(planes, to)| {
        for (index, to) in planes.zip(to.chunks_exact_mut(plane)) {
            body(index, index * plane..(index + 1) * plane, to);
        }
    });
}
