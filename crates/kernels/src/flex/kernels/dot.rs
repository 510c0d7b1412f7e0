//! Dot products of contiguous rows: `x weight^T`, read as both lie in memory.

use pulp::{Simd, WithSimd};

use super::simd::{Lanes, dot_tile, run};

/// Dot products of each of `count` rows of x with each of the rows `weights` of a weight matrix.
pub struct Dots<'a, F: FnMut(usize, usize, f32)> {
    /// Rows of x, `length` floats each, one after the other.
    pub x: &'a [f32],
    pub count: usize,
    /// Rows of the weight, `length` floats each, one after the other.
    pub weight: &'a [f32],
    pub weights: usize,
    pub length: usize,
    /// Takes the index of the row of x, of the weight, and their product.
    pub store: F,
}

impl<F: FnMut(usize, usize, f32)> Dots<'_, F> {
    /// Computes them on this thread.
    pub fn run(self) {
        assert!(self.count * self.length <= self.x.len());
        assert!(self.weights * self.length <= self.weight.len());
        run(self);
    }
}

impl<F: FnMut(usize, usize, f32)> WithSimd for Dots<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // SAFETY: `run` asserted that both matrices have the rows that the tiles read.
        unsafe {
            let mut weight = 0;
            while weight < self.weights {
                if Lanes::many::<S>() && weight + 4 <= self.weights {
                    self.rows::<S, 4>(simd, weight);
                    weight += 4;
                } else if weight + 2 <= self.weights {
                    self.rows::<S, 2>(simd, weight);
                    weight += 2;
                } else {
                    self.rows::<S, 1>(simd, weight);
                    weight += 1;
                }
            }
        }
    }
}

impl<F: FnMut(usize, usize, f32)> Dots<'_, F> {
    /// All rows of x with `Q` rows of the weight, from `weight` on.
    #[inline(always)]
    unsafe fn rows<S: Simd, const Q: usize>(&mut self, simd: S, weight: usize) {
        unsafe {
            let mut row = 0;
            while row < self.count {
                row += match self.count - row {
                    1 => self.tile::<S, 1, Q>(simd, row, weight),
                    2 => self.tile::<S, 2, Q>(simd, row, weight),
                    3 => self.tile::<S, 3, Q>(simd, row, weight),
                    4 | 5 => self.tile::<S, 4, Q>(simd, row, weight),
                    _ if Lanes::many::<S>() => self.tile::<S, 6, Q>(simd, row, weight),
                    _ => self.tile::<S, 4, Q>(simd, row, weight),
                };
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const Q: usize>(&mut self, simd: S, row: usize, weight: usize) -> usize {
        let x = self.x.as_ptr();
        let w = self.weight.as_ptr();
        let (mut rows, mut weights) = ([x; R], [w; Q]);
        let sums = unsafe {
            for r in 0..R {
                rows[r] = x.add((row + r) * self.length);
            }
            for q in 0..Q {
                weights[q] = w.add((weight + q) * self.length);
            }
            dot_tile::<S, R, Q>(simd, self.length, rows, weights)
        };
        for (r, sums) in sums.iter().enumerate() {
            for (q, sum) in sums.iter().enumerate() {
                (self.store)(row + r, weight + q, *sum);
            }
        }
        R
    }
}
