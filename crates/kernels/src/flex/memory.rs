//! Tensors as slices, and results without zeroing them first.

use core::mem::MaybeUninit;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{Bytes, DType, Shape};

/// Whether a tensor holds what the kernels compute with.
pub(super) fn is_f32(tensor: &FlexTensor) -> bool {
    tensor.dtype() == DType::F32
}

/// The tensor's elements in order; `tensor` is to be contiguous: see [`FlexTensor::to_contiguous`].
pub(super) fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.storage()
}

/// A new tensor; `fill` must write every element.
///
/// # Safety
/// Every element must have been written when `fill` returns.
pub(super) unsafe fn filled<const D: usize>(shape: [usize; D], fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> FlexTensor {
    let length = shape.iter().product();
    let mut data = Vec::<f32>::with_capacity(length);
    fill(&mut data.spare_capacity_mut()[..length]);
    // SAFETY: the caller vouches for it.
    unsafe { data.set_len(length) };
    tensor(data, shape)
}

/// A new tensor of these elements.
pub(super) fn tensor<const D: usize>(data: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    let layout = Layout::contiguous(Shape::new(shape));
    FlexTensor::new(Bytes::from_elems(data), layout, DType::F32)
}

/// Contiguous, if there is one.
pub(super) fn contiguous(tensor: &Option<FlexTensor>) -> Option<FlexTensor> {
    tensor.as_ref().map(FlexTensor::to_contiguous)
}
