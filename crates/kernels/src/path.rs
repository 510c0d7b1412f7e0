//! Which implementation computes a layer, and on what.

use burn::tensor::{Device, FloatDType};

/// Which implementation computes a layer.
///
/// A model that keeps a path can be run both ways; the results agree within rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// This crate's kernels where the device has them, Burn's operations elsewhere.
    #[default]
    Kernels,
    /// Burn's operations, differentiated by Burn: the reference to compare with.
    Stock,
}

/// Whether the device has kernels for activations in f16: a GPU device that computes with them. Elsewhere Burn's operations take
/// f16 tensors, if at all, without the speed that is the point of them.
pub fn stores_f16(device: &Device) -> bool {
    let device = device.clone().without_autodiff();
    device != Device::flex() && device.supports_dtype(FloatDType::F16)
}
