//! The architectures, by name, and the layers that cost time.

mod name;

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::refused;

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
    /// `preact-resnet18`, or `preact-resnet`, is `W` 64, `B` 2. Other forms have a word more: see [`PreActForm`].
    PreActResNet {
        /// Channels of the first stage.
        width: usize,
        /// Blocks of each stage.
        blocks: usize,
        /// Whose code it follows where there are several.
        form: PreActForm,
    },
    /// `resnet18`, `resnet34`, `resnet50`, `resnet101`, `resnet152`: a ResNet for CIFAR-10 (He et al. 2016, without the first pooling);
    /// `resnet18-wW`: with width `W` at the first stage.
    ResNet {
        /// Layers with weights.
        depth: ResNetDepth,
        /// Channels of the first stage.
        width: usize,
    },
    /// `wrn-D-W`: a wide residual network of depth `D` (`6 n + 4`) and widening `W`, with the shortcuts and the LeakyReLU of Madry et al.
    /// 2018; `wrn-D-W-relu`, `wrn-D-W-silu`: with another activation; `wrn-D-W-conv-relu` (Zhang et al. 2019 and many others),
    /// `wrn-D-W-conv-leaky`, `wrn-D-W-conv-silu`: with 1x1 convolutions as shortcuts.
    WideResNet {
        /// Layers with weights, `6 n + 4`.
        depth: usize,
        /// Factor of the channels of every stage.
        widen: usize,
        /// How blocks that change the number of channels pass their inputs on.
        shortcut: Shortcut,
        /// What follows each normalization.
        nonlinearity: Nonlinearity,
    },
    /// `dm-wrn-D-W-silu`, `dm-wrn-D-W-relu`: a wide residual network in the layout of Gowal et al. 2020, which pads strided convolutions at
    /// the bottom and the right alone and normalizes its images.
    DmWideResNet {
        /// Layers with weights, `6 n + 4`.
        depth: usize,
        /// Factor of the channels of every stage.
        widen: usize,
        /// What follows each normalization.
        nonlinearity: Nonlinearity,
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

/// What a pre-activation ResNet computes where published code differs. Keys and shapes tell a missing last normalization, and not what
/// the shortcuts take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PreActForm {
    /// Shortcuts take a block's input, and a normalization comes before the linear layer: Fast-FGSM's code (Wong et al. 2020).
    #[default]
    Fast,
    /// `-activated`: shortcuts take the activated value, and a normalization comes before the linear layer (Rice et al. 2020).
    Activated,
    /// `-bare`: shortcuts take a block's input, and no normalization comes before the linear layer (RobustBench's Wong2020Fast).
    Bare,
    /// `-activated-bare`: shortcuts take the activated value, and no normalization comes before the linear layer.
    ActivatedBare,
}

impl PreActForm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fast, Self::Activated, Self::Bare, Self::ActivatedBare];

    /// Whether a normalization comes before the linear layer.
    pub fn is_normalized_last(self) -> bool {
        matches!(self, Self::Fast | Self::Activated)
    }

    /// Whether shortcuts take the activated value.
    pub fn is_activated(self) -> bool {
        matches!(self, Self::Activated | Self::ActivatedBare)
    }
}

/// Which ResNet: the blocks of its stages, and of how many convolutions each is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResNetDepth {
    /// Blocks of two convolutions.
    D18,
    /// Blocks of two convolutions.
    D34,
    /// Bottlenecks of three convolutions.
    D50,
    /// Bottlenecks of three convolutions.
    D101,
    /// Bottlenecks of three convolutions.
    D152,
}

impl ResNetDepth {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::D18, Self::D34, Self::D50, Self::D101, Self::D152];

    /// Blocks of each stage.
    pub fn blocks(self) -> [usize; 4] {
        match self {
            Self::D18 => [2, 2, 2, 2],
            Self::D34 | Self::D50 => [3, 4, 6, 3],
            Self::D101 => [3, 4, 23, 3],
            Self::D152 => [3, 8, 36, 3],
        }
    }

    /// Whether its blocks are of three convolutions, the last of which quadruples the channels.
    pub fn has_bottlenecks(self) -> bool {
        !matches!(self, Self::D18 | Self::D34)
    }

    fn number(self) -> usize {
        match self {
            Self::D18 => 18,
            Self::D34 => 34,
            Self::D50 => 50,
            Self::D101 => 101,
            Self::D152 => 152,
        }
    }
}

/// An activation that leaves no trace in the names and shapes of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nonlinearity {
    /// `max(x, 0)`.
    Relu,
    /// LeakyReLU of slope 0.1.
    Leaky,
    /// `x sigmoid(x)`, also called swish.
    Silu,
}

impl Nonlinearity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Relu, Self::Leaky, Self::Silu];

    fn word(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Leaky => "leaky",
            Self::Silu => "silu",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Relu => "ReLU",
            Self::Leaky => "LeakyReLU of slope 0.1",
            Self::Silu => "SiLU",
        }
    }
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
            Self::PreActResNet { .. }
            | Self::ResNet { .. }
            | Self::WideResNet { .. }
            | Self::DmWideResNet { .. }
            | Self::ResNet4b
            | Self::CnnA => [3, 32, 32],
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
            Self::PreActResNet { width, blocks, .. } => {
                let stages = [[width, width], [width, 2 * width], [2 * width, 4 * width], [4 * width, 8 * width]];
                let mut layers = vec![conv([3, width], 3, 32)];
                for (stage, side) in stages.into_iter().zip([32, 16, 8, 4]) {
                    layers.extend(residual_stage(stage, side, blocks, stage[0] != stage[1]));
                }
                layers.push(linear(8 * width, 10));
                layers
            }
            Self::ResNet { depth, width } => {
                let mut layers = vec![conv([3, width], 3, 32)];
                let mut input = width;
                for (stage, (blocks, side)) in depth.blocks().into_iter().zip([32, 16, 8, 4]).enumerate() {
                    let inner = width << stage;
                    if depth.has_bottlenecks() {
                        let before = if stage == 0 { side } else { 2 * side };
                        layers.extend(bottlenecks([input, inner], [before, side], blocks));
                        input = 4 * inner;
                    } else {
                        layers.extend(residual_stage([input, inner], side, blocks, input != inner));
                        input = inner;
                    }
                }
                layers.push(linear(input, 10));
                layers
            }
            Self::WideResNet { depth, widen, shortcut, .. } => wide_layers(depth, widen, shortcut == Shortcut::Convolution),
            Self::DmWideResNet { depth, widen, .. } => wide_layers(depth, widen, true),
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
    /// [`Error::Setting`](crate::Error::Setting) if it has none to choose, or no net is that wide.
    pub fn with_width(self, width: usize) -> Result<Self> {
        match self {
            Self::PreActResNet { blocks, form, .. } if WIDTHS.contains(&width) => Ok(Self::PreActResNet { width, blocks, form }),
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

/// Of a wide residual network; `projected`: with 1x1 convolutions as shortcuts.
fn wide_layers(depth: usize, widen: usize, projected: bool) -> Vec<Layer> {
    let stages = [[16, 16 * widen], [16 * widen, 32 * widen], [32 * widen, 64 * widen]];
    let mut layers = vec![conv([3, 16], 3, 32)];
    for (stage, side) in stages.into_iter().zip([32, 16, 8]) {
        layers.extend(residual_stage(stage, side, (depth - 4) / 6, projected && stage[0] != stage[1]));
    }
    layers.push(linear(64 * widen, 10));
    layers
}

/// Bottlenecks of a 1x1, a 3x3 and a 1x1 convolution, whose output has four times `inner` channels; beside the first one a 1x1
/// convolution. The second convolution of the first one goes from edge `before` to `side`.
fn bottlenecks([input, inner]: [usize; 2], [before, side]: [usize; 2], blocks: usize) -> Vec<Layer> {
    let block = |input, edge| [conv([input, inner], 1, edge), conv([inner, inner], 3, side), conv([inner, 4 * inner], 1, side)];
    let mut layers = block(input, before).to_vec();
    layers.push(conv([input, 4 * inner], 1, side));
    layers.extend((1..blocks).flat_map(|_| block(4 * inner, side)));
    layers
}

/// Blocks of two 3x3 convolutions each; beside the first one a 1x1 convolution, if the shortcut is `projected`.
fn residual_stage([input, output]: [usize; 2], side: usize, blocks: usize, projected: bool) -> Vec<Layer> {
    let mut layers = vec![conv([input, output], 3, side), conv([output, output], 3, side)];
    layers.extend(projected.then(|| conv([input, output], 1, side)));
    layers.extend((1..blocks).flat_map(|_| [conv([output, output], 3, side); 2]));
    layers
}

const WIDTHS: RangeInclusive<usize> = 1..=640;

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!((work("wrn-28-10-conv-relu") - 5.2).abs() < 0.06, "{}", work("wrn-28-10-conv-relu"));
        // 0.56 and 1.3 G in the table of kuangliu's pytorch-cifar, which counts the linear layer, too.
        assert!((work("resnet18") - 0.56).abs() < 0.005, "{}", work("resnet18"));
        assert!((work("resnet50") - 1.3).abs() < 0.01, "{}", work("resnet50"));
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
