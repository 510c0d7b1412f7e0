//! Images in tiles, channels last.

use pulp::{Simd, WithSimd};

use crate::flex::kernels::geometry::Geometry;
use crate::flex::kernels::simd::{Lanes, run};
use crate::flex::kernels::turn::transpose;

/// Outputs of a tile along either axis.
pub const TILE: usize = 4;

/// Inputs of a tile along either axis, and elements of its transform.
pub const SIDE: usize = TILE + 2;

/// Elements of a transform.
pub const ELEMENTS: usize = SIDE * SIDE;

/// Floats between the elements of a transform beyond their number: without them, equal places of all of them would compete
/// for the same lines of the first-level cache.
pub const GAP: usize = 16;

/// Tiles at a time: few, so that their transforms and products stay in the second-level cache, but the more weights there are,
/// which are read (or their sums added to) for every block, the more tiles should share them.
pub fn tiles_per_block(weights: usize) -> usize {
    if weights < 1 << 15 { 20 } else { 40 }
}

/// Images of some channels in tiles of 4x4 outputs of a 3x3 convolution.
#[derive(Clone, Copy)]
pub struct Tiling {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// Zeros before and above.
    pub padding: [usize; 2],
    pub out_height: usize,
    pub out_width: usize,
}

impl Tiling {
    /// The images of a forward pass.
    pub fn forward(geometry: &Geometry) -> Self {
        Self {
            channels: geometry.channels,
            height: geometry.height,
            width: geometry.width,
            padding: [geometry.frame.top, geometry.frame.left],
            out_height: geometry.out_height,
            out_width: geometry.out_width,
        }
    }

    pub fn columns(&self) -> usize {
        self.out_width.div_ceil(TILE)
    }

    /// Tiles of an image.
    pub fn tiles(&self) -> usize {
        self.out_height.div_ceil(TILE) * self.columns()
    }

    pub fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Channels filled up to whole vectors.
    pub fn padded(&self) -> usize {
        Lanes::detect().round_up(self.channels)
    }

    /// Floats of a row of an image with its frame, channels last.
    pub fn framed_row(&self) -> usize {
        (TILE * self.columns() + 2) * self.padded()
    }

    /// Floats of such an image.
    pub fn framed_image(&self) -> usize {
        (TILE * self.out_height.div_ceil(TILE) + 2) * self.framed_row()
    }

    /// Row and column of a tile of an image.
    pub fn place(&self, tile: usize) -> [usize; 2] {
        [tile / self.columns(), tile % self.columns()]
    }

    /// Copies `[sample, channel, height, width]` into frames of zeros, channels last; what lies outside the frames is not seen
    /// by any output.
    pub fn frame(&self, images: &[f32], framed: &mut [f32]) {
        let plane = self.height * self.width;
        let [top, left] = self.padding;
        let padded = self.padded();
        for (image, framed) in images.chunks_exact(self.channels * plane).zip(framed.chunks_exact_mut(self.framed_image())) {
            let rows = self.height.min(framed.len() / self.framed_row() - top);
            let columns = self.width.min(self.framed_row() / padded - left);
            for row in 0..rows {
                let to = &mut framed[(top + row) * self.framed_row() + left * padded..][..columns * padded];
                run(ChannelsLast { from: &image[row * self.width..], plane, channels: self.channels, columns, to, padded });
            }
        }
    }
}

/// `to[column][channel] = from[channel][column]`.
pub struct ChannelsLast<'a> {
    pub from: &'a [f32],
    pub plane: usize,
    pub channels: usize,
    pub columns: usize,
    pub to: &'a mut [f32],
    pub padded: usize,
}

impl WithSimd for ChannelsLast<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        assert!(self.channels <= self.padded && self.columns * self.padded <= self.to.len());
        // SAFETY: the assert above.
        unsafe { transpose(simd, self.from, self.plane, self.channels, self.columns, self.to.as_mut_ptr(), self.padded) };
    }
}
