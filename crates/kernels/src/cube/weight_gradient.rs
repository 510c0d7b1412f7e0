//! The gradient of a convolution with respect to its weight and bias, as an implicit matrix product.
//!
//! Rows are filters, columns are weights `(channel, ky, kx)`, the reduction runs over the batch's output positions. It
//! is long where the result is small, so it is split over workgroups; their partial sums are added in a second pass,
//! in a fixed order: the result does not depend on scheduling.

use cubecl::prelude::*;

use super::epilogue::{ActivationKind, BiasAxis, Planes, deactivate, store};
use super::geometry::{Extents, FAR, Window};
use super::tile::{Tile, V4, accumulators, multiply};

/// `out = gradient * windows(x)^T` and `bias_out = row sums of gradient`, or the partial sums `[split, ..]` of both.
///
/// `gradient` is with respect to the layer's output; where `output` is given, it passes the activation backward first.
/// `out` is addressed in vectors of `N`: 4 where 4 divides the weights of a filter, else 1.
#[cube(launch_unchecked)]
pub fn weight_gradient<N: Size>(
    gradient: &[f32],
    output: ComptimeOption<&[f32]>,
    x: &[f32],
    out: &mut [Vector<f32, N>],
    bias_out: ComptimeOption<&mut [f32]>,
    extents: Extents,
    slope: f32,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
    #[comptime] activation: ActivationKind,
) {
    let plane = extents.out_height * extents.out_width;
    let columns = extents.channels * comptime!(window.taps());
    let terms = extents.batch * plane;
    let first = CUBE_POS_Z * extents.chunk;
    let last = min(first + extents.chunk, terms);
    let row0 = CUBE_POS_Y * tile.m;
    let column0 = CUBE_POS_X * tile.n;

    let mut a = Shared::<[V4]>::new_slice(comptime!(tile.shared(tile.m)));
    let mut b = Shared::<[V4]>::new_slice(comptime!(tile.shared(tile.n)));
    let mut sums = accumulators(tile);
    let mut bias_sum = V4::new(0.0);

    // The weights whose inputs this unit gathers: their distance from a window's corner, and their tap.
    let loads = comptime!(tile.loads(tile.n));
    let mut distance = Array::<u32>::new(comptime!((loads * 4) as usize));
    let mut taps = Array::<u32>::new(comptime!((loads * 4) as usize));
    let step = UNIT_POS % tile.k;
    #[unroll]
    for i in 0..loads {
        let group = UNIT_POS / tile.k + i * comptime!(tile.units() / tile.k);
        #[unroll]
        for j in 0..4u32 {
            let column = column0 + group * 4 + j;
            let channel = column / comptime!(window.taps());
            let tap = column % comptime!(window.taps());
            let ky = tap / window.kernel_w;
            let kx = tap % window.kernel_w;
            let index = comptime!((i * 4 + j) as usize);
            distance[index] = (channel * extents.height + ky) * extents.width + kx;
            taps[index] = select(column < columns, ky * 65536 + kx, FAR.runtime());
        }
    }

    let mut k0 = first;
    while k0 < last {
        let k = k0 + step;
        let image = k / plane;
        let position = k % plane;

        let base = image * extents.filters * plane + position;
        #[unroll]
        for i in 0..comptime!(tile.loads(tile.m)) {
            let group = UNIT_POS / tile.k + i * comptime!(tile.units() / tile.k);
            if comptime!(tile.even(tile.m)) || group < comptime!(tile.m / 4) {
                let mut values = V4::empty();
                #[unroll]
                for l in 0..4u32 {
                    let m = row0 + group * 4 + l;
                    let inside = m < extents.filters && k < last;
                    let index = select(inside, base + m * plane, 0) as usize;
                    let value = gradient[index];
                    #[comptime]
                    let value = match &output {
                        ComptimeOption::Some(output) => {
                            deactivate(value, output[index], slope, activation)
                        }
                        ComptimeOption::None => value,
                    };
                    values.insert(comptime!(l as usize), select(inside, value, 0.0));
                }
                a[(step * comptime!(tile.pitch(tile.m)) + group) as usize] = values;
            }
        }

        let y = position / extents.out_width * window.stride_h - window.padding_h;
        let left = position % extents.out_width * window.stride_w - window.padding_w;
        let corner = (image * extents.channels * extents.height + y) * extents.width + left;
        let top = select(k < last, y, FAR.runtime());
        #[unroll]
        for i in 0..loads {
            let group = UNIT_POS / tile.k + i * comptime!(tile.units() / tile.k);
            if comptime!(tile.even(tile.n)) || group < comptime!(tile.n / 4) {
                let mut values = V4::empty();
                #[unroll]
                for j in 0..4u32 {
                    let index = comptime!((i * 4 + j) as usize);
                    let inside = top + taps[index] / 65536 < extents.height
                        && left + taps[index] % 65536 < extents.width;
                    let value = x[select(inside, corner + distance[index], 0) as usize];
                    values.insert(comptime!(j as usize), select(inside, value, 0.0));
                }
                b[(step * comptime!(tile.pitch(tile.n)) + group) as usize] = values;
            }
        }
        sync_cube();
        multiply(&a, &b, &mut sums, tile);
        if bias_out.is_some() && CUBE_POS_X == 0 && UNIT_POS < comptime!(tile.m / 4) {
            for s in 0..tile.k {
                bias_sum += a[(s * comptime!(tile.pitch(tile.m)) + UNIT_POS) as usize];
            }
        }
        sync_cube();
        k0 += tile.k;
    }

    let place = Planes {
        offset: CUBE_POS_Z * extents.filters * columns,
        row0,
        rows: extents.filters,
        column0,
        columns,
        plane: columns,
    };
    store(out, &sums, &ComptimeOption::new_None(), &place, slope, tile, BiasAxis::Rows, ActivationKind::None);

    #[comptime]
    if let ComptimeOption::Some(bias_out) = bias_out {
        if CUBE_POS_X == 0 && UNIT_POS < comptime!(tile.m / 4) {
            #[unroll]
            for l in 0..4u32 {
                let m = row0 + UNIT_POS * 4 + l;
                if m < extents.filters {
                    bias_out[(CUBE_POS_Z * extents.filters + m) as usize] =
                        bias_sum.extract(comptime!(l as usize));
                }
            }
        }
    }
}
