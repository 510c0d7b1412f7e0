//! Partial sums of split reductions, added up.

use cubecl::prelude::*;

use super::activation::{ActivationKind, activate};

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
