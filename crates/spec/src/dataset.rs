//! The datasets, by name.

use crate::choice::choices;
use crate::preset::PresetName;

choices! {
    /// The datasets that the project knows.
    pub enum DatasetId: "dataset" {
        /// Procedural digits in MNIST's format: no files, no network
        Digits = "digits",
        /// The official MNIST files
        Mnist = "mnist",
        /// The official CIFAR-10 files
        Cifar10 = "cifar10",
    }
}

choices! {
    /// A split of a dataset.
    pub enum Split: "split" {
        /// The training images
        Train = "train",
        /// The test images
        Test = "test",
    }
}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const CIFAR10: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

impl DatasetId {
    /// For a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Digits => "Drawn digits",
            Self::Mnist => "MNIST",
            Self::Cifar10 => "CIFAR-10",
        }
    }

    /// What the images are and where they come from, in one sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::Digits => "Digits drawn by a program, stroke by stroke: nothing to download.",
            Self::Mnist => "Handwritten digits, collected in the 1990s: the classic test of a small network.",
            Self::Cifar10 => "Tiny color photographs of ten kinds of things: what the paper\u{2019}s main figures are about.",
        }
    }

    /// Number of images of the split, as published.
    pub fn size(self, split: Split) -> usize {
        match (self, split) {
            (_, Split::Test) => 10_000,
            (Self::Cifar10, Split::Train) => 50_000,
            (Self::Mnist | Self::Digits, Split::Train) => 60_000,
        }
    }

    /// Channels, height and width of its images.
    pub fn image_shape(self) -> [usize; 3] {
        match self {
            Self::Digits | Self::Mnist => [1, 28, 28],
            Self::Cifar10 => [3, 32, 32],
        }
    }

    /// The names of its classes.
    pub fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Digits | Self::Mnist => &DIGITS,
            Self::Cifar10 => &CIFAR10,
        }
    }

    /// The setups that suit it; the first is the one that this project recommends: the one in which the riposte saves images. In it
    /// the attack stops at success. With F-MNIST's short search most inputs have no neighbor and are answered by the base model.
    pub fn presets(self) -> &'static [PresetName] {
        match self {
            Self::Digits | Self::Mnist => {
                &[PresetName::FMnist, PresetName::MMnist, PresetName::LightMnist, PresetName::InstantMnist]
            }
            Self::Cifar10 => &[PresetName::FCifar, PresetName::MCifar, PresetName::LightCifar, PresetName::InstantCifar],
        }
    }

    /// The light form of the recommended setup.
    pub fn light(self) -> PresetName {
        match self {
            Self::Digits | Self::Mnist => PresetName::LightMnist,
            Self::Cifar10 => PresetName::LightCifar,
        }
    }

    /// The setup that this project recommends for it.
    pub fn recommended(self) -> PresetName {
        self.presets()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Choice;

    #[test]
    fn a_preset_suits_a_dataset_if_and_only_if_the_dataset_lists_it() {
        for dataset in DatasetId::ALL {
            for preset in PresetName::ALL {
                assert_eq!(dataset.presets().contains(preset), preset.datasets().contains(dataset), "{dataset} {preset}");
            }
        }
    }
}
