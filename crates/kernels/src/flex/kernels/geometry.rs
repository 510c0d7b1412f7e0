//! Where a convolution reads: offsets into zero-padded images, for the forward pass and for its transpose.

use core::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::simd::{copy_row, run};
use crate::ConvShape;

/// A convolution's sizes, and the offsets of its taps in a zero-padded image.
pub struct Geometry {
    pub batch: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub out: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub out_height: usize,
    pub out_width: usize,
    /// Zeros around the image, before each axis: the convolution's padding.
    pub frame: Frame,
}

/// An image with zeros around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub height: usize,
    pub width: usize,
    pub top: usize,
    pub left: usize,
    pub framed_height: usize,
    pub framed_width: usize,
}

impl Frame {
    /// Floats of one channel with its frame.
    pub fn plane(&self) -> usize {
        self.framed_height * self.framed_width
    }

    /// Whether there is nothing around the image.
    pub fn is_bare(&self) -> bool {
        (self.framed_height, self.framed_width) == (self.height, self.width)
    }

    /// Copies planes into their frames; the frames of `to` are left as they are.
    pub fn copy(&self, from: &[f32], to: &mut [f32]) {
        let planes = from.len() / (self.height * self.width);
        assert!(planes * self.plane() <= to.len());
        assert!(self.top + self.height <= self.framed_height && self.left + self.width <= self.framed_width);
        run(CopyPlanes { frame: *self, planes, from, to });
    }

    /// Copies planes out of their frames.
    pub fn crop(&self, from: &[f32], to: &mut [MaybeUninit<f32>]) {
        let planes = to.chunks_exact_mut(self.height * self.width);
        for (plane, framed) in planes.zip(from.chunks_exact(self.plane())) {
            let inside = framed[self.top * self.framed_width + self.left..].chunks(self.framed_width);
            for (row, inside) in plane.chunks_exact_mut(self.width).zip(inside) {
                row.write_copy_of_slice(&inside[..self.width]);
            }
        }
    }
}

struct CopyPlanes<'a> {
    frame: Frame,
    planes: usize,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl WithSimd for CopyPlanes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // SAFETY: `copy` asserted that all rows lie inside both slices.
        unsafe {
            match self.frame.width {
                0..4 => self.rows::<1>(),
                4..8 => self.rows::<4>(),
                8..16 => self.rows::<8>(),
                _ => self.rows::<16>(),
            }
        }
    }
}

impl CopyPlanes<'_> {
    /// Copies all rows in blocks of N floats, N at most their width.
    #[inline(always)]
    unsafe fn rows<const N: usize>(self) {
        let frame = self.frame;
        let mut from = self.from.as_ptr();
        for plane in 0..self.planes {
            let first = plane * frame.plane() + frame.top * frame.framed_width + frame.left;
            let mut to = self.to[first..].as_mut_ptr();
            for _ in 0..frame.height {
                unsafe {
                    copy_row::<N>(from, to, frame.width);
                    from = from.add(frame.width);
                }
                to = to.wrapping_add(frame.framed_width);
            }
        }
    }
}

impl Geometry {
    pub fn new(shape: ConvShape) -> Self {
        let [batch, channels, height, width] = shape.x;
        let [_, out, out_height, out_width] = shape.output();
        let [top, left] = shape.options.padding;
        Self {
            batch,
            channels,
            height,
            width,
            out,
            kernel: [shape.weight[2], shape.weight[3]],
            stride: shape.options.stride,
            out_height,
            out_width,
            frame: Frame { height, width, top, left, framed_height: height + 2 * top, framed_width: width + 2 * left },
        }
    }

    /// Floats of one input image.
    pub fn image(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Floats of one input image in its frame.
    pub fn framed_image(&self) -> usize {
        self.channels * self.frame.plane()
    }

    /// Output positions of one image.
    pub fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Taps of one kernel, over all its channels.
    pub fn taps(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Multiplications of one image.
    pub fn work(&self) -> usize {
        self.out * self.positions() * self.taps()
    }

    /// For each output position of `samples` framed images, in order: the offset of its first tap.
    pub fn position_offsets(&self, samples: usize) -> Vec<u32> {
        let mut offsets = Vec::with_capacity(samples * self.positions());
        for sample in 0..samples {
            for y in 0..self.out_height {
                let row = sample * self.framed_image() + y * self.stride[0] * self.frame.framed_width;
                offsets.extend((0..self.out_width).map(|x| (row + x * self.stride[1]) as u32));
            }
        }
        offsets
    }

    /// For each tap in the weight's order `[channel, y, x]`: its offset from a position's first tap.
    pub fn tap_offsets(&self) -> Vec<u32> {
        let mut offsets = Vec::with_capacity(self.taps());
        for channel in 0..self.channels {
            for y in 0..self.kernel[0] {
                let row = channel * self.frame.plane() + y * self.frame.framed_width;
                offsets.extend((0..self.kernel[1]).map(|x| (row + x) as u32));
            }
        }
        offsets
    }

    /// The transposed convolution, which carries gradients from the output to the input.
    pub fn transposed(&self) -> Transposed {
        let axis = |axis: usize, size: usize, out_size: usize, padding: usize| {
            let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
            let phases: Vec<AxisPhase> =
                (0..stride.min(size)).map(|phase| AxisPhase::new(phase, size, kernel, stride, padding)).collect();
            let reach = |phase: &AxisPhase| {
                let deltas = phase.taps.iter().map(|tap| tap.1);
                let (low, high) = (deltas.clone().min()?, deltas.max()?);
                Some((low, high + phase.count as isize - 1))
            };
            let reaches = phases.iter().filter_map(reach);
            let before = reaches.clone().map(|reach| -reach.0).max().unwrap_or(0).max(0);
            let after = reaches.map(|reach| reach.1 - (out_size as isize - 1)).max();
            (phases, before as usize, after.unwrap_or(0).max(0) as usize)
        };
        let (rows, top, bottom) = axis(0, self.height, self.out_height, self.frame.top);
        let (columns, left, right) = axis(1, self.width, self.out_width, self.frame.left);
        let frame = Frame {
            height: self.out_height,
            width: self.out_width,
            top,
            left,
            framed_height: self.out_height + top + bottom,
            framed_width: self.out_width + left + right,
        };
        Transposed { rows, columns, frame }
    }
}

/// The input positions of one remainder modulo the stride, along one axis, and the taps that reach them.
pub struct AxisPhase {
    /// First input position; the others follow a stride apart.
    pub first: usize,
    pub count: usize,
    /// Kernel index and, for the first position, the output index it comes from.
    pub taps: Vec<(usize, isize)>,
}

impl AxisPhase {
    fn new(phase: usize, size: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        let taps = (0..kernel)
            .map(|tap| (tap, (phase + padding) as isize - tap as isize))
            .filter(|(_, distance)| distance.rem_euclid(stride as isize) == 0)
            .map(|(tap, distance)| (tap, distance.div_euclid(stride as isize)))
            .collect();
        Self { first: phase, count: (size - phase).div_ceil(stride), taps }
    }
}

/// A convolution's transpose as one stride-1 gather for each remainder of the input position modulo the stride.
pub struct Transposed {
    pub rows: Vec<AxisPhase>,
    pub columns: Vec<AxisPhase>,
    /// Zeros around the output's gradient, so that every gather stays inside.
    pub frame: Frame,
}

/// One of a transposed convolution's gathers.
pub struct Phase<'a> {
    pub row: &'a AxisPhase,
    pub column: &'a AxisPhase,
    frame: Frame,
}

impl Transposed {
    pub fn phases(&self) -> impl Iterator<Item = Phase<'_>> {
        self.rows.iter().flat_map(move |row| self.columns.iter().map(move |column| Phase { row, column, frame: self.frame }))
    }
}

impl Phase<'_> {
    /// Kernel indices `[y, x]` that take part, and for each its offset from a position's.
    pub fn taps(&self) -> Vec<([usize; 2], u32)> {
        let [top, left] = self.lowest();
        let mut taps = Vec::new();
        for &(y, row) in &self.row.taps {
            for &(x, column) in &self.column.taps {
                let offset = (row - top) as usize * self.frame.framed_width + (column - left) as usize;
                taps.push(([y, x], offset as u32));
            }
        }
        taps
    }

    /// For each input position of this phase in `samples` images of `channels` framed gradients: its offset.
    pub fn position_offsets(&self, samples: usize, channels: usize) -> Vec<u32> {
        let [top, left] = self.lowest();
        let top = (top + self.frame.top as isize) as usize;
        let left = (left + self.frame.left as isize) as usize;
        let mut offsets = Vec::with_capacity(samples * self.row.count * self.column.count);
        for sample in 0..samples {
            for y in 0..self.row.count {
                let row = sample * channels * self.frame.plane() + (top + y) * self.frame.framed_width;
                offsets.extend((0..self.column.count).map(|x| (row + left + x) as u32));
            }
        }
        offsets
    }

    /// The lowest output index of a tap, per axis.
    fn lowest(&self) -> [isize; 2] {
        [self.row, self.column].map(|axis| axis.taps.iter().map(|tap| tap.1).min().unwrap_or(0))
    }
}
