//! Products with few rows: a unit computes an output by itself.

use cubecl::prelude::*;

use super::activation::{ActivationKind, activate, passed};
use super::tile::V1;

/// `out[m, n] = act(sum over k of a[m, k] b[n, k] + bias[n])`, or with more than one split the partial sums `[split, m, n]` of it.
/// Sizes in `terms` and `chunk` count vectors of `N`.
#[cube(launch_unchecked)]
pub fn dots<N: Size>(
    a: &[Vector<f32, N>],
    b: &[Vector<f32, N>],
    bias: ComptimeOption<&[f32]>,
    out: &mut [V1],
    rows: u32,
    columns: u32,
    terms: u32,
    chunk: u32,
    size: u32,
    slope: f32,
    #[comptime] activation: ActivationKind,
) {
    let i = ABSOLUTE_POS as u32;
    if i < size {
        let column = i % columns;
        let row = i / columns % rows;
        let first = i / columns / rows * chunk;
        let last = min(first + chunk, terms);
        let mut sums = Vector::<f32, N>::new(0.0);
        for k in first..last {
            sums += a[(row * terms + k) as usize] * b[(column * terms + k) as usize];
        }
        let mut sum = 0.0f32;
        #[unroll]
        for e in 0..N::value() {
            sum += sums.extract(e);
        }
        #[comptime]
        let sum = match &bias {
            ComptimeOption::Some(bias) => sum + bias[column as usize],
            ComptimeOption::None => sum,
        };
        out[i as usize] = activate(V1::new(sum), slope, activation);
    }
}

/// `out[m, n] = sum over k of a[m, k] b[k, n]`, where `a` is a gradient that passes the activation of `output` backward first.
/// `columns` and `size` count vectors of `N`.
#[cube(launch_unchecked)]
pub fn combinations<N: Size>(
    a: &[V1],
    output: ComptimeOption<&[V1]>,
    b: &[Vector<f32, N>],
    out: &mut [Vector<f32, N>],
    columns: u32,
    terms: u32,
    size: u32,
    slope: f32,
    #[comptime] activation: ActivationKind,
) {
    let i = ABSOLUTE_POS as u32;
    if i < size {
        let column = i % columns;
        let row = i / columns;
        let mut sums = Vector::<f32, N>::new(0.0);
        for k in 0..terms {
            let value = passed(a, &output, (row * terms + k) as usize, slope, activation);
            sums += Vector::new(value.extract(0usize)) * b[(k * columns + column) as usize];
        }
        out[i as usize] = sums;
    }
}
