//! Wide residual networks for CIFAR-10 (Zagoruyko & Komodakis, "Wide residual networks", 2016), as in the PyTorch versions of
//! Madry et al.'s model and in the code of TRADES (Zhang et al. 2019): raw pixels, no dropout.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use riposte_kernels::Activation;
use riposte_spec::architecture::{Nonlinearity, Shortcut};

use super::builder::Builder;
use super::layers::{BatchNorm2d, Conv2d, Linear};
use crate::Result;
use crate::classifier::Stages;

/// Three stages of pre-activation blocks.
#[derive(Module, Debug)]
pub struct WideResNet {
    conv1: Conv2d,
    blocks: Vec<Block>,
    bn1: BatchNorm2d,
    fc: Linear,
    #[module(skip)]
    nonlinearity: Nonlinearity,
}

/// Norm, activation, convolution, twice, around a shortcut.
#[derive(Module, Debug)]
struct Block {
    bn1: BatchNorm2d,
    conv1: Conv2d,
    bn2: BatchNorm2d,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
    /// Channels before and after, and the stride.
    input: usize,
    out: usize,
    stride: usize,
    #[module(skip)]
    nonlinearity: Nonlinearity,
}

/// Input channels, output channels and stride of the first block of each stage.
fn stages(widen: usize) -> [(usize, usize, usize); 3] {
    [(16, 16 * widen, 1), (16 * widen, 32 * widen, 2), (32 * widen, 64 * widen, 2)]
}

impl WideResNet {
    /// `depth` is `6 n + 4` with `n` blocks a stage.
    pub(super) fn build(
        builder: &mut Builder,
        [depth, widen]: [usize; 2],
        shortcut: Shortcut,
        nonlinearity: Nonlinearity,
    ) -> Result<Self> {
        let conv1 = builder.conv2d("conv1", [16, 3, 3, 3], 1, 1, false)?;
        let mut blocks = Vec::new();
        for (stage, (input, out, stride)) in stages(widen).into_iter().enumerate() {
            for index in 0..(depth - 4) / 6 {
                let name = format!("block{}.layer.{index}", stage + 1);
                let (input, stride) = if index == 0 { (input, stride) } else { (out, 1) };
                blocks.push(Block::build(builder, &name, [input, out], stride, (shortcut, nonlinearity))?);
            }
        }
        // The code of TRADES registers a group of blocks that nothing computes with.
        builder.ignore_all("sub_block1.");
        let bn1 = builder.batch_norm("bn1", 64 * widen)?;
        let fc = builder.linear("fc", 64 * widen, 10)?;
        Ok(Self { conv1, blocks, bn1, fc, nonlinearity })
    }

    /// The blocks of the first two of three stages.
    fn before_last_stage(&self) -> &[Block] {
        &self.blocks[..self.blocks.len() / 3 * 2]
    }
}

impl Stages for WideResNet {
    fn first(&self, images: Tensor<4>) -> Tensor<4> {
        self.conv1.forward(images, Activation::None)
    }

    /// `[batch, 32 widen, 16, 16]`
    fn after_first(&self, maps: Tensor<4>) -> Tensor<4> {
        self.before_last_stage().iter().fold(maps, |x, block| block.forward(x))
    }

    /// `[batch, 64 widen]`
    fn last_stage(&self, maps: Tensor<4>) -> Tensor<2> {
        let x = self.blocks[self.before_last_stage().len()..].iter().fold(maps, |x, block| block.forward(x));
        avg_pool2d(self.bn1.forward_then(x, self.nonlinearity), AvgPoolOptions::new([8, 8])).flatten(1, 3)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.fc.forward(features, Activation::None)
    }
}

impl Block {
    fn build(
        builder: &mut Builder,
        name: &str,
        [input, out]: [usize; 2],
        stride: usize,
        (shortcut, nonlinearity): (Shortcut, Nonlinearity),
    ) -> Result<Self> {
        let bn1 = builder.batch_norm(&format!("{name}.bn1"), input)?;
        let conv1 = builder.conv2d(&format!("{name}.conv1"), [out, input, 3, 3], stride, 1, false)?;
        let bn2 = builder.batch_norm(&format!("{name}.bn2"), out)?;
        let conv2 = builder.conv2d(&format!("{name}.conv2"), [out, out, 3, 3], 1, 1, false)?;
        let conv_shortcut = match shortcut {
            Shortcut::Convolution if input != out => {
                Some(builder.conv2d(&format!("{name}.convShortcut"), [out, input, 1, 1], stride, 0, false)?)
            }
            Shortcut::Convolution => None,
            // Checkpoints carry the zeros of the padding as a buffer.
            Shortcut::Pooling => {
                builder.ignore(&format!("{name}.poolpadShortcut.1.padding"));
                None
            }
        };
        Ok(Self { bn1, conv1, bn2, conv2, conv_shortcut, input, out, stride, nonlinearity })
    }

    /// Where the number of channels changes, the shortcut takes the activated value; elsewhere the block's input.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let activated = self.bn1.forward_then(x.clone(), self.nonlinearity);
        let out = self.conv1.forward(activated.clone(), Activation::None);
        let out = self.conv2.forward(self.bn2.forward_then(out, self.nonlinearity), Activation::None);
        let shortcut = match &self.conv_shortcut {
            _ if self.input == self.out => x,
            Some(conv) => conv.forward(activated, Activation::None),
            None => self.pool_and_pad(activated),
        };
        out + shortcut
    }

    fn pool_and_pad(&self, x: Tensor<4>) -> Tensor<4> {
        let x = match self.stride {
            1 => x,
            stride => avg_pool2d(x, AvgPoolOptions::new([stride, stride])),
        };
        let [batch, _, height, width] = x.dims();
        let zeros = Tensor::zeros([batch, (self.out - self.input) / 2, height, width], (&x.device(), x.dtype()));
        Tensor::cat(vec![zeros.clone(), x, zeros], 1)
    }
}
