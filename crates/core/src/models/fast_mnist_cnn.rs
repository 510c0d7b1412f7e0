//! The MNIST network of Fast-FGSM training (Wong, Rice & Kolter, "Fast is better than free", 2020).

use burn::module::Module;
use burn::tensor::Tensor;
use riposte_kernels::Activation::{None, Relu};

use super::builder::Builder;
use super::layers::{Conv2d, Linear};
use crate::Result;
use crate::classifier::Stages;

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
}

impl Stages for FastMnistCnn {
    fn first(&self, images: Tensor<4>) -> Tensor<4> {
        self.conv1.forward(images, Relu)
    }

    /// `[batch, 32, 7, 7]`
    fn after_first(&self, maps: Tensor<4>) -> Tensor<4> {
        self.conv2.forward(maps, Relu)
    }

    /// `[batch, 100]`
    fn last_stage(&self, maps: Tensor<4>) -> Tensor<2> {
        self.linear1.forward(maps.flatten(1, 3), Relu)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear2.forward(features, None)
    }
}
