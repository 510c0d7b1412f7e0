//! Reading memory for the tiles: blocks of a matrix, runs of an image's row.

use cubecl::prelude::*;

use super::activation::{ActivationKind, passed};
use super::tile::V4;

/// Four rows of a matrix, from `start`, `stride` elements apart: those below `count` exist.
#[derive(CubeType, Clone)]
pub struct Rows {
    /// Index of the first element to copy in row 0 of the matrix.
    pub start: u32,
    pub stride: u32,
    /// First of the four rows.
    pub first: u32,
    pub count: u32,
}

/// Copies the block of four rows and `N` columns to `shared[target]`, `shared[target + pitch]`, .., one vector per column,
/// zero where a row does not exist or `inside` is false.
///
/// `N` is 1, or 4 where every index that `rows` names is a multiple of 4. Where `output` is given, the matrix is a gradient
/// that passes the activation of that output backward.
#[cube]
pub fn copy_block<E: Float, N: Size>(
    matrix: &[Vector<E, N>],
    output: &ComptimeOption<&[Vector<E, N>]>,
    slope: f32,
    rows: &Rows,
    inside: bool,
    shared: &mut [V4],
    target: u32,
    #[comptime] pitch: u32,
    #[comptime] activation: ActivationKind,
) {
    let width = N::value();
    let mut block = Array::<Vector<f32, N>>::new(4usize);
    #[unroll]
    for l in 0..4u32 {
        let row = rows.first + l;
        let exists = row < rows.count && inside;
        let index = (select(exists, rows.start + row * rows.stride, 0) / comptime!(width as u32)) as usize;
        let values = passed(matrix, output, index, slope, activation);
        let mut kept = Vector::<f32, N>::empty();
        #[unroll]
        for e in 0..width {
            kept.insert(e, select(exists, values.extract(e), 0.0));
        }
        block[comptime!(l as usize)] = kept;
    }
    #[unroll]
    for e in 0..width {
        let mut column = V4::empty();
        #[unroll]
        for l in 0..4usize {
            column.insert(l, block[l].extract(e));
        }
        shared[(target + comptime!(e as u32 * pitch)) as usize] = column;
    }
}

/// Reads the `values.len()` elements from column `x` of an image's row, whose first has `index`; zero outside the image.
///
/// `N` is 1, or 4 where 4 divides `width` and the row's index, and `x` is `lead` past a multiple of 4.
#[cube]
pub fn read_run<E: Float, N: Size>(
    image: &[Vector<E, N>],
    output: &ComptimeOption<&[Vector<E, N>]>,
    slope: f32,
    values: &mut Array<f32>,
    index: u32,
    x: u32,
    width: u32,
    row_inside: bool,
    #[comptime] lead: u32,
    #[comptime] activation: ActivationKind,
) {
    let vector = N::value();
    let vector = comptime!(vector as u32);
    let count = values.len();
    let count = comptime!(count as u32);
    let lead = comptime!(if vector == 4 { lead } else { 0 });
    #[unroll]
    for v in 0..comptime!((lead + count).div_ceil(vector)) {
        // A vector lies inside the row or outside as a whole.
        let inside = row_inside && x - lead + v * vector < width;
        let place = (select(inside, index - lead + v * vector, 0) / vector) as usize;
        let read = passed(image, output, place, slope, activation);
        #[unroll]
        for e in 0..vector {
            let position = comptime!((v * vector + e) as i64 - lead as i64);
            if comptime!(position >= 0 && position < count as i64) {
                values[comptime!(position as usize)] = select(inside, read.extract(comptime!(e as usize)), 0.0);
            }
        }
    }
}
