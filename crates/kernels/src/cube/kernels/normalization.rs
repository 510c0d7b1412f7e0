//! Batch normalization and its activation, forward and backward, with given statistics or those of the batch.
//!
//! `E` is what x, the output and their gradients are stored as; all else, and every sum, is f32.

use cubecl::prelude::*;

use super::activation::{ActivationKind, activate, passed};

/// Units that add up one channel.
pub const UNITS: u32 = 64;

/// `act((x - mean) / sqrt(var + epsilon) * gamma + beta)`; element i belongs to channel `i / plane % channels`. Sizes
/// count vectors of `N`, which divides the plane.
#[cube(launch_unchecked)]
pub fn batch_norm<E: Float, N: Size>(
    x: &[Vector<E, N>],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    var: &[f32],
    out: &mut [Vector<E, N>],
    size: u32,
    channels: u32,
    plane: u32,
    epsilon: f32,
    slope: f32,
    #[comptime] activation: ActivationKind,
    #[define(E)] _element: ElemType,
) {
    let i = ABSOLUTE_POS;
    if (i as u32) < size {
        let channel = (i as u32 / plane % channels) as usize;
        let scale = gamma[channel] / (var[channel] + epsilon).sqrt();
        let centered = Vector::<f32, N>::cast_from(x[i]) - Vector::new(mean[channel]);
        let normal = centered * Vector::new(scale) + Vector::new(beta[channel]);
        out[i] = Vector::cast_from(activate(normal, slope, activation));
    }
}

/// Gradient of [`batch_norm`] with respect to x.
#[cube(launch_unchecked)]
pub fn batch_norm_gradient<E: Float, N: Size>(
    gradient: &[Vector<E, N>],
    output: ComptimeOption<&[Vector<E, N>]>,
    gamma: &[f32],
    var: &[f32],
    out: &mut [Vector<E, N>],
    size: u32,
    channels: u32,
    plane: u32,
    epsilon: f32,
    slope: f32,
    #[comptime] activation: ActivationKind,
    #[define(E)] _element: ElemType,
) {
    let i = ABSOLUTE_POS;
    if (i as u32) < size {
        let channel = (i as u32 / plane % channels) as usize;
        let scale = gamma[channel] / (var[channel] + epsilon).sqrt();
        out[i] = Vector::cast_from(passed(gradient, &output, i, slope, activation) * Vector::new(scale));
    }
}

/// The sums `[split, 2, channel]` over parts of the batch that make up the gradients of gamma (first, where x is given) and
/// beta; where gamma is given, also [`batch_norm_gradient`], which reads the same. One workgroup per channel and split.
#[cube(launch_unchecked)]
pub fn batch_norm_sums<E: Float, N: Size>(
    gradient: &[Vector<E, N>],
    output: ComptimeOption<&[Vector<E, N>]>,
    x: ComptimeOption<&[Vector<E, N>]>,
    mean: &[f32],
    var: &[f32],
    gamma: ComptimeOption<&[f32]>,
    mut x_out: ComptimeOption<&mut [Vector<E, N>]>,
    sums: &mut [f32],
    batch: u32,
    channels: u32,
    plane: u32,
    images_per_split: u32,
    epsilon: f32,
    slope: f32,
    #[comptime] activation: ActivationKind,
    #[define(E)] _element: ElemType,
) {
    let channel = CUBE_POS_X;
    let first = CUBE_POS_Y * images_per_split;
    let last = min(first + images_per_split, batch);
    let center = mean[channel as usize];
    let deviation = (var[channel as usize] + epsilon).sqrt();
    let mut scale = 0.0f32;
    #[comptime]
    if let ComptimeOption::Some(gamma) = gamma {
        scale = gamma[channel as usize] / deviation;
    }
    let mut gamma_sum = Vector::<f32, N>::new(0.0);
    let mut beta_sum = Vector::<f32, N>::new(0.0);

    let mut i = UNIT_POS;
    while i < (last - first) * plane {
        let index = (((first + i / plane) * channels + channel) * plane + i % plane) as usize;
        let signal = passed(gradient, &output, index, slope, activation);
        beta_sum += signal;
        #[comptime]
        if let ComptimeOption::Some(x) = &x {
            gamma_sum += signal * (Vector::cast_from(x[index]) - Vector::new(center));
        }
        #[comptime]
        if let ComptimeOption::Some(x_out) = &mut x_out {
            x_out[index] = Vector::cast_from(signal * Vector::new(scale));
        }
        i += UNITS;
    }

    let place = CUBE_POS_Y * 2 * channels + channel;
    if x.is_some() {
        let total = add_units(gamma_sum);
        if UNIT_POS == 0 {
            sums[place as usize] = total / deviation;
        }
    }
    let total = add_units(beta_sum);
    if UNIT_POS == 0 {
        sums[(place + channels) as usize] = total;
    }
}

/// The sums `[split, 2, channel]` over parts of the batch of `x - first` and of its square, where `first` is the channel's first
/// element: sums of x itself would cancel where the mean is large. One workgroup per channel and split.
#[cube(launch_unchecked)]
pub fn batch_sums<E: Float, N: Size>(
    x: &[Vector<E, N>],
    sums: &mut [f32],
    batch: u32,
    channels: u32,
    plane: u32,
    images_per_split: u32,
    #[define(E)] _element: ElemType,
) {
    let channel = CUBE_POS_X;
    let start = CUBE_POS_Y * images_per_split;
    let end = min(start + images_per_split, batch);
    let first = Vector::<f32, N>::cast_from(x[(channel * plane) as usize].extract(0usize));
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut squares = Vector::<f32, N>::new(0.0);

    let mut i = UNIT_POS;
    while i < (end - start) * plane {
        let index = ((start + i / plane) * channels + channel) * plane + i % plane;
        let distance = Vector::cast_from(x[index as usize]) - first;
        sum += distance;
        squares += distance * distance;
        i += UNITS;
    }

    let place = CUBE_POS_Y * 2 * channels + channel;
    let total = add_units(sum);
    if UNIT_POS == 0 {
        sums[place as usize] = total;
    }
    let total = add_units(squares);
    if UNIT_POS == 0 {
        sums[(place + channels) as usize] = total;
    }
}

/// Mean and biased variance of each channel from [`batch_sums`] over `count` elements.
#[cube(launch_unchecked)]
pub fn batch_statistics<E: Float>(
    x: &[E],
    sums: &[f32],
    mean: &mut [f32],
    var: &mut [f32],
    splits: u32,
    channels: u32,
    plane: u32,
    count: f32,
    #[define(E)] _element: ElemType,
) {
    let channel = ABSOLUTE_POS as u32;
    if channel < channels {
        let distance = add_parts(sums, channel, splits, channels) / count;
        let square = add_parts(sums, channels + channel, splits, channels) / count;
        mean[channel as usize] = f32::cast_from(x[(channel * plane) as usize]) + distance;
        let variance = square - distance * distance;
        let rounded = select(variance < 0.0, 0.0, variance);
        // See `clamp_keeping_nan`.
        var[channel as usize] = select(variance.is_nan(), variance, rounded);
    }
}

/// See [`MovingAverage`](crate::MovingAverage).
#[cube(launch_unchecked)]
pub fn moving_statistics(
    running_mean: &[f32],
    running_var: &[f32],
    mean: &[f32],
    var: &[f32],
    mean_out: &mut [f32],
    var_out: &mut [f32],
    channels: u32,
    momentum: f32,
    correction: f32,
) {
    let channel = ABSOLUTE_POS;
    if (channel as u32) < channels {
        let rest = 1.0 - momentum;
        mean_out[channel] = running_mean[channel] * rest + mean[channel] * momentum;
        var_out[channel] = running_var[channel] * rest + var[channel] * correction * momentum;
    }
}

/// From [`batch_norm_sums`] with an x over `count` elements: the gradients of gamma and beta, and `[4, channel]` coefficients
/// for [`batch_norm_batch_gradient`].
#[cube(launch_unchecked)]
pub fn batch_norm_coefficients(
    sums: &[f32],
    gamma: &[f32],
    mean: &[f32],
    var: &[f32],
    gamma_out: &mut [f32],
    beta_out: &mut [f32],
    coefficients: &mut [f32],
    splits: u32,
    channels: u32,
    count: f32,
    epsilon: f32,
) {
    let channel = ABSOLUTE_POS as u32;
    if channel < channels {
        let of_gamma = add_parts(sums, channel, splits, channels);
        let of_beta = add_parts(sums, channels + channel, splits, channels);
        gamma_out[channel as usize] = of_gamma;
        beta_out[channel as usize] = of_beta;
        let deviation = (var[channel as usize] + epsilon).sqrt();
        let scale = gamma[channel as usize] / deviation;
        coefficients[channel as usize] = mean[channel as usize];
        coefficients[(channels + channel) as usize] = scale;
        coefficients[(2 * channels + channel) as usize] = -scale / deviation * of_gamma / count;
        coefficients[(3 * channels + channel) as usize] = -scale * of_beta / count;
    }
}

/// Gradient of [`batch_norm`] with respect to x through the statistics of the batch: `g * scale + (x - mean) * factor + offset`,
/// coefficients in the order mean, scale, factor, offset.
#[cube(launch_unchecked)]
pub fn batch_norm_batch_gradient<E: Float, N: Size>(
    gradient: &[Vector<E, N>],
    output: ComptimeOption<&[Vector<E, N>]>,
    x: &[Vector<E, N>],
    coefficients: &[f32],
    out: &mut [Vector<E, N>],
    size: u32,
    channels: u32,
    plane: u32,
    slope: f32,
    #[comptime] activation: ActivationKind,
    #[define(E)] _element: ElemType,
) {
    let i = ABSOLUTE_POS;
    if (i as u32) < size {
        let channel = i as u32 / plane % channels;
        let mean = Vector::new(coefficients[channel as usize]);
        let scale = Vector::new(coefficients[(channels + channel) as usize]);
        let factor = Vector::new(coefficients[(2 * channels + channel) as usize]);
        let offset = Vector::new(coefficients[(3 * channels + channel) as usize]);
        let signal = passed(gradient, &output, i, slope, activation);
        out[i] = Vector::cast_from(signal * scale + (Vector::cast_from(x[i]) - mean) * factor + offset);
    }
}

/// The sum over `splits` of `[split, 2, channel]` at a place of the last two axes, in a fixed order.
#[cube]
fn add_parts(sums: &[f32], place: u32, splits: u32, channels: u32) -> f32 {
    let mut total = 0.0f32;
    for split in 0..splits {
        total += sums[(split * 2 * channels + place) as usize];
    }
    total
}

/// The sum over the workgroup's units, in a fixed order; valid in unit 0.
#[cube]
fn add_units<N: Size>(value: Vector<f32, N>) -> f32 {
    let mut own = 0.0f32;
    #[unroll]
    for e in 0..N::value() {
        own += value.extract(e);
    }
    let mut shared = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    shared[UNIT_POS as usize] = own;
    let mut distance = comptime!(UNITS / 2).runtime();
    while distance > 0 {
        sync_cube();
        if UNIT_POS < distance {
            own += shared[(UNIT_POS + distance) as usize];
            shared[UNIT_POS as usize] = own;
        }
        distance /= 2;
    }
    own
}

/// Adds `[splits, 2, channel]` up into the gradients of gamma and beta.
#[cube(launch_unchecked)]
pub fn add_channel_sums(
    sums: &[f32],
    gamma_out: ComptimeOption<&mut [f32]>,
    beta_out: ComptimeOption<&mut [f32]>,
    splits: u32,
    channels: u32,
) {
    let channel = ABSOLUTE_POS as u32;
    if channel < channels {
        #[comptime]
        if let ComptimeOption::Some(gamma_out) = gamma_out {
            gamma_out[channel as usize] = add_parts(sums, channel, splits, channels);
        }
        #[comptime]
        if let ComptimeOption::Some(beta_out) = beta_out {
            beta_out[channel as usize] = add_parts(sums, channels + channel, splits, channels);
        }
    }
}
