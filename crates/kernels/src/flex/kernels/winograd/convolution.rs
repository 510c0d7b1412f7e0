//! The forward pass and the data gradient.

use core::mem::MaybeUninit;

use crate::Activation;
use crate::flex::kernels::epilogue::{Positions, Rows, finish};
use crate::flex::kernels::geometry::Geometry;
use crate::flex::kernels::packed::Packed;
use crate::flex::kernels::product::{Factor, Layout, Product};
use crate::flex::kernels::simd::{Lanes, run};

use super::tiling::{ELEMENTS, GAP, Tiling, tiles_per_block};
use super::transforms::{TransformInputs, TransformProducts, TransformWeight};

/// A convolution with a prepared weight: shared by all threads.
pub struct Convolution {
    tiling: Tiling,
    out: usize,
    /// For each element a matrix with a row for each of the images' channels and a column for each of the results'.
    factors: Vec<Packed>,
}

impl Convolution {
    /// The forward pass.
    pub fn forward(geometry: &Geometry, weight: &[f32]) -> Self {
        let rows = Packed::from_columns(weight, geometry.taps(), geometry.taps(), geometry.out);
        let tiling = Tiling::forward(geometry);
        Self { tiling, out: geometry.out, factors: transformed_weight(&rows, geometry.channels, geometry.out, false) }
    }

    /// The input's gradient from the output's.
    pub fn of_gradient(geometry: &Geometry, weight: &[f32]) -> Self {
        let filters = weight.chunks_exact(geometry.taps());
        let rows = Packed::from_columns_of_each(filters, 9, geometry.channels);
        let tiling = Tiling {
            channels: geometry.out,
            height: geometry.out_height,
            width: geometry.out_width,
            padding: [2 - geometry.frame.top, 2 - geometry.frame.left],
            out_height: geometry.height,
            out_width: geometry.width,
        };
        Self { tiling, out: geometry.channels, factors: transformed_weight(&rows, geometry.out, geometry.channels, true) }
    }

    /// What one thread needs to compute up to `samples` images at a time.
    pub fn scratch(&self, samples: usize) -> Scratch {
        let (inputs, results) = (self.tiling.padded(), Lanes::detect().round_up(self.out));
        let block = tiles_per_block(self.tiling.channels * self.out).min(samples * self.tiling.tiles());
        Scratch {
            framed: vec![0.0; samples * self.tiling.framed_image()],
            inputs: vec![0.0; ELEMENTS * (block * inputs + GAP)],
            products: vec![0.0; ELEMENTS * (block * results + GAP)],
            sums: vec![0.0; samples * self.tiling.positions() * results],
            block,
        }
    }

    /// Writes every element of `to`, `[sample, channel, height', width']`, from images `[sample, channel, height, width]`.
    pub fn run(
        &self,
        scratch: &mut Scratch,
        images: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
        to: &mut [MaybeUninit<f32>],
    ) {
        let tiling = &self.tiling;
        let samples = images.len() / (tiling.channels * tiling.height * tiling.width);
        let (inputs, results) = (tiling.padded(), Lanes::detect().round_up(self.out));
        tiling.frame(images, &mut scratch.framed);
        let steps: Vec<u32> = (0..tiling.channels as u32).collect();
        let rows: Vec<u32> = (0..scratch.block).map(|tile| (tile * inputs) as u32).collect();
        let all = samples * tiling.tiles();
        for first in (0..all).step_by(scratch.block) {
            let tiles = first..all.min(first + scratch.block);
            let input_stride = tiles.len() * inputs + GAP;
            let product_stride = tiles.len() * results + GAP;
            run(TransformInputs {
                tiling,
                tiles: tiles.clone(),
                framed: &scratch.framed,
                to: &mut scratch.inputs,
                stride: input_stride,
            });
            for (element, factor) in self.factors.iter().enumerate() {
                Product {
                    source: &scratch.inputs[element * input_stride..][..tiles.len() * inputs],
                    rows: &rows[..tiles.len()],
                    steps: &steps,
                    factor: Factor::Packed(factor),
                    out: &mut scratch.products[element * product_stride..],
                    layout: Layout::Rows(results),
                    first: 0,
                    accumulate: false,
                }
                .run();
            }
            run(TransformProducts {
                tiling,
                tiles,
                products: &scratch.products,
                stride: product_stride,
                to: &mut scratch.sums,
                padded: results,
            });
        }
        let positions = Positions::InOrder(tiling.positions());
        finish(Rows { data: &scratch.sums, layout: Layout::Rows(results), channels: self.out, positions }, bias, activation, to);
    }
}

/// One thread's memory for a [`Convolution`].
pub struct Scratch {
    framed: Vec<f32>,
    inputs: Vec<f32>,
    products: Vec<f32>,
    /// A row for each position.
    sums: Vec<f32>,
    /// Tiles at a time.
    block: usize,
}

/// `G g G^T` for every pair of channels. `rows` has a row for each input channel and tap and a column for each output channel;
/// `flipped` turns the kernels around.
fn transformed_weight(rows: &Packed, depth: usize, width: usize, flipped: bool) -> Vec<Packed> {
    let mut factors: Vec<Packed> = (0..ELEMENTS).map(|_| Packed::zeros(depth, width)).collect();
    run(TransformWeight { rows, depth, flipped, to: &mut factors });
    factors
}
