//! Operations that read each element once: memory is the time, so each is one pass.

use core::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use pulp::{Simd, WithSimd};

use super::memory::{filled, is_f32, map_parts, part_range, parts, slice, split, tensor};
use super::simd::run;
use crate::{Activation, SgdStep, SignedStep};

/// What one element is worth in the multiplications that [`parts`] counts: some 16 go by while one is read and written.
const WORK_PER_ELEMENT: usize = 16;

/// The gradient before the activation: the gradient, scaled down where the output was not positive.
pub(super) fn before_activation(
    gradient: &[f32],
    output: &[f32],
    activation: Activation,
    to: &mut Vec<f32>,
) {
    let slope = activation.negative_slope().unwrap_or(1.0);
    to.clear();
    to.reserve(gradient.len());
    let spare = &mut to.spare_capacity_mut()[..gradient.len()];
    match activation {
        Activation::None => {
            spare.write_copy_of_slice(gradient);
        }
        // Not a product with 0, which would keep an infinite or undefined gradient.
        Activation::Relu => zip2(gradient, output, spare, |g, y| if y <= 0.0 { 0.0 } else { g }),
        Activation::LeakyRelu(_) => zip2(gradient, output, spare, |g, y| {
            if y <= 0.0 { g * slope } else { g }
        }),
    }
    // SAFETY: every element was written above.
    unsafe { to.set_len(gradient.len()) };
}

fn zip2(a: &[f32], b: &[f32], to: &mut [MaybeUninit<f32>], map: impl Fn(f32, f32) -> f32) {
    vectorized(|| {
        for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
            to.write(map(a, b));
        }
    });
}

/// Compiles a loop for the widest vectors this processor has.
fn vectorized<F: FnOnce() -> R, R>(body: F) -> R {
    struct Body<F>(F);
    impl<F: FnOnce() -> R, R> WithSimd for Body<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    run(Body(body))
}

/// Scale and shift per channel: `y = act(x * scale + shift)`, x `[batch, channel, ...]` with `plane` elements a channel.
pub(super) fn affine(
    x: &[f32],
    plane: usize,
    scale: &[f32],
    shift: &[f32],
    activation: Activation,
    y: &mut [MaybeUninit<f32>],
) {
    each_plane(x.len(), plane, y, |index, range, y| {
        let (scale, shift) = (scale[index % scale.len()], shift[index % scale.len()]);
        let x = &x[range];
        let value = |x: f32| x * scale + shift;
        match activation {
            Activation::None => zip1(x, y, value),
            Activation::Relu => zip1(x, y, |x| match value(x) {
                v if v <= 0.0 => 0.0,
                v => v,
            }),
            Activation::LeakyRelu(slope) => zip1(x, y, |x| match value(x) {
                v if v <= 0.0 => v * slope,
                v => v,
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
    let slope = activation.negative_slope().unwrap_or(1.0);
    each_plane(gradient.len(), plane, to, |index, range, to| {
        let scale = scale[index % scale.len()];
        let gradient = &gradient[range.clone()];
        match (activation, output) {
            (Activation::None, _) | (_, None) => zip1(gradient, to, |g| g * scale),
            (Activation::Relu, Some(y)) => {
                zip2(gradient, &y[range], to, |g, y| if y <= 0.0 { 0.0 } else { g * scale });
            }
            (Activation::LeakyRelu(_), Some(y)) => zip2(gradient, &y[range], to, |g, y| {
                if y <= 0.0 { g * slope * scale } else { g * scale }
            }),
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
    let sums = map_parts(ranges.collect(), |channels_of_part| {
        channels_of_part
            .map(|channel| {
                let mut total = [0.0f64; 2];
                let starts = (channel * plane..gradient.len()).step_by(channels * plane);
                for start in starts {
                    let range = start..start + plane;
                    let sums = plane_sums(
                        &gradient[range.clone()],
                        output.map(|y| &y[range.clone()]),
                        x.map(|x| &x[range.clone()]),
                        mean[channel],
                        slope,
                    );
                    total[0] += f64::from(sums[0]);
                    total[1] += f64::from(sums[1]);
                }
                total
            })
            .collect::<Vec<_>>()
    });
    [0, 1].map(|index| sums.iter().flatten().map(|sum| sum[index]).collect())
}

/// Sums of one plane, in as many partial sums as the widest vectors have lanes.
fn plane_sums(g: &[f32], y: Option<&[f32]>, x: Option<&[f32]>, mean: f32, slope: f32) -> [f32; 2] {
    const LANES: usize = 16;
    // A slope of 0 selects 0 instead of multiplying, which would keep an infinite gradient.
    let masked = |g: f32, y: f32| match y <= 0.0 {
        true if slope == 0.0 => 0.0,
        true => g * slope,
        false => g,
    };
    vectorized(|| {
        let (mut sum, mut product) = ([0.0f32; LANES], [0.0f32; LANES]);
        for start in (0..g.len()).step_by(LANES) {
            let end = g.len().min(start + LANES);
            for (lane, at) in (start..end).enumerate() {
                let g = y.map_or(g[at], |y| masked(g[at], y[at]));
                sum[lane] += g;
                if let Some(x) = x {
                    product[lane] += g * (x[at] - mean);
                }
            }
        }
        [sum.iter().sum(), product.iter().sum()]
    })
}

/// Loss and gradient of each sample: see [`KernelBackend::cross_entropy`](crate::KernelBackend::cross_entropy).
pub(super) fn cross_entropy(logits: &[f32], targets: &[f32], classes: usize) -> [Vec<f32>; 2] {
    let mut losses = Vec::with_capacity(logits.len() / classes.max(1));
    let mut gradient = Vec::with_capacity(logits.len());
    let rows = logits.chunks_exact(classes).zip(targets.chunks_exact(classes));
    for (logits, targets) in rows {
        // Not `f32::max`, which would drop NaN.
        let highest = logits.iter().fold(f32::NEG_INFINITY, |a, &b| if b <= a { a } else { b });
        let exponentials = logits.iter().map(|logit| (logit - highest).exp());
        let start = gradient.len();
        gradient.extend(exponentials);
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
    each_plane(x.len(), image, to, |sample, range, to| {
        let (x, gradient, origin) = (&x[range.clone()], &gradient[range.clone()], &origin[range]);
        if active.is_some_and(|active| active[sample] == 0.0) {
            to.write_copy_of_slice(x);
            return;
        }
        vectorized(|| {
            for (((to, &x), &g), &origin) in to.iter_mut().zip(x).zip(gradient).zip(origin) {
                let up = if g > 0.0 { step.step_size } else { 0.0 };
                let down = if g < 0.0 { step.step_size } else { 0.0 };
                let (floor, ceiling) = (origin - step.epsilon, origin + step.epsilon);
                // Comparisons, not `min` and `max`, which would drop NaN.
                let moved = x + (up - down);
                let moved = if moved < floor { floor } else { moved };
                let moved = if moved > ceiling { ceiling } else { moved };
                let moved = if moved > high { high } else { moved };
                to.write(if moved < low { low } else { moved });
            }
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
    let mut parameter = parameter.to_contiguous_owned();
    let first = velocity.is_none();
    let mut velocity = match velocity {
        Some(velocity) => velocity.to_contiguous_owned(),
        None => FlexTensor::zeros(parameter.layout().shape().clone(), parameter.dtype()),
    };
    let momentum = if first { 0.0 } else { step.momentum };
    let parameters: &mut [f32] = parameter.storage_mut();
    let velocities: &mut [f32] = velocity.storage_mut();
    vectorized(|| {
        for ((p, v), &g) in parameters.iter_mut().zip(velocities).zip(gradient) {
            let g = g + step.weight_decay * *p;
            *v = momentum * *v + g;
            let direction = if step.nesterov { g + step.momentum * *v } else { *v };
            *p -= step.learning_rate * direction;
        }
    });
    (parameter, velocity)
}

trait ToContiguousOwned {
    /// Contiguous, without a second handle on its buffer: writing then copies only if someone else holds one.
    fn to_contiguous_owned(self) -> Self;
}

impl ToContiguousOwned for FlexTensor {
    fn to_contiguous_owned(self) -> Self {
        debug_assert!(is_f32(&self));
        let whole = self.is_contiguous() && slice(&self).len() == self.layout().num_elements();
        if whole { self } else { self.to_contiguous() }
    }
}

fn zip1(a: &[f32], to: &mut [MaybeUninit<f32>], map: impl Fn(f32) -> f32) {
    vectorized(|| {
        for (to, &a) in to.iter_mut().zip(a) {
            to.write(map(a));
        }
    });
}

/// Calls `body` with the index, the range of elements and the output of each plane, planes split over the threads.
fn each_plane(
    length: usize,
    plane: usize,
    to: &mut [MaybeUninit<f32>],
    body: impl Fn(usize, core::ops::Range<usize>, &mut [MaybeUninit<f32>]) + Sync,
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

/// A tensor of one value per channel.
pub(super) fn per_channel(values: impl Iterator<Item = f32>) -> FlexTensor {
    let values: Vec<f32> = values.collect();
    let channels = values.len();
    tensor(values, [channels])
}

/// A new tensor of the shape, filled by a function that writes every element.
///
/// # Safety
/// As [`filled`].
pub(super) unsafe fn mapped(
    shape: [usize; 4],
    fill: impl FnOnce(&mut [MaybeUninit<f32>]),
) -> FlexTensor {
    unsafe { filled(shape, fill) }
}
