//! The one matrix product behind convolution and linear layers, with one operand gathered in place.
//!
//! Element (row, step) of the gathered operand is `source[rows[row] + steps[step]]`: a convolution reads its input
//! where it lies, with a row per output position and a step per weight of a filter (or, for the weight gradient, the other
//! way round). Nothing is unfolded into columns and nothing of the input is packed. The other operand, the factor, is
//! read in panels as wide as a register tile; both stay in the first-level cache for a block of steps.

use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::simd::{Lanes, OuterTile, outer_tile, run, transpose};

/// Floats of the factor that one block of steps brings into the first-level cache.
const BLOCK_FLOATS: usize = 6144;

/// A matrix of `depth` rows and `width` columns, stored in panels of [`Lanes::panel`] columns: each panel's rows lie one
/// after the other, the last panel filled up to whole vectors. What fills it up is never read as a result.
pub(super) struct Packed {
    data: Vec<f32>,
    depth: usize,
    width: usize,
    lanes: Lanes,
}

impl Packed {
    /// All zeros.
    pub(super) fn zeros(depth: usize, width: usize) -> Self {
        let lanes = Lanes::detect();
        Self {
            data: vec![0.0; depth * lanes.round_up(width)],
            depth,
            width,
            lanes,
        }
    }

    /// From columns that lie `stride` apart: `from[column * stride + row]`.
    pub(super) fn from_columns(from: &[f32], stride: usize, depth: usize, width: usize) -> Self {
        let mut packed = Self::zeros(depth, width);
        packed.set_rows_from_columns(0, from, stride, depth);
        packed
    }

    /// From rows that lie `stride` apart: `from[row * stride + column]`.
    pub(super) fn from_rows(from: &[f32], stride: usize, depth: usize, width: usize) -> Self {
        let mut packed = Self::zeros(depth, width);
        for panel in 0..packed.panels() {
            let (columns, size) = (packed.columns(panel), packed.panel_width(panel));
            let start = packed.panel_start(panel);
            for row in 0..depth {
                let from = &from[row * stride..][columns.clone()];
                packed.data[start + row * size..][..from.len()].copy_from_slice(from);
            }
        }
        packed
    }

    /// Sets `count` rows from `first` on: `from[column * stride + row - first]`.
    pub(super) fn set_rows_from_columns(
        &mut self,
        first: usize,
        from: &[f32],
        stride: usize,
        count: usize,
    ) {
        assert!(first + count <= self.depth && count <= stride.max(1));
        assert!(self.width == 0 || (self.width - 1) * stride + count <= from.len());
        run(SetRows {
            packed: self,
            first,
            from,
            stride,
            count,
        });
    }

    /// Sets one row from an iterator of `width` values.
    pub(super) fn set_row(&mut self, row: usize, mut values: impl Iterator<Item = f32>) {
        for panel in 0..self.panels() {
            let columns = self.columns(panel).len();
            let start = self.panel_start(panel) + row * self.panel_width(panel);
            let to = &mut self.data[start..start + columns];
            to.iter_mut().zip(&mut values).for_each(|(to, value)| *to = value);
        }
    }

    /// Makes it `depth` deep, at most as deep as it was made; the contents are then to be set anew.
    pub(super) fn set_depth(&mut self, depth: usize) {
        assert!(depth * self.lanes.round_up(self.width) <= self.data.len());
        self.depth = depth;
    }

    /// Number of panels.
    pub(super) fn panels(&self) -> usize {
        self.width.div_ceil(self.lanes.panel())
    }

    fn columns(&self, panel: usize) -> Range<usize> {
        let start = panel * self.lanes.panel();
        start..self.width.min(start + self.lanes.panel())
    }

    fn panel_width(&self, panel: usize) -> usize {
        self.lanes.round_up(self.columns(panel).len())
    }

    fn panel_start(&self, panel: usize) -> usize {
        panel * self.lanes.panel() * self.depth
    }
}

struct SetRows<'a> {
    packed: &'a mut Packed,
    first: usize,
    from: &'a [f32],
    stride: usize,
    count: usize,
}

impl WithSimd for SetRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for panel in 0..self.packed.panels() {
            let columns = self.packed.columns(panel);
            let size = self.packed.panel_width(panel);
            let start = self.packed.panel_start(panel) + self.first * size;
            // SAFETY: the caller asserted that `from` covers every column and that the rows exist.
            unsafe {
                transpose(
                    self.from.as_ptr().add(columns.start * self.stride),
                    self.stride,
                    columns.len(),
                    self.count,
                    self.packed.data[start..].as_mut_ptr(),
                    size,
                );
            }
        }
    }
}

/// The factor of a [`Product`].
#[derive(Clone, Copy)]
pub(super) enum Factor<'a> {
    /// These panels of a packed matrix.
    Packed(&'a Packed, PanelRange),
    /// A matrix as it lies: rows `stride` apart, `width` columns, a multiple of the vector length.
    Strided {
        data: &'a [f32],
        stride: usize,
        depth: usize,
        width: usize,
    },
}

/// First and one past the last panel.
#[derive(Clone, Copy)]
pub(super) struct PanelRange {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl<'a> Factor<'a> {
    /// All of a packed matrix.
    pub(super) fn all(packed: &'a Packed) -> Self {
        let end = packed.panels();
        Self::Packed(packed, PanelRange { start: 0, end })
    }

    fn depth(&self) -> usize {
        match self {
            Self::Packed(packed, _) => packed.depth,
            Self::Strided { depth, .. } => *depth,
        }
    }

    /// Columns of the result, filled up to whole vectors.
    pub(super) fn padded_width(&self, lanes: Lanes) -> usize {
        match self {
            Self::Packed(packed, panels) => {
                lanes.round_up(packed.width.min(panels.end * lanes.panel()))
                    - panels.start * lanes.panel()
            }
            Self::Strided { width, .. } => *width,
        }
    }

    /// Where panel `index` starts and how far its rows are apart.
    #[inline(always)]
    fn panel(&self, index: usize, lanes: Lanes) -> (*const f32, usize) {
        match self {
            Self::Packed(packed, panels) => {
                let panel = panels.start + index;
                let start = packed.panel_start(panel);
                (packed.data[start..].as_ptr(), packed.panel_width(panel))
            }
            Self::Strided { data, stride, .. } => (data[index * lanes.panel()..].as_ptr(), *stride),
        }
    }

    fn check(&self, lanes: Lanes) {
        match *self {
            Self::Packed(packed, panels) => assert!(
                packed.lanes == lanes && panels.start < panels.end && panels.end <= packed.panels()
            ),
            Self::Strided {
                data,
                stride,
                depth,
                width,
            } => assert!(
                width % lanes.count == 0
                    && width <= stride
                    && depth > 0
                    && (depth - 1) * stride + width <= data.len()
            ),
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
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = Lanes::of::<S>();
        let width = self.factor.padded_width(lanes);
        let furthest = |offsets: &[u32]| offsets.iter().copied().max().map(|offset| offset as usize);
        let (Some(row), Some(step)) = (furthest(self.rows), furthest(self.steps)) else {
            return;
        };
        self.factor.check(lanes);
        assert!(row + step < self.source.len());
        assert!(self.factor.depth() == self.steps.len() && width <= self.out_stride);
        assert!((self.rows.len() - 1) * self.out_stride + width <= self.out.len());

        let block = BLOCK_FLOATS / lanes.panel();
        for panel in 0..width.div_ceil(lanes.panel()) {
            let (factor, stride) = self.factor.panel(panel, lanes);
            let column = panel * lanes.panel();
            for (index, steps) in self.steps.chunks(block).enumerate() {
                let tile = OuterTile {
                    steps,
                    factor: factor.wrapping_add(index * block * stride),
                    stride,
                    source: self.source.as_ptr(),
                    rows: self.rows.as_ptr(),
                    out: self.out[column..].as_mut_ptr(),
                    out_stride: self.out_stride,
                    accumulate: self.accumulate || index > 0,
                };
                // SAFETY: the asserts above bound every offset that the rows of tiles read and write.
                unsafe {
                    if width - column >= lanes.panel() {
                        wide_rows(simd, tile, self.rows.len());
                    } else {
                        narrow_rows(simd, tile, self.rows.len());
                    }
                }
            }
        }
    }
}

/// Tiles of exactly `$count` rows, where `$count` is one of the literals.
macro_rules! tile_of {
    ($simd:ident, $vectors:literal, $tile:expr, $count:expr, [$($rows:literal)*]) => {
        match $count {
            $($rows => outer_tile::<S, $vectors, $rows>($simd, $tile),)*
            _ => unreachable!(),
        }
    };
}

/// Rows of tiles two vectors wide. Ten rows fill 32 registers, leave room for the operands, and keep their addresses in
/// general registers; six do with 16.
#[inline(always)]
unsafe fn wide_rows<S: Simd>(simd: S, tile: OuterTile, rows: usize) {
    let whole = if S::REGISTER_COUNT >= 32 { 10 } else { 6 };
    unsafe {
        for_each_tile(tile, rows, whole, |tile, count| {
            if S::REGISTER_COUNT >= 32 {
                tile_of!(simd, 2, tile, count, [1 2 3 4 5 6 7 8 9 10])
            } else {
                tile_of!(simd, 2, tile, count, [1 2 3 4 5 6])
            }
        });
    }
}

/// Rows of tiles one vector wide.
#[inline(always)]
unsafe fn narrow_rows<S: Simd>(simd: S, tile: OuterTile, rows: usize) {
    let whole = if S::REGISTER_COUNT >= 32 { 14 } else { 8 };
    unsafe {
        for_each_tile(tile, rows, whole, |tile, count| {
            if S::REGISTER_COUNT >= 32 {
                tile_of!(simd, 1, tile, count, [1 2 3 4 5 6 7 8 9 10 11 12 13 14])
            } else {
                tile_of!(simd, 1, tile, count, [1 2 3 4 5 6 7 8])
            }
        });
    }
}

#[inline(always)]
unsafe fn for_each_tile(
    tile: OuterTile,
    rows: usize,
    whole: usize,
    mut compute: impl FnMut(OuterTile, usize),
) {
    let mut row = 0;
    while row < rows {
        let count = whole.min(rows - row);
        let at = unsafe {
            OuterTile {
                rows: tile.rows.add(row),
                out: tile.out.add(row * tile.out_stride),
                ..tile
            }
        };
        compute(at, count);
        row += count;
    }
}
