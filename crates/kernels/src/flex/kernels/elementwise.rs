//! Loops over slices, compiled for the widest vectors there are.
//!
//! Each is a [`WithSimd`] operation of its own with its loop inside: a closure that holds a loop may be compiled apart,
//! for the narrowest vectors. The closures given here should own what they use (`move`): what is borrowed might change with
//! each element that is written, and the loop stays scalar.

use core::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::simd::run;

/// `to[i] = map(a[i])`.
pub fn map1(a: &[f32], to: &mut [MaybeUninit<f32>], map: impl Fn(f32) -> f32) {
    run(Map1 { a, to, map });
}

/// `to[i] = map(a[i], b[i])`.
pub fn map2(a: &[f32], b: &[f32], to: &mut [MaybeUninit<f32>], map: impl Fn(f32, f32) -> f32) {
    run(Map2 { a, b, to, map });
}

/// `to[i] = map(a[i], b[i], c[i])`.
pub fn map3(a: [&[f32]; 3], to: &mut [MaybeUninit<f32>], map: impl Fn(f32, f32, f32) -> f32) {
    run(Map3 { a, to, map });
}

/// `(a[i], b[i]) = map(a[i], b[i], c[i])`.
pub fn update2(a: &mut [f32], b: &mut [f32], c: &[f32], map: impl Fn(f32, f32, f32) -> (f32, f32)) {
    run(Update2 { a, b, c, map });
}

/// The mean of a slice and the sum of the squared distances from it; zeros of an empty one.
pub fn moments(values: &[f32]) -> [f32; 2] {
    run(Moments(values))
}

/// The sum of a slice.
pub fn sum(values: &[f32]) -> f32 {
    run(Sum(values))
}

/// The sums of g and of `g * (x - mean)`, where g is scaled by `slope` wherever y is given and not positive; the latter 0
/// without an x.
pub fn masked_sums(g: &[f32], y: Option<&[f32]>, x: Option<&[f32]>, mean: f32, slope: f32) -> [f32; 2] {
    run(MaskedSums { g, y, x, mean, slope })
}

struct Map1<'a, 't, F> {
    a: &'a [f32],
    to: &'t mut [MaybeUninit<f32>],
    map: F,
}

impl<F: Fn(f32) -> f32> WithSimd for Map1<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (to, &a) in self.to.iter_mut().zip(self.a) {
            to.write((self.map)(a));
        }
    }
}

struct Map2<'a, 't, F> {
    a: &'a [f32],
    b: &'a [f32],
    to: &'t mut [MaybeUninit<f32>],
    map: F,
}

impl<F: Fn(f32, f32) -> f32> WithSimd for Map2<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((to, &a), &b) in self.to.iter_mut().zip(self.a).zip(self.b) {
            to.write((self.map)(a, b));
        }
    }
}

struct Map3<'a, 't, F> {
    a: [&'a [f32]; 3],
    to: &'t mut [MaybeUninit<f32>],
    map: F,
}

impl<F: Fn(f32, f32, f32) -> f32> WithSimd for Map3<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [a, b, c] = self.a;
        for (((to, &a), &b), &c) in self.to.iter_mut().zip(a).zip(b).zip(c) {
            to.write((self.map)(a, b, c));
        }
    }
}

struct Update2<'a, F> {
    a: &'a mut [f32],
    b: &'a mut [f32],
    c: &'a [f32],
    map: F,
}

impl<F: Fn(f32, f32, f32) -> (f32, f32)> WithSimd for Update2<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((a, b), &c) in self.a.iter_mut().zip(self.b).zip(self.c) {
            (*a, *b) = (self.map)(*a, *b, c);
        }
    }
}

struct Sum<'a>(&'a [f32]);

impl WithSimd for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let (whole, rest) = self.0.as_chunks::<32>();
        let mut sums = [0.0f32; 32];
        for values in whole {
            for lane in 0..32 {
                sums[lane] += values[lane];
            }
        }
        sums.iter().chain(rest).sum()
    }
}

struct Moments<'a>(&'a [f32]);

impl WithSimd for Moments<'_> {
    type Output = [f32; 2];

    /// Twice over the slice, which is to fit the nearest cache: sums of squares alone would cancel where the mean is large.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f32; 2] {
        if self.0.is_empty() {
            return [0.0; 2];
        }
        let mean = Sum(self.0).with_simd(simd) / self.0.len() as f32;
        let (whole, rest) = self.0.as_chunks::<32>();
        let mut squares = [0.0f32; 32];
        for values in whole {
            for lane in 0..32 {
                let distance = values[lane] - mean;
                squares[lane] += distance * distance;
            }
        }
        let of_rest = rest.iter().map(|value| (value - mean) * (value - mean));
        [mean, squares.into_iter().chain(of_rest).sum()]
    }
}

struct MaskedSums<'a> {
    g: &'a [f32],
    y: Option<&'a [f32]>,
    x: Option<&'a [f32]>,
    mean: f32,
    slope: f32,
}

impl WithSimd for MaskedSums<'_> {
    type Output = [f32; 2];

    /// In as many partial sums as four of the widest vectors have lanes: an addition waits for the one before it.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> [f32; 2] {
        const LANES: usize = 64;
        let (ones, means) = ([1.0; LANES], [self.mean; LANES]);
        let mut sums = Partial { sum: [0.0; LANES], product: [0.0; LANES] };
        let (whole, rest) = self.g.as_chunks::<LANES>();
        let ys = self.y.map(|y| y.as_chunks::<LANES>());
        let xs = self.x.map(|x| x.as_chunks::<LANES>());
        for (at, g) in whole.iter().enumerate() {
            let y = ys.map_or(&ones, |ys| &ys.0[at]);
            let x = xs.map_or(&means, |xs| &xs.0[at]);
            sums.add(g, y, x, self.mean, self.slope);
        }
        if !rest.is_empty() {
            let (mut g, mut y, mut x) = ([0.0; LANES], ones, means);
            g[..rest.len()].copy_from_slice(rest);
            if let Some(ys) = ys {
                y[..rest.len()].copy_from_slice(ys.1);
            }
            if let Some(xs) = xs {
                x[..rest.len()].copy_from_slice(xs.1);
            }
            sums.add(&g, &y, &x, self.mean, self.slope);
        }
        [sums.sum.iter().sum(), sums.product.iter().sum()]
    }
}

struct Partial<const LANES: usize> {
    sum: [f32; LANES],
    product: [f32; LANES],
}

impl<const LANES: usize> Partial<LANES> {
    #[inline(always)]
    fn add(&mut self, g: &[f32; LANES], y: &[f32; LANES], x: &[f32; LANES], mean: f32, slope: f32) {
        for lane in 0..LANES {
            // A slope of 0 selects 0 instead of multiplying, which would keep an infinite gradient.
            let off = if slope == 0.0 { 0.0 } else { g[lane] * slope };
            let g = if y[lane] <= 0.0 { off } else { g[lane] };
            self.sum[lane] += g;
            self.product[lane] += g * (x[lane] - mean);
        }
    }
}
