//! The architectures, one file each, and the model that holds any of them.

mod buffer;
mod builder;
mod card;
mod cnn_a;
mod fast_mnist_cnn;
pub(crate) mod layers;
mod madry_mnist_cnn;
mod preact_resnet;
mod resnet4b;
mod trades_mnist_cnn;
mod wide_resnet;

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

pub use card::{Accuracy, ModelCard, Normalization};
pub use cnn_a::CnnA;
pub use fast_mnist_cnn::FastMnistCnn;
pub use madry_mnist_cnn::MadryMnistCnn;
pub use preact_resnet::PreActResNet;
pub use resnet4b::ResNet4b;
pub use trades_mnist_cnn::TradesMnistCnn;
pub use wide_resnet::{Shortcut, WideResNet};

use crate::classifier::read;
use crate::rng::{Purpose, Seed};
use crate::weights::{Parameter, StateDict};
use crate::{Classifier, Error, Result};
use builder::{Builder, Source};
pub use riposte_kernels::Path as LayerPath;

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
    /// `preact-resnet18`, or `preact-resnet`, is `W` 64, `B` 2.
    PreActResNet { width: usize, blocks: usize },
    /// `wrn-D-W`: a wide residual network of depth `D` (`6 n + 4`) and widening `W`, with the shortcuts of Madry et al. 2018;
    /// `wrn-D-W-conv`: with 1x1 convolutions as shortcuts.
    WideResNet { depth: usize, widen: usize, shortcut: Shortcut },
    /// `resnet4b`: a residual network of four blocks without batch normalization.
    ResNet4b,
    /// `cnn-a`: two convolutions and two linear layers for CIFAR-10.
    CnnA,
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
#[allow(clippy::large_enum_variant, reason = "a program holds one or two of them")]
enum Net {
    FastMnistCnn(FastMnistCnn),
    MadryMnistCnn(MadryMnistCnn),
    TradesMnistCnn(TradesMnistCnn),
    PreActResNet(PreActResNet),
    WideResNet(WideResNet),
    ResNet4b(ResNet4b),
    CnnA(CnnA),
}

impl Model {
    /// A model with the parameters of `weights`, on `device`.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::Shape`] or [`Error::UnexpectedKeys`] if the weights belong to another architecture.
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

    fn build(architecture: Architecture, source: Source, device: &Device, path: LayerPath) -> Result<Self> {
        let mut builder = Builder::new(architecture.to_string(), source, device, path);
        let net = match architecture {
            Architecture::FastMnistCnn => Net::FastMnistCnn(FastMnistCnn::build(&mut builder)?),
            Architecture::MadryMnistCnn => Net::MadryMnistCnn(MadryMnistCnn::build(&mut builder)?),
            Architecture::TradesMnistCnn => Net::TradesMnistCnn(TradesMnistCnn::build(&mut builder)?),
            Architecture::PreActResNet { width, blocks } => Net::PreActResNet(PreActResNet::build(&mut builder, width, blocks)?),
            Architecture::WideResNet { depth, widen, shortcut } => {
                Net::WideResNet(WideResNet::build(&mut builder, depth, widen, shortcut)?)
            }
            Architecture::ResNet4b => Net::ResNet4b(ResNet4b::build(&mut builder)?),
            Architecture::CnnA => Net::CnnA(CnnA::build(&mut builder)?),
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
            Net::WideResNet(net) => net.forward(images),
            Net::ResNet4b(net) => net.forward(images),
            Net::CnnA(net) => net.forward(images),
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
            Self::PreActResNet { .. } | Self::WideResNet { .. } | Self::ResNet4b | Self::CnnA => [3, 32, 32],
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
            Self::WideResNet { depth, widen, shortcut } => wide_resnet::multiply_accumulates(depth, widen, shortcut),
            Self::ResNet4b => resnet4b::MULTIPLY_ACCUMULATES,
            Self::CnnA => 16 * 16 * 16 * 48 + 8 * 8 * 32 * 256 + 2048 * 100 + 100 * 10,
        }
    }

    /// The architecture with another width of its first stage.
    ///
    /// # Errors
    /// [`Error::Config`] if it has none to choose, or no net is that wide.
    pub fn with_width(self, width: usize) -> Result<Self> {
        match self {
            Self::PreActResNet { blocks, .. } if WIDTHS.contains(&width) => Ok(Self::PreActResNet { width, blocks }),
            Self::PreActResNet { .. } => Err(Error::Config(format!("a width is from 1 to {}, not {width}", WIDTHS.end()))),
            other => Err(Error::Config(format!("`{other}` has no width to choose; preact-resnet has"))),
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
            Self::WideResNet { depth, widen, shortcut: Shortcut::Pooling } => write!(f, "wrn-{depth}-{widen}"),
            Self::WideResNet { depth, widen, shortcut: Shortcut::Convolution } => write!(f, "wrn-{depth}-{widen}-conv"),
            Self::ResNet4b => f.write_str("resnet4b"),
            Self::CnnA => f.write_str("cnn-a"),
        }
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = match name {
            "fast-mnist-cnn" => Some(Self::FastMnistCnn),
            "madry-mnist-cnn" => Some(Self::MadryMnistCnn),
            "trades-mnist-cnn" => Some(Self::TradesMnistCnn),
            "preact-resnet" | "preact-resnet18" => Some(Self::PreActResNet { width: 64, blocks: 2 }),
            "resnet4b" => Some(Self::ResNet4b),
            "cnn-a" => Some(Self::CnnA),
            other => match (other.strip_prefix("preact-resnet-w"), other.strip_prefix("wrn-")) {
                (Some(sizes), _) => preact_resnet(sizes),
                (None, Some(sizes)) => wide_resnet(sizes),
                (None, None) => None,
            },
        };
        known.ok_or_else(|| {
            Error::Config(format!(
                "unknown architecture `{name}`: use fast-mnist-cnn, madry-mnist-cnn, trades-mnist-cnn, preact-resnet18, \
                 preact-resnet-wW-bB (width W, B blocks a stage), wrn-D-W (depth D = 6 n + 4, widening W; wrn-D-W-conv with \
                 1x1 convolutions as shortcuts), resnet4b or cnn-a"
            ))
        })
    }
}

const WIDTHS: RangeInclusive<usize> = 1..=640;

fn number(text: &str, range: RangeInclusive<usize>) -> Option<usize> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// Of `W-bB`.
fn preact_resnet(sizes: &str) -> Option<Architecture> {
    let (width, blocks) = sizes.split_once("-b")?;
    Some(Architecture::PreActResNet { width: number(width, WIDTHS)?, blocks: number(blocks, 1..=64)? })
}

/// Of `D-W` or `D-W-conv`.
fn wide_resnet(sizes: &str) -> Option<Architecture> {
    let (sizes, shortcut) = match sizes.strip_suffix("-conv") {
        Some(sizes) => (sizes, Shortcut::Convolution),
        None => (sizes, Shortcut::Pooling),
    };
    let (depth, widen) = sizes.split_once('-')?;
    let depth = number(depth, 10..=1000).filter(|depth| depth % 6 == 4)?;
    Some(Architecture::WideResNet { depth, widen: number(widen, 1..=64)?, shortcut })
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

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in
            ["fast-mnist-cnn", "preact-resnet18", "preact-resnet-w16-b2", "wrn-34-10", "wrn-28-4-conv", "resnet4b", "cnn-a"]
        {
            assert_eq!(name.parse::<Architecture>().unwrap().to_string(), name);
        }
        for name in ["resnet", "preact-resnet-w0-b2", "preact-resnet-w641-b1", "wrn-33-10", "wrn-4-1", "wrn-34", "wrn-34-10-pool"]
        {
            let error = name.parse::<Architecture>().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("wrn-D-W"), "{error}");
        }
    }

    #[test]
    fn the_width_of_a_preact_resnet_can_be_chosen_and_no_others() {
        let base: Architecture = "preact-resnet".parse().unwrap();
        assert_eq!(base.with_width(16).unwrap().to_string(), "preact-resnet-w16-b2");
        assert!(base.with_width(0).is_err());
        assert!(Architecture::CnnA.with_width(16).unwrap_err().to_string().contains("cnn-a"));
    }

    /// Published sizes: 0.56 GMAC for PreActResNet18 (the method's reference code), 5.2 GMAC for WRN-28-10 (Zagoruyko & Komodakis
    /// count 5.2 G multiplications).
    #[test]
    fn the_work_of_a_forward_pass_is_the_published_one() {
        let work = |name: &str| name.parse::<Architecture>().unwrap().multiply_accumulates() as f64 / 1e9;
        assert!((work("preact-resnet18") - 0.56).abs() < 0.005, "{}", work("preact-resnet18"));
        assert!((work("wrn-28-10-conv") - 5.2).abs() < 0.06, "{}", work("wrn-28-10-conv"));
    }
}
