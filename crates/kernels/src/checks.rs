//! What the public operations require of their tensors, with messages that name the operation and the argument.

use burn::tensor::{DType, Tensor};

use crate::Activation;

/// A bias has an element for each of `out` outputs.
pub fn check_bias<const D: usize>(operation: &str, x: &Tensor<D>, bias: &Option<Tensor<1>>, out: usize) {
    if let Some(bias) = bias {
        assert!(bias.dims() == [out], "{operation}: bias {:?} does not fit {out} outputs", bias.dims(),);
        check_type(operation, x, "bias", bias);
    }
}

/// A parameter has the dtype of x, or f32 where x is f16.
pub fn check_type<const D: usize, const P: usize>(operation: &str, x: &Tensor<D>, name: &str, parameter: &Tensor<P>) {
    let (x, found) = (x.dtype(), parameter.dtype());
    let expected = if x == DType::F16 { DType::F32 } else { x };
    assert!(found == expected, "{operation}: {name} in {found:?} does not fit x in {x:?}: {expected:?} does");
}

/// The sign of the output must tell the sign of the input.
pub fn check_slope(activation: Activation) {
    if let Activation::LeakyRelu(slope) = activation {
        assert!(slope >= 0.0, "LeakyRelu: slope {slope} is negative");
    }
}

/// Two tensors have the same shape and dtype.
pub fn check_same<const D: usize>(operation: &str, first: &Tensor<D>, name: &str, second: &Tensor<D>) {
    assert!(first.dims() == second.dims(), "{operation}: {name} {:?} differs in shape from {:?}", second.dims(), first.dims(),);
    let (first, second) = (first.dtype(), second.dtype());
    assert!(first == second, "{operation}: {name} in {second:?} differs in type from {first:?}");
}
