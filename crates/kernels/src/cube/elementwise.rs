//! Kernels without a matrix product: one unit per element, or per sample.

use cubecl::prelude::*;

use super::epilogue::{ActivationKind, activate, deactivate};

/// Adds partial sums `[splits, out]` in order, then the bias, then applies the activation; and beside them, where given,
/// a second such sum of `[splits, rows]` without either.
///
/// Element i of out belongs to row `i / inner % rows`, whose bias is added. Sizes count vectors of `N`. `out` has elements `O`.
#[cube(launch_unchecked)]
pub fn add_splits<O: Float, N: Size>(
    parts: &[Vector<f32, N>],
    bias: ComptimeOption<&[f32]>,
    out: &mut [Vector<O, N>],
    row_parts: ComptimeOption<&[f32]>,
    row_out: ComptimeOption<&mut [f32]>,
    splits: u32,
    size: u32,
    inner: u32,
    rows: u32,
    slope: f32,
    #[comptime] activation: ActivationKind,
    #[define(O)] _element: ElemType,
) {
    let i = ABSOLUTE_POS as u32;
    if i < size {
        let mut sum = parts[i as usize];
        for split in 1..splits {
            sum += parts[(split * size + i) as usize];
        }
        #[comptime]
        if let ComptimeOption::Some(bias) = &bias {
            let width = N::value();
            let width = comptime!(width as u32);
            let mut of_elements = Vector::<f32, N>::empty();
            #[unroll]
            for e in 0..width {
                of_elements.insert(comptime!(e as usize), bias[((i * width + e) / inner % rows) as usize]);
            }
            sum += of_elements;
        }
        out[i as usize] = Vector::cast_from(activate(sum, slope, activation));
    }
    #[comptime]
    if let ComptimeOption::Some(row_out) = row_out {
        #[comptime]
        if let ComptimeOption::Some(row_parts) = row_parts {
            if i < rows {
                let mut sum = row_parts[i as usize];
                for split in 1..splits {
                    sum += row_parts[(split * rows + i) as usize];
                }
                row_out[i as usize] = sum;
            }
        }
    }
}

/// The gradient before an activation from the one after it.
#[cube(launch_unchecked)]
pub fn activation_gradient<E: Float, N: Size>(
    gradient: &[Vector<E, N>],
    output: &[Vector<E, N>],
    out: &mut [Vector<E, N>],
    size: u32,
    slope: f32,
    #[comptime] activation: ActivationKind,
    #[define(E)] _element: ElemType,
) {
    let i = ABSOLUTE_POS;
    if (i as u32) < size {
        let g = Vector::<f32, N>::cast_from(gradient[i]);
        let y = Vector::<f32, N>::cast_from(output[i]);
        out[i] = Vector::cast_from(deactivate(g, y, slope, activation));
    }
}

/// Cross-entropy and its gradient: see [`KernelBackend::cross_entropy`](crate::KernelBackend::cross_entropy). One unit
/// per sample.
#[cube(launch_unchecked)]
pub fn cross_entropy(logits: &[f32], targets: &[f32], loss: &mut [f32], gradient: &mut [f32], samples: u32, classes: u32) {
    let sample = ABSOLUTE_POS as u32;
    if sample < samples {
        let start = sample * classes;
        let mut highest = logits[start as usize];
        let mut total = targets[start as usize];
        for class in 1..classes {
            let logit = logits[(start + class) as usize];
            highest = select(logit > highest, logit, highest);
            total += targets[(start + class) as usize];
        }
        let mut partition = 0.0f32;
        for class in 0..classes {
            partition += (logits[(start + class) as usize] - highest).exp();
        }
        let log_partition = partition.ln();
        let mut sum = 0.0f32;
        for class in 0..classes {
            let index = (start + class) as usize;
            let shifted = logits[index] - highest;
            sum -= targets[index] * (shifted - log_partition);
            gradient[index] = shifted.exp() / partition * total - targets[index];
        }
        loss[sample as usize] = sum;
    }
}

/// One step of projected gradient ascent: see [`KernelBackend::signed_step`](crate::KernelBackend::signed_step).
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

/// Extents of a pooling: x `[planes, height, width]`, windows `size` wide that do not overlap.
#[derive(CubeLaunch, CubeType, Clone)]
pub struct Pooling {
    pub planes: u32,
    pub height: u32,
    pub width: u32,
}

/// See [`KernelBackend::max_pool`](crate::KernelBackend::max_pool). One unit per window.
#[cube(launch_unchecked)]
pub fn max_pool<E: Float>(x: &[E], out: &mut [E], pooling: Pooling, #[comptime] size: u32, #[define(E)] _element: ElemType) {
    let out_height = pooling.height / size;
    let out_width = pooling.width / size;
    let i = ABSOLUTE_POS as u32;
    if i < pooling.planes * out_height * out_width {
        let row = i / out_width / out_height * pooling.height + i / out_width % out_height * size;
        let start = row * pooling.width + i % out_width * size;
        let mut highest = f32::cast_from(x[start as usize]);
        for tap in 1..comptime!(size * size) {
            let value = f32::cast_from(x[(start + tap / size * pooling.width + tap % size) as usize]);
            highest = select(exceeds(value, highest), value, highest);
        }
        out[i as usize] = E::cast_from(highest);
    }
}

/// See [`KernelBackend::max_pool_backward`](crate::KernelBackend::max_pool_backward). One unit per element of x.
#[cube(launch_unchecked)]
pub fn max_pool_gradient<E: Float>(
    gradient: &[E],
    x: &[E],
    out: &mut [E],
    pooling: Pooling,
    #[comptime] size: u32,
    #[define(E)] _element: ElemType,
) {
    let out_height = pooling.height / size;
    let out_width = pooling.width / size;
    let i = ABSOLUTE_POS as u32;
    if i < pooling.planes * pooling.height * pooling.width {
        let column = i % pooling.width;
        let row = i / pooling.width % pooling.height;
        let plane = i / pooling.width / pooling.height;
        let mut passed = E::new(0.0);
        if row < out_height * size && column < out_width * size {
            let start = (plane * pooling.height + row / size * size) * pooling.width + column / size * size;
            let own = row % size * size + column % size;
            let mut highest = f32::cast_from(x[start as usize]);
            let mut first = 0u32;
            for tap in 1..comptime!(size * size) {
                let value = f32::cast_from(x[(start + tap / size * pooling.width + tap % size) as usize]);
                let higher = exceeds(value, highest);
                first = select(higher, tap, first);
                highest = select(higher, value, highest);
            }
            if first == own {
                passed = gradient[((plane * out_height + row / size) * out_width + column / size) as usize];
            }
        }
        out[i as usize] = passed;
    }
}

/// Whether `value` takes the maximum over; NaN does, and keeps it.
#[cube]
fn exceeds(value: f32, highest: f32) -> bool {
    // Not `x != x`: a shader compiler may take that for false.
    let held = highest.is_nan();
    let nan = value.is_nan();
    let greater = value > highest;
    (greater || nan) && !held
}
