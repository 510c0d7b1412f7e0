//! The gradient of a convolution's weight, in one of two ways.

use super::forward::Framed;
use super::geometry::Geometry;
use super::packed::Packed;
use super::product::{Factor, Layout, Product};
use super::simd::Lanes;
use super::winograd;

/// One thread's sum of the weight's gradient, in one of two ways.
pub enum WeightGradient {
    Direct(DirectWeightGradient),
    Transformed(winograd::WeightGradient),
}

impl WeightGradient {
    pub fn new(geometry: &Geometry, block: usize) -> Self {
        match winograd::suits_weight_gradient(geometry) {
            true => Self::Transformed(winograd::WeightGradient::new(geometry, block)),
            false => Self::Direct(DirectWeightGradient::new(geometry, block)),
        }
    }

    pub fn add(&mut self, geometry: &Geometry, x: &[f32], gradient: &[f32]) {
        match self {
            Self::Direct(sum) => sum.add(geometry, x, gradient),
            Self::Transformed(sum) => sum.add(x, gradient),
        }
    }

    pub fn sums(self) -> Vec<f32> {
        match self {
            Self::Direct(sum) => sum.sums,
            Self::Transformed(sum) => sum.sums(),
        }
    }
}

/// The weight's gradient: for each tap and output channel, the sum over positions of what the tap saw times the gradient.
pub struct DirectWeightGradient {
    sums: Vec<f32>,
    /// The gradient with one row per position.
    gradient: Packed,
    framed: Framed,
    taps: Vec<u32>,
    positions: Vec<u32>,
}

impl DirectWeightGradient {
    fn new(geometry: &Geometry, block: usize) -> Self {
        Self {
            sums: vec![0.0; geometry.taps() * Lanes::detect().round_up(geometry.out)],
            gradient: Packed::zeros(block * geometry.positions(), geometry.out),
            framed: Framed::new(geometry, block),
            taps: geometry.tap_offsets(),
            positions: geometry.position_offsets(block),
        }
    }

    fn add(&mut self, geometry: &Geometry, x: &[f32], gradient: &[f32]) {
        let count = geometry.positions();
        let samples = x.len() / geometry.image();
        self.gradient.set_depth(samples * count);
        for (sample, gradient) in gradient.chunks_exact(geometry.out * count).enumerate() {
            self.gradient.set_rows_from_columns(sample * count, gradient, count, count);
        }
        Product {
            source: self.framed.fill(geometry, x),
            rows: &self.taps,
            steps: &self.positions[..samples * count],
            factor: Factor::Packed(&self.gradient),
            out: &mut self.sums,
            layout: Layout::Panels(geometry.taps()),
            first: 0,
            accumulate: true,
        }
        .run();
    }
}
