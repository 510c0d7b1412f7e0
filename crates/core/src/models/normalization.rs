//! The normalization of images inside a model.

use burn::tensor::{Tensor, TensorData};

/// Per-channel normalization `(x - mean) / std`, applied inside a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

impl Normalization {
    /// The training set's statistics, as the F code has them.
    pub const CIFAR10: Self = Self { mean: [0.4914, 0.4822, 0.4465], std: [0.2471, 0.2435, 0.2616] };

    /// What the public weights of CNN-A were trained with.
    pub const CNN_A: Self =
        Self { mean: [125.3 / 255.0, 123.0 / 255.0, 113.9 / 255.0], std: [63.0 / 255.0, 62.1 / 255.0, 66.7 / 255.0] };

    /// Normalizes images `[batch, 3, height, width]`, in their dtype.
    pub fn apply(&self, images: Tensor<4>) -> Tensor<4> {
        let (device, dtype) = (images.device().without_autodiff(), images.dtype());
        let channels = |values: [f32; 3]| {
            let data = TensorData::new(values.to_vec(), [1, 3, 1, 1]);
            Tensor::<4>::from_data(data, (&device, dtype))
        };
        (images - channels(self.mean)) / channels(self.std)
    }
}
