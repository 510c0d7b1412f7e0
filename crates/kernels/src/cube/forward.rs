//! Convolution forward as an implicit matrix product.
//!
//! Rows are filters, columns are output positions `(image, y, x)`, the reduction runs over `(channel, ky, kx)`. The
//! matrix of windows is never stored: units gather it from x on the way to shared memory. Four neighbouring windows
//! overlap; where they lie in one row of the output, their inputs under a row of the kernel are read once for all taps.

use cubecl::prelude::*;

use super::block::{Rows, copy_block, read_run};
use super::epilogue::{ActivationKind, BiasAxis, Planes, store};
use super::geometry::{Extents, FAR, Window};
use super::tile::{Tile, V4, accumulators, multiply};

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
    let mut b = Shared::<[V4]>::new_slice(comptime!(tile.shared(tile.n)));
    let mut sums = accumulators(tile);

    // The four output positions whose windows this unit gathers: their corners in the image and in memory.
    let groups = comptime!(tile.n / 4);
    let group = UNIT_POS % groups;
    let mut top = Array::<u32>::new(4usize);
    let mut left = Array::<u32>::new(4usize);
    let mut corner = Array::<u32>::new(4usize);
    #[unroll]
    for j in 0..4u32 {
        let column = column0 + group * 4 + j;
        let position = column % plane;
        let y = position / extents.out_width * window.stride_h - window.padding_h;
        let x = position % extents.out_width * window.stride_w - window.padding_w;
        top[j as usize] = select(column < columns, y, FAR.runtime());
        left[j as usize] = x;
        corner[j as usize] = (column / plane * extents.channels * extents.height + y) * extents.width + x;
    }

    let mut k0 = first;
    while k0 < last {
        load_weight(weight, &mut a, row0, extents.filters, terms, k0, last, tile);

        let pitch = comptime!(tile.pitch(tile.n));
        for i in 0..comptime!(tile.loads(tile.n, window.kernel_w)) {
            let block = UNIT_POS / groups + i * comptime!(tile.units() / groups);
            if comptime!(tile.even(tile.n, window.kernel_w)) || block < comptime!(tile.k / window.kernel_w) {
                let k = k0 + block * window.kernel_w;
                let channel = k / comptime!(window.taps());
                let ky = k / window.kernel_w % window.kernel_h;
                let base = (channel * extents.height + ky) * extents.width;
                let ky = select(k < last, ky, FAR.runtime());
                let target = block * comptime!(window.kernel_w * pitch) + group;
                if comptime!(aligned) {
                    let mut inputs = Array::<f32>::new(comptime!(window.run() as usize));
                    read_run(
                        x,
                        &ComptimeOption::new_None(),
                        1.0,
                        &mut inputs,
                        corner[0usize] + base,
                        left[0usize],
                        extents.width,
                        top[0usize] + ky < extents.height,
                        comptime!((4 - window.padding_w % 4) % 4),
                        ActivationKind::None,
                    );
                    #[unroll]
                    for kx in 0..window.kernel_w {
                        let mut values = V4::empty();
                        #[unroll]
                        for j in 0..4u32 {
                            let from = comptime!((j * window.stride_w + kx) as usize);
                            values.insert(comptime!(j as usize), inputs[from]);
                        }
                        b[(target + comptime!(kx * pitch)) as usize] = values;
                    }
                } else {
                    for kx in 0..window.kernel_w {
                        let mut values = V4::empty();
                        #[unroll]
                        for j in 0..4usize {
                            let row_inside = top[j] + ky < extents.height;
                            let inside = row_inside && left[j] + kx < extents.width;
                            let value = x[select(inside, corner[j] + base + kx, 0) as usize].extract(0usize);
                            values.insert(j, select(inside, f32::cast_from(value), 0.0));
                        }
                        b[(target + kx * pitch) as usize] = values;
                    }
                }
            }
        }
        sync_cube();
        multiply(&a, &b, &mut sums, tile);
        sync_cube();
        k0 += tile.k;
    }

    let place = Planes { offset: CUBE_POS_Z * extents.filters * columns, row0, rows: extents.filters, column0, columns, plane };
    store(out, &sums, &bias, &place, slope, tile, BiasAxis::Rows, activation);
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
