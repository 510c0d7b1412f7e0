//! The product of two matrices, each transposed or not: linear layers, forward and backward.

use cubecl::prelude::*;

use super::epilogue::{ActivationKind, BiasAxis, Planes, deactivate, store};
use super::tile::{Tile, V4, accumulators, multiply};

/// `out[m, n] = act(sum over k of a[m, k] b[k, n] + bias[n])`.
#[derive(CubeLaunch, CubeType, Clone)]
pub struct ProductExtents {
    pub rows: u32,
    pub columns: u32,
    pub terms: u32,
    /// Terms of the reduction per split.
    pub chunk: u32,
}

/// Which of its two axes each factor is contiguous in.
#[derive_cube_comptime]
pub struct Layouts {
    /// `a` is stored `[m, k]`, else `[k, m]`.
    pub a_steps_contiguous: bool,
    /// `b` is stored `[n, k]`, else `[k, n]`.
    pub b_steps_contiguous: bool,
}

/// See [`ProductExtents`]; with more than one split the partial sums `[split, out]` of it.
///
/// Where `output` is given, `a` is a gradient of its shape that passes the activation backward first, and the activation
/// is not applied to `out`. `row_sums`, if wanted, are those of `a`.
#[cube(launch_unchecked)]
pub fn product<NB: Size, N: Size>(
    a: &[f32],
    output: ComptimeOption<&[f32]>,
    b: &[Vector<f32, NB>],
    bias: ComptimeOption<&[f32]>,
    out: &mut [Vector<f32, N>],
    row_sums: ComptimeOption<&mut [f32]>,
    extents: ProductExtents,
    slope: f32,
    #[comptime] layouts: Layouts,
    #[comptime] tile: Tile,
    #[comptime] activation: ActivationKind,
) {
    let first = CUBE_POS_Z * extents.chunk;
    let last = min(first + extents.chunk, extents.terms);
    let row0 = CUBE_POS_Y * tile.m;
    let column0 = CUBE_POS_X * tile.n;

    let mut shared_a = Shared::<[V4]>::new_slice(comptime!(tile.shared(tile.m)));
    let mut shared_b = Shared::<[V4]>::new_slice(comptime!(tile.shared(tile.n)));
    let mut sums = accumulators(tile);
    let mut row_sum = V4::new(0.0);

    let mut k0 = first;
    while k0 < last {
        #[unroll]
        for i in 0..comptime!(tile.loads(tile.m)) {
            let slot = UNIT_POS + i * comptime!(tile.units());
            if comptime!(tile.even(tile.m)) || slot < comptime!(tile.m / 4 * tile.k) {
                let (step, group) = slot_place(slot, comptime!(tile.m / 4), layouts.a_steps_contiguous, tile);
                let k = k0 + step;
                let mut values = V4::empty();
                #[unroll]
                for l in 0..4u32 {
                    let m = row0 + group * 4 + l;
                    let inside = m < extents.rows && k < last;
                    let index = if comptime!(layouts.a_steps_contiguous) {
                        m * extents.terms + k
                    } else {
                        k * extents.rows + m
                    };
                    let index = select(inside, index, 0) as usize;
                    let value = a[index];
                    #[comptime]
                    let value = match &output {
                        ComptimeOption::Some(output) => {
                            deactivate(value, output[index], slope, activation)
                        }
                        ComptimeOption::None => value,
                    };
                    values.insert(comptime!(l as usize), select(inside, value, 0.0));
                }
                shared_a[(step * comptime!(tile.pitch(tile.m)) + group) as usize] = values;
            }
        }
        #[unroll]
        for i in 0..comptime!(tile.loads(tile.n)) {
            let slot = UNIT_POS + i * comptime!(tile.units());
            if comptime!(tile.even(tile.n)) || slot < comptime!(tile.n / 4 * tile.k) {
                let (step, group) = slot_place(slot, comptime!(tile.n / 4), layouts.b_steps_contiguous, tile);
                let k = k0 + step;
                let n = column0 + group * 4;
                let mut values = V4::empty();
                if comptime!(NB::value() == 4) {
                    let inside = n < extents.columns && k < last;
                    let index = select(inside, k * extents.columns + n, 0);
                    let vector = b[(index / 4) as usize];
                    #[unroll]
                    for j in 0..4usize {
                        values.insert(j, select(inside, vector.extract(j), 0.0));
                    }
                } else {
                    #[unroll]
                    for j in 0..4u32 {
                        let inside = n + j < extents.columns && k < last;
                        let index = if comptime!(layouts.b_steps_contiguous) {
                            (n + j) * extents.terms + k
                        } else {
                            k * extents.columns + n + j
                        };
                        let value = b[select(inside, index, 0) as usize].extract(0usize);
                        values.insert(comptime!(j as usize), select(inside, value, 0.0));
                    }
                }
                shared_b[(step * comptime!(tile.pitch(tile.n)) + group) as usize] = values;
            }
        }
        sync_cube();
        multiply(&shared_a, &shared_b, &mut sums, tile);
        if row_sums.is_some() && CUBE_POS_X == 0 && UNIT_POS < comptime!(tile.m / 4) {
            for s in 0..tile.k {
                row_sum += shared_a[(s * comptime!(tile.pitch(tile.m)) + UNIT_POS) as usize];
            }
        }
        sync_cube();
        k0 += tile.k;
    }
    let place = Planes {
        offset: CUBE_POS_Z * extents.rows * extents.columns,
        row0,
        rows: extents.rows,
        column0,
        columns: extents.columns,
        plane: extents.columns,
    };
    let applied = comptime!(if output.is_some() { ActivationKind::None } else { activation });
    store(out, &sums, &bias, &place, slope, tile, BiasAxis::Columns, applied);

    #[comptime]
    if let ComptimeOption::Some(row_sums) = row_sums {
        if CUBE_POS_X == 0 && UNIT_POS < comptime!(tile.m / 4) {
            #[unroll]
            for l in 0..4u32 {
                let m = row0 + UNIT_POS * 4 + l;
                if m < extents.rows {
                    row_sums[(CUBE_POS_Z * extents.rows + m) as usize] =
                        row_sum.extract(comptime!(l as usize));
                }
            }
        }
    }
}

/// The step and the group of four elements that load `slot` of a shared tile fills: neighbouring units take
/// neighbouring addresses.
#[cube]
fn slot_place(
    slot: u32,
    #[comptime] groups: u32,
    #[comptime] steps_contiguous: bool,
    #[comptime] tile: Tile,
) -> (u32, u32) {
    if comptime!(steps_contiguous) {
        (slot % tile.k, slot / tile.k)
    } else {
        (slot / groups, slot % groups)
    }
}
