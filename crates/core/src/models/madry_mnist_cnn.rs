//! The MNIST network of PGD adversarial training (Madry et al., "Towards deep learning models resistant to adversarial
//! attacks", 2018).

use burn::module::Module;
use burn::tensor::Tensor;
use riposte_kernels::Activation::{None, Relu};

use super::builder::Builder;
use super::layers::{Conv2d, Linear, MaxPool2d};
use crate::Result;

/// Two 5x5 convolutions with max pooling and two linear layers; raw pixels, no normalization.
#[derive(Module, Debug)]
pub struct MadryMnistCnn {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    fc1: Linear,
    fc2: Linear,
}

impl MadryMnistCnn {
    pub(super) fn build(builder: &mut Builder) -> Result<Self> {
        Ok(Self {
            conv1: builder.conv2d("conv1", [32, 1, 5, 5], 1, 2, true)?,
            conv2: builder.conv2d("conv2", [64, 32, 5, 5], 1, 2, true)?,
            pool: builder.max_pool(2),
            fc1: builder.linear("fc1", 64 * 7 * 7, 1024)?,
            fc2: builder.linear("fc2", 1024, 10)?,
        })
    }

    /// Logits `[batch, 10]` of images `[batch, 1, 28, 28]` in `[0, 1]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(self.conv1.forward(images, Relu));
        let x = self.pool.forward(self.conv2.forward(x, Relu));
        let x = self.fc1.forward(x.flatten(1, 3), Relu);
        self.fc2.forward(x, None)
    }
}
