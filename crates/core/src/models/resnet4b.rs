//! ResNet-4b, a CIFAR-10 network of the verification literature (Wang et al., "Beta-CROWN", 2021).

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use riposte_kernels::Activation::{None, Relu};

use super::builder::Builder;
use super::layers::{Conv2d, Linear};
use crate::Result;
use crate::classifier::Stages;

/// Four residual blocks without batch normalization and two linear layers.
#[derive(Module, Debug)]
pub struct ResNet4b {
    conv1: Conv2d,
    blocks: Vec<Block>,
    linear1: Linear,
    linear2: Linear,
}

/// Convolution, ReLU, convolution, around a shortcut, and a ReLU of the sum.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

impl ResNet4b {
    pub(super) fn build(builder: &mut Builder) -> Result<Self> {
        let conv1 = builder.conv2d("conv1", [16, 3, 3, 3], 2, 1, true)?;
        let blocks = vec![
            Block::build(builder, "layer1.0", [16, 32], 2)?,
            Block::build(builder, "layer1.1", [32, 32], 1)?,
            Block::build(builder, "layer2.0", [32, 32], 2)?,
            Block::build(builder, "layer2.1", [32, 32], 1)?,
        ];
        let linear1 = builder.linear("linear1", 32 * 4 * 4, 100)?;
        let linear2 = builder.linear("linear2", 100, 10)?;
        Ok(Self { conv1, blocks, linear1, linear2 })
    }
}

impl Stages for ResNet4b {
    fn first(&self, images: Tensor<4>) -> Tensor<4> {
        self.conv1.forward(images, Relu)
    }

    /// `[batch, 32, 8, 8]`
    fn after_first(&self, maps: Tensor<4>) -> Tensor<4> {
        self.blocks[..2].iter().fold(maps, |x, block| block.forward(x))
    }

    /// `[batch, 100]`
    fn last_stage(&self, maps: Tensor<4>) -> Tensor<2> {
        let x = self.blocks[2..].iter().fold(maps, |x, block| block.forward(x));
        self.linear1.forward(x.flatten(1, 3), Relu)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear2.forward(features, None)
    }
}

impl Block {
    fn build(builder: &mut Builder, name: &str, [input, out]: [usize; 2], stride: usize) -> Result<Self> {
        Ok(Self {
            conv1: builder.conv2d(&format!("{name}.conv1"), [out, input, 3, 3], stride, 1, true)?,
            conv2: builder.conv2d(&format!("{name}.conv2"), [out, out, 3, 3], 1, 1, true)?,
            shortcut: match stride {
                1 => Option::None,
                _ => Some(builder.conv2d(&format!("{name}.shortcut.0"), [out, input, 1, 1], stride, 0, true)?),
            },
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let out = self.conv2.forward(self.conv1.forward(x.clone(), Relu), None);
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(x, None),
            Option::None => x,
        };
        relu(out + shortcut)
    }
}
