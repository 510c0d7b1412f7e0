//! The MNIST network of Fast-FGSM training (Wong, Rice & Kolter, "Fast is better than free", 2020).

use burn::module::Module;
use burn::tensor::Tensor;
use riposte_kernels::Activation::{None, Relu};

use super::builder::Builder;
use super::layers::{Conv2d, Linear};
use crate::Result;

/// Two strided 4x4 convolutions and two linear layers; raw pixels, no normalization.
#[derive(Module, Debug)]
pub struct FastMnistCnn {
    conv1: Conv2d,
    conv2: Conv2d,
    linear1: Linear,
    linear2: Linear,
}

impl FastMnistCnn {
    pub(super) fn build(builder: &mut Builder) -> Result<Self> {
        Ok(Self {
            conv1: builder.conv2d("0", [16, 1, 4, 4], 2, 1, true)?,
            conv2: builder.conv2d("2", [32, 16, 4, 4], 2, 1, true)?,
            linear1: builder.linear("5", 32 * 7 * 7, 100)?,
            linear2: builder.linear("7", 100, 10)?,
        })
    }

    /// Logits `[batch, 10]` of images `[batch, 1, 28, 28]` in `[0, 1]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.conv1.forward(images, Relu);
        let x = self.conv2.forward(x, Relu);
        let x = self.linear1.forward(x.flatten(1, 3), Relu);
        self.linear2.forward(x, None)
    }
}
