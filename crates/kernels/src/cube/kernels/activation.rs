//! Activations, forward where results are stored and backward where gradients are read.

use cubecl::prelude::*;

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

/// The gradient before an activation from the one after it.
#[cube(launch_unchecked)]
pub fn activation_gradient<E: Float, N: Size>(
    gradient: &[Vector<E, N>],
    output: &[Vector<E, N>],
    out: &mut [Vector<E, N>],
    size: u32,
    slope: f32,
    #[comptime] activation: ActivationKind,
    #[define(E)] _element: ElemType,
) {
    let i = ABSOLUTE_POS;
    if (i as u32) < size {
        let g = Vector::<f32, N>::cast_from(gradient[i]);
        let y = Vector::<f32, N>::cast_from(output[i]);
        out[i] = Vector::cast_from(deactivate(g, y, slope, activation));
    }
}
