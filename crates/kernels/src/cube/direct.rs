//! Convolutions of little work, those of one image in a small network, and gradients of gray images.
//!
//! Tiles would leave most units idle, and their shaders are large: a driver takes longer to compile one than many such layers take to
//! compute. Three of the four rows of a tile would be no channel of a gray image. Here a unit computes a few outputs by itself, in a loop.

use burn::backend::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::epilogue::{ActivationKind, activate, passed};
use super::geometry::{Extents, Window, extents};
use super::launch::{Signal, buffer, elementwise, empty, optional, slope, width};
use super::tile::V1;
use crate::Activation;
use crate::backend::ConvShape;

/// Most multiply-adds of such a convolution.
const MOST: usize = 1 << 20;

/// Whether the gradient with respect to the input is computed so.
pub fn suits_data(shape: &ConvShape, dtype: DType) -> bool {
    let [_, channels, _, _] = shape.x;
    suits(shape, dtype) || channels == 1 && dtype == DType::F32
}

/// Whether a convolution's output is computed so. Attacks are f32, and what trains has more images.
pub fn suits(shape: &ConvShape, dtype: DType) -> bool {
    let [_, channels, kernel_h, kernel_w] = shape.weight;
    dtype == DType::F32 && shape.output().iter().product::<usize>() * channels * kernel_h * kernel_w <= MOST
}

/// `act(windows(x) weight + bias)`: a unit computes `group` neighboring filters at one of `size` positions `(image, group of filters, y, x)`.
/// `weight` is addressed in vectors of 1, or of 4 where that divides the kernel's width.
#[cube(launch_unchecked)]
fn outputs<NW: Size>(
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
fn inputs(
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

/// How many of `count` outputs at one position a unit computes, for which it reads the other side of the products once.
fn group(count: usize) -> u32 {
    width(count) as u32
}

/// Tensors contiguous and f32.
pub fn forward(
    x: &CubeTensor,
    weight: &CubeTensor,
    bias: Option<&CubeTensor>,
    shape: &ConvShape,
    activation: Activation,
) -> CubeTensor {
    let out = empty(x, shape.output());
    let group = group(shape.weight[0]);
    let size = out.meta.num_elements() / group as usize;
    let (count, dim) = elementwise(size);
    unsafe {
        outputs::launch_unchecked(
            &x.client,
            count,
            dim,
            width(shape.weight[3]),
            buffer(x),
            buffer(weight),
            optional(bias),
            buffer(&out),
            extents(shape, 0),
            size as u32,
            slope(activation),
            group,
            Window::new(shape),
            ActivationKind::from(activation),
        );
    }
    out
}

/// Tensors contiguous and f32.
pub fn data(signal: &Signal, weight: &CubeTensor, shape: &ConvShape) -> CubeTensor {
    let out = empty(weight, shape.x);
    let group = group(shape.x[1]);
    let size = out.meta.num_elements() / group as usize;
    let (count, dim) = elementwise(size);
    unsafe {
        inputs::launch_unchecked(
            &out.client,
            count,
            dim,
            buffer(&signal.gradient),
            signal.output.as_ref().map(buffer).into(),
            buffer(weight),
            buffer(&out),
            extents(shape, 0),
            size as u32,
            slope(signal.activation),
            group,
            Window::new(shape),
            ActivationKind::from(signal.activation),
        );
    }
    out
}
