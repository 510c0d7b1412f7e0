//! From tensors to launches: contiguous inputs, fresh outputs, grids.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, FloatDType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::kernels::activation::{ActivationKind, activation_gradient};
use super::kernels::splits::add_splits;
use super::plan::Plan;
use crate::{Activation, stock};

/// Units of a workgroup of an elementwise kernel.
const UNITS: u32 = 64;

/// A launch costs about as much as this many memory accesses.
const LAUNCH: usize = 1 << 20;

pub fn slope(activation: Activation) -> f32 {
    activation.negative_slope().unwrap_or(1.0)
}

/// An uninitialized f32 tensor on the device of `like`.
pub fn empty<const D: usize>(like: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    empty_of(DType::F32, like, shape)
}

/// An uninitialized tensor on the device of `like`. Contiguous: on CUDA, Burn pads rows otherwise, which the kernels do not know.
pub fn empty_of<const D: usize>(dtype: DType, like: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), Shape::new(shape), dtype)
}

/// An uninitialized tensor of the shape and dtype and on the device of `like`.
pub fn empty_like(like: &CubeTensor) -> CubeTensor {
    let shape = like.meta.shape().clone();
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, like.dtype)
}

/// What the tensor's buffer holds.
pub fn element(tensor: &CubeTensor) -> ElemType {
    dtype_to_storage_type(tensor.dtype)
}

/// 4 where vectors of four divide `run`, the contiguous elements that belong together, else 1.
pub fn width(run: usize) -> usize {
    if run.is_multiple_of(4) { 4 } else { 1 }
}

pub fn buffer(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}

pub fn optional(tensor: Option<&CubeTensor>) -> ComptimeOptionArgs<&'static [f32]> {
    tensor.map(buffer).into()
}

/// Workgroups and units for `size` elements, one unit each.
pub fn elementwise(size: usize) -> (CubeCount, CubeDim) {
    let workgroups = (size as u32).div_ceil(UNITS);
    // A side of the grid is at most 65535: fold.
    let x = workgroups.min(32768);
    let y = workgroups.div_ceil(x.max(1));
    (CubeCount::Static(x, y, 1), CubeDim::new_1d(UNITS))
}

impl Plan {
    /// An uninitialized tensor for the output of `shape`, or where the reduction is split, for its partial sums in f32.
    pub fn output<const D: usize>(&self, dtype: DType, like: &CubeTensor, shape: [usize; D]) -> CubeTensor {
        match self.splits {
            1 => empty_of(dtype, like, shape),
            splits => empty(like, [splits as usize, shape.iter().product()]),
        }
    }

    /// A workgroup for each tile.
    pub fn count(&self) -> CubeCount {
        let [x, y, z] = self.grid;
        CubeCount::Static(x, y, z)
    }

    pub fn units(&self) -> CubeDim {
        CubeDim::new_1d(self.tile.units())
    }
}

/// What a product wrote to [`Plan::output`]s.
pub struct Parts {
    pub sums: CubeTensor,
    pub row_sums: Option<CubeTensor>,
}

/// What is left to do to partial sums once they are added up.
pub struct Finish<'a> {
    /// Of the output; row sums stay f32.
    pub dtype: DType,
    /// Added to element i of the output at `i / inner % its length`.
    pub bias: Option<&'a CubeTensor>,
    pub inner: usize,
    pub activation: Activation,
}

impl Finish<'_> {
    /// Only the rounding to `dtype`.
    pub const fn stored(dtype: DType) -> Self {
        Self { dtype, bias: None, inner: 1, activation: Activation::None }
    }
}

/// The output of `shape` and the row sums; with more than one split after adding the partial sums up.
pub fn finish<const D: usize>(parts: Parts, splits: u32, shape: [usize; D], rest: Finish) -> (CubeTensor, Option<CubeTensor>) {
    if splits == 1 {
        return (parts.sums, parts.row_sums);
    }
    let parts_count = splits as usize;
    let out = empty_of(rest.dtype, &parts.sums, shape);
    let rows = match (&parts.row_sums, rest.bias) {
        (Some(row_sums), _) => row_sums.meta.num_elements() / parts_count,
        (None, Some(bias)) => bias.meta.num_elements(),
        (None, None) => 1,
    };
    let row_out = parts.row_sums.as_ref().map(|_| empty(&parts.sums, [rows]));
    let size: usize = shape.iter().product();
    let vectors = width(size);
    let size = size / vectors;
    let (count, dim) = elementwise(size.max(rows));
    unsafe {
        add_splits::launch_unchecked(
            &out.client,
            count,
            dim,
            vectors,
            buffer(&parts.sums),
            optional(rest.bias),
            buffer(&out),
            optional(parts.row_sums.as_ref()),
            row_out.as_ref().map(buffer).into(),
            splits,
            size as u32,
            rest.inner as u32,
            rows as u32,
            slope(rest.activation),
            ActivationKind::from(rest.activation),
            element(&out),
        );
    }
    (out, row_out)
}

/// The gradient with respect to a layer's output, on its way back through the layer's activation.
pub struct Signal {
    pub gradient: CubeTensor,
    /// The layer's output where kernels are to pass the activation backward as they read the gradient.
    pub output: Option<CubeTensor>,
    /// [`Activation::None`] without an output.
    pub activation: Activation,
}

impl Signal {
    /// `reads`: how often the kernels that follow read an element of the gradient, in all. Reading the output along with
    /// it costs as much again; a pass of its own costs three accesses per element and a launch.
    pub fn new(gradient: CubeTensor, output: Option<CubeTensor>, activation: Activation, reads: usize) -> Self {
        match output {
            Some(output) if reads <= 3 * gradient.meta.num_elements() + LAUNCH => {
                Self { gradient, output: Some(output), activation }
            }
            Some(output) => {
                Self { gradient: before_activation(&gradient, &output, activation), output: None, activation: Activation::None }
            }
            None => Self { gradient, output: None, activation: Activation::None },
        }
    }

    /// Its sums over `axes`, which leave one, in f32.
    pub fn sums(&self, axes: &[usize]) -> CubeTensor {
        let gradient = match &self.output {
            Some(output) => before_activation(&self.gradient, output, self.activation),
            None => self.gradient.clone(),
        };
        stock::sum_to_channels::<CubeBackend>(CubeBackend::float_cast(gradient, FloatDType::F32), axes)
    }
}

fn before_activation(gradient: &CubeTensor, output: &CubeTensor, activation: Activation) -> CubeTensor {
    let size = gradient.meta.num_elements();
    let out = empty_like(gradient);
    let vectors = width(size);
    let (count, dim) = elementwise(size / vectors);
    unsafe {
        activation_gradient::launch_unchecked(
            &out.client,
            count,
            dim,
            vectors,
            buffer(gradient),
            buffer(output),
            buffer(&out),
            (size / vectors) as u32,
            slope(activation),
            ActivationKind::from(activation),
            element(gradient),
        );
    }
    out
}
