//! Between the page's pictures and tensors.

use burn::tensor::{Device, Tensor, TensorData};
use riposte::attack::Goal;
use riposte_protocol::Picture;

/// `[1, channel, height, width]` on a device.
pub fn tensor(picture: &Picture, device: &Device) -> Tensor<4> {
    let shape = [1, picture.channels, picture.height, picture.width];
    Tensor::from_data(TensorData::new(picture.pixels.clone(), shape), device)
}

/// Away from `class`, or towards the target.
pub fn goal(class: usize, target: Option<usize>) -> Goal {
    match target {
        Some(target) => Goal::Targeted { targets: vec![target] },
        None => Goal::Untargeted { labels: vec![class] },
    }
}
