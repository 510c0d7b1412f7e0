//! The update rules: one unit per element.

use cubecl::prelude::*;

/// One step of projected gradient ascent: see [`signed_step`](crate::signed_step()).
#[cube(launch_unchecked)]
pub fn signed_step(
    x: &[f32],
    gradient: &[f32],
    origin: &[f32],
    active: ComptimeOption<&[f32]>,
    out: &mut [f32],
    size: u32,
    sample_size: u32,
    step_size: f32,
    epsilon: f32,
    low: f32,
    high: f32,
) {
    let i = ABSOLUTE_POS;
    if (i as u32) < size {
        let old = x[i];
        let g = gradient[i];
        let center = origin[i];
        let negative = select(g < 0.0, -step_size, 0.0);
        let change = select(g > 0.0, step_size, negative);
        let moved = old + change;
        let moved = clamp_keeping_nan(moved, center - epsilon, center + epsilon);
        let moved = clamp_keeping_nan(moved, low, high);
        #[comptime]
        let moved = match &active {
            ComptimeOption::Some(active) => select(active[(i as u32 / sample_size) as usize] != 0.0, moved, old),
            ComptimeOption::None => moved,
        };
        out[i] = moved;
    }
}

#[cube]
fn clamp_keeping_nan(value: f32, low: f32, high: f32) -> f32 {
    let clamped = select(value < low, low, value);
    let clamped = select(clamped > high, high, clamped);
    // A shader compiler may make `min` and `max` of these, which drop NaN.
    select(value.is_nan(), value, clamped)
}

/// One step of gradient descent on some parameters, whose new values overwrite the gradients: see [`SgdStep`](crate::SgdStep).
/// Where `first` is not 0 the velocities are only written to; it is no comptime value, so that the second step compiles nothing.
/// Sizes count vectors of `N`.
#[cube(launch_unchecked)]
pub fn sgd_step<N: Size>(
    parameters: Sequence<Box<[Vector<f32, N>]>>,
    mut gradients: Sequence<Box<[Vector<f32, N>]>>,
    mut velocities: Sequence<Box<[Vector<f32, N>]>>,
    sizes: Sequence<u32>,
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
    gradient_scale: f32,
    first: u32,
    #[comptime] nesterov: bool,
) {
    let i = ABSOLUTE_POS;
    #[unroll]
    for index in 0..parameters.len() {
        let parameter = parameters.index(index);
        let gradient = gradients.index_mut(index);
        let velocity = velocities.index_mut(index);
        if (i as u32) < *sizes.index(index) {
            let p = parameter[i];
            let g = Vector::new(gradient_scale) * gradient[i] + Vector::new(weight_decay) * p;
            let v = select(first != 0, g, Vector::new(momentum) * velocity[i] + g);
            let direction = if comptime!(nesterov) { g + Vector::new(momentum) * v } else { v };
            velocity[i] = v;
            gradient[i] = p - Vector::new(learning_rate) * direction;
        }
    }
}
