//! The architectures, one file each, and the model that holds any of them.

mod buffer;
mod builder;
mod cnn_a;
mod dm_wide_resnet;
mod fast_mnist_cnn;
pub(crate) mod layers;
mod madry_mnist_cnn;
mod normalization;
mod preact_resnet;
mod resnet;
mod resnet4b;
mod trades_mnist_cnn;
mod wide_resnet;

use std::cell::Cell;
use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

pub use cnn_a::CnnA;
pub use dm_wide_resnet::DmWideResNet;
pub use fast_mnist_cnn::FastMnistCnn;
pub use madry_mnist_cnn::MadryMnistCnn;
pub use preact_resnet::PreActResNet;
pub use resnet::ResNet;
pub use resnet4b::ResNet4b;
pub use riposte_spec::architecture::{Architecture, Layer, Nonlinearity, PreActForm, ResNetDepth, Shortcut};
pub use riposte_spec::card::{Accuracy, ModelCard};
pub use riposte_spec::normalization::Normalization;
pub use trades_mnist_cnn::TradesMnistCnn;
pub use wide_resnet::WideResNet;

use crate::classifier::{Stages, read};
use crate::rng::{Purpose, Seed};
use crate::weights::{Parameter, StateDict};
use crate::{Classifier, Result};
use builder::{Builder, Source};
use normalization::normalize;
pub use riposte_kernels::Path as LayerPath;

/// Any of the architectures with its parameters.
#[derive(Module, Debug)]
pub struct Model {
    body: Body,
    #[module(skip)]
    architecture: Architecture,
    /// The PyTorch names of the parameters and buffers, in the order in which a module visitor meets them.
    #[module(skip)]
    keys: Vec<String>,
}

/// A network behind the normalization of its images.
#[derive(Module, Debug)]
struct Body {
    net: Net,
    #[module(skip)]
    normalization: Option<Normalization>,
    /// Other than PyTorch's default, as it was asked for.
    #[module(skip)]
    batch_norm_epsilon: Option<f32>,
}

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a program holds one or two of them")]
enum Net {
    FastMnistCnn(FastMnistCnn),
    MadryMnistCnn(MadryMnistCnn),
    TradesMnistCnn(TradesMnistCnn),
    PreActResNet(PreActResNet),
    ResNet(ResNet),
    WideResNet(WideResNet),
    DmWideResNet(DmWideResNet),
    ResNet4b(ResNet4b),
    CnnA(CnnA),
}

impl Model {
    /// A model with the parameters of `weights`, on `device`. Under [`MEAN`](crate::weights::MEAN), [`STD`](crate::weights::STD) and
    /// [`BATCH_NORM_EPSILON`](crate::weights::BATCH_NORM_EPSILON) weights may bring a
    /// normalization of images and a number added to variances that are not the architecture's own.
    ///
    /// # Errors
    /// [`Error::MissingKey`](crate::Error::MissingKey), [`Error::Shape`](crate::Error::Shape) or [`Error::UnexpectedKeys`](crate::Error::UnexpectedKeys) if the weights belong to another architecture.
    pub fn from_weights(architecture: Architecture, weights: &StateDict, device: &Device) -> Result<Self> {
        Self::build(architecture, Source::Weights(weights), device, LayerPath::Kernels)
    }

    /// A model with fresh parameters: PyTorch's default initialization, drawn from the seed.
    pub fn random(architecture: Architecture, seed: Seed, device: &Device) -> Self {
        Self::random_by(LayerPath::Kernels, architecture, seed, device)
    }

    /// [`random`](Self::random) with layers computed by `path`: to compare this project's with Burn's.
    pub fn random_by(path: LayerPath, architecture: Architecture, seed: Seed, device: &Device) -> Self {
        let source = &mut seed.stream(Purpose::Init, 0);
        Self::build(architecture, Source::Random(source), device, path).expect("fresh parameters fit")
    }

    /// The parameters and buffers, read back from the device.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails.
    pub async fn weights(&self) -> Result<StateDict> {
        let mut tensors = Collect::default();
        self.visit(&mut tensors);
        assert_eq!(tensors.0.len(), self.keys.len(), "every parameter has a name");
        let mut dict = StateDict::default();
        for (key, (shape, tensor)) in self.keys.iter().zip(tensors.0) {
            dict.0.insert(key.clone(), Parameter { shape, values: read(tensor).await? });
        }
        if self.body.normalization != self.architecture.normalization() {
            dict.set_normalization(self.body.normalization.as_ref(), self.architecture);
        }
        if let Some(epsilon) = self.body.batch_norm_epsilon {
            dict.set_batch_norm_epsilon(epsilon);
        }
        Ok(dict)
    }

    /// The PyTorch names of the parameters and buffers, in the order in which the layers compute.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Which architecture this is.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Whether weights of these names and shapes are those of `architecture`; `matched` counts the parameters that are.
    pub(crate) fn fits(architecture: Architecture, shapes: &BTreeMap<&str, &[usize]>, matched: &Cell<usize>) -> Result<()> {
        let source = Source::Shapes { shapes, matched };
        Self::build(architecture, source, &Device::flex(), LayerPath::Kernels).map(|_| ())
    }

    fn build(architecture: Architecture, source: Source, device: &Device, path: LayerPath) -> Result<Self> {
        let (own, batch_norm_epsilon) = match &source {
            Source::Weights(dict) => (dict.normalization(architecture)?, dict.batch_norm_epsilon()?),
            Source::Random(_) | Source::Shapes { .. } => (None, None),
        };
        let builder = Builder::new(architecture.to_string(), source, device, path);
        let mut builder = builder.with_batch_norm_epsilon(batch_norm_epsilon.map(f64::from));
        let net = match architecture {
            Architecture::FastMnistCnn => Net::FastMnistCnn(FastMnistCnn::build(&mut builder)?),
            Architecture::MadryMnistCnn => Net::MadryMnistCnn(MadryMnistCnn::build(&mut builder)?),
            Architecture::TradesMnistCnn => Net::TradesMnistCnn(TradesMnistCnn::build(&mut builder)?),
            Architecture::PreActResNet { width, blocks, form } => {
                Net::PreActResNet(PreActResNet::build(&mut builder, width, blocks, form)?)
            }
            Architecture::ResNet { depth, width } => Net::ResNet(ResNet::build(&mut builder, depth, width)?),
            Architecture::WideResNet { depth, widen, shortcut, nonlinearity } => {
                Net::WideResNet(WideResNet::build(&mut builder, [depth, widen], shortcut, nonlinearity)?)
            }
            Architecture::DmWideResNet { depth, widen, nonlinearity } => {
                Net::DmWideResNet(DmWideResNet::build(&mut builder, [depth, widen], nonlinearity)?)
            }
            Architecture::ResNet4b => Net::ResNet4b(ResNet4b::build(&mut builder)?),
            Architecture::CnnA => Net::CnnA(CnnA::build(&mut builder)?),
        };
        let normalization = own.or(architecture.normalization()).filter(|normalization| !normalization.is_identity());
        let keys = builder.finish()?;
        // Models rest without autodiff and without batch statistics; whoever trains one asks for them with `train`.
        Ok(Self { body: Body { net, normalization, batch_norm_epsilon }, architecture, keys }.valid())
    }
}

impl Stages for Body {
    fn first(&self, images: Tensor<4>) -> Tensor<4> {
        self.net.stages().first(match &self.normalization {
            Some(normalization) => normalize(images, normalization),
            None => images,
        })
    }

    fn after_first(&self, maps: Tensor<4>) -> Tensor<4> {
        self.net.stages().after_first(maps)
    }

    fn last_stage(&self, maps: Tensor<4>) -> Tensor<2> {
        self.net.stages().last_stage(maps)
    }

    fn head(&self, features: Tensor<2>) -> Tensor<2> {
        self.net.stages().head(features)
    }
}

impl Net {
    fn stages(&self) -> &dyn Stages {
        match self {
            Self::FastMnistCnn(net) => net,
            Self::MadryMnistCnn(net) => net,
            Self::TradesMnistCnn(net) => net,
            Self::PreActResNet(net) => net,
            Self::ResNet(net) => net,
            Self::WideResNet(net) => net,
            Self::DmWideResNet(net) => net,
            Self::ResNet4b(net) => net,
            Self::CnnA(net) => net,
        }
    }
}

impl Classifier for Model {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.body.forward(images)
    }

    fn stages(&self) -> Option<&dyn Stages> {
        Some(&self.body)
    }

    fn classes(&self) -> usize {
        10
    }
}

/// Collects parameters and running statistics, flattened, with their shapes.
#[derive(Default)]
struct Collect(Vec<(Vec<usize>, Tensor<1>)>);

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        self.0.push((tensor.dims().to_vec(), tensor.flatten(0, D - 1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The description counts the work; the model does it.
    #[test]
    fn the_layers_that_an_architecture_describes_are_those_of_its_model() {
        let sized = [
            "preact-resnet-w4-b3",
            "preact-resnet-w2-b1-activated-bare",
            "resnet34-w2",
            "resnet101-w1",
            "wrn-16-2",
            "wrn-16-2-conv-relu",
            "dm-wrn-16-1-silu",
        ]
        .map(|name| name.parse().unwrap());
        for architecture in Architecture::named().chain(sized) {
            let model = Model::random(architecture, Seed(0), &Device::flex());
            let weights = pollster::block_on(model.weights()).unwrap();
            // Of the parameters, biases and the normalization's have one dimension.
            let mut found: Vec<Vec<usize>> = weights.0.into_values().map(|p| p.shape).filter(|shape| shape.len() > 1).collect();
            let mut described: Vec<Vec<usize>> = architecture.layers().into_iter().map(|layer| layer.weights()).collect();
            found.sort();
            described.sort();
            assert_eq!(found, described, "{architecture}");
        }
    }
}
