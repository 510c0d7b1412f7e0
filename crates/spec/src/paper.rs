//! The paper's figures, to stand beside measured ones (arXiv 2112.12431, all over 10,000 test images), and those that it quotes.

use serde::Serialize;

use crate::architecture::{Architecture, Nonlinearity, PreActForm, Shortcut};
use crate::dataset::DatasetId;
use crate::preset::PresetName;
use crate::setup::{RiposteKind, Setup};

/// Test images behind each of the paper's accuracies.
pub const IMAGES: usize = 10_000;

/// What the paper reports for a setup.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Published {
    /// Where it stands.
    pub table: &'static str,
    /// The setup.
    pub preset: PresetName,
    /// Its variant.
    pub riposte: RiposteKind,
    /// Accuracies of the base model: robust, natural.
    pub base: [f64; 2],
    /// Accuracies with the riposte: robust, natural.
    pub defended: [f64; 2],
}

/// One row for each preset and variant of the paper.
const ROWS: [Published; 9] = [
    row("Table 1", PresetName::FCifar, RiposteKind::Fast, [0.4681, 0.8380], [0.6127, 0.8244]),
    row("Table 1", PresetName::FCifar, RiposteKind::Fixed, [0.4681, 0.8380], [0.6448, 0.8556]),
    row("Table 1", PresetName::MCifar, RiposteKind::Fast, [0.4740, 0.8729], [0.5490, 0.8750]),
    row("Table 1", PresetName::MCifar, RiposteKind::Fixed, [0.4740, 0.8729], [0.5317, 0.8577]),
    row("Table 2", PresetName::FMnist, RiposteKind::Fast, [0.9204, 0.9850], [0.9413, 0.9847]),
    row("Table 2", PresetName::FMnist, RiposteKind::Fixed, [0.9204, 0.9850], [0.9441, 0.9846]),
    row("Table 2", PresetName::MMnist, RiposteKind::Fast, [0.9536, 0.9903], [0.9430, 0.9913]),
    row("Table 2", PresetName::MMnist, RiposteKind::Fixed, [0.9536, 0.9903], [0.9433, 0.9919]),
    row("Table 2", PresetName::MMnist, RiposteKind::Pgd, [0.9536, 0.9903], [0.9618, 0.9874]),
];

impl Published {
    /// The paper's figures for `setup`, if it is one of the paper's on the architecture and the images that it used there.
    pub fn of(setup: &Setup, architecture: Architecture, dataset: DatasetId) -> Option<Self> {
        let preset = setup.preset()?.name;
        let row = Self::in_row(preset, setup.riposte_kind())?;
        is_of(preset, architecture, dataset).then_some(row)
    }

    /// The paper's figures for a variant of a preset.
    pub fn in_row(preset: PresetName, riposte: RiposteKind) -> Option<Self> {
        ROWS.into_iter().find(|row| row.preset == preset && row.riposte == riposte)
    }

    /// Gains in accuracy: robust, natural.
    pub fn gains(&self) -> [f64; 2] {
        [self.defended[0] - self.base[0], self.defended[1] - self.base[1]]
    }
}

/// The network that the paper has in a setup; `None` for a setup that is not the paper's.
pub fn used(preset: PresetName) -> Option<Architecture> {
    Some(match preset {
        PresetName::FCifar => Architecture::PreActResNet { width: 64, blocks: 2, form: PreActForm::Fast },
        PresetName::MCifar => {
            Architecture::WideResNet { depth: 34, widen: 10, shortcut: Shortcut::Pooling, nonlinearity: Nonlinearity::Leaky }
        }
        PresetName::FMnist => Architecture::FastMnistCnn,
        PresetName::MMnist => Architecture::MadryMnistCnn,
        PresetName::LightCifar | PresetName::InstantCifar | PresetName::LightMnist | PresetName::InstantMnist => return None,
    })
}

/// Whether a network on such images is what the paper has in a setup.
pub fn is_of(preset: PresetName, architecture: Architecture, dataset: DatasetId) -> bool {
    used(preset) == Some(architecture) && dataset != DatasetId::Digits
}

/// A defense of others that Tables 1 and 2 quote.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quoted {
    /// Who.
    pub name: &'static str,
    /// Robust and natural accuracy.
    pub accuracies: [f64; 2],
}

/// What Table 1 quotes.
pub const QUOTED_CIFAR10: [Quoted; 3] = [
    Quoted { name: "TRADES (Zhang et al. 2019b)", accuracies: [0.5661, 0.8492] },
    Quoted { name: "Kurakin et al. 2017", accuracies: [0.4589, 0.8525] },
    Quoted { name: "UAT++ (Uesato et al. 2019), 80M more images", accuracies: [0.6365, 0.8646] },
];

/// What Table 2 quotes.
pub const QUOTED_MNIST: [Quoted; 3] = [
    Quoted { name: "TRADES (Zhang et al. 2019b)", accuracies: [0.9607, 0.9948] },
    Quoted { name: "Madry et al., as reproduced by Zhang et al. 2019b", accuracies: [0.9601, 0.9936] },
    Quoted { name: "YOPO (Zhang et al. 2019a)", accuracies: [0.9627, 0.9946] },
];

const fn row(table: &'static str, preset: PresetName, riposte: RiposteKind, base: [f64; 2], defended: [f64; 2]) -> Published {
    Published { table, preset, riposte, base, defended }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::Preset;

    #[test]
    fn the_paper_is_quoted_for_its_own_setup_alone() {
        let same = Preset::F_MNIST.setup();
        let gains = Published::of(&same, Architecture::FastMnistCnn, DatasetId::Mnist).unwrap().gains();
        assert!((gains[0] - 0.0237).abs() < 1e-9, "Table 2: .9204 to .9441");
        assert_eq!(Published::of(&same, Architecture::MadryMnistCnn, DatasetId::Mnist), None);
        assert_eq!(Published::of(&same, Architecture::FastMnistCnn, DatasetId::Digits), None);
        let other = Preset::F_MNIST.with([("epsilon", "0.2")]).unwrap();
        assert_eq!(Published::of(&other, Architecture::FastMnistCnn, DatasetId::Mnist), None);
    }
}
