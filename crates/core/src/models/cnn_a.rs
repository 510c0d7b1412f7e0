//! CNN-A, the small CIFAR-10 network of the verification literature (Wong & Kolter, "Provable defenses against adversarial
//! examples", 2018).

use burn::module::Module;
use burn::tensor::Tensor;
use riposte_kernels::Activation::{None, Relu};

use super::builder::Builder;
use super::layers::{Conv2d, Linear};
use super::normalization::Normalization;
use crate::Result;

/// Two 4x4 convolutions of stride 2 and two linear layers, with its own CIFAR-10 normalization inside.
#[derive(Module, Debug)]
pub struct CnnA {
    conv1: Conv2d,
    conv2: Conv2d,
    linear1: Linear,
    linear2: Linear,
}

impl CnnA {
    pub(super) fn build(builder: &mut Builder) -> Result<Self> {
        Ok(Self {
            conv1: builder.conv2d("0", [16, 3, 4, 4], 2, 1, true)?,
            conv2: builder.conv2d("2", [32, 16, 4, 4], 2, 1, true)?,
            linear1: builder.linear("5", 32 * 8 * 8, 100)?,
            linear2: builder.linear("7", 100, 10)?,
        })
    }

    /// Logits `[batch, 10]` of images `[batch, 3, 32, 32]` in `[0, 1]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.conv1.forward(Normalization::CNN_A.apply(images), Relu);
        let x = self.conv2.forward(x, Relu);
        let x = self.linear1.forward(x.flatten(1, 3), Relu);
        self.linear2.forward(x, None)
    }
}
