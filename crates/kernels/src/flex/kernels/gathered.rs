//! The input's gradient as convolutions of the output's gradient.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::epilogue::{Positions, Rows, finish};
use super::geometry::{Frame, Geometry, Phase};
use super::packed::Packed;
use super::product::{Factor, Layout, Product};
use super::simd::Lanes;
use crate::Activation;

/// One convolution of the gradient for each remainder of the input position modulo the stride.
pub struct Gathered<'a> {
    geometry: &'a Geometry,
    channels: usize,
    frame: Frame,
    /// A row for each output channel and tap.
    weight: Packed,
    phases: Vec<Part>,
}

struct Part {
    /// The rows of this part's taps; without it, all rows.
    weight: Option<Packed>,
    steps: Vec<u32>,
    /// Offsets of the positions of one image's gradient.
    positions: Vec<u32>,
    /// First input row and column, and how many of each.
    first: [usize; 2],
    count: [usize; 2],
}

/// One thread's scratch.
pub struct GatheredScratch {
    framed: Vec<f32>,
    /// For each part the results of a block of images, a row for each position, in panels.
    sums: Vec<f32>,
    all_rows: usize,
    /// For each input position, its row in `sums` and the rows from one image to the next.
    rows: Vec<[u32; 2]>,
    block: usize,
}

impl<'a> Gathered<'a> {
    /// For these of the input's channels.
    pub fn new(geometry: &'a Geometry, weight: &[f32], channels: Range<usize>) -> Self {
        let transposed = geometry.transposed();
        let frame = transposed.frame;
        let kernel = geometry.kernel[0] * geometry.kernel[1];
        let filters = weight.chunks_exact(geometry.taps());
        let filters = filters.map(|filter| &filter[channels.start * kernel..channels.end * kernel]);
        let weight = Packed::from_columns_of_each(filters, kernel, channels.len());
        let phases = transposed.phases().map(|phase| Part::new(geometry, frame, phase, &weight)).collect();
        Self { geometry, channels: channels.len(), frame, weight, phases }
    }

    pub fn scratch(&self, block: usize) -> GatheredScratch {
        let geometry = self.geometry;
        let [stride_y, stride_x] = geometry.stride;
        let mut rows = vec![[0; 2]; geometry.height * geometry.width];
        let mut first_row = 0;
        for part in &self.phases {
            let count = part.positions.len();
            for y in 0..part.count[0] {
                for x in 0..part.count[1] {
                    let at = (part.first[0] + y * stride_y) * geometry.width + part.first[1] + x * stride_x;
                    rows[at] = [(first_row + y * part.count[1] + x) as u32, count as u32];
                }
            }
            first_row += block * count;
        }
        let framed = if self.frame.is_bare() { 0 } else { block * geometry.out * self.frame.plane() };
        // Zeros stay where no tap reaches.
        let sums = vec![0.0; first_row * Lanes::detect().round_up(self.channels)];
        GatheredScratch { framed: vec![0.0; framed], sums, all_rows: first_row, rows, block }
    }

    pub fn run(&self, scratch: &mut GatheredScratch, gradient: &[f32], to: &mut [MaybeUninit<f32>]) {
        let geometry = self.geometry;
        let samples = gradient.len() / (geometry.out * geometry.positions());
        let source = match self.frame.is_bare() {
            true => gradient,
            false => {
                self.frame.copy(gradient, &mut scratch.framed);
                &scratch.framed
            }
        };
        let image = geometry.out * self.frame.plane();
        let layout = Layout::Panels(scratch.all_rows);
        let mut first = 0;
        for part in &self.phases {
            if !part.steps.is_empty() {
                let of_sample = |sample| part.positions.iter().map(move |at| at + (sample * image) as u32);
                let rows: Vec<u32> = (0..samples).flat_map(of_sample).collect();
                let factor = Factor::Packed(part.weight.as_ref().unwrap_or(&self.weight));
                let (steps, out) = (&part.steps, &mut scratch.sums);
                Product { source, rows: &rows, steps, factor, out, layout, first, accumulate: false }.run();
            }
            first += scratch.block * part.positions.len();
        }
        let positions = match self.phases.len() {
            1 => Positions::InOrder(geometry.height * geometry.width),
            _ => Positions::Listed(&scratch.rows),
        };
        let rows = Rows { data: &scratch.sums, layout, channels: self.channels, positions };
        finish(rows, None, Activation::None, to);
    }
}

impl Part {
    /// `weight` has a row for each output channel and tap.
    fn new(geometry: &Geometry, frame: Frame, phase: Phase, weight: &Packed) -> Self {
        let [height, width] = geometry.kernel;
        let taps = phase.taps();
        let rows_of = |out| taps.iter().map(move |([y, x], _)| out * height * width + y * width + x);
        let steps_of = |out| taps.iter().map(move |tap| (out * frame.plane()) as u32 + tap.1);
        let rows: Vec<usize> = (0..geometry.out).flat_map(rows_of).collect();
        Self {
            weight: (rows.len() < weight.depth()).then(|| Packed::from_rows_of(weight, &rows)),
            steps: (0..geometry.out).flat_map(steps_of).collect(),
            positions: phase.position_offsets(1, geometry.out),
            first: [phase.row.first, phase.column.first],
            count: [phase.row.count, phase.column.count],
        }
    }
}
