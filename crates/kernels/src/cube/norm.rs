//! Batch normalisation with running statistics and an activation, forward and backward.

use cubecl::prelude::*;

use super::epilogue::{ActivationKind, activate, deactivate};

/// Units that add up one channel.
pub const UNITS: u32 = 64;

/// `act((x - mean) / sqrt(var + epsilon) * gamma + beta)`; element i belongs to channel `i / plane % channels`. Sizes
/// count vectors of `N`, which divides the plane.
#[cube(launch_unchecked)]
pub fn batch_norm<N: Size>(
    x: &[Vector<f32, N>],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    var: &[f32],
    out: &mut [Vector<f32, N>],
    size: u32,
    channels: u32,
    plane: u32,
    epsilon: f32,
    slope: f32,
    #[comptime] activation: ActivationKind,
) {
    let i = ABSOLUTE_POS;
    if (i as u32) < size {
        let channel = (i as u32 / plane % channels) as usize;
        let scale = gamma[channel] / (var[channel] + epsilon).sqrt();
        let normal = (x[i] - Vector::new(mean[channel])) * Vector::new(scale) + Vector::new(beta[channel]);
        let mut values = Vector::<f32, N>::empty();
        #[unroll]
        for e in 0..N::value() {
            values.insert(e, activate(normal.extract(e), slope, activation));
        }
        out[i] = values;
    }
}

/// Gradient of [`batch_norm`] with respect to x.
#[cube(launch_unchecked)]
pub fn batch_norm_gradient<N: Size>(
    gradient: &[Vector<f32, N>],
    output: ComptimeOption<&[Vector<f32, N>]>,
    gamma: &[f32],
    var: &[f32],
    out: &mut [Vector<f32, N>],
    size: u32,
    channels: u32,
    plane: u32,
    epsilon: f32,
    slope: f32,
    #[comptime] activation: ActivationKind,
) {
    let i = ABSOLUTE_POS;
    if (i as u32) < size {
        let channel = (i as u32 / plane % channels) as usize;
        let scale = gamma[channel] / (var[channel] + epsilon).sqrt();
        out[i] = passed(gradient, &output, i, slope, activation) * Vector::new(scale);
    }
}

/// The sums `[split, 2, channel]` over parts of the batch that make up the gradients of gamma (first, where x is given) and
/// beta. One workgroup per channel and split.
#[cube(launch_unchecked)]
pub fn batch_norm_sums<N: Size>(
    gradient: &[Vector<f32, N>],
    output: ComptimeOption<&[Vector<f32, N>]>,
    x: ComptimeOption<&[Vector<f32, N>]>,
    mean: &[f32],
    var: &[f32],
    sums: &mut [f32],
    batch: u32,
    channels: u32,
    plane: u32,
    images_per_split: u32,
    epsilon: f32,
    slope: f32,
    #[comptime] activation: ActivationKind,
) {
    let channel = CUBE_POS_X;
    let first = CUBE_POS_Y * images_per_split;
    let last = min(first + images_per_split, batch);
    let center = mean[channel as usize];
    let mut gamma_sum = Vector::<f32, N>::new(0.0);
    let mut beta_sum = Vector::<f32, N>::new(0.0);

    let mut i = UNIT_POS;
    while i < (last - first) * plane {
        let index = (((first + i / plane) * channels + channel) * plane + i % plane) as usize;
        let signal = passed(gradient, &output, index, slope, activation);
        beta_sum += signal;
        #[comptime]
        if let ComptimeOption::Some(x) = &x {
            gamma_sum += signal * (x[index] - Vector::new(center));
        }
        i += UNITS;
    }

    let place = CUBE_POS_Y * 2 * channels + channel;
    if x.is_some() {
        let total = add_units(gamma_sum);
        if UNIT_POS == 0 {
            sums[place as usize] = total / (var[channel as usize] + epsilon).sqrt();
        }
    }
    let total = add_units(beta_sum);
    if UNIT_POS == 0 {
        sums[(place + channels) as usize] = total;
    }
}

/// The gradient at `index` on the other side of the activation.
#[cube]
fn passed<N: Size>(
    gradient: &[Vector<f32, N>],
    output: &ComptimeOption<&[Vector<f32, N>]>,
    index: usize,
    slope: f32,
    #[comptime] activation: ActivationKind,
) -> Vector<f32, N> {
    let values = gradient[index];
    #[comptime]
    match output {
        ComptimeOption::Some(output) => {
            let gate = output[index];
            let mut passed = Vector::<f32, N>::empty();
            #[unroll]
            for e in 0..N::value() {
                let value = deactivate(values.extract(e), gate.extract(e), slope, activation);
                passed.insert(e, value);
            }
            passed
        }
        ComptimeOption::None => values,
    }
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
            let mut total = 0.0f32;
            for split in 0..splits {
                total += sums[(split * 2 * channels + channel) as usize];
            }
            gamma_out[channel as usize] = total;
        }
        #[comptime]
        if let ComptimeOption::Some(beta_out) = beta_out {
            let mut total = 0.0f32;
            for split in 0..splits {
                total += sums[((split * 2 + 1) * channels + channel) as usize];
            }
            beta_out[channel as usize] = total;
        }
    }
}
