//! The gradient of a convolution with respect to its input, as an implicit matrix product.
//!
//! Rows are channels, columns are input positions, the reduction runs over `(filter, ky, kx)`. With a stride s, an
//! input position meets only every s-th tap, which ones depends on its residue modulo s. So positions are grouped by
//! residue (the phase, in the grid's third dimension) and each phase reduces over its own taps: no term is a
//! multiplication by zero, as it would be in a convolution with the dilated gradient.

use cubecl::prelude::*;

use super::activation::{ActivationKind, passed};
use super::block::{Rows, copy_block, read_run};
use super::epilogue::{BiasAxis, Planes, store};
use super::geometry::{Extents, FAR, Window};
use super::phase::{Phase, phase, scatter};
use super::tile::{Tile, V4, accumulators, multiply, multiply_columns};

/// `out = weight^T * windows(gradient)`, or with more than one split the partial sums `[split, out]` of it.
///
/// `gradient` is with respect to the layer's output; where `output` is given, it passes the activation backward first.
/// `tile.k` is a multiple of [`Window::row_taps`]. `aligned`: 4 divides the width of a phase, so that the four positions
/// that a unit gathers together lie side by side. Memory is addressed in vectors of 1, or with a stride of 1 of 4:
/// `gradient` and `output` where `aligned` and 4 divides their width; `out` where 4 divides the positions of a plane.
/// Those two have elements `E`, `out` has `O`.
#[cube(launch_unchecked)]
pub fn data_gradient<E: Float, O: Float, NG: Size, N: Size>(
    gradient: &[Vector<E, NG>],
    output: ComptimeOption<&[Vector<E, NG>]>,
    weight: &[Vector<f32, Const<1>>],
    out: &mut [Vector<O, N>],
    extents: Extents,
    slope: f32,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
    #[comptime] aligned: bool,
    #[comptime] activation: ActivationKind,
    #[define(E, O)] _elements: [ElemType; 2],
) {
    let residue = CUBE_POS_Z % comptime!(window.phases());
    let split = CUBE_POS_Z / comptime!(window.phases());
    let py = phase(residue / window.stride_w, window.kernel_h, window.stride_h, window.padding_h);
    let px = phase(residue % window.stride_w, window.kernel_w, window.stride_w, window.padding_w);

    // Positions of the largest phase; a smaller one leaves its last row or column out when it stores.
    let phase_h = (extents.height + comptime!(window.stride_h - 1)) / window.stride_h;
    let phase_w = (extents.width + comptime!(window.stride_w - 1)) / window.stride_w;
    let plane = phase_h * phase_w;
    let columns = extents.batch * plane;
    // Phases that meet fewer taps of a row than others multiply by zero weights, those that meet none have no terms.
    let taps = comptime!(window.row_taps());
    let met = select(px.taps > 0, py.taps, 0);
    let terms = extents.filters * met * taps;
    let first = split * extents.chunk;
    let last = min(first + extents.chunk, terms);
    let row0 = CUBE_POS_Y * tile.m;
    let column0 = CUBE_POS_X * tile.n;

    let mut a = Shared::<[V4]>::new_slice(comptime!(tile.shared(tile.m)));
    let mut b = Shared::<[V4]>::new_slice(comptime!(tile.shared_columns()));
    let mut sums = accumulators(tile);

    // The input positions whose gradients this unit gathers.
    let group = UNIT_POS % comptime!(tile.gathering_units());
    let mut corners =
        Corners { bottom: Array::<u32>::new(4usize), right: Array::<u32>::new(4usize), index: Array::<u32>::new(4usize) };
    #[unroll]
    for j in 0..4u32 {
        let column = column0 + group * 4 + j;
        let position = column % plane;
        let y = position / phase_w + py.shift;
        let x = position % phase_w + px.shift;
        corners.bottom[j as usize] = select(column < columns, y, FAR.runtime());
        corners.right[j as usize] = x;
        corners.index[j as usize] = (column / plane * extents.filters * extents.out_height + y) * extents.out_width + x;
    }

    let mut k0 = first;
    while k0 < last {
        load_weight(weight, &mut a, row0, extents.channels, &py, &px, k0, last, tile, window);

        if comptime!(tile.whole_columns()) {
            sync_cube();
            for block in 0..comptime!(tile.k / taps) {
                let row = tap_row(k0 + block * taps, last, &py, &extents, window);
                if comptime!(aligned) {
                    let values = taps_of_runs(gradient, &output, slope, &corners, &row, &px, &extents, window, activation);
                    #[unroll]
                    for jx in 0..taps {
                        let step = block * taps + jx;
                        multiply_columns(&a, &values, &mut sums, step, jx, tile);
                    }
                } else {
                    for jx in 0..taps {
                        let values = tap(gradient, &output, slope, &corners, &row, jx, &px, &extents, window, activation);
                        multiply_columns(&a, &values, &mut sums, block * taps + jx, 0u32, tile);
                    }
                }
            }
        } else {
            let pitch = comptime!(tile.pitch(tile.n));
            for i in 0..comptime!(tile.loads(tile.n, taps)) {
                let block = UNIT_POS / comptime!(tile.gathering_units()) + i * comptime!(tile.units() / tile.gathering_units());
                if comptime!(tile.even(tile.n, taps)) || block < comptime!(tile.k / taps) {
                    let row = tap_row(k0 + block * taps, last, &py, &extents, window);
                    let target = block * comptime!(taps * pitch) + group;
                    if comptime!(aligned) {
                        let values = taps_of_runs(gradient, &output, slope, &corners, &row, &px, &extents, window, activation);
                        #[unroll]
                        for jx in 0..taps {
                            b[(target + comptime!(jx * pitch)) as usize] = values[jx as usize];
                        }
                    } else {
                        for jx in 0..taps {
                            let values = tap(gradient, &output, slope, &corners, &row, jx, &px, &extents, window, activation);
                            b[(target + jx * pitch) as usize] = values[0usize];
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

    let offset = split * extents.batch * extents.channels * extents.height * extents.width;
    if comptime!(window.phases() == 1) {
        let place = Planes { offset, row0, rows: extents.channels, column0, columns, plane };
        store(out, &sums, &ComptimeOption::new_None(), &place, slope, tile, BiasAxis::Rows, ActivationKind::None);
    } else {
        scatter(out, &sums, offset, row0, column0, phase_h, phase_w, &py, &px, &extents, tile, window);
    }
}

/// What input positions meet first, by column: row and column of the output's gradient, index in memory.
#[derive(CubeType)]
struct Corners {
    bottom: Array<u32>,
    right: Array<u32>,
    index: Array<u32>,
}

/// A filter's row of taps: which of the phase's, beyond all outputs where it is no term of this split, and its distance in memory
/// from what a position meets first.
#[derive(CubeType)]
struct TapRow {
    j: u32,
    distance: u32,
}

/// The row of taps that begins with term `k`.
#[cube]
fn tap_row(k: u32, last: u32, py: &Phase, extents: &Extents, #[comptime] window: Window) -> TapRow {
    let taps = comptime!(window.row_taps());
    let filter = k / taps / py.taps;
    let j = k / taps % py.taps;
    let distance = (filter * extents.out_height - j) * extents.out_width;
    TapRow { j: select(k < last, j, comptime!(2 * FAR).runtime()), distance }
}

/// What this unit's positions meet under all taps of a row, zero outside the output. The positions lie side by side.
#[cube]
fn taps_of_runs<E: Float, N: Size>(
    gradient: &[Vector<E, N>],
    output: &ComptimeOption<&[Vector<E, N>]>,
    slope: f32,
    corners: &Corners,
    row: &TapRow,
    px: &Phase,
    extents: &Extents,
    #[comptime] window: Window,
    #[comptime] activation: ActivationKind,
) -> Array<V4> {
    let taps = comptime!(window.row_taps());
    let mut values = Array::<V4>::new(comptime!(taps as usize));
    let mut inputs = Array::<f32>::new(comptime!((taps + 3) as usize));
    read_run(
        gradient,
        output,
        slope,
        &mut inputs,
        corners.index[0usize] + row.distance - comptime!(taps - 1),
        corners.right[0usize] - comptime!(taps - 1),
        extents.out_width,
        corners.bottom[0usize] - row.j < extents.out_height,
        comptime!((window.padding_w + 4 * taps + 1 - taps) % 4),
        activation,
    );
    #[unroll]
    for jx in 0..taps {
        let mut four = V4::empty();
        #[unroll]
        for j in 0..4u32 {
            four.insert(comptime!(j as usize), inputs[comptime!((j + taps - 1 - jx) as usize)]);
        }
        values[comptime!(jx as usize)] = met_or_zero(four, jx, px, window);
    }
    values
}

/// What this unit's positions meet under one tap of a row, as an array of one, zero outside the output.
#[cube]
fn tap<E: Float, N: Size>(
    gradient: &[Vector<E, N>],
    output: &ComptimeOption<&[Vector<E, N>]>,
    slope: f32,
    corners: &Corners,
    row: &TapRow,
    jx: u32,
    px: &Phase,
    extents: &Extents,
    #[comptime] window: Window,
    #[comptime] activation: ActivationKind,
) -> Array<V4> {
    let mut values = Array::<V4>::new(1usize);
    let mut four = V4::empty();
    #[unroll]
    for j in 0..4usize {
        let row_inside = corners.bottom[j] - row.j < extents.out_height;
        let inside = row_inside && corners.right[j] - jx < extents.out_width;
        let index = corners.index[j] + row.distance - jx;
        four.insert(j, read(gradient, output, slope, index, inside, activation));
    }
    values[0usize] = met_or_zero(four, jx, px, window);
    values
}

/// The element of the gradient at `index`, before the activation, or 0.
#[cube]
fn read<E: Float, N: Size>(
    gradient: &[Vector<E, N>],
    output: &ComptimeOption<&[Vector<E, N>]>,
    slope: f32,
    index: u32,
    inside: bool,
    #[comptime] activation: ActivationKind,
) -> f32 {
    let value = passed(gradient, output, select(inside, index, 0) as usize, slope, activation);
    select(inside, value.extract(0usize), 0.0)
}

/// Zero for a tap that the phase does not meet: a weight of zero alone would make NaN of infinity.
#[cube]
fn met_or_zero(values: V4, jx: u32, px: &Phase, #[comptime] window: Window) -> V4 {
    if comptime!(window.uniform_rows()) { values } else { select(jx < px.taps, values, V4::new(0.0)) }
}

/// Fills the shared tile of weights, rows channels and steps `(filter, j of y, j of x)`, zero outside.
#[cube]
fn load_weight(
    weight: &[Vector<f32, Const<1>>],
    a: &mut [V4],
    row0: u32,
    channels: u32,
    py: &Phase,
    px: &Phase,
    k0: u32,
    last: u32,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
) {
    let taps = comptime!(window.row_taps());
    let pitch = comptime!(tile.pitch(tile.m));
    for i in 0..comptime!(tile.loads(tile.m, 1)) {
        let slot = UNIT_POS + i * comptime!(tile.units());
        if comptime!(tile.even(tile.m, 1)) || slot < comptime!(tile.k * tile.m / 4) {
            let step = slot % tile.k;
            let group = slot / tile.k;
            let k = k0 + step;
            let filter = k / taps / py.taps;
            let ky = py.residue + k / taps % py.taps * window.stride_h;
            let kx = px.residue + k % taps * window.stride_w;
            let exists = kx < window.kernel_w;
            let block = Rows {
                start: filter * channels * comptime!(window.taps()) + ky * window.kernel_w + kx,
                stride: comptime!(window.taps()).runtime(),
                first: row0 + group * 4,
                count: channels,
            };
            copy_block(
                weight,
                &ComptimeOption::new_None(),
                1.0,
                &block,
                k < last && exists,
                a,
                step * pitch + group,
                pitch,
                ActivationKind::None,
            );
        }
    }
}
