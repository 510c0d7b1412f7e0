//! Operations that read each element once: memory is the time, so each is one pass.

use core::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;

use super::elementwise::{map2, map3, update2};
use super::memory::{each_plane, slice};
use crate::{Activation, SgdStep, SignedStep};

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
        Activation::Relu => map2(gradient, output, spare, move |g, y| if y <= 0.0 { 0.0 } else { g }),
        Activation::LeakyRelu(slope) => map2(gradient, output, spare, move |g, y| if y <= 0.0 { g * slope } else { g }),
    }
    // SAFETY: every element was written above.
    unsafe { to.set_len(gradient.len()) };
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
        map3([&x[range.clone()], &gradient[range.clone()], &origin[range]], to, move |x, g, origin| {
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

/// See [`SgdStep`]. The gradient's buffer becomes the new parameter's and the velocity's is written to, unless somebody else
/// holds them.
pub(super) fn sgd_step(
    parameter: &[f32],
    gradient: FlexTensor,
    velocity: Option<FlexTensor>,
    step: SgdStep,
) -> (FlexTensor, FlexTensor) {
    let momentum = if velocity.is_some() { step.momentum } else { 0.0 };
    let mut gradient = into_contiguous(gradient);
    let mut velocity = match velocity {
        Some(velocity) => into_contiguous(velocity),
        None => FlexTensor::zeros(gradient.layout().shape().clone(), gradient.dtype()),
    };
    update2(gradient.storage_mut(), velocity.storage_mut(), parameter, move |g, v, p| {
        let g = step.gradient_scale * g + step.weight_decay * p;
        let v = momentum * v + g;
        let direction = if step.nesterov { g + step.momentum * v } else { v };
        (p - step.learning_rate * direction, v)
    });
    (gradient, velocity)
}

/// Contiguous, without a second handle on its buffer: writing then copies only if someone else holds one.
fn into_contiguous(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.is_contiguous() && slice(&tensor).len() == tensor.layout().num_elements();
    if whole { tensor } else { tensor.to_contiguous() }
}
