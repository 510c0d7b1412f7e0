//! Input positions of one residue modulo the stride, and what of the kernel they meet.

use cubecl::prelude::*;

use super::geometry::{Extents, Window};
use super::tile::{Tile, V4};

/// One axis of a phase: its taps are `residue + stride * j` for j below `taps`; its input positions are
/// `stride * q + start`; together they meet output position `q + shift - j`.
#[derive(CubeType, Clone)]
pub struct Phase {
    pub residue: u32,
    pub taps: u32,
    pub start: u32,
    pub shift: u32,
}

/// The phase of a residue along one axis.
#[cube]
pub fn phase(residue: u32, #[comptime] kernel: u32, #[comptime] stride: u32, #[comptime] padding: u32) -> Phase {
    if comptime!(stride == 1) {
        Phase { residue: 0u32.runtime(), taps: kernel.runtime(), start: 0u32.runtime(), shift: padding.runtime() }
    } else {
        let start = (residue + comptime!(stride - padding % stride)) % stride;
        Phase {
            residue,
            taps: (comptime!(kernel + stride - 1) - residue) / stride,
            start,
            shift: (start + padding - residue) / stride,
        }
    }
}

/// Writes a unit's sums to the input positions of its phase, `stride` apart.
#[cube]
pub fn scatter<O: Float, N: Size>(
    out: &mut [Vector<O, N>],
    sums: &Array<V4>,
    offset: u32,
    row0: u32,
    column0: u32,
    phase_h: u32,
    phase_w: u32,
    py: &Phase,
    px: &Phase,
    extents: &Extents,
    #[comptime] tile: Tile,
    #[comptime] window: Window,
) {
    let units_n = comptime!(tile.units_n());
    let units_m = comptime!(tile.units_m());
    let groups_n = comptime!(tile.unit_n / 4);
    let row = UNIT_POS / units_n;
    let column = UNIT_POS % units_n;
    let plane = phase_h * phase_w;

    #[unroll]
    for j in 0..groups_n {
        #[unroll]
        for e in 0..4u32 {
            let n = column0 + (column + j * units_n) * 4 + e;
            let image = n / plane;
            let y = n % plane / phase_w * window.stride_h + py.start;
            let x = n % phase_w * window.stride_w + px.start;
            if image < extents.batch && y < extents.height && x < extents.width {
                #[unroll]
                for i in 0..comptime!(tile.unit_m / 4) {
                    #[unroll]
                    for l in 0..4u32 {
                        let m = row0 + (row + i * units_m) * 4 + l;
                        if m < extents.channels {
                            let sum = sums[comptime!(((i * 4 + l) * groups_n + j) as usize)];
                            let start = (image * extents.channels + m) * extents.height + y;
                            let index = offset + start * extents.width + x;
                            out[index as usize] = Vector::cast_from(sum.extract(comptime!(e as usize)));
                        }
                    }
                }
            }
        }
    }
}
