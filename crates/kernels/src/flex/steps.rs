//! The update rules. Memory is the time, so each is one pass over it.

use core::mem::MaybeUninit;

use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};

use super::kernels::elementwise::{map3, update2};
use super::memory::{contiguous, filled, is_f32, slice};
use super::threads::each_plane;
use crate::{List, Maybe, SgdStep, SignedStep, StepOps, stock};

impl StepOps for Flex {
    fn signed_step(x: FlexTensor, gradient: FlexTensor, origin: FlexTensor, active: Maybe<Self>, step: SignedStep) -> FlexTensor {
        let active = active.into_option();
        if ![&x, &gradient, &origin].into_iter().chain(&active).all(is_f32) {
            return stock::signed_step::<Self>(x, gradient, origin, active.into(), step);
        }
        let shape: [usize; 4] = x.shape().dims();
        let [x, gradient, origin] = [x, gradient, origin].map(|tensor| tensor.to_contiguous());
        let active = contiguous(&active);
        let active = active.as_ref().map(slice);
        let SignedStep { step_size, epsilon, range: [low, high] } = step;
        let next = |to: &mut [MaybeUninit<f32>]| {
            let (x, gradient, origin) = (slice(&x), slice(&gradient), slice(&origin));
            each_plane(x.len(), shape[1] * shape[2] * shape[3], to, |sample, range, to| {
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
        };
        // SAFETY: every element of every sample is written.
        unsafe { filled(shape, next) }
    }

    fn sgd_step(
        parameters: List<Self>,
        gradients: List<Self>,
        velocities: List<Self>,
        step: SgdStep,
    ) -> (Vec<FlexTensor>, Vec<FlexTensor>) {
        if !parameters.0.iter().chain(&gradients.0).all(is_f32) {
            return stock::sgd_step::<Self>(parameters, gradients, velocities, step);
        }
        let velocities = velocities.0.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let pairs = parameters.0.into_iter().zip(gradients.0).zip(velocities);
        let stepped = pairs.map(|((parameter, gradient), velocity)| {
            let parameter = parameter.to_contiguous();
            descended(slice(&parameter), gradient, velocity, step)
        });
        stepped.unzip()
    }
}

/// One parameter and its velocity after a step. The gradient's buffer becomes the new parameter's and the velocity's is written to, unless somebody else
/// holds them.
fn descended(parameter: &[f32], gradient: FlexTensor, velocity: Option<FlexTensor>, step: SgdStep) -> (FlexTensor, FlexTensor) {
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
