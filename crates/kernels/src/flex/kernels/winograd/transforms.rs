//! The transforms, each a function of vectors of channels.

use core::ops::Range;

use pulp::{Simd, WithSimd};

use crate::flex::kernels::packed::Packed;
use crate::flex::kernels::product::Layout;
use crate::flex::kernels::simd::{Lanes, load, store};

use super::tiling::{ELEMENTS, SIDE, TILE, Tiling};

/// The points besides 0 and infinity are `±NEAR` and `±FAR`.
const NEAR: f32 = 0.75;
const FAR: f32 = 1.5;
const NEAR2: f32 = NEAR * NEAR;
const FAR2: f32 = FAR * FAR;

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

/// `[element, tile, channel]`, elements `stride` apart.
pub struct TransformInputs<'a> {
    pub tiling: &'a Tiling,
    /// Counted over all images.
    pub tiles: Range<usize>,
    pub framed: &'a [f32],
    pub to: &'a mut [f32],
    pub stride: usize,
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
pub struct TransformProducts<'a> {
    pub tiling: &'a Tiling,
    pub tiles: Range<usize>,
    pub products: &'a [f32],
    pub stride: usize,
    pub to: &'a mut [f32],
    pub padded: usize,
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
pub struct TransformGradients<'a> {
    pub tiling: &'a Tiling,
    pub tiles: Range<usize>,
    pub gradient: &'a [f32],
    pub padded: usize,
    pub to: &'a mut [Packed],
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

/// `G g G^T` for every pair of channels: see `transformed_weight`.
pub struct TransformWeight<'a> {
    pub rows: &'a Packed,
    pub depth: usize,
    pub flipped: bool,
    pub to: &'a mut [Packed],
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
pub struct TransformSums<'a> {
    pub channels: usize,
    pub padded: usize,
    pub sums: &'a [f32],
    pub to: &'a mut [f32],
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
