//! Convolution forward as an implicit matrix product.
//!
//! Rows are filters, columns are output positions `(image, y, x)`, the reduction runs over `(channel, ky, kx)`. The
//! matrix of windows is never stored: units gather it from x on the way to shared memory.

use cubecl::prelude::*;

use super::epilogue::{ActivationKind, BiasAxis, Planes, store};
use super::geometry::{Extents, FAR, Window};
use super::tile::{Tile, V4, accumulators, multiply};

/// `out = act(weight * windows(x) + bias)`, or with more than one split the partial sums `[split, out]` of it.
///
/// `out` is addressed in vectors of `N`: 4 where 4 divides the positions of a plane, else 1.
#[cube(launch_unchecked)]
pub fn forward<N: Size>(
    x: &[f32],
    weight: &[f32],
    bias: ComptimeOption<&[f32]>,
    out: &mut [Vector<f32, N>],
    extents: Extents,
    slope: f32,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
    #[comptime] activation: ActivationKind,
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

    // The four output positions whose windows this unit gathers.
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
        corner[j as usize] =
            (column / plane * extents.channels * extents.height + y) * extents.width + x;
    }

    let mut k0 = first;
    while k0 < last {
        load_weight(weight, &mut a, row0, extents.filters, terms, k0, last, tile);
        #[unroll]
        for i in 0..comptime!(tile.loads(tile.n)) {
            let step = UNIT_POS / groups + i * comptime!(tile.units() / groups);
            if comptime!(tile.even(tile.n)) || step < tile.k {
                let k = k0 + step;
                let channel = k / comptime!(window.taps());
                let tap = k % comptime!(window.taps());
                let ky = tap / window.kernel_w;
                let kx = tap % window.kernel_w;
                let base = (channel * extents.height + ky) * extents.width + kx;
                let ky = select(k < last, ky, FAR.runtime());
                let mut values = V4::empty();
                #[unroll]
                for j in 0..4usize {
                    let inside = top[j] + ky < extents.height && left[j] + kx < extents.width;
                    let value = x[select(inside, corner[j] + base, 0) as usize];
                    values.insert(j, select(inside, value, 0.0));
                }
                b[(step * comptime!(tile.pitch(tile.n)) + group) as usize] = values;
            }
        }
        sync_cube();
        multiply(&a, &b, &mut sums, tile);
        sync_cube();
        k0 += tile.k;
    }

    let place = Planes {
        offset: CUBE_POS_Z * extents.filters * columns,
        row0,
        rows: extents.filters,
        column0,
        columns,
        plane,
    };
    store(out, &sums, &bias, &place, slope, tile, BiasAxis::Rows, activation);
}

/// Fills the shared tile of weights `[rows, terms]`, zero outside.
#[cube]
fn load_weight(
    weight: &[f32],
    a: &mut [V4],
    row0: u32,
    rows: u32,
    terms: u32,
    k0: u32,
    last: u32,
    #[comptime] tile: Tile,
) {
    let step = UNIT_POS % tile.k;
    let k = k0 + step;
    #[unroll]
    for i in 0..comptime!(tile.loads(tile.m)) {
        let group = UNIT_POS / tile.k + i * comptime!(tile.units() / tile.k);
        if comptime!(tile.even(tile.m)) || group < comptime!(tile.m / 4) {
            let mut values = V4::empty();
            #[unroll]
            for l in 0..4u32 {
                let m = row0 + group * 4 + l;
                let inside = m < rows && k < last;
                let value = weight[select(inside, m * terms + k, 0) as usize];
                values.insert(comptime!(l as usize), select(inside, value, 0.0));
            }
            a[(step * comptime!(tile.pitch(tile.m)) + group) as usize] = values;
        }
    }
}
