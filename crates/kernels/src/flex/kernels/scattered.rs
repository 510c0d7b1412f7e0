//! The input's gradient as the gradient of every tap, added up where taps overlap.

use core::mem::MaybeUninit;
use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::geometry::Geometry;
use super::packed::Packed;
use super::product::{Factor, Layout, Product};
use super::simd::{Lanes, run};

/// The weight of the wanted channels with one row per output channel, and where its columns, the taps, lie.
pub struct Scattered<'a> {
    geometry: &'a Geometry,
    channels: usize,
    weight: Weight<'a>,
    /// Offset of each tap from a position's first.
    taps: Vec<u32>,
}

enum Weight<'a> {
    Packed(Packed),
    InPlace(&'a [f32]),
}

/// One thread's scratch.
pub struct ScatteredScratch {
    framed: Vec<f32>,
    /// For each position the gradients of its taps.
    sums: Vec<f32>,
    out_stride: usize,
}

impl<'a> Scattered<'a> {
    /// For these of the input's channels.
    pub fn new(geometry: &'a Geometry, weight: &'a [f32], channels: Range<usize>) -> Self {
        let kernel = geometry.kernel[0] * geometry.kernel[1];
        let columns = channels.len() * kernel;
        let weight = &weight[channels.start * kernel..];
        let weight = match columns % Lanes::detect().count {
            0 => Weight::InPlace(weight),
            _ => Weight::Packed(Packed::from_rows(weight, geometry.taps(), geometry.out, columns)),
        };
        let mut taps = geometry.tap_offsets();
        taps.truncate(columns);
        Self { geometry, channels: channels.len(), weight, taps }
    }

    pub fn scratch(&self, block: usize) -> ScatteredScratch {
        let out_stride = Lanes::detect().round_up(self.taps.len());
        ScatteredScratch {
            framed: vec![0.0; self.channels * self.geometry.frame.plane()],
            sums: vec![0.0; block * self.geometry.positions() * out_stride],
            out_stride,
        }
    }

    pub fn run(&self, scratch: &mut ScatteredScratch, gradient: &[f32], to: &mut [MaybeUninit<f32>]) {
        let geometry = self.geometry;
        let positions = geometry.positions();
        let samples = gradient.len() / (geometry.out * positions);
        let of_sample = |sample| (0..positions).map(move |at| (sample * geometry.out * positions + at) as u32);
        let rows: Vec<u32> = (0..samples).flat_map(of_sample).collect();
        let steps: Vec<u32> = (0..geometry.out).map(|out| (out * positions) as u32).collect();
        Product {
            source: gradient,
            rows: &rows,
            steps: &steps,
            factor: self.factor(),
            out: &mut scratch.sums,
            layout: Layout::Rows(scratch.out_stride),
            first: 0,
            accumulate: false,
        }
        .run();
        let image = self.channels * geometry.height * geometry.width;
        let per_sample = scratch.sums.chunks_exact(positions * scratch.out_stride);
        for (to, sums) in to.chunks_exact_mut(image).zip(per_sample) {
            scratch.framed.fill(0.0);
            run(AddUp { job: self, sums, stride: scratch.out_stride, to: &mut scratch.framed });
            geometry.frame.crop(&scratch.framed, to);
        }
    }

    fn factor(&self) -> Factor<'_> {
        match &self.weight {
            Weight::Packed(packed) => Factor::Packed(packed),
            Weight::InPlace(data) => {
                Factor::Strided { data, stride: self.geometry.taps(), depth: self.geometry.out, width: self.taps.len() }
            }
        }
    }
}

/// Adds one image's taps into its frame. Tap by tap: the positions of one tap are all different, so no addition waits for
/// the one before.
struct AddUp<'a> {
    job: &'a Scattered<'a>,
    sums: &'a [f32],
    stride: usize,
    to: &'a mut [f32],
}

impl WithSimd for AddUp<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let geometry = self.job.geometry;
        let [stride_y, stride_x] = geometry.stride;
        let row = stride_y * geometry.frame.framed_width;
        let last_position = (geometry.out_height - 1) * row + (geometry.out_width - 1) * stride_x;
        let last_tap = self.job.taps.iter().copied().max().unwrap_or(0) as usize;
        assert!(last_tap + last_position < self.to.len());
        assert!(self.job.taps.len() <= self.stride && geometry.positions() * self.stride <= self.sums.len());
        for (tap, &offset) in self.job.taps.iter().enumerate() {
            for y in 0..geometry.out_height {
                // SAFETY: the asserts above bound the last position and tap on both sides.
                unsafe {
                    let from = self.sums.as_ptr().add(y * geometry.out_width * self.stride + tap);
                    let to = self.to.as_mut_ptr().add(offset as usize + y * row);
                    for x in 0..geometry.out_width {
                        *to.add(x * stride_x) += *from.add(x * self.stride);
                    }
                }
            }
        }
    }
}
