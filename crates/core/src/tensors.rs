//! Images as tensors.

use burn::tensor::{Device, Tensor, TensorData};
use riposte_data::Images;

/// What can be put on a device.
pub trait ToTensor {
    /// The chosen images on a device, `[image, channel, height, width]` in `[0, 1]`.
    ///
    /// # Panics
    /// If an index has no image.
    fn to_tensor(&self, indices: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<4>;
}

impl ToTensor for Images {
    fn to_tensor(&self, indices: impl IntoIterator<Item = usize>, device: &Device) -> Tensor<4> {
        let values = self.to_f32(indices);
        let count = values.len() / self.image_len();
        Tensor::from_data(TensorData::new(values, [count, self.channels(), self.height(), self.width()]), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_images_arrive_on_the_device_in_order() {
        let images = Images::new((0..36).collect(), 3, 2, 2).unwrap();
        let tensor = images.to_tensor([2, 0], &Device::flex());
        assert_eq!(tensor.dims(), [2, 3, 2, 2]);
        assert_eq!(tensor.into_data().try_to_vec::<f32>().unwrap(), images.to_f32([2, 0]));
    }
}
