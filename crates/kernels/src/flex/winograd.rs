//! 3x3 convolutions of stride 1 with 36 multiplications for 16 outputs instead of 144: F(4x4, 3x3) of Lavin & Gray 2016.
//!
//! An output of 4x4 is the transform of a product, element by element, of the transforms of the 6x6 inputs that it sees and of
//! the 3x3 weights. Summed over channels the products are 36 matrix products, one for each element of the transforms. The
//! data gradient is such a convolution of the output's gradient; the weight gradient is the same identity transposed.
//!
//! The transforms evaluate polynomials at 0, ±3/4, ±3/2 and infinity. With the usual ±1 and ±2 the rounding errors are five
//! times those of the direct sums; with these points, whose powers stay near 1 (Barabasz et al. 2020 compare such choices), they
//! are about the same. An input that is not finite makes all outputs of the tiles that read it undefined, not just those that
//! see it: up to two positions further.
//!
//! Inside, channels come last: every transform is an operation on vectors of channels.

use core::mem::MaybeUninit;
use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::epilogue::{Positions, Rows, finish};
use super::geometry::Geometry;
use super::packed::Packed;
use super::product::{Factor, Layout, Product};
use super::simd::{Lanes, load, run, store, transpose};
use crate::Activation;

/// Outputs of a tile along either axis.
const TILE: usize = 4;

/// Inputs of a tile along either axis, and elements of its transform.
const SIDE: usize = TILE + 2;

/// Elements of a transform.
const ELEMENTS: usize = SIDE * SIDE;

/// The points besides 0 and infinity are `±NEAR` and `±FAR`.
const NEAR: f32 = 0.75;
const FAR: f32 = 1.5;
const NEAR2: f32 = NEAR * NEAR;
const FAR2: f32 = FAR * FAR;

/// Channels on either side below which the transforms cost what they save.
const CHANNELS: usize = 16;

/// Weights of a kernel's tap beyond which the sums of the weight gradient, 36 for each, cost what they save.
const SUMS: usize = 1 << 16;

/// Tiles in all below which transforming the weight costs what it saves; where it does not fit the third-level cache, four times as
/// many.
const TILES: usize = 64;
const LARGE: usize = 1 << 17;

/// Floats between the elements of a transform beyond their number: without them, equal places of all of them would compete
/// for the same lines of the first-level cache.
const GAP: usize = 16;

/// Whether this convolution and its data gradient are computed this way.
pub(super) fn suits(geometry: &Geometry) -> bool {
    let tiles = geometry.batch * geometry.out_height.div_ceil(TILE) * geometry.out_width.div_ceil(TILE);
    geometry.kernel == [3, 3]
        && geometry.stride == [1, 1]
        // Equal patches of an even background have equal direct sums, of which max pooling takes the first; transforms round
        // them by their place in the tile. Convolutions before a max pooling are not told apart here, but those of the models
        // have no padding, and those of the residual networks have.
        && (1..=2).contains(&geometry.frame.top)
        && (1..=2).contains(&geometry.frame.left)
        && geometry.channels.min(geometry.out) >= CHANNELS
        // Of a smaller map a tile would compute more outputs that do not exist than it saves.
        && geometry.out_height.min(geometry.out_width) > TILE / 2
        && tiles >= if geometry.channels * geometry.out <= LARGE { TILES } else { 4 * TILES }
}

/// Whether its weight gradient is, too.
pub(super) fn suits_weight_gradient(geometry: &Geometry) -> bool {
    suits(geometry) && geometry.channels * geometry.out <= SUMS
}

/// Images of some channels in tiles of 4x4 outputs of a 3x3 convolution.
#[derive(Clone, Copy)]
struct Tiling {
    channels: usize,
    height: usize,
    width: usize,
    /// Zeros before and above.
    padding: [usize; 2],
    out_height: usize,
    out_width: usize,
}

impl Tiling {
    fn columns(&self) -> usize {
        self.out_width.div_ceil(TILE)
    }

    /// Tiles of an image.
    fn tiles(&self) -> usize {
        self.out_height.div_ceil(TILE) * self.columns()
    }

    fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Channels filled up to whole vectors.
    fn padded(&self) -> usize {
        Lanes::detect().round_up(self.channels)
    }

    /// Floats of a row of an image with its frame, channels last.
    fn framed_row(&self) -> usize {
        (TILE * self.columns() + 2) * self.padded()
    }

    /// Floats of such an image.
    fn framed_image(&self) -> usize {
        (TILE * self.out_height.div_ceil(TILE) + 2) * self.framed_row()
    }

    /// Row and column of a tile of an image.
    fn place(&self, tile: usize) -> [usize; 2] {
        [tile / self.columns(), tile % self.columns()]
    }

    /// Copies `[sample, channel, height, width]` into frames of zeros, channels last; what lies outside the frames is not seen
    /// by any output.
    fn frame(&self, images: &[f32], framed: &mut [f32]) {
        let plane = self.height * self.width;
        let [top, left] = self.padding;
        let padded = self.padded();
        for (image, framed) in images.chunks_exact(self.channels * plane).zip(framed.chunks_exact_mut(self.framed_image())) {
            let rows = self.height.min(framed.len() / self.framed_row() - top);
            let columns = self.width.min(self.framed_row() / padded - left);
            for row in 0..rows {
                let to = &mut framed[(top + row) * self.framed_row() + left * padded..][..columns * padded];
                run(ChannelsLast { from: &image[row * self.width..], plane, channels: self.channels, columns, to, padded });
            }
        }
    }
}

/// A convolution with a prepared weight: shared by all threads.
pub(super) struct Convolution {
    tiling: Tiling,
    out: usize,
    /// For each element a matrix with a row for each of the images' channels and a column for each of the results'.
    factors: Vec<Packed>,
}

impl Convolution {
    /// The forward pass.
    pub(super) fn forward(geometry: &Geometry, weight: &[f32]) -> Self {
        let rows = Packed::from_columns(weight, geometry.taps(), geometry.taps(), geometry.out);
        let tiling = forward_tiling(geometry);
        Self { tiling, out: geometry.out, factors: transformed_weight(&rows, geometry.channels, geometry.out, false) }
    }

    /// The input's gradient from the output's.
    pub(super) fn of_gradient(geometry: &Geometry, weight: &[f32]) -> Self {
        let filters = weight.chunks_exact(geometry.taps());
        let rows = Packed::from_columns_of_each(filters, 9, geometry.channels);
        let tiling = Tiling {
            channels: geometry.out,
            height: geometry.out_height,
            width: geometry.out_width,
            padding: [2 - geometry.frame.top, 2 - geometry.frame.left],
            out_height: geometry.height,
            out_width: geometry.width,
        };
        Self { tiling, out: geometry.channels, factors: transformed_weight(&rows, geometry.out, geometry.channels, true) }
    }

    /// What one thread needs to compute up to `samples` images at a time.
    pub(super) fn scratch(&self, samples: usize) -> Scratch {
        let (inputs, results) = (self.tiling.padded(), Lanes::detect().round_up(self.out));
        let block = tiles_per_block(self.tiling.channels * self.out).min(samples * self.tiling.tiles());
        Scratch {
            framed: vec![0.0; samples * self.tiling.framed_image()],
            inputs: vec![0.0; ELEMENTS * (block * inputs + GAP)],
            products: vec![0.0; ELEMENTS * (block * results + GAP)],
            sums: vec![0.0; samples * self.tiling.positions() * results],
            block,
        }
    }

    /// Writes every element of `to`, `[sample, channel, height', width']`, from images `[sample, channel, height, width]`.
    pub(super) fn run(
        &self,
        scratch: &mut Scratch,
        images: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
        to: &mut [MaybeUninit<f32>],
    ) {
        let tiling = &self.tiling;
        let samples = images.len() / (tiling.channels * tiling.height * tiling.width);
        let (inputs, results) = (tiling.padded(), Lanes::detect().round_up(self.out));
        tiling.frame(images, &mut scratch.framed);
        let steps: Vec<u32> = (0..tiling.channels as u32).collect();
        let rows: Vec<u32> = (0..scratch.block).map(|tile| (tile * inputs) as u32).collect();
        let all = samples * tiling.tiles();
        for first in (0..all).step_by(scratch.block) {
            let tiles = first..all.min(first + scratch.block);
            let input_stride = tiles.len() * inputs + GAP;
            let product_stride = tiles.len() * results + GAP;
            run(TransformInputs {
                tiling,
                tiles: tiles.clone(),
                framed: &scratch.framed,
                to: &mut scratch.inputs,
                stride: input_stride,
            });
            for (element, factor) in self.factors.iter().enumerate() {
                Product {
                    source: &scratch.inputs[element * input_stride..][..tiles.len() * inputs],
                    rows: &rows[..tiles.len()],
                    steps: &steps,
                    factor: Factor::Packed(factor),
                    out: &mut scratch.products[element * product_stride..],
                    layout: Layout::Rows(results),
                    first: 0,
                    accumulate: false,
                }
                .run();
            }
            run(TransformProducts {
                tiling,
                tiles,
                products: &scratch.products,
                stride: product_stride,
                to: &mut scratch.sums,
                padded: results,
            });
        }
        let positions = Positions::InOrder(tiling.positions());
        finish(Rows { data: &scratch.sums, layout: Layout::Rows(results), channels: self.out, positions }, bias, activation, to);
    }
}

/// One thread's memory for a [`Convolution`].
pub(super) struct Scratch {
    framed: Vec<f32>,
    inputs: Vec<f32>,
    products: Vec<f32>,
    /// A row for each position.
    sums: Vec<f32>,
    /// Tiles at a time.
    block: usize,
}

/// One thread's sum of the weight's gradient.
pub(super) struct WeightGradient {
    tiling: Tiling,
    out: usize,
    framed: Vec<f32>,
    /// The output's gradient, channels last.
    gradient: Vec<f32>,
    inputs: Vec<f32>,
    /// For each element a matrix with a row for each tile and a column for each output channel.
    gradients: Vec<Packed>,
    /// For each element a row for each input channel and a column for each output channel.
    sums: Vec<f32>,
    block: usize,
}

impl WeightGradient {
    /// For up to `samples` images at a time.
    pub(super) fn new(geometry: &Geometry, samples: usize) -> Self {
        let tiling = forward_tiling(geometry);
        let (inputs, results) = (tiling.padded(), Lanes::detect().round_up(geometry.out));
        let block = tiles_per_block(tiling.channels * geometry.out).min(samples * tiling.tiles());
        Self {
            tiling,
            out: geometry.out,
            framed: vec![0.0; samples * tiling.framed_image()],
            gradient: vec![0.0; samples * tiling.positions() * results],
            inputs: vec![0.0; ELEMENTS * (block * inputs + GAP)],
            gradients: (0..ELEMENTS).map(|_| Packed::zeros(block, geometry.out)).collect(),
            sums: vec![0.0; ELEMENTS * tiling.channels * results],
            block,
        }
    }

    /// Adds what images `[sample, channel, height, width]` and the gradient of their outputs contribute.
    pub(super) fn add(&mut self, images: &[f32], gradient: &[f32]) {
        let tiling = &self.tiling;
        let samples = images.len() / (tiling.channels * tiling.height * tiling.width);
        let (inputs, results) = (tiling.padded(), Lanes::detect().round_up(self.out));
        tiling.frame(images, &mut self.framed);
        let positions = tiling.positions();
        let planes = gradient.chunks_exact(self.out * positions).zip(self.gradient.chunks_exact_mut(positions * results));
        for (from, to) in planes {
            run(ChannelsLast { from, plane: positions, channels: self.out, columns: positions, to, padded: results });
        }
        let rows: Vec<u32> = (0..tiling.channels as u32).collect();
        let steps: Vec<u32> = (0..self.block).map(|tile| (tile * inputs) as u32).collect();
        let all = samples * tiling.tiles();
        for first in (0..all).step_by(self.block) {
            let tiles = first..all.min(first + self.block);
            let stride = tiles.len() * inputs + GAP;
            run(TransformInputs { tiling, tiles: tiles.clone(), framed: &self.framed, to: &mut self.inputs, stride });
            self.gradients.iter_mut().for_each(|matrix| matrix.set_depth(tiles.len()));
            run(TransformGradients {
                tiling,
                tiles: tiles.clone(),
                gradient: &self.gradient,
                padded: results,
                to: &mut self.gradients,
            });
            let sums = self.sums.chunks_exact_mut(tiling.channels * results);
            for (element, (factor, out)) in self.gradients.iter().zip(sums).enumerate() {
                Product {
                    source: &self.inputs[element * stride..][..tiles.len() * inputs],
                    rows: &rows,
                    steps: &steps[..tiles.len()],
                    factor: Factor::Packed(factor),
                    out,
                    layout: Layout::Rows(results),
                    first: 0,
                    accumulate: true,
                }
                .run();
            }
        }
    }

    /// The sum: a row for each input channel and tap, a column for each output channel, in panels.
    pub(super) fn sums(&self) -> Vec<f32> {
        let results = Lanes::detect().round_up(self.out);
        let mut to = vec![0.0; 9 * self.tiling.channels * results];
        run(TransformSums { channels: self.tiling.channels, padded: results, sums: &self.sums, to: &mut to });
        to
    }
}

fn forward_tiling(geometry: &Geometry) -> Tiling {
    Tiling {
        channels: geometry.channels,
        height: geometry.height,
        width: geometry.width,
        padding: [geometry.frame.top, geometry.frame.left],
        out_height: geometry.out_height,
        out_width: geometry.out_width,
    }
}

/// Tiles at a time: few, so that their transforms and products stay in the second-level cache, but the more weights there are,
/// which are read (or their sums added to) for every block, the more tiles should share them.
fn tiles_per_block(weights: usize) -> usize {
    if weights < 1 << 15 { 20 } else { 40 }
}

/// `G g G^T` for every pair of channels. `rows` has a row for each input channel and tap and a column for each output channel;
/// `flipped` turns the kernels around.
fn transformed_weight(rows: &Packed, depth: usize, width: usize, flipped: bool) -> Vec<Packed> {
    let mut factors: Vec<Packed> = (0..ELEMENTS).map(|_| Packed::zeros(depth, width)).collect();
    run(TransformWeight { rows, depth, flipped, to: &mut factors });
    factors
}

#[inline(always)]
fn times<S: Simd>(simd: S, scale: f32, x: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(scale), x)
}

/// `scale x + sum`.
#[inline(always)]
fn plus<S: Simd>(simd: S, scale: f32, x: S::f32s, sum: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(scale), x, sum)
}

/// `B^T d` of one column, or `d B` of one row, of the inputs.
#[inline(always)]
fn of_inputs<S: Simd>(simd: S, d: [S::f32s; SIDE]) -> [S::f32s; SIDE] {
    let (near_even, near_odd) = (plus(simd, -FAR2, d[2], d[4]), plus(simd, -FAR2, d[1], d[3]));
    let (far_even, far_odd) = (plus(simd, -NEAR2, d[2], d[4]), plus(simd, -NEAR2, d[1], d[3]));
    [
        plus(simd, NEAR2 * FAR2, d[0], plus(simd, -NEAR2 - FAR2, d[2], d[4])),
        plus(simd, NEAR, near_odd, near_even),
        plus(simd, -NEAR, near_odd, near_even),
        plus(simd, FAR, far_odd, far_even),
        plus(simd, -FAR, far_odd, far_even),
        plus(simd, NEAR2 * FAR2, d[1], plus(simd, -NEAR2 - FAR2, d[3], d[5])),
    ]
}

/// `A^T m` of one column, or `m A` of one row, of the products.
#[inline(always)]
fn of_products<S: Simd>(simd: S, m: [S::f32s; SIDE]) -> [S::f32s; TILE] {
    let (near_even, near_odd) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (far_even, far_odd) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(near_even, far_even)),
        plus(simd, NEAR, near_odd, times(simd, FAR, far_odd)),
        plus(simd, NEAR2, near_even, times(simd, FAR2, far_even)),
        plus(simd, NEAR2 * NEAR, near_odd, plus(simd, FAR2 * FAR, far_odd, m[5])),
    ]
}

/// `A y` of one column, or `y A^T` of one row, of the output's gradient.
#[inline(always)]
fn of_gradients<S: Simd>(simd: S, y: [S::f32s; TILE]) -> [S::f32s; SIDE] {
    let (near_even, near_odd) = (plus(simd, NEAR2, y[2], y[0]), times(simd, NEAR, plus(simd, NEAR2, y[3], y[1])));
    let (far_even, far_odd) = (plus(simd, FAR2, y[2], y[0]), times(simd, FAR, plus(simd, FAR2, y[3], y[1])));
    [
        y[0],
        simd.add_f32s(near_even, near_odd),
        simd.sub_f32s(near_even, near_odd),
        simd.add_f32s(far_even, far_odd),
        simd.sub_f32s(far_even, far_odd),
        y[3],
    ]
}

/// What the transform of a weight at 0, at `±NEAR` and at `±FAR` is divided by.
const DIVISORS: [f32; 3] = [NEAR2 * FAR2, 2.0 * NEAR2 * (NEAR2 - FAR2), 2.0 * FAR2 * (FAR2 - NEAR2)];

/// `G g` of one column, or `g G^T` of one row, of the weight.
#[inline(always)]
fn of_weight<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; SIDE] {
    let [zero, near, far] = DIVISORS.map(|divisor| 1.0 / divisor);
    let (near_even, near_odd) = (times(simd, near, plus(simd, NEAR2, g[2], g[0])), times(simd, near * NEAR, g[1]));
    let (far_even, far_odd) = (times(simd, far, plus(simd, FAR2, g[2], g[0])), times(simd, far * FAR, g[1]));
    [
        times(simd, zero, g[0]),
        simd.add_f32s(near_even, near_odd),
        simd.sub_f32s(near_even, near_odd),
        simd.add_f32s(far_even, far_odd),
        simd.sub_f32s(far_even, far_odd),
        g[2],
    ]
}

/// `G^T u` of one column, or `u G` of one row, of the summed products.
#[inline(always)]
fn of_sums<S: Simd>(simd: S, u: [S::f32s; SIDE]) -> [S::f32s; 3] {
    let [zero, near, far] = DIVISORS.map(|divisor| 1.0 / divisor);
    let (near_even, near_odd) =
        (times(simd, near, simd.add_f32s(u[1], u[2])), times(simd, near * NEAR, simd.sub_f32s(u[1], u[2])));
    let (far_even, far_odd) = (times(simd, far, simd.add_f32s(u[3], u[4])), times(simd, far * FAR, simd.sub_f32s(u[3], u[4])));
    [
        plus(simd, zero, u[0], simd.add_f32s(near_even, far_even)),
        simd.add_f32s(near_odd, far_odd),
        plus(simd, NEAR2, near_even, plus(simd, FAR2, far_even, u[5])),
    ]
}

/// A function of columns and rows in turn: applies it to the `N` columns of `M` values, then to the rows of the result.
macro_rules! both_ways {
    ($simd:ident, $values:ident, $function:ident, $from:expr, $to:expr) => {{
        let zero = $simd.splat_f32s(0.0);
        let mut columns = [[zero; $from]; $to];
        for j in 0..$from {
            let mut column = [zero; $from];
            for i in 0..$from {
                column[i] = $values[i][j];
            }
            let column = $function($simd, column);
            for i in 0..$to {
                columns[i][j] = column[i];
            }
        }
        let mut rows = [[zero; $to]; $to];
        for i in 0..$to {
            rows[i] = $function($simd, columns[i]);
        }
        rows
    }};
}

/// `to[column][channel] = from[channel][column]`.
struct ChannelsLast<'a> {
    from: &'a [f32],
    plane: usize,
    channels: usize,
    columns: usize,
    to: &'a mut [f32],
    padded: usize,
}

impl WithSimd for ChannelsLast<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        assert!(self.channels <= self.padded && self.columns * self.padded <= self.to.len());
        // SAFETY: the assert above.
        unsafe { transpose(simd, self.from, self.plane, self.channels, self.columns, self.to.as_mut_ptr(), self.padded) };
    }
}

/// `[element, tile, channel]`, elements `stride` apart.
struct TransformInputs<'a> {
    tiling: &'a Tiling,
    /// Counted over all images.
    tiles: Range<usize>,
    framed: &'a [f32],
    to: &'a mut [f32],
    stride: usize,
}

impl WithSimd for TransformInputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (tiling, lanes) = (self.tiling, S::F32_LANES);
        let (padded, row) = (tiling.padded(), tiling.framed_row());
        assert!(self.tiles.end.div_ceil(tiling.tiles()) * tiling.framed_image() <= self.framed.len());
        assert!((ELEMENTS - 1) * self.stride + self.tiles.len() * padded <= self.to.len());
        for (index, tile) in self.tiles.enumerate() {
            let [y, x] = tiling.place(tile % tiling.tiles());
            let first = tile / tiling.tiles() * tiling.framed_image() + TILE * (y * row + x * padded);
            for channel in (0..padded).step_by(lanes) {
                // SAFETY: the asserts above: a frame holds the 6x6 inputs of every tile, in whole vectors of channels.
                unsafe {
                    let from = self.framed.as_ptr().add(first + channel);
                    let mut d = [[simd.splat_f32s(0.0); SIDE]; SIDE];
                    for i in 0..SIDE {
                        for j in 0..SIDE {
                            d[i][j] = load::<S>(from.add(i * row + j * padded));
                        }
                    }
                    let v = both_ways!(simd, d, of_inputs, SIDE, SIDE);
                    let to = self.to.as_mut_ptr().add(index * padded + channel);
                    for i in 0..SIDE {
                        for j in 0..SIDE {
                            store::<S>(to.add((SIDE * i + j) * self.stride), v[i][j]);
                        }
                    }
                }
            }
        }
    }
}

/// From `[element, tile, channel]`, elements `stride` apart, to `[position, channel]`.
struct TransformProducts<'a> {
    tiling: &'a Tiling,
    tiles: Range<usize>,
    products: &'a [f32],
    stride: usize,
    to: &'a mut [f32],
    padded: usize,
}

impl WithSimd for TransformProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (tiling, padded) = (self.tiling, self.padded);
        assert!((ELEMENTS - 1) * self.stride + self.tiles.len() * padded <= self.products.len());
        assert!(self.tiles.end.div_ceil(tiling.tiles()) * tiling.positions() * padded <= self.to.len());
        for (index, tile) in self.tiles.enumerate() {
            let [y, x] = tiling.place(tile % tiling.tiles());
            let first = tile / tiling.tiles() * tiling.positions() + TILE * (y * tiling.out_width + x);
            let rows = TILE.min(tiling.out_height - TILE * y);
            let columns = TILE.min(tiling.out_width - TILE * x);
            for channel in (0..padded).step_by(S::F32_LANES) {
                // SAFETY: the asserts above; positions outside the image are not written.
                unsafe {
                    let from = self.products.as_ptr().add(index * padded + channel);
                    let mut m = [[simd.splat_f32s(0.0); SIDE]; SIDE];
                    for i in 0..SIDE {
                        for j in 0..SIDE {
                            m[i][j] = load::<S>(from.add((SIDE * i + j) * self.stride));
                        }
                    }
                    let y = both_ways!(simd, m, of_products, SIDE, TILE);
                    for i in 0..rows {
                        for j in 0..columns {
                            let position = first + i * tiling.out_width + j;
                            store::<S>(self.to.as_mut_ptr().add(position * padded + channel), y[i][j]);
                        }
                    }
                }
            }
        }
    }
}

/// From `[position, channel]` to a matrix of tiles and channels for each element.
struct TransformGradients<'a> {
    tiling: &'a Tiling,
    tiles: Range<usize>,
    gradient: &'a [f32],
    padded: usize,
    to: &'a mut [Packed],
}

impl WithSimd for TransformGradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (tiling, padded) = (self.tiling, self.padded);
        let panel_width = Lanes::of::<S>().panel();
        assert!(self.tiles.end.div_ceil(tiling.tiles()) * tiling.positions() * padded <= self.gradient.len());
        for panel in 0..padded.div_ceil(panel_width) {
            let mut size = 0;
            let mut to = [core::ptr::null_mut::<f32>(); ELEMENTS];
            for (to, matrix) in to.iter_mut().zip(self.to.iter_mut()) {
                let (elements, row) = matrix.panel_mut(panel);
                assert!(self.tiles.len() * row <= elements.len());
                (*to, size) = (elements.as_mut_ptr(), row);
            }
            for (index, tile) in self.tiles.clone().enumerate() {
                let [y, x] = tiling.place(tile % tiling.tiles());
                let first = tile / tiling.tiles() * tiling.positions() + TILE * (y * tiling.out_width + x);
                let rows = TILE.min(tiling.out_height - TILE * y);
                let columns = TILE.min(tiling.out_width - TILE * x);
                for column in (0..size).step_by(S::F32_LANES) {
                    // SAFETY: the asserts above; positions outside the image are not read.
                    unsafe {
                        let mut y = [[simd.splat_f32s(0.0); TILE]; TILE];
                        for i in 0..rows {
                            for j in 0..columns {
                                let position = first + i * tiling.out_width + j;
                                let place = position * padded + panel * panel_width + column;
                                y[i][j] = load::<S>(self.gradient.as_ptr().add(place));
                            }
                        }
                        let g = both_ways!(simd, y, of_gradients, TILE, SIDE);
                        for i in 0..SIDE {
                            for j in 0..SIDE {
                                store::<S>(to[SIDE * i + j].add(index * size + column), g[i][j]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// See [`transformed_weight`].
struct TransformWeight<'a> {
    rows: &'a Packed,
    depth: usize,
    flipped: bool,
    to: &'a mut [Packed],
}

impl WithSimd for TransformWeight<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let panel_width = Lanes::of::<S>().panel();
        assert!(self.rows.depth() == 9 * self.depth);
        for panel in 0..self.rows.padded_width().div_ceil(panel_width) {
            let (from, size) = self.rows.panel(panel);
            assert!(9 * self.depth * size <= from.len());
            let mut to = [core::ptr::null_mut::<f32>(); ELEMENTS];
            for (to, matrix) in to.iter_mut().zip(self.to.iter_mut()) {
                let (elements, row) = matrix.panel_mut(panel);
                assert!(row == size && self.depth * size <= elements.len());
                *to = elements.as_mut_ptr();
            }
            for channel in 0..self.depth {
                for column in (0..size).step_by(S::F32_LANES) {
                    // SAFETY: the asserts above.
                    unsafe {
                        let mut g = [[simd.splat_f32s(0.0); 3]; 3];
                        for tap in 0..9 {
                            let from_tap = if self.flipped { 8 - tap } else { tap };
                            g[tap / 3][tap % 3] = load::<S>(from.as_ptr().add((9 * channel + from_tap) * size + column));
                        }
                        let u = both_ways!(simd, g, of_weight, 3, SIDE);
                        for i in 0..SIDE {
                            for j in 0..SIDE {
                                store::<S>(to[SIDE * i + j].add(channel * size + column), u[i][j]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// From `[element, channel, out]` to rows of taps in panels.
struct TransformSums<'a> {
    channels: usize,
    padded: usize,
    sums: &'a [f32],
    to: &'a mut [f32],
}

impl WithSimd for TransformSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (lanes, padded) = (Lanes::of::<S>(), self.padded);
        let taps = 9 * self.channels;
        assert!(ELEMENTS * self.channels * padded <= self.sums.len() && taps * padded <= self.to.len());
        for panel in 0..padded.div_ceil(lanes.panel()) {
            let (start, size) = Layout::Panels(taps).panel(panel, padded, lanes);
            for channel in 0..self.channels {
                for column in (0..size).step_by(lanes.count) {
                    // SAFETY: the assert above.
                    unsafe {
                        let from = self.sums.as_ptr().add(channel * padded + panel * lanes.panel() + column);
                        let mut u = [[simd.splat_f32s(0.0); SIDE]; SIDE];
                        for i in 0..SIDE {
                            for j in 0..SIDE {
                                u[i][j] = load::<S>(from.add((SIDE * i + j) * self.channels * padded));
                            }
                        }
                        let g = both_ways!(simd, u, of_sums, SIDE, 3);
                        for tap in 0..9 {
                            let to = self.to.as_mut_ptr().add(start + (9 * channel + tap) * size + column);
                            store::<S>(to, g[tap / 3][tap % 3]);
                        }
                    }
                }
            }
        }
    }
}
