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

/// Steps at a time of a factor that is read as it lies.
const STRIDED_BLOCK: usize = 32;

/// The factor of a [`Product`].
#[derive(Clone, Copy)]
pub(super) enum Factor<'a> {
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
    pub(super) fn padded_width(&self) -> usize {
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

/// `out[row][column] (+)= sum over steps of source[rows[row] + steps[step]] * factor[step][column]`.
pub(super) struct Product<'a> {
    pub(super) source: &'a [f32],
    pub(super) rows: &'a [u32],
    pub(super) steps: &'a [u32],
    pub(super) factor: Factor<'a>,
    /// Results, `out_stride` per row, at least the factor's padded width.
    pub(super) out: &'a mut [f32],
    pub(super) out_stride: usize,
    /// Add to what `out` holds instead of replacing it.
    pub(super) accumulate: bool,
}

impl Product<'_> {
    /// Computes it on this thread.
    pub(super) fn run(self) {
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
        assert!(row + step < self.source.len());
        assert!(self.factor.depth() == self.steps.len() && width <= self.out_stride);
        assert!((self.rows.len() - 1) * self.out_stride + width <= self.out.len());

        let panels = width.div_ceil(lanes.panel());
        match self.factor {
            Factor::Packed(..) => {
                let block = BLOCK_FLOATS / lanes.panel();
                for panel in 0..panels {
                    for first in (0..self.steps.len()).step_by(block) {
                        unsafe { self.panel(simd, panel, first..self.steps.len().min(first + block), width) };
                    }
                }
            }
            // Along few rows at a time: the processor fetches ahead along rows, not across them.
            Factor::Strided { .. } => {
                for first in (0..self.steps.len()).step_by(STRIDED_BLOCK) {
                    for panel in 0..panels {
                        unsafe { self.panel(simd, panel, first..self.steps.len().min(first + STRIDED_BLOCK), width) };
                    }
                }
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
        let column = panel * lanes.panel();
        let tile = OuterTile {
            steps: &self.steps[steps.clone()],
            factor: factor.wrapping_add(steps.start * stride),
            stride,
            source: self.source.as_ptr(),
            rows: self.rows.as_ptr(),
            out: self.out[column..].as_mut_ptr(),
            out_stride: self.out_stride,
            accumulate: self.accumulate || steps.start > 0,
        };
        let rows = self.rows.len();
        unsafe {
            match (width - column >= lanes.panel(), Lanes::many::<S>()) {
                (true, true) => wide_of_32(simd, tile, rows),
                (false, true) => narrow_of_32(simd, tile, rows),
                (true, false) => wide_of_16(simd, tile, rows),
                (false, false) => narrow_of_16(simd, tile, rows),
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

// Ten rows of two vectors fill 32 registers, leave room for the operands, and keep the rows' addresses in general registers.
rows_in_tiles!(wide_of_32, 2, [1 2 3 4 5 6 7 8 9], 10);
rows_in_tiles!(narrow_of_32, 1, [1 2 3 4 5 6 7 8 9 10 11 12 13], 14);
// Without fused multiplication a product needs a register, too.
rows_in_tiles!(wide_of_16, 2, [1 2 3 4], 5);
rows_in_tiles!(narrow_of_16, 1, [1 2 3 4 5 6 7], 8);
