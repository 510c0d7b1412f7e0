//! Wide residual networks for CIFAR-10 in the layout of Gowal et al. ("Uncovering the limits of adversarial training against
//! norm-bounded adversarial examples", 2020), which Rebuffi et al. 2021, Wang et al. 2023 and others have, too.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use riposte_kernels::Activation::None;
use riposte_spec::architecture::Nonlinearity;

use super::builder::Builder;
use super::layers::{BatchNorm2d, Conv2d, Linear};
use crate::Result;
use crate::classifier::Stages;

/// Three groups of pre-activation blocks.
#[derive(Module, Debug)]
pub struct DmWideResNet {
    init_conv: Conv2d,
    blocks: Vec<Block>,
    batchnorm: BatchNorm2d,
    logits: Linear,
    #[module(skip)]
    nonlinearity: Nonlinearity,
}

/// Norm, activation, convolution, twice, around a shortcut.
#[derive(Module, Debug)]
struct Block {
    batchnorm_0: BatchNorm2d,
    conv_0: Conv2d,
    batchnorm_1: BatchNorm2d,
    conv_1: Conv2d,
    shortcut: Option<Conv2d>,
    stride: usize,
    #[module(skip)]
    nonlinearity: Nonlinearity,
}

impl DmWideResNet {
    /// `depth` is `6 n + 4` with `n` blocks a group.
    pub(super) fn build(builder: &mut Builder, [depth, widen]: [usize; 2], nonlinearity: Nonlinearity) -> Result<Self> {
        let init_conv = builder.conv2d("init_conv", [16, 3, 3, 3], 1, 1, false)?;
        let groups = [(16, 16 * widen, 1), (16 * widen, 32 * widen, 2), (32 * widen, 64 * widen, 2)];
        let mut blocks = Vec::new();
        for (group, (input, out, stride)) in groups.into_iter().enumerate() {
            for index in 0..(depth - 4) / 6 {
                let name = format!("layer.{group}.block.{index}");
                let (input, stride) = if index == 0 { (input, stride) } else { (out, 1) };
                blocks.push(Block::build(builder, &name, [input, out], stride, nonlinearity)?);
            }
        }
        let batchnorm = builder.batch_norm("batchnorm", 64 * widen)?;
        let logits = builder.linear("logits", 64 * widen, 10)?;
        Ok(Self { init_conv, blocks, batchnorm, logits, nonlinearity })
    }

    /// The blocks of the first two of three groups.
    fn before_last_stage(&self) -> &[Block] {
        &self.blocks[..self.blocks.len() / 3 * 2]
    }
}

impl Stages for DmWideResNet {
    fn first(&self, images: Tensor<4>) -> Tensor<4> {
        self.init_conv.forward(images, None)
    }

    /// `[batch, 32 widen, 16, 16]`
    fn after_first(&self, maps: Tensor<4>) -> Tensor<4> {
        self.before_last_stage().iter().fold(maps, |x, block| block.forward(x))
    }

    /// `[batch, 64 widen]`
    fn last_stage(&self, maps: Tensor<4>) -> Tensor<2> {
        let x = self.blocks[self.before_last_stage().len()..].iter().fold(maps, |x, block| block.forward(x));
        avg_pool2d(self.batchnorm.forward_then(x, self.nonlinearity), AvgPoolOptions::new([8, 8])).flatten(1, 3)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.logits.forward(features, None)
    }
}

impl Block {
    fn build(
        builder: &mut Builder,
        name: &str,
        [input, out]: [usize; 2],
        stride: usize,
        nonlinearity: Nonlinearity,
    ) -> Result<Self> {
        // A strided convolution is padded before, at the bottom and the right alone.
        let padding = if stride == 1 { 1 } else { 0 };
        Ok(Self {
            batchnorm_0: builder.batch_norm(&format!("{name}.batchnorm_0"), input)?,
            conv_0: builder.conv2d(&format!("{name}.conv_0"), [out, input, 3, 3], stride, padding, false)?,
            batchnorm_1: builder.batch_norm(&format!("{name}.batchnorm_1"), out)?,
            conv_1: builder.conv2d(&format!("{name}.conv_1"), [out, out, 3, 3], 1, 1, false)?,
            shortcut: match input != out {
                true => Some(builder.conv2d(&format!("{name}.shortcut"), [out, input, 1, 1], stride, 0, false)?),
                false => Option::None,
            },
            stride,
            nonlinearity,
        })
    }

    /// Where the number of channels changes, the shortcut takes the activated value; elsewhere the block's input.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let activated = self.batchnorm_0.forward_then(x.clone(), self.nonlinearity);
        let padded = if self.stride == 1 { activated.clone() } else { pad_bottom_right(activated.clone()) };
        let out = self.batchnorm_1.forward_then(self.conv_0.forward(padded, None), self.nonlinearity);
        let out = self.conv_1.forward(out, None);
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(activated, None),
            Option::None => x,
        };
        out + shortcut
    }
}

/// A row and a column of zeros at the bottom and the right of `[batch, channel, height, width]`.
fn pad_bottom_right(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let options = (&x.device(), x.dtype());
    let column = Tensor::zeros([batch, channels, height, 1], options);
    let row = Tensor::zeros([batch, channels, 1, width + 1], options);
    Tensor::cat(vec![Tensor::cat(vec![x, column], 3), row], 2)
}
