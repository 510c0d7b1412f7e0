//! What happens to a tile's sums on their way to memory.

use cubecl::prelude::*;

use super::activation::{ActivationKind, activate};
use super::tile::{Tile, V4};

/// Which axis of the output the bias runs along.
#[derive_cube_comptime]
pub enum BiasAxis {
    Rows,
    Columns,
}

/// Where a tile lies in an output `[image, row, position]`: columns count `(image, position)`.
#[derive(CubeType, Clone)]
pub struct Planes {
    /// First element of the output to write to: not 0 where the output holds several splits.
    pub offset: u32,
    /// First row of the tile.
    pub row0: u32,
    /// Rows of the output.
    pub rows: u32,
    /// First column of the tile.
    pub column0: u32,
    /// Columns of the output.
    pub columns: u32,
    /// Positions per image; a multiple of `N` where the output is addressed in vectors of `N`.
    pub plane: u32,
}

/// Writes a unit's sums to `out`, in vectors of `N`, 1 or 4, after adding the bias and applying the activation.
#[cube]
pub fn store<O: Float, N: Size>(
    out: &mut [Vector<O, N>],
    sums: &Array<V4>,
    bias: &ComptimeOption<&[f32]>,
    place: &Planes,
    slope: f32,
    #[comptime] tile: Tile,
    #[comptime] axis: BiasAxis,
    #[comptime] activation: ActivationKind,
) {
    let units_n = comptime!(tile.units_n());
    let units_m = comptime!(tile.units_m());
    let row = UNIT_POS / units_n;
    let column = UNIT_POS % units_n;
    let width = N::value();
    let width = comptime!(width as u32);
    let groups_n = comptime!(tile.unit_n / 4);

    #[unroll]
    for j in 0..groups_n {
        #[unroll]
        for part in 0..comptime!(4 / width) {
            let n = place.column0 + (column + j * units_n) * 4 + part * width;
            if n < place.columns {
                let start = n / place.plane * place.rows * place.plane + n % place.plane;
                let mut of_columns = Vector::<f32, N>::new(0.0);
                #[comptime]
                if let ComptimeOption::Some(bias) = bias {
                    if comptime!(axis == BiasAxis::Columns) {
                        #[unroll]
                        for e in 0..width {
                            of_columns.insert(comptime!(e as usize), bias[(n + e) as usize]);
                        }
                    }
                }
                #[unroll]
                for i in 0..comptime!(tile.unit_m / 4) {
                    #[unroll]
                    for l in 0..4u32 {
                        let m = place.row0 + (row + i * units_m) * 4 + l;
                        if m < place.rows {
                            let sum = sums[comptime!(((i * 4 + l) * groups_n + j) as usize)];
                            let mut values = Vector::<f32, N>::empty();
                            #[unroll]
                            for e in 0..width {
                                values.insert(comptime!(e as usize), sum.extract(comptime!((part * width + e) as usize)));
                            }
                            #[comptime]
                            let values = match bias {
                                ComptimeOption::Some(bias) => {
                                    if comptime!(axis == BiasAxis::Rows) {
                                        values + Vector::new(bias[m as usize])
                                    } else {
                                        values + of_columns
                                    }
                                }
                                ComptimeOption::None => values,
                            };
                            let index = place.offset + start + m * place.plane;
                            out[(index / width) as usize] = Vector::cast_from(activate(values, slope, activation));
                        }
                    }
                }
            }
        }
    }
}
