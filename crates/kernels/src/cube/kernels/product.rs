//! The product of two matrices, each transposed or not: linear layers, forward and backward.

use cubecl::prelude::*;

use super::activation::{ActivationKind, passed};
use super::block::{Rows, copy_block};
use super::epilogue::{BiasAxis, Planes, store};
use super::tile::{Tile, V4, accumulators, multiply, multiply_columns};

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
/// is not applied to `out`. `row_sums`, if wanted, are those of `a`. Elements are `A`, `B` and `O`.
#[cube(launch_unchecked)]
pub fn product<A: Float, B: Float, O: Float, NA: Size, NB: Size, N: Size>(
    a: &[Vector<A, NA>],
    output: ComptimeOption<&[Vector<A, NA>]>,
    b: &[Vector<B, NB>],
    bias: ComptimeOption<&[f32]>,
    out: &mut [Vector<O, N>],
    row_sums: ComptimeOption<&mut [f32]>,
    extents: ProductExtents,
    slope: f32,
    #[comptime] layouts: Layouts,
    #[comptime] tile: Tile,
    #[comptime] activation: ActivationKind,
    #[define(A, B, O)] _elements: [ElemType; 3],
) {
    let first = CUBE_POS_Z * extents.chunk;
    let last = min(first + extents.chunk, extents.terms);
    let row0 = CUBE_POS_Y * tile.m;
    let column0 = CUBE_POS_X * tile.n;

    let mut shared_a = Shared::<[V4]>::new_slice(comptime!(tile.shared(tile.m)));
    let mut shared_b = Shared::<[V4]>::new_slice(comptime!(tile.shared_columns()));
    let mut sums = accumulators(tile);
    let mut row_sum = V4::new(0.0);

    let mut k0 = first;
    while k0 < last {
        load(
            a,
            &output,
            slope,
            &mut shared_a,
            row0,
            extents.rows,
            extents.terms,
            k0,
            last,
            tile.m,
            layouts.a_steps_contiguous,
            tile,
            activation,
        );
        if comptime!(tile.whole_columns()) {
            sync_cube();
            multiply_factor(b, &shared_a, &mut sums, column0, &extents, k0, last, layouts.b_steps_contiguous, tile);
        } else {
            load(
                b,
                &ComptimeOption::new_None(),
                1.0,
                &mut shared_b,
                column0,
                extents.columns,
                extents.terms,
                k0,
                last,
                tile.n,
                layouts.b_steps_contiguous,
                tile,
                ActivationKind::None,
            );
            sync_cube();
            multiply(&shared_a, &shared_b, &mut sums, tile);
        }
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
                    row_sums[(CUBE_POS_Z * extents.rows + m) as usize] = row_sum.extract(comptime!(l as usize));
                }
            }
        }
    }
}

/// Fills a shared tile of `extent` rows from row `first` of a factor, zero outside: of `count` rows in all, each of `terms` steps. The
/// factor is stored by rows or, unless `steps_contiguous`, by steps.
#[cube]
fn load<E: Float, N: Size>(
    factor: &[Vector<E, N>],
    output: &ComptimeOption<&[Vector<E, N>]>,
    slope: f32,
    shared: &mut [V4],
    first: u32,
    count: u32,
    terms: u32,
    k0: u32,
    last: u32,
    #[comptime] extent: u32,
    #[comptime] steps_contiguous: bool,
    #[comptime] tile: Tile,
    #[comptime] activation: ActivationKind,
) {
    let width = N::value();
    let width = comptime!(width as u32);
    let pitch = comptime!(tile.pitch(extent));
    if comptime!(steps_contiguous) {
        let blocks = comptime!(tile.k / width);
        for i in 0..comptime!(tile.loads(extent, width)) {
            let slot = UNIT_POS + i * comptime!(tile.units());
            if comptime!(tile.even(extent, width)) || slot < comptime!(blocks * extent / 4) {
                let step = slot % blocks * width;
                let group = slot / blocks;
                let block = Rows { start: k0 + step, stride: terms, first: first + group * 4, count };
                let target = step * pitch + group;
                copy_block(factor, output, slope, &block, k0 + step < last, shared, target, pitch, activation);
            }
        }
    } else {
        let groups = comptime!(extent / 4);
        for i in 0..comptime!(tile.loads(extent, 1)) {
            let slot = UNIT_POS + i * comptime!(tile.units());
            if comptime!(tile.even(extent, 1)) || slot < comptime!(groups * tile.k) {
                let k = k0 + slot / groups;
                let group = slot % groups;
                let mut values = V4::empty();
                #[unroll]
                for part in 0..comptime!(4 / width) {
                    let row = first + group * 4 + part * width;
                    let inside = row < count && k < last;
                    let index = (select(inside, k * count + row, 0) / width) as usize;
                    let vector = passed(factor, output, index, slope, activation);
                    #[unroll]
                    for e in 0..width {
                        let kept = select(inside, vector.extract(comptime!(e as usize)), 0.0);
                        values.insert(comptime!((part * width + e) as usize), kept);
                    }
                }
                shared[(slot / groups * pitch + group) as usize] = values;
            }
        }
    }
}

/// Adds the products of the shared tile `a` with this unit's columns of the other factor, which is stored by columns or, unless
/// `steps_contiguous`, by steps.
#[cube]
fn multiply_factor<E: Float, N: Size>(
    factor: &[Vector<E, N>],
    a: &[V4],
    sums: &mut Array<V4>,
    column0: u32,
    extents: &ProductExtents,
    k0: u32,
    last: u32,
    #[comptime] steps_contiguous: bool,
    #[comptime] tile: Tile,
) {
    let width = N::value();
    let width = comptime!(width as u32);
    // Steps that one read brings.
    let steps = comptime!(if steps_contiguous { width } else { 1 });
    let column = column0 + UNIT_POS * 4;
    let mut values = Array::<V4>::new(comptime!(steps as usize));
    for block in 0..comptime!(tile.k / steps) {
        let k = k0 + block * steps;
        if comptime!(steps_contiguous) {
            let mut four = Array::<Vector<f32, N>>::new(4usize);
            #[unroll]
            for j in 0..4u32 {
                let inside = column + j < extents.columns && k < last;
                let index = (select(inside, (column + j) * extents.terms + k, 0) / width) as usize;
                let read = Vector::<f32, N>::cast_from(factor[index]);
                let mut kept = Vector::<f32, N>::empty();
                #[unroll]
                for e in 0..width {
                    kept.insert(comptime!(e as usize), select(inside, read.extract(comptime!(e as usize)), 0.0));
                }
                four[comptime!(j as usize)] = kept;
            }
            #[unroll]
            for e in 0..width {
                let mut turned = V4::empty();
                #[unroll]
                for j in 0..4usize {
                    turned.insert(j, four[j].extract(comptime!(e as usize)));
                }
                values[comptime!(e as usize)] = turned;
            }
        } else {
            let mut four = V4::empty();
            #[unroll]
            for part in 0..comptime!(4 / width) {
                let place = column + part * width;
                let inside = place < extents.columns && k < last;
                let index = (select(inside, k * extents.columns + place, 0) / width) as usize;
                let read = Vector::<f32, N>::cast_from(factor[index]);
                #[unroll]
                for e in 0..width {
                    let kept = select(inside, read.extract(comptime!(e as usize)), 0.0);
                    four.insert(comptime!((part * width + e) as usize), kept);
                }
            }
            values[0usize] = four;
        }
        #[unroll]
        for step in 0..steps {
            multiply_columns(a, &values, sums, block * steps + step, step, tile);
        }
    }
}
