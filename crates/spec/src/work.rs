//! What an answer of the defense costs, counted in multiply-accumulates of convolutions and linear layers.

use crate::architecture::{Architecture, Layer, Shortcut};
use crate::post_train::{Parameters, Perturbation, PostTrain, Samples};
use crate::search::SearchMethod;

impl Architecture {
    /// Whether the paper's amount of post-training takes a visitor's processor minutes.
    pub fn is_heavy(self) -> bool {
        self.multiply_accumulates() > 5_000_000
    }

    /// Multiply-accumulates of one forward pass of one image through each of its parts: what comes before the last stage, the last
    /// stage, the head.
    pub fn parts(self) -> [u64; 3] {
        let late = match self {
            Self::FastMnistCnn | Self::MadryMnistCnn | Self::CnnA => 1,
            Self::TradesMnistCnn => 2,
            Self::PreActResNet { blocks, .. } => 2 * blocks + 1,
            Self::WideResNet { depth, shortcut, .. } => (depth - 4) / 3 + usize::from(shortcut == Shortcut::Convolution),
            Self::DmWideResNet { depth, .. } => (depth - 4) / 3 + 1,
            Self::ResNet { depth, .. } => {
                let (blocks, each) = (depth.blocks()[3], if depth.has_bottlenecks() { 3 } else { 2 });
                blocks * each + 1
            }
            // Two blocks, the shortcut of the first of them, and the hidden linear layer.
            Self::ResNet4b => 2 * 2 + 1 + 1,
        };
        let layers = self.layers();
        let head = layers.len() - 1;
        let sum = |layers: &[Layer]| layers.iter().map(|layer| layer.multiply_accumulates()).sum();
        [sum(&layers[..head - late]), sum(&layers[head - late..head]), sum(&layers[head..])]
    }
}

impl PostTrain {
    /// Multiply-accumulates of the search for one input.
    pub fn search_work(&self, architecture: Architecture) -> u64 {
        let attack = &self.search.attack;
        let searches = match self.search.method {
            SearchMethod::Untargeted => 1,
            SearchMethod::Targeted => 9,
        };
        // A step passes forward and, to the image alone, backward; the last image passes forward.
        let passes = searches * attack.restarts * (2 * attack.steps + 1) + 1;
        passes as u64 * architecture.multiply_accumulates()
    }

    /// Multiply-accumulates of an adaptation to one input that has a neighbor, without the search: a backward pass to the activations
    /// costs as much as a forward one, and so does one to the weights.
    pub fn adaptation_work(&self, architecture: Architecture) -> u64 {
        let [trunk, stage, head] = architecture.parts();
        let whole = trunk + stage + head;
        let steps = self.iterations as u64;
        let (frozen, trained) = match self.parameters {
            Parameters::All => (0, 3 * whole),
            Parameters::Normalization => (0, 2 * whole),
            Parameters::LastStage => (trunk, 3 * (stage + head)),
            Parameters::Head => (trunk + stage, 3 * head),
        };
        let perturbed_once = matches!(self.perturbation, Perturbation::Fixed(_) | Perturbation::Normal);
        let frozen_passes = match self.samples {
            Samples::Kept if perturbed_once => steps.min(1),
            Samples::Kept | Samples::Redrawn => steps,
        };
        let perturbation = match self.perturbation {
            Perturbation::Fixed(_) | Perturbation::Normal => 0,
            Perturbation::Fast { .. } => 2 * whole,
            Perturbation::Pgd { steps, .. } => 2 * steps as u64 * whole,
        };
        self.batch_size as u64 * (frozen_passes * frozen + steps * (trained + perturbation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::PreActForm;
    use crate::preset::Preset;

    #[test]
    fn parts_add_up_to_the_whole() {
        let wide = ["wrn-34-10", "wrn-34-10-conv-relu"].map(|name| name.parse().unwrap());
        for architecture in Architecture::named().chain(wide) {
            let parts = architecture.parts();
            assert_eq!(parts.iter().sum::<u64>(), architecture.multiply_accumulates(), "{architecture}");
            assert!(parts[0] > parts[2] && parts[1] > 0, "{architecture} {parts:?}");
        }
    }

    #[test]
    fn the_full_form_costs_43_tflop_on_preact_resnet18_and_a_head_on_kept_samples_less_than_a_hundredth() {
        let architecture = Architecture::PreActResNet { width: 64, blocks: 2, form: PreActForm::Fast };
        let full = Preset::F_CIFAR.post_train;
        // 50 x 256 samples, 0.56 GMAC an image.
        let tflop = 2e-12 * full.adaptation_work(architecture) as f64;
        assert!((42.0..44.0).contains(&tflop), "{tflop}");
        let head = PostTrain { parameters: Parameters::Head, samples: Samples::Kept, ..full };
        let share = head.adaptation_work(architecture) as f64 / full.adaptation_work(architecture) as f64;
        assert!((1.0 / 151.0..1.0 / 149.0).contains(&share), "{share}");
    }
}
