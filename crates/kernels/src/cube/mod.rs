//! Kernels for GPU devices, written in CubeCL.
//!
//! The modules here launch, and [`kernels`] holds what they launch. Every layer is a tiled product of two matrices, one of them
//! gathered on the fly ([`convolution`]) or stored ([`linear`]); the rest is elementwise. The kernels ask of a device no more than
//! WebGPU's defaults: f32 and u32 (and f16 where tensors are), 16 KiB of workgroup memory, 256 units per workgroup, eight buffers,
//! no subgroups, no atomics. Nothing is tuned at run time: [`plan`] picks tiles from a problem's extents.

mod convolution;
mod direct;
mod kernels;
mod launch;
mod linear;
mod loss;
mod normalization;
mod plan;
mod pooling;
mod steps;
mod thin;

use burn::backend::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use crate::LayerBackward;

/// Whether a layer's kernels are written for these types: activations (x, the output, its gradient) all f32 or all f16,
/// parameters and statistics f32.
fn fit<const A: usize, const P: usize>(activations: [Option<&CubeTensor>; A], parameters: [Option<&CubeTensor>; P]) -> bool {
    let all = |dtype| activations.iter().flatten().all(|tensor| tensor.dtype == dtype);
    single(parameters.into_iter().flatten()) && (all(DType::F32) || all(DType::F16))
}

/// Whether all are f32.
fn single<'a>(tensors: impl IntoIterator<Item = &'a CubeTensor>) -> bool {
    tensors.into_iter().all(|tensor| tensor.dtype == DType::F32)
}

/// [`fit`] for the backward pass of a convolution or a linear layer.
fn pass_fits(pass: &LayerBackward<CubeBackend>) -> bool {
    fit([Some(&pass.gradient), pass.output.as_ref(), pass.x.as_ref()], [pass.weight.as_ref()])
}

fn contiguous(pass: LayerBackward<CubeBackend>) -> LayerBackward<CubeBackend> {
    LayerBackward {
        gradient: into_contiguous(pass.gradient),
        output: pass.output.map(into_contiguous),
        x: pass.x.map(into_contiguous),
        weight: pass.weight.map(into_contiguous),
        ..pass
    }
}
