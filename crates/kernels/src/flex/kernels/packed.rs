//! Matrices reordered for the tiles of a product.

use core::mem::MaybeUninit;
use core::ops::Range;
use core::slice;

use pulp::{Simd, WithSimd};

use super::simd::{Lanes, run};
use super::turn::transpose;
use crate::flex::threads::{map_parts, part_range, parts, split};

/// What packing one element is worth in the multiplications that [`parts`] counts.
const WORK_PER_ELEMENT: usize = 8;

/// A matrix of `depth` rows and `width` columns, stored in panels of [`Lanes::panel`] columns: each panel's rows lie one
/// after the other, the last panel filled up to whole vectors. What fills it up is never read as a result.
pub struct Packed {
    data: Vec<f32>,
    depth: usize,
    width: usize,
    lanes: Lanes,
}

impl Packed {
    /// All zeros.
    pub fn zeros(depth: usize, width: usize) -> Self {
        let lanes = Lanes::detect();
        Self { data: vec![0.0; depth * lanes.round_up(width)], depth, width, lanes }
    }

    /// From columns that lie `stride` apart: `from[column * stride + row]`.
    pub fn from_columns(from: &[f32], stride: usize, depth: usize, width: usize) -> Self {
        assert!(width == 0 || (width - 1) * stride + depth <= from.len());
        // SAFETY: a transpose writes every row and column that it is given.
        unsafe {
            Self::build(depth, width, |columns, to, size| {
                let rows = columns.len();
                run(Transpose { from: &from[columns.start * stride..], stride, rows, count: depth, to, size });
            })
        }
    }

    /// From matrices of as many columns, which lie one after the other, as this has, and of `depth` rows: the rows of the
    /// first, of the second and so on.
    pub fn from_columns_of_each<'a>(
        matrices: impl ExactSizeIterator<Item = &'a [f32]> + Clone + Send + Sync,
        depth: usize,
        width: usize,
    ) -> Self {
        // SAFETY: a transpose writes every row and column that it is given, and each matrix has its rows.
        unsafe {
            Self::build(depth * matrices.len(), width, |columns, to, size| {
                run(TransposeEach { matrices: matrices.clone(), columns, depth, to, size });
            })
        }
    }

    /// From rows that lie `stride` apart: `from[row * stride + column]`.
    pub fn from_rows(from: &[f32], stride: usize, depth: usize, width: usize) -> Self {
        // SAFETY: the columns of every row are copied.
        unsafe {
            Self::build(depth, width, |columns, to, size| {
                for (row, to) in to.chunks_exact_mut(size).enumerate() {
                    to[..columns.len()].write_copy_of_slice(&from[row * stride..][columns.clone()]);
                }
            })
        }
    }

    /// These rows of another, in this order.
    pub fn from_rows_of(other: &Self, rows: &[usize]) -> Self {
        assert!(rows.iter().all(|&row| row < other.depth));
        let mut packed = Self::zeros(rows.len(), other.width);
        for panel in 0..packed.panels() {
            let (start, (from, size)) = (packed.panel_start(panel), other.panel(panel));
            let to = packed.data[start..].chunks_exact_mut(size);
            to.zip(rows).for_each(|(to, row)| to.copy_from_slice(&from[row * size..(row + 1) * size]));
        }
        packed
    }

    /// Calls `fill` for every panel, on the threads that its size deserves, with the panel's columns, its elements, and the
    /// floats from one of its rows to the next.
    ///
    /// # Safety
    /// `fill` must write the given columns of every row.
    unsafe fn build(
        depth: usize,
        width: usize,
        fill: impl Fn(Range<usize>, &mut [MaybeUninit<f32>], usize) + Send + Sync,
    ) -> Self {
        let lanes = Lanes::detect();
        let padded = lanes.round_up(width);
        // Only what fills up the last vectors needs to be zeroed.
        let mut data = if padded == width { Vec::new() } else { vec![0.0; depth * padded] };
        data.reserve_exact(depth * padded - data.len());
        // SAFETY: the vector has room for these elements.
        let elements = unsafe { slice::from_raw_parts_mut(data.as_mut_ptr().cast(), depth * padded) };
        let panels = width.div_ceil(lanes.panel());
        let threads = parts(depth * width * WORK_PER_ELEMENT).min(panels);
        let ranges = (0..threads).map(|part| part_range(panels, threads, part, 1));
        let lengths = ranges.clone().map(|panels| {
            let columns = panels.start * lanes.panel()..width.min(panels.end * lanes.panel());
            depth * lanes.round_up(columns.len())
        });
        map_parts(ranges.zip(split(elements, lengths)).collect(), |(panels, mut elements)| {
            for panel in panels {
                let columns = columns(panel, width, lanes);
                let size = lanes.round_up(columns.len());
                fill(columns, elements.split_off_mut(..depth * size).expect("a panel's elements"), size);
            }
        });
        // SAFETY: the caller's `fill` wrote the columns of every row, and the rest is zeros.
        unsafe { data.set_len(depth * padded) };
        Self { data, depth, width, lanes }
    }

    /// Sets `count` rows from `first` on: `from[column * stride + row - first]`.
    pub fn set_rows_from_columns(&mut self, first: usize, from: &[f32], stride: usize, count: usize) {
        assert!(first + count <= self.depth);
        assert!(self.width == 0 || (self.width - 1) * stride + count <= from.len());
        for panel in 0..self.panels() {
            let columns = columns(panel, self.width, self.lanes);
            let size = self.lanes.round_up(columns.len());
            let start = self.panel_start(panel) + first * size;
            let to = &mut self.data[start..start + count * size];
            // SAFETY: a transpose writes floats, and nothing that is not initialized.
            let to = unsafe { slice::from_raw_parts_mut(to.as_mut_ptr().cast(), to.len()) };
            run(Transpose { from: &from[columns.start * stride..], stride, rows: columns.len(), count, to, size });
        }
    }

    /// Makes it `depth` deep, at most as deep as it was made; the contents are then to be set anew.
    pub fn set_depth(&mut self, depth: usize) {
        assert!(depth * self.lanes.round_up(self.width) <= self.data.len());
        self.depth = depth;
    }

    /// Rows.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns, filled up to whole vectors.
    pub fn padded_width(&self) -> usize {
        self.lanes.round_up(self.width)
    }

    /// The vectors it was packed for.
    pub fn lanes(&self) -> Lanes {
        self.lanes
    }

    /// Elements of a panel from its first row on, and floats from one row to the next.
    pub fn panel(&self, panel: usize) -> (&[f32], usize) {
        let size = self.lanes.round_up(columns(panel, self.width, self.lanes).len());
        (&self.data[self.panel_start(panel)..], size)
    }

    /// [`panel`](Self::panel), to be written to.
    pub fn panel_mut(&mut self, panel: usize) -> (&mut [f32], usize) {
        let size = self.lanes.round_up(columns(panel, self.width, self.lanes).len());
        let start = self.panel_start(panel);
        (&mut self.data[start..], size)
    }

    fn panels(&self) -> usize {
        self.width.div_ceil(self.lanes.panel())
    }

    fn panel_start(&self, panel: usize) -> usize {
        panel * self.lanes.panel() * self.depth
    }
}

fn columns(panel: usize, width: usize, lanes: Lanes) -> Range<usize> {
    let start = panel * lanes.panel();
    start..width.min(start + lanes.panel())
}

struct Transpose<'a> {
    from: &'a [f32],
    stride: usize,
    rows: usize,
    count: usize,
    to: &'a mut [MaybeUninit<f32>],
    size: usize,
}

impl WithSimd for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        assert!(self.rows <= self.size && self.count * self.size <= self.to.len());
        // SAFETY: the assert above.
        unsafe {
            transpose(simd, self.from, self.stride, self.rows, self.count, self.to.as_mut_ptr().cast(), self.size);
        }
    }
}

struct TransposeEach<'a, I> {
    matrices: I,
    columns: Range<usize>,
    depth: usize,
    to: &'a mut [MaybeUninit<f32>],
    size: usize,
}

impl<'a, I: Iterator<Item = &'a [f32]>> WithSimd for TransposeEach<'_, I> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (depth, size, columns) = (self.depth, self.size, self.columns.len());
        assert!(columns <= size);
        for (matrix, to) in self.matrices.zip(self.to.chunks_exact_mut(depth * size)) {
            // SAFETY: a chunk has `depth` rows of `size`, of which the columns are written.
            unsafe {
                transpose(simd, &matrix[self.columns.start * depth..], depth, columns, depth, to.as_mut_ptr().cast(), size)
            };
        }
    }
}
