//! Products with few rows: the linear layers of one image.
//!
//! A tile would be empty but for a row, and a workgroup would wait at barriers for it: here a unit computes an output by itself.

use burn::backend::DType;
use burn_cubecl::tensor::CubeTensor;

use super::kernels::activation::ActivationKind;
use super::kernels::thin::{combinations, dots};
use super::launch::{Finish, Parts, buffer, elementwise, empty, finish, optional, slope, width};
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
