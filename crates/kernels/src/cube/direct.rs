//! Convolutions of little work, those of one image in a small network, and gradients of gray images.
//!
//! Tiles would leave most units idle, and their shaders are large: a driver takes longer to compile one than many such layers take to
//! compute. Three of the four rows of a tile would be no channel of a gray image.

use burn::backend::DType;
use burn_cubecl::tensor::CubeTensor;

use super::kernels::activation::ActivationKind;
use super::kernels::direct::{inputs, outputs};
use super::kernels::geometry::{Window, extents};
use super::launch::{Signal, buffer, elementwise, empty, optional, slope, width};
use crate::{Activation, ConvShape};

/// Most multiply-adds of such a convolution.
const MOST: usize = 1 << 20;

/// Whether the gradient with respect to the input is computed so.
pub fn suits_data(shape: &ConvShape, dtype: DType) -> bool {
    let [_, channels, _, _] = shape.x;
    suits(shape, dtype) || channels == 1 && dtype == DType::F32
}

/// Whether a convolution's output is computed so. Attacks are f32, and what trains has more images.
pub fn suits(shape: &ConvShape, dtype: DType) -> bool {
    let [_, channels, kernel_h, kernel_w] = shape.weight;
    dtype == DType::F32 && shape.output().iter().product::<usize>() * channels * kernel_h * kernel_w <= MOST
}

/// How many of `count` outputs at one position a unit computes, for which it reads the other side of the products once.
fn group(count: usize) -> u32 {
    width(count) as u32
}

/// Tensors contiguous and f32.
pub fn forward(
    x: &CubeTensor,
    weight: &CubeTensor,
    bias: Option<&CubeTensor>,
    shape: &ConvShape,
    activation: Activation,
) -> CubeTensor {
    let out = empty(x, shape.output());
    let group = group(shape.weight[0]);
    let size = out.meta.num_elements() / group as usize;
    let (count, dim) = elementwise(size);
    unsafe {
        outputs::launch_unchecked(
            &x.client,
            count,
            dim,
            width(shape.weight[3]),
            buffer(x),
            buffer(weight),
            optional(bias),
            buffer(&out),
            extents(shape, 0),
            size as u32,
            slope(activation),
            group,
            Window::new(shape),
            ActivationKind::from(activation),
        );
    }
    out
}

/// Tensors contiguous and f32.
pub fn data(signal: &Signal, weight: &CubeTensor, shape: &ConvShape) -> CubeTensor {
    let out = empty(weight, shape.x);
    let group = group(shape.x[1]);
    let size = out.meta.num_elements() / group as usize;
    let (count, dim) = elementwise(size);
    unsafe {
        inputs::launch_unchecked(
            &out.client,
            count,
            dim,
            buffer(&signal.gradient),
            signal.output.as_ref().map(buffer).into(),
            buffer(weight),
            buffer(&out),
            extents(shape, 0),
            size as u32,
            slope(signal.activation),
            group,
            Window::new(shape),
            ActivationKind::from(signal.activation),
        );
    }
    out
}
