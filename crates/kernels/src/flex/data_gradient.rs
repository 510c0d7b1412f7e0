//! The gradient of a convolution's input, in one of two ways.
//!
//! *Gathered*: the transposed convolution is a convolution of the gradient, one for each remainder of the input position
//! modulo the stride; its columns are input channels. *Scattered*: the gradient of every tap of every position, added up
//! where the taps overlap; its columns are taps, so it wastes no vectors on a few input channels, and it reads the weight as
//! it lies, so it also wins when there are too few positions to make packing the weight worth while.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::epilogue::{Rows, finish};
use super::geometry::{Frame, Geometry, Phase};
use super::product::{Factor, Packed, Product};
use super::simd::Lanes;
use crate::Activation;

/// The gradient with respect to some of the input's channels, prepared: shared by all threads.
pub(super) struct DataGradient<'a> {
    geometry: &'a Geometry,
    channels: usize,
    plan: Plan<'a>,
}

enum Plan<'a> {
    Gathered {
        frame: Frame,
        phases: Vec<GatheredPhase>,
    },
    Scattered(Taps<'a>),
}

struct GatheredPhase {
    weight: Packed,
    steps: Vec<u32>,
    /// Offsets of the positions of one image's gradient.
    positions: Vec<u32>,
    /// First input row and column, and how many of each.
    first: [usize; 2],
    count: [usize; 2],
}

/// The weight of the wanted channels with one row per output channel, and where its columns, the taps, lie.
struct Taps<'a> {
    weight: TapWeight<'a>,
    columns: usize,
    offsets: Vec<u32>,
}

enum TapWeight<'a> {
    Packed(Packed),
    InPlace(&'a [f32]),
}

impl<'a> DataGradient<'a> {
    /// For these of the input's channels, to be computed for `samples` images.
    pub(super) fn new(
        geometry: &'a Geometry,
        weight: &'a [f32],
        channels: Range<usize>,
        samples: usize,
    ) -> Self {
        let lanes = Lanes::detect();
        let wasteful = lanes.round_up(channels.len()) >= 2 * channels.len();
        let few = samples * geometry.positions() < geometry.out;
        let plan = match wasteful || few {
            true => Plan::Scattered(Taps::new(geometry, weight, channels.clone())),
            false => gathered(geometry, weight, channels.clone()),
        };
        Self {
            geometry,
            channels: channels.len(),
            plan,
        }
    }

    /// Scratch for one thread, which takes up to `block` images at a time.
    pub(super) fn worker(&self, block: usize) -> Worker<'_> {
        let lanes = Lanes::detect();
        let geometry = self.geometry;
        match &self.plan {
            Plan::Gathered { frame, phases } => {
                let largest = phases.iter().map(|phase| phase.positions.len()).max();
                let out_stride = lanes.round_up(self.channels);
                Worker {
                    job: self,
                    framed: vec![0.0; if frame.is_bare() { 0 } else { block * geometry.out * frame.plane() }],
                    sums: vec![0.0; block * largest.unwrap_or(0) * out_stride],
                    out_stride,
                }
            }
            Plan::Scattered(taps) => {
                let out_stride = lanes.round_up(taps.columns);
                Worker {
                    job: self,
                    framed: vec![0.0; self.channels * geometry.frame.plane()],
                    sums: vec![0.0; block * geometry.positions() * out_stride],
                    out_stride,
                }
            }
        }
    }
}

/// One thread's scratch.
pub(super) struct Worker<'a> {
    job: &'a DataGradient<'a>,
    framed: Vec<f32>,
    sums: Vec<f32>,
    out_stride: usize,
}

impl Worker<'_> {
    /// Writes every element of `to`, `[sample, channel, height, width]`, from the gradient before the activation,
    /// `[sample, output channel, height', width']`.
    pub(super) fn run(&mut self, gradient: &[f32], to: &mut [MaybeUninit<f32>]) {
        match &self.job.plan {
            Plan::Gathered { frame, phases } => self.gather(frame, phases, gradient, to),
            Plan::Scattered(taps) => self.scatter(taps, gradient, to),
        }
    }

    fn gather(
        &mut self,
        frame: &Frame,
        phases: &[GatheredPhase],
        gradient: &[f32],
        to: &mut [MaybeUninit<f32>],
    ) {
        let geometry = self.job.geometry;
        let samples = gradient.len() / (geometry.out * geometry.positions());
        let source = match frame.is_bare() {
            true => gradient,
            false => {
                frame.copy(gradient, &mut self.framed);
                &self.framed
            }
        };
        let image = geometry.out * frame.plane();
        for phase in phases {
            let of_sample = |sample| phase.positions.iter().map(move |at| at + (sample * image) as u32);
            let rows: Vec<u32> = (0..samples).flat_map(of_sample).collect();
            if phase.steps.is_empty() {
                self.sums.fill(0.0);
            } else {
                Product {
                    source,
                    rows: &rows,
                    steps: &phase.steps,
                    factor: Factor::all(&phase.weight),
                    out: &mut self.sums,
                    out_stride: self.out_stride,
                    accumulate: false,
                }
                .run();
            }
            let rows = Rows {
                data: &self.sums,
                stride: self.out_stride,
                positions: phase.positions.len(),
                channels: self.job.channels,
            };
            match geometry.stride {
                [1, 1] => finish(rows, None, Activation::None, to),
                _ => interleave(geometry, phase, rows, to),
            }
        }
    }

    fn scatter(&mut self, taps: &Taps, gradient: &[f32], to: &mut [MaybeUninit<f32>]) {
        let geometry = self.job.geometry;
        let positions = geometry.positions();
        let samples = gradient.len() / (geometry.out * positions);
        let of_sample = |sample| (0..positions).map(move |at| sample * geometry.out * positions + at);
        let rows: Vec<u32> = (0..samples).flat_map(of_sample).map(|at| at as u32).collect();
        let steps: Vec<u32> = (0..geometry.out).map(|out| (out * positions) as u32).collect();
        Product {
            source: gradient,
            rows: &rows,
            steps: &steps,
            factor: taps.factor(geometry),
            out: &mut self.sums,
            out_stride: self.out_stride,
            accumulate: false,
        }
        .run();

        let starts = geometry.position_offsets(1);
        let image = self.job.channels * geometry.height * geometry.width;
        let per_sample = self.sums.chunks_exact(positions * self.out_stride);
        for (to, sums) in to.chunks_exact_mut(image).zip(per_sample) {
            self.framed.fill(0.0);
            for (&start, sums) in starts.iter().zip(sums.chunks_exact(self.out_stride)) {
                let inside = &mut self.framed[start as usize..];
                for (&offset, sum) in taps.offsets.iter().zip(sums) {
                    inside[offset as usize] += sum;
                }
            }
            crop(&geometry.frame, &self.framed, to);
        }
    }
}

impl<'a> Taps<'a> {
    fn new(geometry: &Geometry, weight: &'a [f32], channels: Range<usize>) -> Self {
        let kernel = geometry.kernel[0] * geometry.kernel[1];
        let columns = channels.len() * kernel;
        let weight = &weight[channels.start * kernel..];
        let weight = match columns % Lanes::detect().count {
            0 => TapWeight::InPlace(weight),
            _ => TapWeight::Packed(Packed::from_rows(weight, geometry.taps(), geometry.out, columns)),
        };
        let mut offsets = geometry.tap_offsets();
        offsets.truncate(columns);
        Self {
            weight,
            columns,
            offsets,
        }
    }

    fn factor(&self, geometry: &Geometry) -> Factor<'_> {
        match &self.weight {
            TapWeight::Packed(packed) => Factor::all(packed),
            TapWeight::InPlace(data) => Factor::Strided {
                data,
                stride: geometry.taps(),
                depth: geometry.out,
                width: self.columns,
            },
        }
    }
}

fn gathered<'a>(geometry: &Geometry, weight: &[f32], channels: Range<usize>) -> Plan<'a> {
    let transposed = geometry.transposed();
    let phases = transposed
        .phases()
        .map(|phase| GatheredPhase::new(geometry, transposed.frame, phase, weight, channels.clone()))
        .collect();
    Plan::Gathered {
        frame: transposed.frame,
        phases,
    }
}

impl GatheredPhase {
    fn new(
        geometry: &Geometry,
        frame: Frame,
        phase: Phase,
        weight: &[f32],
        channels: Range<usize>,
    ) -> Self {
        let [height, width] = geometry.kernel;
        let kernel = height * width;
        let taps = phase.taps();
        let mut packed = Packed::zeros(geometry.out * taps.len(), channels.len());
        let filters = weight.chunks_exact(geometry.taps());
        for (out, filter) in filters.enumerate() {
            let filter = &filter[channels.start * kernel..channels.end * kernel];
            if taps.len() == kernel {
                packed.set_rows_from_columns(out * kernel, filter, kernel, kernel);
                continue;
            }
            for (index, &([y, x], _)) in taps.iter().enumerate() {
                let values = filter.iter().skip(y * width + x).step_by(kernel);
                packed.set_row(out * taps.len() + index, values.copied());
            }
        }
        let of_channel = |out| taps.iter().map(move |tap| (out * frame.plane()) as u32 + tap.1);
        Self {
            steps: (0..geometry.out).flat_map(of_channel).collect(),
            positions: phase.position_offsets(1, geometry.out),
            weight: packed,
            first: [phase.row.first, phase.column.first],
            count: [phase.row.count, phase.column.count],
        }
    }
}

/// Puts one phase's results at their places among the others'.
fn interleave(geometry: &Geometry, phase: &GatheredPhase, rows: Rows, to: &mut [MaybeUninit<f32>]) {
    let plane = geometry.height * geometry.width;
    let [stride_y, stride_x] = geometry.stride;
    for (index, to) in to.chunks_exact_mut(plane).enumerate() {
        let (sample, channel) = (index / rows.channels, index % rows.channels);
        let mut from = rows.data[sample * rows.positions * rows.stride + channel..]
            .iter()
            .step_by(rows.stride);
        for y in 0..phase.count[0] {
            let row = (phase.first[0] + y * stride_y) * geometry.width + phase.first[1];
            let inside = to[row..].iter_mut().step_by(stride_x).take(phase.count[1]);
            for (to, from) in inside.zip(&mut from) {
                to.write(*from);
            }
        }
    }
}

/// Copies planes out of their frames.
fn crop(frame: &Frame, from: &[f32], to: &mut [MaybeUninit<f32>]) {
    let planes = to.chunks_exact_mut(frame.height * frame.width);
    for (plane, framed) in planes.zip(from.chunks_exact(frame.plane())) {
        let inside = framed[frame.top * frame.framed_width + frame.left..].chunks(frame.framed_width);
        for (row, inside) in plane.chunks_exact_mut(frame.width).zip(inside) {
            row.write_copy_of_slice(&inside[..frame.width]);
        }
    }
}
