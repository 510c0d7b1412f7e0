//! Convolutions without tiles: a unit computes a few outputs by itself, in a loop.

use cubecl::prelude::*;

use super::activation::{ActivationKind, activate, passed};
use super::geometry::{Extents, Window};
use super::tile::V1;

/// `act(windows(x) weight + bias)`: a unit computes `group` neighboring filters at one of `size` positions `(image, group of filters, y, x)`.
/// `weight` is addressed in vectors of 1, or of 4 where that divides the kernel's width.
#[cube(launch_unchecked)]
pub fn outputs<NW: Size>(
    x: &[f32],
    weight: &[Vector<f32, NW>],
    bias: ComptimeOption<&[f32]>,
    out: &mut [V1],
    extents: Extents,
    size: u32,
    slope: f32,
    #[comptime] group: u32,
    #[comptime] window: Window,
    #[comptime] activation: ActivationKind,
) {
    let i = ABSOLUTE_POS as u32;
    if i < size {
        let width = NW::value();
        let width = comptime!(width as u32);
        let plane = extents.out_height * extents.out_width;
        let position = i % plane;
        let filters = i / plane;
        let groups = extents.filters / group;
        let image = filters / groups;
        let first = filters % groups * group;
        // Beyond every image where it is negative.
        let top = position / extents.out_width * window.stride_h - window.padding_h;
        let left = position % extents.out_width * window.stride_w - window.padding_w;
        let terms = extents.channels * comptime!(window.taps());
        let mut sums = Array::<f32>::new(comptime!(group as usize));
        #[unroll]
        for f in 0..group {
            sums[f as usize] = 0.0;
        }
        for channel in 0..extents.channels {
            let rows = (image * extents.channels + channel) * extents.height;
            let taps = first * terms + channel * comptime!(window.taps());
            for ky in 0..window.kernel_h {
                let row = top + ky;
                let start = (rows + row) * extents.width + left;
                #[unroll]
                for part in 0..comptime!(window.kernel_w / width) {
                    let mut values = Vector::<f32, NW>::empty();
                    #[unroll]
                    for e in 0..width {
                        let kx = comptime!(part * width + e);
                        let inside = row < extents.height && left + kx < extents.width;
                        let value = x[select(inside, start + kx, 0) as usize];
                        values.insert(comptime!(e as usize), select(inside, value, 0.0));
                    }
                    #[unroll]
                    for f in 0..group {
                        let index = taps + f * terms + ky * window.kernel_w + comptime!(part * width);
                        let products = values * weight[(index / width) as usize];
                        let mut sum = sums[f as usize];
                        #[unroll]
                        for e in 0..width {
                            sum += products.extract(comptime!(e as usize));
                        }
                        sums[f as usize] = sum;
                    }
                }
            }
        }
        #[unroll]
        for f in 0..group {
            let filter = first + f;
            let sum = sums[f as usize];
            #[comptime]
            let sum = match &bias {
                ComptimeOption::Some(bias) => sum + bias[filter as usize],
                ComptimeOption::None => sum,
            };
            out[((image * extents.filters + filter) * plane + position) as usize] = activate(V1::new(sum), slope, activation);
        }
    }
}

/// The gradient with respect to x: a unit computes `group` neighboring channels at one of `size` positions. Where `output` is given, the
/// layer's own, `gradient` passes the activation backward first.
#[cube(launch_unchecked)]
pub fn inputs(
    gradient: &[V1],
    output: ComptimeOption<&[V1]>,
    weight: &[f32],
    out: &mut [f32],
    extents: Extents,
    size: u32,
    slope: f32,
    #[comptime] group: u32,
    #[comptime] window: Window,
    #[comptime] activation: ActivationKind,
) {
    let i = ABSOLUTE_POS as u32;
    if i < size {
        let plane = extents.height * extents.width;
        let position = i % plane;
        let channels = i / plane;
        let groups = extents.channels / group;
        let image = channels / groups;
        let first = channels % groups * group;
        // Of the taps every stride-th meets the position: the first one, and the output position that it comes from. The next tap
        // comes from the position before.
        let y = position / extents.width + window.padding_h;
        let x = position % extents.width + window.padding_w;
        let first_y = y % window.stride_h;
        let first_x = x % window.stride_w;
        let mut sums = Array::<f32>::new(comptime!(group as usize));
        #[unroll]
        for c in 0..group {
            sums[c as usize] = 0.0;
        }
        for filter in 0..extents.filters {
            let rows = (image * extents.filters + filter) * extents.out_height;
            let taps = (filter * extents.channels + first) * comptime!(window.taps());
            for jy in 0..comptime!(window.column_taps()) {
                let ky = first_y + jy * window.stride_h;
                let row = y / window.stride_h - jy;
                #[unroll]
                for jx in 0..comptime!(window.row_taps()) {
                    let kx = first_x + jx * window.stride_w;
                    let column = x / window.stride_w - jx;
                    let met = ky < window.kernel_h && kx < window.kernel_w;
                    let inside = met && row < extents.out_height && column < extents.out_width;
                    let index = select(inside, (rows + row) * extents.out_width + column, 0) as usize;
                    let value = passed(gradient, &output, index, slope, activation).extract(0usize);
                    let tap = select(inside, taps + ky * window.kernel_w + kx, 0);
                    #[unroll]
                    for c in 0..group {
                        let product = value * weight[(tap + c * comptime!(window.taps())) as usize];
                        // Not a product with zero: that would make NaN of infinity.
                        sums[c as usize] += select(inside, product, 0.0);
                    }
                }
            }
        }
        #[unroll]
        for c in 0..group {
            out[((image * extents.channels + first + c) * plane + position) as usize] = sums[c as usize];
        }
    }
}
