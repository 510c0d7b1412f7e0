//! The gradient of a convolution with respect to its weight and bias, as an implicit matrix product.
//!
//! Rows are filters, columns are weights `(channel, ky, kx)`, the reduction runs over the batch's output positions. It
//! is long where the result is small, so it is split over workgroups; their partial sums are added in a second pass,
//! in a fixed order: the result does not depend on scheduling.

use cubecl::prelude::*;

use super::activation::ActivationKind;
use super::block::{Rows, copy_block};
use super::epilogue::{BiasAxis, Planes, store};
use super::geometry::{Extents, FAR, Window};
use super::tile::{Tile, V4, accumulators, multiply, multiply_columns};

/// `out = gradient * windows(x)^T` and `bias_out = row sums of gradient`, or the partial sums `[split, ..]` of both.
///
/// `gradient` is with respect to the layer's output; where `output` is given, it passes the activation backward first.
/// Both are addressed in vectors of `NG`: 4 where 4 divides the positions of a plane, else 1; `out` in vectors of `N`: 4
/// where 4 divides the weights of a filter, else 1. `tile.k` divides the number of units, 4 divides `tile.k`.
/// `gradient`, `output` and `x` have elements `E`.
#[cube(launch_unchecked)]
pub fn weight_gradient<E: Float, NG: Size, N: Size>(
    gradient: &[Vector<E, NG>],
    output: ComptimeOption<&[Vector<E, NG>]>,
    x: &[E],
    out: &mut [Vector<f32, N>],
    bias_out: ComptimeOption<&mut [f32]>,
    extents: Extents,
    slope: f32,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
    #[comptime] activation: ActivationKind,
    #[define(E)] _element: ElemType,
) {
    let plane = extents.out_height * extents.out_width;
    let columns = extents.channels * comptime!(window.taps());
    let terms = extents.batch * plane;
    let first = CUBE_POS_Z * extents.chunk;
    let last = min(first + extents.chunk, terms);
    let row0 = CUBE_POS_Y * tile.m;
    let column0 = CUBE_POS_X * tile.n;

    let mut a = Shared::<[V4]>::new_slice(comptime!(tile.shared(tile.m)));
    let mut b = Shared::<[V4]>::new_slice(comptime!(tile.shared_columns()));
    let mut sums = accumulators(tile);
    let mut bias_sum = V4::new(0.0);

    let taps = places(column0, columns, &extents, tile, window);
    let mut k0 = first;
    while k0 < last {
        load_gradient(gradient, &output, slope, &mut a, row0, plane, k0, last, &extents, tile, activation);
        if comptime!(tile.whole_columns()) {
            sync_cube();
            multiply_windows(x, &a, &taps, &mut sums, k0, last, &extents, tile, window);
        } else {
            load_windows(x, &mut b, column0, columns, plane, k0, last, &extents, tile, window);
            sync_cube();
            multiply(&a, &b, &mut sums, tile);
        }
        if bias_out.is_some() && CUBE_POS_X == 0 && UNIT_POS < comptime!(tile.m / 4) {
            for s in 0..tile.k {
                bias_sum += a[(s * comptime!(tile.pitch(tile.m)) + UNIT_POS) as usize];
            }
        }
        sync_cube();
        k0 += tile.k;
    }

    let place =
        Planes { offset: CUBE_POS_Z * extents.filters * columns, row0, rows: extents.filters, column0, columns, plane: columns };
    store(out, &sums, &ComptimeOption::new_None(), &place, slope, tile, BiasAxis::Rows, ActivationKind::None);

    #[comptime]
    if let ComptimeOption::Some(bias_out) = bias_out {
        if CUBE_POS_X == 0 && UNIT_POS < comptime!(tile.m / 4) {
            #[unroll]
            for l in 0..4u32 {
                let m = row0 + UNIT_POS * 4 + l;
                if m < extents.filters {
                    bias_out[(CUBE_POS_Z * extents.filters + m) as usize] = bias_sum.extract(comptime!(l as usize));
                }
            }
        }
    }
}

/// Fills the shared tile of the gradient, rows filters and steps positions, zero outside.
#[cube]
fn load_gradient<E: Float, N: Size>(
    gradient: &[Vector<E, N>],
    output: &ComptimeOption<&[Vector<E, N>]>,
    slope: f32,
    a: &mut [V4],
    row0: u32,
    plane: u32,
    k0: u32,
    last: u32,
    extents: &Extents,
    #[comptime] tile: Tile,
    #[comptime] activation: ActivationKind,
) {
    let steps = N::value();
    let steps = comptime!(steps as u32);
    let blocks = comptime!(tile.k / steps);
    let pitch = comptime!(tile.pitch(tile.m));
    let step = UNIT_POS % blocks * steps;
    let k = k0 + step;
    for i in 0..comptime!(tile.loads(tile.m, steps)) {
        let group = UNIT_POS / blocks + i * comptime!(tile.units() / blocks);
        if comptime!(tile.even(tile.m, steps)) || group < comptime!(tile.m / 4) {
            let block = Rows {
                start: k / plane * extents.filters * plane + k % plane,
                stride: plane,
                first: row0 + group * 4,
                count: extents.filters,
            };
            let target = step * pitch + group;
            copy_block(gradient, output, slope, &block, k < last, a, target, pitch, activation);
        }
    }
}

/// Weights by column: row and column of the kernel, and the distance in memory from a window's corner to what they meet.
#[derive(CubeType)]
struct Taps {
    y: Array<u32>,
    x: Array<u32>,
    distance: Array<u32>,
}

/// The weights of this unit where it gathers its columns itself.
#[cube]
fn places(column0: u32, columns: u32, extents: &Extents, #[comptime] tile: Tile, #[comptime] window: Window) -> Taps {
    let count = comptime!(if tile.whole_columns() { 4 } else { 0 });
    // An array has at least one element.
    let size = comptime!(if count == 0 { 1 } else { count as usize });
    let mut taps = Taps { y: Array::<u32>::new(size), x: Array::<u32>::new(size), distance: Array::<u32>::new(size) };
    #[unroll]
    for j in 0..count {
        let column = column0 + UNIT_POS * 4 + j;
        let channel = column / comptime!(window.taps());
        let ky = column / window.kernel_w % window.kernel_h;
        let kx = column % window.kernel_w;
        taps.y[j as usize] = select(column < columns, ky, FAR.runtime());
        taps.x[j as usize] = kx;
        taps.distance[j as usize] = (channel * extents.height + ky) * extents.width + kx;
    }
    taps
}

/// Adds the products of the shared tile of the gradient with what this unit's weights meet.
#[cube]
fn multiply_windows<E: Float>(
    x: &[E],
    a: &[V4],
    taps: &Taps,
    sums: &mut Array<V4>,
    k0: u32,
    last: u32,
    extents: &Extents,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
) {
    let plane = extents.out_height * extents.out_width;
    let position = k0 % plane;
    let mut image = k0 / plane;
    let mut y = position / extents.out_width;
    let mut column = position % extents.out_width;
    let mut values = Array::<V4>::new(1usize);
    for k in 0..tile.k {
        let top = y * window.stride_h - window.padding_h;
        let left = column * window.stride_w - window.padding_w;
        let corner = (image * extents.channels * extents.height + top) * extents.width + left;
        let top = select(k0 + k < last, top, FAR.runtime());
        let mut four = V4::empty();
        #[unroll]
        for j in 0..4usize {
            let inside = top + taps.y[j] < extents.height && left + taps.x[j] < extents.width;
            let value = f32::cast_from(x[select(inside, corner + taps.distance[j], 0) as usize]);
            four.insert(j, select(inside, value, 0.0));
        }
        values[0usize] = four;
        multiply_columns(a, &values, sums, k, 0u32, tile);
        // On to the next position.
        column += 1;
        let row_done = column == extents.out_width;
        column = select(row_done, 0, column);
        y += select(row_done, 1, 0);
        let plane_done = y == extents.out_height;
        y = select(plane_done, 0, y);
        image += select(plane_done, 1, 0);
    }
}

/// Fills the shared tile of windows, steps positions and columns weights, zero outside.
#[cube]
fn load_windows<E: Float>(
    x: &[E],
    b: &mut [V4],
    column0: u32,
    columns: u32,
    plane: u32,
    k0: u32,
    last: u32,
    extents: &Extents,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
) {
    let step = UNIT_POS % tile.k;
    let k = k0 + step;
    let position = k % plane;
    let y = position / extents.out_width * window.stride_h - window.padding_h;
    let left = position % extents.out_width * window.stride_w - window.padding_w;
    let corner = (k / plane * extents.channels * extents.height + y) * extents.width + left;
    let top = select(k < last, y, FAR.runtime());
    for i in 0..comptime!(tile.loads(tile.n, 1)) {
        let group = UNIT_POS / tile.k + i * comptime!(tile.units() / tile.k);
        if comptime!(tile.even(tile.n, 1)) || group < comptime!(tile.n / 4) {
            let column = column0 + group * 4;
            let mut channel = column / comptime!(window.taps());
            let mut ky = column / window.kernel_w % window.kernel_h;
            let mut kx = column % window.kernel_w;
            let mut values = V4::empty();
            #[unroll]
            for j in 0..4u32 {
                let row_inside = top + ky < extents.height && column + j < columns;
                let inside = row_inside && left + kx < extents.width;
                let index = corner + (channel * extents.height + ky) * extents.width + kx;
                let value = f32::cast_from(x[select(inside, index, 0) as usize]);
                values.insert(comptime!(j as usize), select(inside, value, 0.0));
                // On to the next weight.
                kx += 1;
                let row_done = kx == window.kernel_w;
                kx = select(row_done, 0, kx);
                ky += select(row_done, 1, 0);
                let kernel_done = ky == window.kernel_h;
                ky = select(kernel_done, 0, ky);
                channel += select(kernel_done, 1, 0);
            }
            b[(step * comptime!(tile.pitch(tile.n)) + group) as usize] = values;
        }
    }
}
