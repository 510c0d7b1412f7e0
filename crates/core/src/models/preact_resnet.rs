//! Pre-activation ResNets for CIFAR-10 (He et al., "Identity mappings in deep residual networks", 2016), as in the code of
//! Fast-FGSM training and its variants.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use riposte_kernels::Activation::{None, Relu};
use riposte_spec::architecture::PreActForm;

use super::builder::Builder;
use super::layers::{BatchNorm2d, Conv2d, Linear};
use crate::Result;
use crate::classifier::Stages;

/// Four stages of pre-activation blocks.
#[derive(Module, Debug)]
pub struct PreActResNet {
    conv1: Conv2d,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    bn: Option<BatchNorm2d>,
    linear: Linear,
}

/// Norm, ReLU, convolution, twice, around a shortcut.
#[derive(Module, Debug)]
struct Block {
    bn1: BatchNorm2d,
    conv1: Conv2d,
    bn2: BatchNorm2d,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
    /// Whether the shortcut takes the activated value.
    activated: bool,
}

impl PreActResNet {
    pub(super) fn build(builder: &mut Builder, width: usize, blocks: usize, form: PreActForm) -> Result<Self> {
        let conv1 = builder.conv2d("conv1", [width, 3, 3, 3], 1, 1, false)?;
        let layer1 = stage(builder, "layer1", [width, width], 1, blocks, form)?;
        let layer2 = stage(builder, "layer2", [width, 2 * width], 2, blocks, form)?;
        let layer3 = stage(builder, "layer3", [2 * width, 4 * width], 2, blocks, form)?;
        let layer4 = stage(builder, "layer4", [4 * width, 8 * width], 2, blocks, form)?;
        let bn = match form.is_normalized_last() {
            true => Some(builder.batch_norm("bn", 8 * width)?),
            false => Option::None,
        };
        let linear = builder.linear("linear", 8 * width, 10)?;
        Ok(Self { conv1, layer1, layer2, layer3, layer4, bn, linear })
    }
}

impl Stages for PreActResNet {
    fn first(&self, images: Tensor<4>) -> Tensor<4> {
        self.conv1.forward(images, None)
    }

    /// `[batch, 4 width, 8, 8]`
    fn after_first(&self, maps: Tensor<4>) -> Tensor<4> {
        [&self.layer1, &self.layer2, &self.layer3].into_iter().flatten().fold(maps, |x, block| block.forward(x))
    }

    /// `[batch, 8 width]`
    fn last_stage(&self, maps: Tensor<4>) -> Tensor<2> {
        let x = self.layer4.iter().fold(maps, |x, block| block.forward(x));
        let x = match &self.bn {
            Some(bn) => bn.forward(x, Relu),
            Option::None => x,
        };
        avg_pool2d(x, AvgPoolOptions::new([4, 4])).flatten(1, 3)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear.forward(features, None)
    }
}

impl Block {
    fn build(builder: &mut Builder, name: &str, [input, out]: [usize; 2], stride: usize, form: PreActForm) -> Result<Self> {
        Ok(Self {
            bn1: builder.batch_norm(&format!("{name}.bn1"), input)?,
            conv1: builder.conv2d(&format!("{name}.conv1"), [out, input, 3, 3], stride, 1, false)?,
            bn2: builder.batch_norm(&format!("{name}.bn2"), out)?,
            conv2: builder.conv2d(&format!("{name}.conv2"), [out, out, 3, 3], 1, 1, false)?,
            shortcut: match stride != 1 || input != out {
                true => Some(builder.conv2d(&format!("{name}.shortcut.0"), [out, input, 1, 1], stride, 0, false)?),
                false => Option::None,
            },
            activated: form.is_activated(),
        })
    }

    /// In Fast-FGSM's code the shortcut takes the block's input, not its activation, against the paper of the architecture.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let activated = self.bn1.forward(x.clone(), Relu);
        let out = self.conv1.forward(activated.clone(), None);
        let out = self.conv2.forward(self.bn2.forward(out, Relu), None);
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(if self.activated { activated } else { x }, None),
            Option::None => x,
        };
        out + shortcut
    }
}

fn stage(
    builder: &mut Builder,
    name: &str,
    [input, out]: [usize; 2],
    stride: usize,
    blocks: usize,
    form: PreActForm,
) -> Result<Vec<Block>> {
    (0..blocks)
        .map(|index| match index {
            0 => Block::build(builder, &format!("{name}.0"), [input, out], stride, form),
            _ => Block::build(builder, &format!("{name}.{index}"), [out, out], 1, form),
        })
        .collect()
}
