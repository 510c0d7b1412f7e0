//! The MNIST network of PGD adversarial training (Madry et al., "Towards deep learning models resistant to adversarial
//! attacks", 2018).

use burn::module::Module;
use burn::tensor::Tensor;
use riposte_kernels::Activation::{None, Relu};

use super::builder::Builder;
use super::layers::{Conv2d, Linear, MaxPool2d};
use crate::Result;
use crate::classifier::Stages;

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
}

impl Stages for MadryMnistCnn {
    fn first(&self, images: Tensor<4>) -> Tensor<4> {
        self.pool.forward(self.conv1.forward(images, Relu))
    }

    /// `[batch, 64, 7, 7]`
    fn after_first(&self, maps: Tensor<4>) -> Tensor<4> {
        self.pool.forward(self.conv2.forward(maps, Relu))
    }

    /// `[batch, 1024]`
    fn last_stage(&self, maps: Tensor<4>) -> Tensor<2> {
        self.fc1.forward(maps.flatten(1, 3), Relu)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.fc2.forward(features, None)
    }
}
