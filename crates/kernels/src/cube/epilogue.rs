//! What happens to a tile's sums on their way to memory, and to gradients on their way from it.

use cubecl::prelude::*;

use super::tile::{Tile, V4};
use crate::Activation;

/// An [`Activation`] without its slope, which is a launch argument.
#[derive_cube_comptime]
pub enum ActivationKind {
    None,
    Relu,
    LeakyRelu,
}

impl From<Activation> for ActivationKind {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::None => Self::None,
            Activation::Relu => Self::Relu,
            Activation::LeakyRelu(_) => Self::LeakyRelu,
        }
    }
}

/// The activation, element by element. NaN stays NaN, and ReLU of -inf is 0.
#[cube]
pub fn activate<N: Size>(values: Vector<f32, N>, slope: f32, #[comptime] kind: ActivationKind) -> Vector<f32, N> {
    let zero = Vector::<f32, N>::new(0.0);
    if comptime!(kind == ActivationKind::None) {
        values
    } else if comptime!(kind == ActivationKind::Relu) {
        // The negative numbers by their bits, from the one next to -0 to -inf: of `x < 0` a shader compiler makes `max(x, 0)`,
        // which is 0 for NaN.
        let beyond = Vector::<u32, N>::reinterpret(values) - Vector::new(0x8000_0001);
        select_many(beyond.less_than(&Vector::new(0x7f80_0000)), zero, values)
    } else {
        select_many(values.less_than(&zero), values * Vector::new(slope), values)
    }
}

/// The gradient before an activation from the one after it: `gradient` where the output is positive.
#[cube]
pub fn deactivate<N: Size>(
    gradient: Vector<f32, N>,
    output: Vector<f32, N>,
    slope: f32,
    #[comptime] kind: ActivationKind,
) -> Vector<f32, N> {
    let zero = Vector::<f32, N>::new(0.0);
    if comptime!(kind == ActivationKind::None) {
        gradient
    } else if comptime!(kind == ActivationKind::Relu) {
        select_many(output.greater_than(&zero), gradient, zero)
    } else {
        select_many(output.greater_than(&zero), gradient, gradient * Vector::new(slope))
    }
}

/// The gradient at `index`, before the activation where an output is given.
#[cube]
pub fn passed<E: Float, N: Size>(
    gradient: &[Vector<E, N>],
    output: &ComptimeOption<&[Vector<E, N>]>,
    index: usize,
    slope: f32,
    #[comptime] kind: ActivationKind,
) -> Vector<f32, N> {
    let values = Vector::<f32, N>::cast_from(gradient[index]);
    #[comptime]
    match output {
        ComptimeOption::Some(output) => deactivate(values, Vector::cast_from(output[index]), slope, kind),
        ComptimeOption::None => values,
    }
}

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
