//! Products with few rows: the linear layers of one image.
//!
//! A tile would be empty but for a row, and a workgroup would wait at barriers for it: here a unit computes an output by itself.

use burn::backend::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::epilogue::{ActivationKind, activate, passed};
use super::launch::{Finish, Parts, buffer, elementwise, empty, finish, optional, slope, width};
use super::tile::V1;
use crate::Activation;

/// Most rows of such a product.
const ROWS: usize = 4;
/// Units that a product is spread over by splitting its reduction, each part of at least so many terms.
const SPREAD: usize = 2048;
const SHORTEST: usize = 128;

/// Whether a product is computed so. Attacks are f32, and what trains has more rows.
pub fn suits(rows: usize, dtype: DType) -> bool {
    rows <= ROWS && dtype == DType::F32
}

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

/// `act(x weight^T + bias)`: x `[rows, terms]`, weight `[columns, terms]`; contiguous and f32.
pub fn forward(x: &CubeTensor, weight: &CubeTensor, bias: Option<&CubeTensor>, activation: Activation) -> CubeTensor {
    let [rows, terms] = x.meta.shape().dims();
    let [columns, _] = weight.meta.shape().dims();
    let vectors = width(terms);
    let wanted = (SPREAD / (rows * columns)).min(terms / SHORTEST).max(1);
    let chunk = (terms / vectors).div_ceil(wanted);
    let splits = (terms / vectors).div_ceil(chunk);
    let whole = splits == 1;
    let applied = if whole { activation } else { Activation::None };
    let sums = match whole {
        true => empty(x, [rows, columns]),
        false => empty(x, [splits, rows * columns]),
    };
    let size = splits * rows * columns;
    let (count, dim) = elementwise(size);
    unsafe {
        dots::launch_unchecked(
            &x.client,
            count,
            dim,
            vectors,
            buffer(x),
            buffer(weight),
            optional(bias.filter(|_| whole)),
            buffer(&sums),
            rows as u32,
            columns as u32,
            (terms / vectors) as u32,
            chunk as u32,
            size as u32,
            slope(applied),
            ActivationKind::from(applied),
        );
    }
    finish(
        Parts { sums, row_sums: None },
        splits as u32,
        [rows, columns],
        Finish { dtype: DType::F32, bias, inner: 1, activation },
    )
    .0
}

/// `gradient weight`: gradient `[rows, terms]`, passed backward through the activation of `output`, weight `[terms, columns]`;
/// contiguous and f32.
pub fn data(gradient: &CubeTensor, output: Option<&CubeTensor>, weight: &CubeTensor, activation: Activation) -> CubeTensor {
    let [rows, terms] = gradient.meta.shape().dims();
    let [_, columns] = weight.meta.shape().dims();
    let vectors = width(columns);
    let out = empty(gradient, [rows, columns]);
    let size = rows * columns / vectors;
    let (count, dim) = elementwise(size);
    unsafe {
        combinations::launch_unchecked(
            &out.client,
            count,
            dim,
            vectors,
            buffer(gradient),
            output.map(buffer).into(),
            buffer(weight),
            buffer(&out),
            (columns / vectors) as u32,
            terms as u32,
            size as u32,
            slope(activation),
            ActivationKind::from(activation),
        );
    }
    out
}
