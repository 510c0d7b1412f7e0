//! What the kernels know of a convolution: window constants at compile time, extents at launch.

use cubecl::prelude::*;

use crate::ConvShape;

/// Added to the row of a position outside the problem, so that no window of it lies inside the image.
pub const FAR: u32 = 0x4000_0000;

/// Kernel size, stride and padding: compiled in, so that divisions by them are multiplications.
#[derive_cube_comptime]
pub struct Window {
    pub kernel_h: u32,
    pub kernel_w: u32,
    pub stride_h: u32,
    pub stride_w: u32,
    pub padding_h: u32,
    pub padding_w: u32,
}

impl Window {
    pub fn new(shape: &ConvShape) -> Self {
        let [_, _, kernel_h, kernel_w] = shape.weight;
        let [stride_h, stride_w] = shape.options.stride;
        let [padding_h, padding_w] = shape.options.padding;
        Self {
            kernel_h: kernel_h as u32,
            kernel_w: kernel_w as u32,
            stride_h: stride_h as u32,
            stride_w: stride_w as u32,
            padding_h: padding_h as u32,
            padding_w: padding_w as u32,
        }
    }

    /// Elements of one kernel plane.
    pub const fn taps(self) -> u32 {
        self.kernel_h * self.kernel_w
    }

    /// Inputs under a row of the kernel in four neighboring windows.
    pub const fn run(self) -> u32 {
        self.kernel_w + 3 * self.stride_w
    }

    /// Whether that is less than under each of them.
    pub const fn runs_overlap(self) -> bool {
        self.run() <= 4 * self.kernel_w
    }

    /// Most taps of one row of the kernel that an input position meets.
    pub const fn row_taps(self) -> u32 {
        self.kernel_w.div_ceil(self.stride_w)
    }

    /// Most taps of one column of the kernel that an input position meets.
    pub const fn column_taps(self) -> u32 {
        self.kernel_h.div_ceil(self.stride_h)
    }

    /// Whether every phase meets [`row_taps`](Self::row_taps) taps of a row.
    pub const fn uniform_rows(self) -> bool {
        self.kernel_w.is_multiple_of(self.stride_w)
    }

    /// Residues of input positions modulo the stride: each sees its own subset of the kernel's taps.
    pub const fn phases(self) -> u32 {
        self.stride_h * self.stride_w
    }
}

/// Extents of a convolution: x `[batch, channels, height, width]`, output `[batch, filters, out_height, out_width]`.
#[derive(CubeLaunch, CubeType, Clone)]
pub struct Extents {
    pub batch: u32,
    pub channels: u32,
    pub height: u32,
    pub width: u32,
    pub filters: u32,
    pub out_height: u32,
    pub out_width: u32,
    /// Terms of the reduction per split.
    pub chunk: u32,
}

/// The launch argument for `shape`, its reduction split in chunks.
pub fn extents(shape: &ConvShape, chunk: u32) -> ExtentsLaunch {
    let [batch, channels, height, width] = shape.x.map(|extent| extent as u32);
    let [_, filters, out_height, out_width] = shape.output().map(|extent| extent as u32);
    ExtentsLaunch::new(batch, channels, height, width, filters, out_height, out_width, chunk)
}
