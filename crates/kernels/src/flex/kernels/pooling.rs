//! The maximum of windows that do not overlap.

use core::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::simd::run;
use crate::flex::threads::each_plane;

/// Square windows that tile a plane; what is left over at its end belongs to none.
#[derive(Clone, Copy)]
pub struct Windows {
    pub size: usize,
    pub height: usize,
    pub width: usize,
}

impl Windows {
    fn plane(self) -> usize {
        self.height * self.width
    }

    fn out_height(self) -> usize {
        self.height / self.size
    }

    fn out_width(self) -> usize {
        self.width / self.size
    }
}

/// Writes the maximum of each window; NaN where a window holds one.
pub fn forward(windows: Windows, x: &[f32], y: &mut [MaybeUninit<f32>]) {
    let out_plane = windows.out_height() * windows.out_width();
    let planes = x.len() / windows.plane();
    each_plane(planes * out_plane, out_plane, y, |index, _, y| {
        run(Forward { windows, x: &x[index * windows.plane()..(index + 1) * windows.plane()], y });
    });
}

/// Writes the gradient: each window's goes to the first of its elements that is the maximum.
pub fn backward(windows: Windows, gradient: &[f32], x: &[f32], to: &mut [MaybeUninit<f32>]) {
    let out_plane = windows.out_height() * windows.out_width();
    each_plane(x.len(), windows.plane(), to, |index, range, to| {
        let gradient = &gradient[index * out_plane..(index + 1) * out_plane];
        run(Backward { windows, gradient, x: &x[range], to });
    });
}

struct Forward<'a> {
    windows: Windows,
    x: &'a [f32],
    y: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Windows { size, width, .. } = self.windows;
        let out_width = self.windows.out_width();
        let bands = self.x.chunks_exact(size * width);
        for (band, y) in bands.zip(self.y.chunks_exact_mut(out_width)) {
            if size == 2 {
                let (upper, lower) = band.split_at(width);
                let (upper, _) = upper.as_chunks::<2>();
                let (lower, _) = lower.as_chunks::<2>();
                for ((y, upper), lower) in y.iter_mut().zip(upper).zip(lower) {
                    y.write(larger(larger(upper[0], upper[1]), larger(lower[0], lower[1])));
                }
                continue;
            }
            for (column, y) in y.iter_mut().enumerate() {
                let mut most = f32::NEG_INFINITY;
                for row in band.chunks_exact(width) {
                    for &x in &row[column * size..(column + 1) * size] {
                        most = larger(most, x);
                    }
                }
                y.write(most);
            }
        }
    }
}

/// The larger of two, or NaN if one is. Not `max`, which would drop NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a >= b || a.is_nan() { a } else { b }
}

struct Backward<'a> {
    windows: Windows,
    gradient: &'a [f32],
    x: &'a [f32],
    to: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Windows { size, width, .. } = self.windows;
        let out_width = self.windows.out_width();
        self.to.fill(MaybeUninit::new(0.0));
        let bands = self.x.chunks_exact(size * width).zip(self.to.chunks_exact_mut(size * width));
        for ((x, to), gradient) in bands.zip(self.gradient.chunks_exact(out_width)) {
            if size == 2 {
                let ((x_upper, x_lower), (to_upper, to_lower)) = (x.split_at(width), to.split_at_mut(width));
                let x = x_upper.as_chunks::<2>().0.iter().zip(x_lower.as_chunks::<2>().0);
                let to = to_upper.as_chunks_mut::<2>().0.iter_mut().zip(to_lower.as_chunks_mut::<2>().0);
                for (((&[a, b], &[c, d]), (upper, lower)), &gradient) in x.zip(to).zip(gradient) {
                    let most = larger(larger(a, b), larger(c, d));
                    let [is_a, is_b, is_c] = [a, b, c].map(|value| is_most(value, most));
                    let given = |gets: bool| MaybeUninit::new(if gets { gradient } else { 0.0 });
                    *upper = [given(is_a), given(!is_a & is_b)];
                    *lower = [given(!is_a & !is_b & is_c), given(!is_a & !is_b & !is_c)];
                }
                continue;
            }
            for (column, &gradient) in gradient.iter().enumerate() {
                let offsets = (0..size).flat_map(|row| (0..size).map(move |x| row * width + column * size + x));
                let most = offsets.clone().fold(f32::NEG_INFINITY, |most, at| larger(most, x[at]));
                if let Some(at) = offsets.into_iter().find(|&at| is_most(x[at], most)) {
                    to[at].write(gradient);
                }
            }
        }
    }
}

/// Whether an element of a window is its maximum; any is, where that is NaN.
#[inline(always)]
#[allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN is to be accepted")]
fn is_most(value: f32, most: f32) -> bool {
    !(value < most)
}
