//! The architectures, by name, and the layers that cost time.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::refused;
use crate::{Error, Result};

/// The architectures by the names that the command line, the cards and the files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Architecture {
    /// `fast-mnist-cnn`: the MNIST network of Wong et al. 2020.
    FastMnistCnn,
    /// `madry-mnist-cnn`: the MNIST network of Madry et al. 2018.
    MadryMnistCnn,
    /// `trades-mnist-cnn`: the small CNN of Zhang et al. 2019.
    TradesMnistCnn,
    /// `preact-resnet-wW-bB`: a pre-activation ResNet, width `W` at the first stage, `B` blocks a stage;
    /// `preact-resnet18`, or `preact-resnet`, is `W` 64, `B` 2.
    PreActResNet {
        /// Channels of the first stage.
        width: usize,
        /// Blocks of each stage.
        blocks: usize,
    },
    /// `wrn-D-W`: a wide residual network of depth `D` (`6 n + 4`) and widening `W`, with the shortcuts of Madry et al. 2018;
    /// `wrn-D-W-conv`: with 1x1 convolutions as shortcuts.
    WideResNet {
        /// Layers with weights, `6 n + 4`.
        depth: usize,
        /// Factor of the channels of every stage.
        widen: usize,
        /// How blocks that change the number of channels pass their inputs on.
        shortcut: Shortcut,
    },
    /// `resnet4b`: a residual network of four blocks without batch normalization.
    ResNet4b,
    /// `cnn-a`: two convolutions and two linear layers for CIFAR-10.
    CnnA,
}

/// How a block of a wide residual network that changes the number of channels passes its input on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shortcut {
    /// Average pooling by the block's stride, then zero channels, half of them on each side: Madry et al.'s own.
    Pooling,
    /// A 1x1 convolution of the block's stride (Zagoruyko & Komodakis 2016).
    Convolution,
}

/// A layer with weights that are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A square kernel of `kernel` x `kernel`, at each of `side` x `side` places of its output.
    Convolution {
        /// Channels of its input.
        input: usize,
        /// Channels of its output.
        output: usize,
        /// Edge of the kernel.
        kernel: usize,
        /// Edge of the output.
        side: usize,
    },
    /// Every input with every output.
    Linear {
        /// Length of its input.
        input: usize,
        /// Length of its output.
        output: usize,
    },
}

impl Layer {
    /// Multiply-accumulates for one image.
    pub fn multiply_accumulates(self) -> u64 {
        let product = match self {
            Self::Convolution { input, output, kernel, side } => side * side * output * input * kernel * kernel,
            Self::Linear { input, output } => input * output,
        };
        product as u64
    }

    /// Shape of its weights: `[output, input, kernel, kernel]` or `[output, input]`.
    pub fn weights(self) -> Vec<usize> {
        match self {
            Self::Convolution { input, output, kernel, .. } => vec![output, input, kernel, kernel],
            Self::Linear { input, output } => vec![output, input],
        }
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

    /// Its convolutions and linear layers.
    pub fn layers(self) -> Vec<Layer> {
        match self {
            Self::FastMnistCnn => {
                vec![conv([1, 16], 4, 14), conv([16, 32], 4, 7), linear(32 * 7 * 7, 100), linear(100, 10)]
            }
            Self::MadryMnistCnn => {
                vec![conv([1, 32], 5, 28), conv([32, 64], 5, 14), linear(64 * 7 * 7, 1024), linear(1024, 10)]
            }
            Self::TradesMnistCnn => vec![
                conv([1, 32], 3, 26),
                conv([32, 32], 3, 24),
                conv([32, 64], 3, 10),
                conv([64, 64], 3, 8),
                linear(64 * 4 * 4, 200),
                linear(200, 200),
                linear(200, 10),
            ],
            Self::PreActResNet { width, blocks } => {
                let stages = [[width, width], [width, 2 * width], [2 * width, 4 * width], [4 * width, 8 * width]];
                let mut layers = vec![conv([3, width], 3, 32)];
                for (stage, side) in stages.into_iter().zip([32, 16, 8, 4]) {
                    layers.extend(residual_stage(stage, side, blocks, stage[0] != stage[1]));
                }
                layers.push(linear(8 * width, 10));
                layers
            }
            Self::WideResNet { depth, widen, shortcut } => {
                let stages = [[16, 16 * widen], [16 * widen, 32 * widen], [32 * widen, 64 * widen]];
                let mut layers = vec![conv([3, 16], 3, 32)];
                for (stage, side) in stages.into_iter().zip([32, 16, 8]) {
                    let projected = shortcut == Shortcut::Convolution && stage[0] != stage[1];
                    layers.extend(residual_stage(stage, side, (depth - 4) / 6, projected));
                }
                layers.push(linear(64 * widen, 10));
                layers
            }
            Self::ResNet4b => {
                let mut layers = vec![conv([3, 16], 3, 16)];
                layers.extend(residual_stage([16, 32], 8, 2, true));
                layers.extend(residual_stage([32, 32], 4, 2, true));
                layers.extend([linear(32 * 4 * 4, 100), linear(100, 10)]);
                layers
            }
            Self::CnnA => {
                vec![conv([3, 16], 4, 16), conv([16, 32], 4, 8), linear(32 * 8 * 8, 100), linear(100, 10)]
            }
        }
    }

    /// Multiply-accumulates of one forward pass of one image, in convolutions and linear layers.
    pub fn multiply_accumulates(self) -> u64 {
        self.layers().into_iter().map(Layer::multiply_accumulates).sum()
    }

    /// The architecture with another width of its first stage.
    ///
    /// # Errors
    /// [`Error::Setting`] if it has none to choose, or no net is that wide.
    pub fn with_width(self, width: usize) -> Result<Self> {
        match self {
            Self::PreActResNet { blocks, .. } if WIDTHS.contains(&width) => Ok(Self::PreActResNet { width, blocks }),
            Self::PreActResNet { .. } => refused(format!("a width is from 1 to {}, not {width}", WIDTHS.end())),
            other => refused(format!("`{other}` has no width to choose; preact-resnet has")),
        }
    }
}

fn conv([input, output]: [usize; 2], kernel: usize, side: usize) -> Layer {
    Layer::Convolution { input, output, kernel, side }
}

fn linear(input: usize, output: usize) -> Layer {
    Layer::Linear { input, output }
}

/// Blocks of two 3x3 convolutions each; beside the first one a 1x1 convolution, if the shortcut is `projected`.
fn residual_stage([input, output]: [usize; 2], side: usize, blocks: usize, projected: bool) -> Vec<Layer> {
    let mut layers = vec![conv([input, output], 3, side), conv([output, output], 3, side)];
    layers.extend(projected.then(|| conv([input, output], 1, side)));
    layers.extend((1..blocks).flat_map(|_| [conv([output, output], 3, side); 2]));
    layers
}

/// The architectures that have one size, or a size with a name of its own.
const NAMED: [(&str, Architecture); 6] = [
    ("fast-mnist-cnn", Architecture::FastMnistCnn),
    ("madry-mnist-cnn", Architecture::MadryMnistCnn),
    ("trades-mnist-cnn", Architecture::TradesMnistCnn),
    ("preact-resnet18", Architecture::PreActResNet { width: 64, blocks: 2 }),
    ("resnet4b", Architecture::ResNet4b),
    ("cnn-a", Architecture::CnnA),
];

impl Architecture {
    /// Those that have one size, or a size with a name of its own.
    pub fn named() -> impl Iterator<Item = Self> {
        NAMED.into_iter().map(|(_, architecture)| architecture)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = NAMED.iter().find(|(_, architecture)| architecture == self) {
            return f.write_str(name);
        }
        match self {
            Self::PreActResNet { width, blocks } => write!(f, "preact-resnet-w{width}-b{blocks}"),
            Self::WideResNet { depth, widen, shortcut: Shortcut::Pooling } => write!(f, "wrn-{depth}-{widen}"),
            Self::WideResNet { depth, widen, shortcut: Shortcut::Convolution } => write!(f, "wrn-{depth}-{widen}-conv"),
            Self::FastMnistCnn | Self::MadryMnistCnn | Self::TradesMnistCnn | Self::ResNet4b | Self::CnnA => {
                unreachable!("it has a name")
            }
        }
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let name = if name == "preact-resnet" { "preact-resnet18" } else { name };
        let named = NAMED.iter().find(|(known, _)| *known == name).map(|(_, architecture)| *architecture);
        let known = named.or_else(|| match (name.strip_prefix("preact-resnet-w"), name.strip_prefix("wrn-")) {
            (Some(sizes), _) => preact_resnet(sizes),
            (None, Some(sizes)) => wide_resnet(sizes),
            (None, None) => None,
        });
        known.ok_or_else(|| {
            let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
            Error::Setting(format!(
                "unknown architecture `{name}`: use {}, preact-resnet-wW-bB (width W, B blocks a stage), wrn-D-W (depth D = 6 n + 4, \
                 widening W) or wrn-D-W-conv (with 1x1 convolutions as shortcuts)",
                names.join(", ")
            ))
        })
    }
}

impl From<Architecture> for String {
    fn from(architecture: Architecture) -> Self {
        architecture.to_string()
    }
}

impl TryFrom<String> for Architecture {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
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

    /// Counted by hand, layer by layer: positions x outputs x inputs x kernel.
    #[test]
    fn the_work_of_the_small_networks_is_the_one_counted_by_hand() {
        let counted = [
            ("fast-mnist-cnn", 14 * 14 * 16 * 16 + 7 * 7 * 32 * 256 + 1568 * 100 + 100 * 10),
            ("madry-mnist-cnn", 28 * 28 * 32 * 25 + 14 * 14 * 64 * 32 * 25 + 3136 * 1024 + 1024 * 10),
            ("cnn-a", 16 * 16 * 16 * 48 + 8 * 8 * 32 * 256 + 2048 * 100 + 100 * 10),
        ];
        for (name, count) in counted {
            assert_eq!(name.parse::<Architecture>().unwrap().multiply_accumulates(), count, "{name}");
        }
    }
}
