//! The one matrix product behind convolution and linear layers, with one operand gathered in place.
//!
//! Element (row, step) of the gathered operand is `source[rows[row] + steps[step]]`: a convolution reads its input
//! where it lies, with a row per output position and a step per weight of a filter (or, for the weight gradient, the other
//! way round). Nothing is unfolded into columns and nothing of the input is packed. The other operand, the factor, is
//! read in panels as wide as a register tile; both stay in the first-level cache for a block of steps.

use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::packed::Packed;
use super::simd::{Lanes, OuterTile, outer_tile, run};

/// Floats of the factor that one block of steps brings into the first-level cache.
const BLOCK_FLOATS: usize = 6144;

/// Steps at a time of a factor that is read as it lies: the processor fetches ahead along its rows, not across them, and
/// along no more than a few at once.
const STRIDED_BLOCK: usize = 32;

/// The factor of a [`Product`].
#[derive(Clone, Copy)]
pub enum Factor<'a> {
    Packed(&'a Packed),
    /// A matrix as it lies: rows `stride` apart, `width` columns, a multiple of the vector length.
    Strided {
        data: &'a [f32],
        stride: usize,
        depth: usize,
        width: usize,
    },
}

impl Factor<'_> {
    /// Columns of the result, filled up to whole vectors.
    pub fn padded_width(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.padded_width(),
            Self::Strided { width, .. } => *width,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.depth(),
            Self::Strided { depth, .. } => *depth,
        }
    }

    /// Where panel `index` starts and how far its rows are apart.
    #[inline(always)]
    fn panel(&self, index: usize, lanes: Lanes) -> (*const f32, usize) {
        match self {
            Self::Packed(packed) => {
                let (data, stride) = packed.panel(index);
                (data.as_ptr(), stride)
            }
            Self::Strided { data, stride, .. } => (data[index * lanes.panel()..].as_ptr(), *stride),
        }
    }

    fn check(&self, lanes: Lanes) {
        match *self {
            Self::Packed(packed) => assert!(packed.lanes() == lanes),
            Self::Strided { data, stride, depth, width } => {
                assert!(width.is_multiple_of(lanes.count) && width <= stride);
                assert!(depth > 0 && (depth - 1) * stride + width <= data.len());
            }
        }
    }
}

/// Where the rows of a result lie.
#[derive(Clone, Copy)]
pub enum Layout {
    /// One after the other, this many floats apart.
    Rows(usize),
    /// In panels as wide as a register tile, one after the other, each with this many rows: what a tile reads and writes is
    /// contiguous, so that the processor fetches ahead.
    Panels(usize),
}

impl Layout {
    /// Where a panel starts and how far its rows are apart; `width` is that of all panels together, in whole vectors.
    #[inline(always)]
    pub fn panel(self, panel: usize, width: usize, lanes: Lanes) -> (usize, usize) {
        let column = panel * lanes.panel();
        match self {
            Self::Rows(stride) => (column, stride),
            Self::Panels(rows) => (column * rows, lanes.panel().min(width - column)),
        }
    }

    /// One past the last float of the first `rows` rows.
    fn end(self, rows: usize, width: usize) -> usize {
        match self {
            Self::Rows(stride) => {
                assert!(width <= stride);
                (rows - 1) * stride + width
            }
            Self::Panels(all) => {
                assert!(rows <= all);
                all * width
            }
        }
    }
}

/// `out[first + row][column] (+)= sum over steps of source[rows[row] + steps[step]] * factor[step][column]`.
pub struct Product<'a> {
    pub source: &'a [f32],
    pub rows: &'a [u32],
    pub steps: &'a [u32],
    pub factor: Factor<'a>,
    /// Results, as wide as the factor's padded width.
    pub out: &'a mut [f32],
    pub layout: Layout,
    /// Row of the results where these begin.
    pub first: usize,
    /// Add to what `out` holds instead of replacing it.
    pub accumulate: bool,
}

impl Product<'_> {
    /// Computes it on this thread.
    pub fn run(self) {
        run(self);
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = Lanes::of::<S>();
        let width = self.factor.padded_width();
        let furthest = |offsets: &[u32]| offsets.iter().copied().max().map(|offset| offset as usize);
        let (Some(row), Some(step)) = (furthest(self.rows), furthest(self.steps)) else {
            return;
        };
        self.factor.check(lanes);
        assert!(row + step < self.source.len() && self.factor.depth() == self.steps.len());
        assert!(self.layout.end(self.first + self.rows.len(), width) <= self.out.len());

        let block = match self.factor {
            Factor::Packed(..) => BLOCK_FLOATS / lanes.panel(),
            Factor::Strided { .. } => STRIDED_BLOCK,
        };
        // All panels for some steps, then the next steps: the part of the source that these steps reach stays in the
        // second-level cache, and a factor that does not fit it is read only once.
        for first in (0..self.steps.len()).step_by(block) {
            let steps = first..self.steps.len().min(first + block);
            for panel in 0..width.div_ceil(lanes.panel()) {
                // SAFETY: the asserts above bound what is read and written.
                unsafe { self.panel(simd, panel, steps.clone(), width) };
            }
        }
    }
}

impl Product<'_> {
    /// One panel of the results, summed over some of the steps.
    ///
    /// # Safety
    /// The offsets and sizes must have been checked.
    #[inline(always)]
    unsafe fn panel<S: Simd>(&mut self, simd: S, panel: usize, steps: Range<usize>, width: usize) {
        let lanes = Lanes::of::<S>();
        let (factor, stride) = self.factor.panel(panel, lanes);
        let (start, out_stride) = self.layout.panel(panel, width, lanes);
        let tile = OuterTile {
            steps: &self.steps[steps.clone()],
            factor: factor.wrapping_add(steps.start * stride),
            stride,
            source: self.source.as_ptr(),
            rows: self.rows.as_ptr(),
            out: self.out[start + self.first * out_stride..].as_mut_ptr(),
            out_stride,
            accumulate: self.accumulate || steps.start > 0,
        };
        let rows = self.rows.len();
        let vectors = lanes.panel().min(width - panel * lanes.panel()) / lanes.count;
        unsafe {
            match (Lanes::many::<S>(), vectors) {
                (true, 4) => rows_of_4(simd, tile, rows),
                (true, 3) => rows_of_3(simd, tile, rows),
                (true, 2) => rows_of_2(simd, tile, rows),
                (true, _) => rows_of_1(simd, tile, rows),
                (false, 2) => short_rows_of_2(simd, tile, rows),
                (false, _) => short_rows_of_1(simd, tile, rows),
            }
        }
    }
}

/// A function that computes rows in tiles of `$vectors` vectors by at most `$whole` rows, all nearly equal: a tile of few
/// rows waits for each sum it adds to.
///
/// Not a generic function with a closure: what is not inlined here is not compiled for this processor's vectors.
macro_rules! rows_in_tiles {
    ($name:ident, $vectors:literal, [$($count:literal)*], $whole:literal) => {
        #[inline(always)]
        unsafe fn $name<S: Simd>(simd: S, mut tile: OuterTile, mut rows: usize) {
            while rows > 0 {
                let count = rows.div_ceil(rows.div_ceil($whole));
                unsafe {
                    match count {
                        $($count => outer_tile::<S, $vectors, $count>(simd, tile),)*
                        _ => outer_tile::<S, $vectors, $whole>(simd, tile),
                    }
                }
                tile.rows = tile.rows.wrapping_add(count);
                tile.out = tile.out.wrapping_add(count * tile.out_stride);
                rows -= count;
            }
        }
    };
}

// These fill 32 registers, leave room for the operands, and keep the rows' addresses in general registers. The widest loads
// least for what it computes.
rows_in_tiles!(rows_of_4, 4, [1 2 3 4 5], 6);
rows_in_tiles!(rows_of_3, 3, [1 2 3 4 5 6 7], 8);
rows_in_tiles!(rows_of_2, 2, [1 2 3 4 5 6 7 8 9], 10);
rows_in_tiles!(rows_of_1, 1, [1 2 3 4 5 6 7 8 9 10 11 12 13], 14);
// These fill 16; without fused multiplication a product needs a register, too.
rows_in_tiles!(short_rows_of_2, 2, [1 2 3 4], 5);
rows_in_tiles!(short_rows_of_1, 1, [1 2 3 4 5 6 7], 8);
