//! Which architectures names and shapes suggest.

use super::Shapes;
use crate::models::{Architecture, Nonlinearity, PreActForm, ResNetDepth, Shortcut};

/// Architectures whose tell-tale parameters are there; of those that weights cannot tell apart, one.
pub(super) fn guesses(shapes: &Shapes) -> Vec<Architecture> {
    let size = |key: &str, axis: usize| shapes.get(key).and_then(|shape| shape.get(axis)).copied();
    let is_there = |key: &str| shapes.contains_key(key);
    // Sizes come from a file of someone else: what is out of range is no architecture.
    let named = |name: String| name.parse::<Architecture>().ok();
    let mut found = Vec::new();
    if is_there("0.weight") {
        found.push(if size("0.weight", 1) == Some(3) { Architecture::CnnA } else { Architecture::FastMnistCnn });
    }
    if is_there("feature_extractor.conv1.weight") {
        found.push(Architecture::TradesMnistCnn);
    }
    if is_there("fc1.weight") && is_there("conv1.weight") {
        found.push(Architecture::MadryMnistCnn);
    }
    if is_there("linear1.weight") && is_there("layer1.0.conv1.weight") {
        found.push(Architecture::ResNet4b);
    }
    if let Some(out) = size("block1.layer.0.conv1.weight", 0) {
        let blocks = count(shapes, |index| format!("block1.layer.{index}.conv1.weight"));
        let (depth, widen) = (6 * blocks + 4, out / 16);
        let shortcut = if is_there("block2.layer.0.convShortcut.weight") { Shortcut::Convolution } else { Shortcut::Pooling };
        found.extend(named(format!("wrn-{depth}-{widen}")).map(|_| {
            let nonlinearity = if shortcut == Shortcut::Pooling { Nonlinearity::Leaky } else { Nonlinearity::Relu };
            Architecture::WideResNet { depth, widen, shortcut, nonlinearity }
        }));
    }
    if let Some(out) = size("layer.0.block.0.conv_0.weight", 0) {
        let blocks = count(shapes, |index| format!("layer.0.block.{index}.conv_0.weight"));
        found.extend(named(format!("dm-wrn-{}-{}-silu", 6 * blocks + 4, out / 16)));
    }
    if let Some(width) = size("conv1.weight", 0).filter(|_| is_there("layer4.0.bn1.weight")) {
        found.extend(residual(shapes, width));
    }
    found
}

/// A ResNet or a pre-activation ResNet of `width` channels: in the second, a block's first normalization comes before its first
/// convolution.
fn residual(shapes: &Shapes, width: usize) -> Option<Architecture> {
    let blocks = |layer: usize| count(shapes, |index| format!("layer{layer}.{index}.conv1.weight"));
    if shapes.contains_key("bn1.weight") {
        let bottlenecks = shapes.contains_key("layer1.0.conv3.weight");
        let found = [1, 2, 3, 4].map(blocks);
        let depth =
            ResNetDepth::ALL.into_iter().find(|depth| depth.blocks() == found && depth.has_bottlenecks() == bottlenecks)?;
        return Some(Architecture::ResNet { depth, width }).filter(|known| known.to_string().parse() == Ok(*known));
    }
    let form = if shapes.contains_key("bn.weight") { PreActForm::Fast } else { PreActForm::Bare };
    let architecture = Architecture::PreActResNet { width, blocks: blocks(1), form };
    Some(architecture).filter(|known| known.to_string().parse() == Ok(*known))
}

fn count(shapes: &Shapes, key: impl Fn(usize) -> String) -> usize {
    (0..).take_while(|index| shapes.contains_key(key(*index).as_str())).count()
}
