//! The weight gradient.

use crate::flex::kernels::geometry::Geometry;
use crate::flex::kernels::packed::Packed;
use crate::flex::kernels::product::{Factor, Layout, Product};
use crate::flex::kernels::simd::{Lanes, run};

use super::tiling::{ChannelsLast, ELEMENTS, GAP, Tiling, tiles_per_block};
use super::transforms::{TransformGradients, TransformInputs, TransformSums};

/// One thread's sum of the weight's gradient.
pub struct WeightGradient {
    tiling: Tiling,
    out: usize,
    framed: Vec<f32>,
    /// The output's gradient, channels last.
    gradient: Vec<f32>,
    inputs: Vec<f32>,
    /// For each element a matrix with a row for each tile and a column for each output channel.
    gradients: Vec<Packed>,
    /// For each element a row for each input channel and a column for each output channel.
    sums: Vec<f32>,
    block: usize,
}

impl WeightGradient {
    /// For up to `samples` images at a time.
    pub fn new(geometry: &Geometry, samples: usize) -> Self {
        let tiling = Tiling::forward(geometry);
        let (inputs, results) = (tiling.padded(), Lanes::detect().round_up(geometry.out));
        let block = tiles_per_block(tiling.channels * geometry.out).min(samples * tiling.tiles());
        Self {
            tiling,
            out: geometry.out,
            framed: vec![0.0; samples * tiling.framed_image()],
            gradient: vec![0.0; samples * tiling.positions() * results],
            inputs: vec![0.0; ELEMENTS * (block * inputs + GAP)],
            gradients: (0..ELEMENTS).map(|_| Packed::zeros(block, geometry.out)).collect(),
            sums: vec![0.0; ELEMENTS * tiling.channels * results],
            block,
        }
    }

    /// Adds what images `[sample, channel, height, width]` and the gradient of their outputs contribute.
    pub fn add(&mut self, images: &[f32], gradient: &[f32]) {
        let tiling = &self.tiling;
        let samples = images.len() / (tiling.channels * tiling.height * tiling.width);
        let (inputs, results) = (tiling.padded(), Lanes::detect().round_up(self.out));
        tiling.frame(images, &mut self.framed);
        let positions = tiling.positions();
        let planes = gradient.chunks_exact(self.out * positions).zip(self.gradient.chunks_exact_mut(positions * results));
        for (from, to) in planes {
            run(ChannelsLast { from, plane: positions, channels: self.out, columns: positions, to, padded: results });
        }
        let rows: Vec<u32> = (0..tiling.channels as u32).collect();
        let steps: Vec<u32> = (0..self.block).map(|tile| (tile * inputs) as u32).collect();
        let all = samples * tiling.tiles();
        for first in (0..all).step_by(self.block) {
            let tiles = first..all.min(first + self.block);
            let stride = tiles.len() * inputs + GAP;
            run(TransformInputs { tiling, tiles: tiles.clone(), framed: &self.framed, to: &mut self.inputs, stride });
            self.gradients.iter_mut().for_each(|matrix| matrix.set_depth(tiles.len()));
            run(TransformGradients {
                tiling,
                tiles: tiles.clone(),
                gradient: &self.gradient,
                padded: results,
                to: &mut self.gradients,
            });
            let sums = self.sums.chunks_exact_mut(tiling.channels * results);
            for (element, (factor, out)) in self.gradients.iter().zip(sums).enumerate() {
                Product {
                    source: &self.inputs[element * stride..][..tiles.len() * inputs],
                    rows: &rows,
                    steps: &steps[..tiles.len()],
                    factor: Factor::Packed(factor),
                    out,
                    layout: Layout::Rows(results),
                    first: 0,
                    accumulate: true,
                }
                .run();
            }
        }
    }

    /// The sum: a row for each input channel and tap, a column for each output channel, in panels.
    pub fn sums(&self) -> Vec<f32> {
        let results = Lanes::detect().round_up(self.out);
        let mut to = vec![0.0; 9 * self.tiling.channels * results];
        run(TransformSums { channels: self.tiling.channels, padded: results, sums: &self.sums, to: &mut to });
        to
    }
}
