//! ResNets for CIFAR-10 (He et al., "Deep residual learning for image recognition", 2016) as most PyTorch code has them: a 3x3
//! convolution in the place of ImageNet's first layers. RobustBench, Engstrom et al.'s `robustness` and many others use the same names.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use riposte_kernels::Activation::{None, Relu};
use riposte_spec::architecture::ResNetDepth;

use super::builder::Builder;
use super::layers::{BatchNorm2d, Conv2d, Linear};
use crate::Result;
use crate::classifier::Stages;

/// Four stages of blocks with the normalization after each convolution; raw pixels.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    linear: Linear,
}

/// Convolutions, each with a normalization, around a shortcut: two 3x3, or 1x1, 3x3 and 1x1.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    third: Option<Normalized>,
    shortcut: Option<Normalized>,
}

#[derive(Module, Debug)]
struct Normalized {
    conv: Conv2d,
    bn: BatchNorm2d,
}

impl ResNet {
    pub(super) fn build(builder: &mut Builder, depth: ResNetDepth, width: usize) -> Result<Self> {
        let conv1 = builder.conv2d("conv1", [width, 3, 3, 3], 1, 1, false)?;
        let bn1 = builder.batch_norm("bn1", width)?;
        let mut channels = width;
        let mut stage = |builder: &mut Builder, index: usize| -> Result<Vec<Block>> {
            let inner = width << index;
            (0..depth.blocks()[index])
                .map(|block| {
                    let stride = if index > 0 && block == 0 { 2 } else { 1 };
                    let input = channels;
                    channels = if depth.has_bottlenecks() { 4 * inner } else { inner };
                    Block::build(builder, &format!("layer{}.{block}", index + 1), [input, inner, channels], stride)
                })
                .collect()
        };
        let (layer1, layer2) = (stage(builder, 0)?, stage(builder, 1)?);
        let (layer3, layer4) = (stage(builder, 2)?, stage(builder, 3)?);
        let linear = builder.linear("linear", channels, 10)?;
        Ok(Self { conv1, bn1, layer1, layer2, layer3, layer4, linear })
    }
}

impl Stages for ResNet {
    fn first(&self, images: Tensor<4>) -> Tensor<4> {
        self.conv1.forward(images, None)
    }

    /// `[batch, channel, 8, 8]`
    fn after_first(&self, maps: Tensor<4>) -> Tensor<4> {
        let x = self.bn1.forward(maps, Relu);
        [&self.layer1, &self.layer2, &self.layer3].into_iter().flatten().fold(x, |x, block| block.forward(x))
    }

    /// `[batch, feature]`
    fn last_stage(&self, maps: Tensor<4>) -> Tensor<2> {
        let x = self.layer4.iter().fold(maps, |x, block| block.forward(x));
        avg_pool2d(x, AvgPoolOptions::new([4, 4])).flatten(1, 3)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear.forward(features, None)
    }
}

impl Block {
    /// With `inner` channels between its convolutions; a block whose output has more is a bottleneck.
    fn build(builder: &mut Builder, name: &str, [input, inner, out]: [usize; 3], stride: usize) -> Result<Self> {
        let bottleneck = out != inner;
        let (kernel, padding, first) = if bottleneck { (1, 0, 1) } else { (3, 1, stride) };
        let conv1 = builder.conv2d(&format!("{name}.conv1"), [inner, input, kernel, kernel], first, padding, false)?;
        let bn1 = builder.batch_norm(&format!("{name}.bn1"), inner)?;
        let second = if bottleneck { stride } else { 1 };
        let conv2 = builder.conv2d(&format!("{name}.conv2"), [inner, inner, 3, 3], second, 1, false)?;
        let bn2 = builder.batch_norm(&format!("{name}.bn2"), inner)?;
        let third = match bottleneck {
            true => Some(Normalized {
                conv: builder.conv2d(&format!("{name}.conv3"), [out, inner, 1, 1], 1, 0, false)?,
                bn: builder.batch_norm(&format!("{name}.bn3"), out)?,
            }),
            false => Option::None,
        };
        let shortcut = match stride != 1 || input != out {
            true => Some(Normalized {
                conv: builder.conv2d(&format!("{name}.shortcut.0"), [out, input, 1, 1], stride, 0, false)?,
                bn: builder.batch_norm(&format!("{name}.shortcut.1"), out)?,
            }),
            false => Option::None,
        };
        Ok(Self { conv1, bn1, conv2, bn2, third, shortcut })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let out = self.bn1.forward(self.conv1.forward(x.clone(), None), Relu);
        let out = self.conv2.forward(out, None);
        let out = match &self.third {
            Some(third) => third.forward(self.bn2.forward(out, Relu)),
            Option::None => self.bn2.forward(out, None),
        };
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            Option::None => x,
        };
        relu(out + shortcut)
    }
}

impl Normalized {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.bn.forward(self.conv.forward(x, None), None)
    }
}
