//! Convolution forward as an implicit matrix product.
//!
//! Rows are filters, columns are output positions `(image, y, x)`, the reduction runs over `(channel, ky, kx)`. The
//! matrix of windows is never stored: units gather it from x on the way to shared memory, or where a unit computes all
//! filters of its windows, to registers. Four neighboring windows overlap; where they lie in one row of the output, their
//! inputs under a row of the kernel are read once for all taps.

use cubecl::prelude::*;

use super::activation::ActivationKind;
use super::block::{Rows, copy_block, read_run};
use super::epilogue::{BiasAxis, Planes, store};
use super::geometry::{Extents, FAR, Window};
use super::tile::{Tile, V4, accumulators, multiply, multiply_columns};

/// `out = act(weight * windows(x) + bias)`, or with more than one split the partial sums `[split, out]` of it.
///
/// `tile.k` is a multiple of the kernel's width. `aligned`: 4 divides the output's width, so that the four windows that a
/// unit gathers together lie side by side. Memory is addressed in vectors of 1, or of 4: x where `aligned`, the stride is 1
/// and 4 divides x's width; `weight` where 4 divides a filter's weights and `tile.k`; `out` where 4 divides the positions of
/// a plane. `x` has elements `E`, `out` has `O`.
#[cube(launch_unchecked)]
pub fn forward<E: Float, O: Float, NX: Size, NW: Size, N: Size>(
    x: &[Vector<E, NX>],
    weight: &[Vector<f32, NW>],
    bias: ComptimeOption<&[f32]>,
    out: &mut [Vector<O, N>],
    extents: Extents,
    slope: f32,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
    #[comptime] aligned: bool,
    #[comptime] activation: ActivationKind,
    #[define(E, O)] _elements: [ElemType; 2],
) {
    let plane = extents.out_height * extents.out_width;
    let columns = extents.batch * plane;
    let terms = extents.channels * comptime!(window.taps());
    let first = CUBE_POS_Z * extents.chunk;
    let last = min(first + extents.chunk, terms);
    let row0 = CUBE_POS_Y * tile.m;
    let column0 = CUBE_POS_X * tile.n;

    let mut a = Shared::<[V4]>::new_slice(comptime!(tile.shared(tile.m)));
    let mut b = Shared::<[V4]>::new_slice(comptime!(tile.shared_columns()));
    let mut sums = accumulators(tile);

    // The windows that this unit gathers: their corners in the image and in memory.
    let group = UNIT_POS % comptime!(tile.gathering_units());
    let mut corners =
        Corners { top: Array::<u32>::new(4usize), left: Array::<u32>::new(4usize), index: Array::<u32>::new(4usize) };
    #[unroll]
    for j in 0..4u32 {
        let column = column0 + group * 4 + j;
        let position = column % plane;
        let y = position / extents.out_width * window.stride_h - window.padding_h;
        let x = position % extents.out_width * window.stride_w - window.padding_w;
        corners.top[j as usize] = select(column < columns, y, FAR.runtime());
        corners.left[j as usize] = x;
        corners.index[j as usize] = (column / plane * extents.channels * extents.height + y) * extents.width + x;
    }

    let mut k0 = first;
    while k0 < last {
        load_weight(weight, &mut a, row0, extents.filters, terms, k0, last, tile);

        if comptime!(tile.whole_columns()) {
            sync_cube();
            for block in 0..comptime!(tile.k / window.kernel_w) {
                let row = kernel_row(k0 + block * window.kernel_w, last, &extents, window);
                if comptime!(aligned) {
                    let values = taps_of_runs(x, &corners, &row, &extents, window);
                    #[unroll]
                    for kx in 0..window.kernel_w {
                        let step = block * window.kernel_w + kx;
                        multiply_columns(&a, &values, &mut sums, step, kx, tile);
                    }
                } else {
                    for kx in 0..window.kernel_w {
                        let values = tap(x, &corners, &row, kx, &extents);
                        multiply_columns(&a, &values, &mut sums, block * window.kernel_w + kx, 0u32, tile);
                    }
                }
            }
        } else {
            let pitch = comptime!(tile.pitch(tile.n));
            for i in 0..comptime!(tile.loads(tile.n, window.kernel_w)) {
                let block = UNIT_POS / comptime!(tile.gathering_units()) + i * comptime!(tile.units() / tile.gathering_units());
                if comptime!(tile.even(tile.n, window.kernel_w)) || block < comptime!(tile.k / window.kernel_w) {
                    let row = kernel_row(k0 + block * window.kernel_w, last, &extents, window);
                    let target = block * comptime!(window.kernel_w * pitch) + group;
                    if comptime!(aligned) {
                        let values = taps_of_runs(x, &corners, &row, &extents, window);
                        #[unroll]
                        for kx in 0..window.kernel_w {
                            b[(target + comptime!(kx * pitch)) as usize] = values[kx as usize];
                        }
                    } else {
                        for kx in 0..window.kernel_w {
                            let values = tap(x, &corners, &row, kx, &extents);
                            b[(target + kx * pitch) as usize] = values[0usize];
                        }
                    }
                }
            }
            sync_cube();
            multiply(&a, &b, &mut sums, tile);
        }
        sync_cube();
        k0 += tile.k;
    }

    let place = Planes { offset: CUBE_POS_Z * extents.filters * columns, row0, rows: extents.filters, column0, columns, plane };
    store(out, &sums, &bias, &place, slope, tile, BiasAxis::Rows, activation);
}

/// Upper left corners of windows, by column: row and column of the image, index in memory.
#[derive(CubeType)]
struct Corners {
    top: Array<u32>,
    left: Array<u32>,
    index: Array<u32>,
}

/// A row of the kernel: its place, [`FAR`] outside where it is no term of this split, and its distance in memory from a corner.
#[derive(CubeType)]
struct KernelRow {
    y: u32,
    distance: u32,
}

/// The row of the kernel that begins with term `k`.
#[cube]
fn kernel_row(k: u32, last: u32, extents: &Extents, #[comptime] window: Window) -> KernelRow {
    let channel = k / comptime!(window.taps());
    let y = k / window.kernel_w % window.kernel_h;
    KernelRow { y: select(k < last, y, FAR.runtime()), distance: (channel * extents.height + y) * extents.width }
}

/// What this unit's windows see under all taps of a row, zero outside the image. The windows lie side by side.
#[cube]
fn taps_of_runs<E: Float, N: Size>(
    x: &[Vector<E, N>],
    corners: &Corners,
    row: &KernelRow,
    extents: &Extents,
    #[comptime] window: Window,
) -> Array<V4> {
    let mut values = Array::<V4>::new(comptime!(window.kernel_w as usize));
    let mut inputs = Array::<f32>::new(comptime!(window.run() as usize));
    read_run(
        x,
        &ComptimeOption::new_None(),
        1.0,
        &mut inputs,
        corners.index[0usize] + row.distance,
        corners.left[0usize],
        extents.width,
        corners.top[0usize] + row.y < extents.height,
        comptime!((4 - window.padding_w % 4) % 4),
        ActivationKind::None,
    );
    #[unroll]
    for kx in 0..window.kernel_w {
        let mut four = V4::empty();
        #[unroll]
        for j in 0..4u32 {
            four.insert(comptime!(j as usize), inputs[comptime!((j * window.stride_w + kx) as usize)]);
        }
        values[comptime!(kx as usize)] = four;
    }
    values
}

/// What this unit's windows see under one tap of a row, as an array of one, zero outside the image.
#[cube]
fn tap<E: Float, N: Size>(x: &[Vector<E, N>], corners: &Corners, row: &KernelRow, kx: u32, extents: &Extents) -> Array<V4> {
    let mut values = Array::<V4>::new(1usize);
    let mut four = V4::empty();
    #[unroll]
    for j in 0..4usize {
        let row_inside = corners.top[j] + row.y < extents.height;
        let inside = row_inside && corners.left[j] + kx < extents.width;
        let value = x[select(inside, corners.index[j] + row.distance + kx, 0) as usize].extract(0usize);
        four.insert(j, select(inside, f32::cast_from(value), 0.0));
    }
    values[0usize] = four;
    values
}

/// Fills the shared tile of weights `[rows, terms]`, zero outside.
#[cube]
fn load_weight<N: Size>(
    weight: &[Vector<f32, N>],
    a: &mut [V4],
    row0: u32,
    rows: u32,
    terms: u32,
    k0: u32,
    last: u32,
    #[comptime] tile: Tile,
) {
    let steps = N::value();
    let steps = comptime!(steps as u32);
    let blocks = comptime!(tile.k / steps);
    let pitch = comptime!(tile.pitch(tile.m));
    for i in 0..comptime!(tile.loads(tile.m, steps)) {
        let slot = UNIT_POS + i * comptime!(tile.units());
        if comptime!(tile.even(tile.m, steps)) || slot < comptime!(blocks * tile.m / 4) {
            let k = k0 + slot % blocks * steps;
            let group = slot / blocks;
            let block = Rows { start: k, stride: terms, first: row0 + group * 4, count: rows };
            copy_block(
                weight,
                &ComptimeOption::new_None(),
                1.0,
                &block,
                k < last,
                a,
                slot % blocks * comptime!(steps * pitch) + group,
                pitch,
                ActivationKind::None,
            );
        }
    }
}
