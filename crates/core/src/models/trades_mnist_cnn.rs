//! The small MNIST network of TRADES (Zhang et al., "Theoretically principled trade-off between robustness and accuracy",
//! 2019).

use burn::module::Module;
use burn::tensor::Tensor;
use riposte_kernels::Activation::{None, Relu};

use super::builder::Builder;
use super::layers::{Conv2d, Linear, MaxPool2d};
use crate::Result;
use crate::classifier::Stages;

/// Four 3x3 convolutions without padding, two max poolings and three linear layers; raw pixels, no normalization.
#[derive(Module, Debug)]
pub struct TradesMnistCnn {
    conv1: Conv2d,
    conv2: Conv2d,
    conv3: Conv2d,
    conv4: Conv2d,
    pool: MaxPool2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl TradesMnistCnn {
    pub(super) fn build(builder: &mut Builder) -> Result<Self> {
        Ok(Self {
            conv1: builder.conv2d("feature_extractor.conv1", [32, 1, 3, 3], 1, 0, true)?,
            conv2: builder.conv2d("feature_extractor.conv2", [32, 32, 3, 3], 1, 0, true)?,
            conv3: builder.conv2d("feature_extractor.conv3", [64, 32, 3, 3], 1, 0, true)?,
            conv4: builder.conv2d("feature_extractor.conv4", [64, 64, 3, 3], 1, 0, true)?,
            pool: builder.max_pool(2),
            fc1: builder.linear("classifier.fc1", 64 * 4 * 4, 200)?,
            fc2: builder.linear("classifier.fc2", 200, 200)?,
            fc3: builder.linear("classifier.fc3", 200, 10)?,
        })
    }
}

impl Stages for TradesMnistCnn {
    fn first(&self, images: Tensor<4>) -> Tensor<4> {
        self.conv1.forward(images, Relu)
    }

    /// `[batch, 64, 4, 4]`
    fn after_first(&self, maps: Tensor<4>) -> Tensor<4> {
        let x = self.pool.forward(self.conv2.forward(maps, Relu));
        let x = self.conv3.forward(x, Relu);
        self.pool.forward(self.conv4.forward(x, Relu))
    }

    /// `[batch, 200]`
    fn last_stage(&self, maps: Tensor<4>) -> Tensor<2> {
        let x = self.fc1.forward(maps.flatten(1, 3), Relu);
        self.fc2.forward(x, Relu)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.fc3.forward(features, None)
    }
}
