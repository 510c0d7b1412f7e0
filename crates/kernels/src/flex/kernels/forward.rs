//! The forward convolution on the CPU.

use core::mem::MaybeUninit;

use super::dot::Dots;
use super::epilogue::{Positions, Rows, finish};
use super::geometry::Geometry;
use super::packed::Packed;
use super::product::{Factor, Layout, Product};
use super::simd::Lanes;
use super::winograd;
use crate::Activation;
use crate::flex::threads::{map_parts, part_range, parts, split};

/// Floats of results that a block of images may have: they are added to again and again, so they should stay in the
/// second-level cache. Each block reads all of the weight or adds to all of its gradient, so there should be many, too.
const BLOCK_FLOATS: usize = 192 * 1024;

/// Floats of results and framed images together beyond which a block takes only as many images as it must.
const BLOCK_FLOATS_OF_ALL: usize = 96 * 1024;

/// Positions that are enough for a block to be worth reading the weight for.
const POSITIONS_PER_BLOCK: usize = 512;

/// `y = act(conv2d(x, weight) + bias)`: writes every element of y.
pub fn forward(
    geometry: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
    y: &mut [MaybeUninit<f32>],
) {
    let work = geometry.batch * geometry.work();
    // Packing the weight reads all of it to reorder it; a few positions are unfolded faster.
    if geometry.batch * geometry.positions() < geometry.out {
        return unfolded(geometry, x, weight, bias, activation, y);
    }
    let lanes = Lanes::detect();
    let threads = parts(work);
    let output = geometry.out * geometry.positions();
    if geometry.batch >= threads && winograd::suits(geometry) {
        let convolution = winograd::Convolution::forward(geometry, weight);
        let ranges = (0..threads).map(|part| part_range(geometry.batch, threads, part, 1));
        let outputs = split(y, ranges.clone().map(|range| range.len() * output));
        map_parts(ranges.zip(outputs).collect(), |(samples, y)| {
            let block = samples_per_block(geometry, lanes.round_up(geometry.out), samples.len());
            let mut scratch = convolution.scratch(block);
            let x = &x[samples.start * geometry.image()..samples.end * geometry.image()];
            for (x, y) in x.chunks(block * geometry.image()).zip(y.chunks_mut(block * output)) {
                convolution.run(&mut scratch, x, bias, activation, y);
            }
        });
        return;
    }
    if geometry.batch >= threads {
        let packed = Packed::from_columns(weight, geometry.taps(), geometry.taps(), geometry.out);
        let ranges = (0..threads).map(|part| part_range(geometry.batch, threads, part, 1));
        let outputs = split(y, ranges.clone().map(|range| range.len() * output));
        map_parts(ranges.zip(outputs).collect(), |(samples, y)| {
            let x = &x[samples.start * geometry.image()..samples.end * geometry.image()];
            samples_forward(geometry, x, Factor::Packed(&packed), bias, activation, y);
        });
        return;
    }
    // Fewer images than threads: each thread takes some of the output channels of one image.
    let ranges = (0..threads).map(|part| part_range(geometry.out, threads, part, lanes.count)).filter(|range| !range.is_empty());
    for (x, y) in x.chunks_exact(geometry.image()).zip(y.chunks_exact_mut(output)) {
        let outputs = split(y, ranges.clone().map(|range| range.len() * geometry.positions()));
        map_parts(ranges.clone().zip(outputs).collect(), |(range, y)| {
            let weight = &weight[range.start * geometry.taps()..range.end * geometry.taps()];
            let bias = bias.map(|bias| &bias[range.clone()]);
            let packed = Packed::from_columns(weight, geometry.taps(), geometry.taps(), range.len());
            samples_forward(geometry, x, Factor::Packed(&packed), bias, activation, y);
        });
    }
}

/// The images of x, on this thread; the factor's columns are output channels.
fn samples_forward(
    geometry: &Geometry,
    x: &[f32],
    factor: Factor,
    bias: Option<&[f32]>,
    activation: Activation,
    y: &mut [MaybeUninit<f32>],
) {
    let samples = x.len() / geometry.image();
    let channels = y.len() / (samples * geometry.positions());
    let width = factor.padded_width();
    let block = samples_per_block(geometry, width, samples);
    let mut framed = Framed::new(geometry, block);
    let layout = Layout::Panels(block * geometry.positions());
    let mut sums = vec![0.0; block * geometry.positions() * width];
    let taps = geometry.tap_offsets();
    let positions = geometry.position_offsets(block);
    let outputs = y.chunks_mut(block * channels * geometry.positions());
    for (x, y) in x.chunks(block * geometry.image()).zip(outputs) {
        let samples = x.len() / geometry.image();
        Product {
            source: framed.fill(geometry, x),
            rows: &positions[..samples * geometry.positions()],
            steps: &taps,
            factor,
            out: &mut sums,
            layout,
            first: 0,
            accumulate: false,
        }
        .run();
        let positions = Positions::InOrder(geometry.positions());
        finish(Rows { data: &sums, layout, channels, positions }, bias, activation, y);
    }
}

/// With few positions: each is unfolded into a row of taps, and the weight read as it lies.
fn unfolded(
    geometry: &Geometry,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
    y: &mut [MaybeUninit<f32>],
) {
    let mut framed = Framed::new(geometry, geometry.batch);
    let source = framed.fill(geometry, x);
    let offsets = geometry.tap_offsets();
    let mut rows = Vec::with_capacity(geometry.batch * geometry.positions() * geometry.taps());
    for position in geometry.position_offsets(geometry.batch) {
        let taps = &source[position as usize..];
        rows.extend(offsets.iter().map(|&tap| taps[tap as usize]));
    }
    let threads = parts(geometry.batch * geometry.work());
    let ranges = (0..threads).map(|part| part_range(geometry.out, threads, part, 4));
    let columns = map_parts(ranges.clone().collect(), |range| {
        let count = geometry.batch * geometry.positions();
        let mut sums = vec![0.0; count * range.len()];
        Dots {
            x: &rows,
            count,
            weight: &weight[range.start * geometry.taps()..],
            weights: range.len(),
            length: geometry.taps(),
            store: |row, out, sum| sums[row * range.len() + out] = sum,
        }
        .run();
        sums
    });
    let output = geometry.out * geometry.positions();
    for (range, sums) in ranges.zip(columns) {
        let bias = bias.map(|bias| &bias[range.clone()]);
        let per_sample = sums.chunks_exact(geometry.positions() * range.len());
        for (y, sums) in y.chunks_exact_mut(output).zip(per_sample) {
            let positions = Positions::InOrder(geometry.positions());
            let rows = Rows { data: sums, layout: Layout::Rows(range.len()), channels: range.len(), positions };
            let channels = range.start * geometry.positions()..range.end * geometry.positions();
            finish(rows, bias, activation, &mut y[channels]);
        }
    }
}

/// Images whose frames and results fit the cache together, or else enough of them to be worth reading the weight for.
pub fn samples_per_block(geometry: &Geometry, width: usize, samples: usize) -> usize {
    let results = geometry.positions() * width;
    let small = BLOCK_FLOATS_OF_ALL / (geometry.framed_image() + results);
    let enough = (BLOCK_FLOATS / results).min(POSITIONS_PER_BLOCK.div_ceil(geometry.positions()));
    small.max(enough).clamp(1, samples)
}

/// A block of images in their frames; without padding, the images themselves.
pub struct Framed {
    data: Vec<f32>,
}

impl Framed {
    pub fn new(geometry: &Geometry, samples: usize) -> Self {
        let floats = match geometry.frame.is_bare() {
            true => 0,
            false => samples * geometry.framed_image(),
        };
        Self { data: vec![0.0; floats] }
    }

    pub fn fill<'a>(&'a mut self, geometry: &Geometry, images: &'a [f32]) -> &'a [f32] {
        if geometry.frame.is_bare() {
            return images;
        }
        geometry.frame.copy(images, &mut self.data);
        &self.data
    }
}
