//! The architectures, one file each, and the model that holds any of them.

mod builder;
mod card;
mod fast_mnist_cnn;
pub(crate) mod layers;
mod madry_mnist_cnn;
mod preact_resnet;
mod trades_mnist_cnn;

use std::fmt;
use std::str::FromStr;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

pub use card::{Accuracy, ModelCard, Normalization};
pub use fast_mnist_cnn::FastMnistCnn;
pub use madry_mnist_cnn::MadryMnistCnn;
pub use preact_resnet::PreActResNet;
pub use trades_mnist_cnn::TradesMnistCnn;

use crate::classifier::read;
use crate::rng::{Purpose, Seed};
use crate::weights::{Parameter, StateDict};
use crate::{Classifier, Error, Result};
use builder::{Builder, Source};

/// The architectures by the names that the command line, the cards and the files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// `fast-mnist-cnn`: the MNIST network of Wong et al. 2020.
    FastMnistCnn,
    /// `madry-mnist-cnn`: the MNIST network of Madry et al. 2018.
    MadryMnistCnn,
    /// `trades-mnist-cnn`: the small CNN of Zhang et al. 2019.
    TradesMnistCnn,
    /// `preact-resnet-wW-bB`: a pre-activation ResNet, width `W` at the first stage, `B` blocks a stage;
    /// `preact-resnet18` is `W` 64, `B` 2.
    PreActResNet { width: usize, blocks: usize },
}

/// Any of the architectures with its parameters.
#[derive(Module, Debug)]
pub struct Model {
    net: Net,
    #[module(skip)]
    architecture: Architecture,
    /// The PyTorch names of the parameters and buffers, in the order in which a module visitor meets them.
    #[module(skip)]
    keys: Vec<String>,
}

#[derive(Module, Debug)]
enum Net {
    FastMnistCnn(FastMnistCnn),
    MadryMnistCnn(MadryMnistCnn),
    TradesMnistCnn(TradesMnistCnn),
    PreActResNet(PreActResNet),
}

impl Model {
    /// A model with the parameters of `weights`, on `device`.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::Shape`] or [`Error::UnexpectedKeys`] if the weights belong to another architecture.
    pub fn from_weights(architecture: Architecture, weights: &StateDict, device: &Device) -> Result<Self> {
        Self::build(architecture, Source::Weights(weights), device)
    }

    /// A model with fresh parameters: PyTorch's default initialization, drawn from the seed.
    pub fn random(architecture: Architecture, seed: Seed, device: &Device) -> Self {
        let source = &mut seed.stream(Purpose::Init, 0);
        Self::build(architecture, Source::Random(source), device).expect("fresh parameters fit")
    }

    /// The parameters and buffers, read back from the device.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub async fn weights(&self) -> Result<StateDict> {
        let mut tensors = Collect::default();
        self.visit(&mut tensors);
        assert_eq!(tensors.0.len(), self.keys.len(), "every parameter has a name");
        let mut dict = StateDict::default();
        for (key, (shape, tensor)) in self.keys.iter().zip(tensors.0) {
            dict.0.insert(key.clone(), Parameter { shape, values: read(tensor).await? });
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

    fn build(architecture: Architecture, source: Source, device: &Device) -> Result<Self> {
        let mut builder = Builder::new(architecture.to_string(), source, device);
        let net = match architecture {
            Architecture::FastMnistCnn => Net::FastMnistCnn(FastMnistCnn::build(&mut builder)?),
            Architecture::MadryMnistCnn => Net::MadryMnistCnn(MadryMnistCnn::build(&mut builder)?),
            Architecture::TradesMnistCnn => Net::TradesMnistCnn(TradesMnistCnn::build(&mut builder)?),
            Architecture::PreActResNet { width, blocks } => Net::PreActResNet(PreActResNet::build(&mut builder, width, blocks)?),
        };
        // Models rest without autodiff and without batch statistics; whoever trains one asks for them with `train`.
        Ok(Self { net, architecture, keys: builder.finish()? }.valid())
    }
}

impl Classifier for Model {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match &self.net {
            Net::FastMnistCnn(net) => net.forward(images),
            Net::MadryMnistCnn(net) => net.forward(images),
            Net::TradesMnistCnn(net) => net.forward(images),
            Net::PreActResNet(net) => net.forward(images),
        }
    }

    fn classes(&self) -> usize {
        10
    }
}

impl Architecture {
    /// Channels, height and width of the images it takes.
    pub fn image_shape(self) -> [usize; 3] {
        match self {
            Self::FastMnistCnn | Self::MadryMnistCnn | Self::TradesMnistCnn => [1, 28, 28],
            Self::PreActResNet { .. } => [3, 32, 32],
        }
    }

    /// Multiply-accumulates of one forward pass of one image, in convolutions and linear layers.
    pub fn multiply_accumulates(self) -> u64 {
        match self {
            Self::FastMnistCnn => 14 * 14 * 16 * 16 + 7 * 7 * 32 * 256 + 1568 * 100 + 100 * 10,
            Self::MadryMnistCnn => 28 * 28 * 32 * 25 + 14 * 14 * 64 * 32 * 25 + 3136 * 1024 + 1024 * 10,
            Self::TradesMnistCnn => {
                26 * 26 * 32 * 9
                    + 24 * 24 * 32 * 32 * 9
                    + 10 * 10 * 64 * 32 * 9
                    + 8 * 8 * 64 * 64 * 9
                    + 1024 * 200
                    + 200 * 200
                    + 200 * 10
            }
            Self::PreActResNet { width, blocks } => preact_resnet::multiply_accumulates(width as u64, blocks as u64),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FastMnistCnn => f.write_str("fast-mnist-cnn"),
            Self::MadryMnistCnn => f.write_str("madry-mnist-cnn"),
            Self::TradesMnistCnn => f.write_str("trades-mnist-cnn"),
            Self::PreActResNet { width: 64, blocks: 2 } => f.write_str("preact-resnet18"),
            Self::PreActResNet { width, blocks } => write!(f, "preact-resnet-w{width}-b{blocks}"),
        }
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let unknown = || {
            Error::Config(format!(
                "unknown architecture `{name}`: use fast-mnist-cnn, madry-mnist-cnn, trades-mnist-cnn, preact-resnet18 or \
                 preact-resnet-wW-bB (width W, B blocks a stage)"
            ))
        };
        Ok(match name {
            "fast-mnist-cnn" => Self::FastMnistCnn,
            "madry-mnist-cnn" => Self::MadryMnistCnn,
            "trades-mnist-cnn" => Self::TradesMnistCnn,
            "preact-resnet18" => Self::PreActResNet { width: 64, blocks: 2 },
            other => {
                let (width, blocks) =
                    other.strip_prefix("preact-resnet-w").and_then(|rest| rest.split_once("-b")).ok_or_else(unknown)?;
                let number = |text: &str| text.parse().ok().filter(|n| (1..=640).contains(n)).ok_or_else(unknown);
                Self::PreActResNet { width: number(width)?, blocks: number(blocks)? }
            }
        })
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
