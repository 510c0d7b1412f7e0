//! The normalization of images inside a model.

use burn::tensor::{Tensor, TensorData};
use riposte_spec::normalization::Normalization;

/// Normalizes images `[batch, channel, height, width]` in `[0, 1]`, in their dtype.
pub(super) fn normalize(images: Tensor<4>, by: &Normalization) -> Tensor<4> {
    let (device, dtype) = (images.device().without_autodiff(), images.dtype());
    let channels = |values: &[f32]| {
        let data = TensorData::new(values.to_vec(), [1, values.len(), 1, 1]);
        Tensor::<4>::from_data(data, (&device, dtype))
    };
    (images - channels(&by.mean)) / channels(&by.std)
}
