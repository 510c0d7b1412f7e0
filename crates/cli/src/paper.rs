//! The paper's figures, to stand beside measured ones: tables 1 and 2 of arXiv 2112.12431.

use riposte::models::Architecture;
use riposte::spec::preset::PresetName;
use riposte::spec::setup::{RiposteKind, Setup};
use serde::Serialize;

/// What the paper reports for a setup.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Published {
    pub table: &'static str,
    pub preset: PresetName,
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
    /// The paper's figures for `setup`, if it is one of the paper's on the architecture that it used there.
    pub fn of(setup: &Setup, architecture: Architecture) -> Option<Self> {
        let preset = setup.preset()?;
        let used = match preset.name {
            PresetName::FMnist => architecture == Architecture::FastMnistCnn,
            PresetName::MMnist => architecture == Architecture::MadryMnistCnn,
            PresetName::FCifar => architecture == Architecture::PreActResNet { width: 64, blocks: 2 },
            PresetName::MCifar => false,
            PresetName::LightCifar | PresetName::InstantCifar | PresetName::LightMnist | PresetName::InstantMnist => false,
        };
        ROWS.into_iter().find(|row| used && row.preset == preset.name && row.riposte == setup.riposte_kind())
    }

    /// Gains in accuracy: robust, natural.
    pub fn gains(&self) -> [f64; 2] {
        [self.defended[0] - self.base[0], self.defended[1] - self.base[1]]
    }
}

const fn row(table: &'static str, preset: PresetName, riposte: RiposteKind, base: [f64; 2], defended: [f64; 2]) -> Published {
    Published { table, preset, riposte, base, defended }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riposte::presets::Preset;

    #[test]
    fn the_paper_is_quoted_for_its_own_setup_alone() {
        let same = Preset::F_MNIST.setup();
        let gains = Published::of(&same, Architecture::FastMnistCnn).unwrap().gains();
        assert!((gains[0] - 0.0237).abs() < 1e-9, "Table 2: .9204 to .9441");
        assert_eq!(Published::of(&same, Architecture::MadryMnistCnn), None);
        let other = Preset::F_MNIST.with([("epsilon", "0.2")]).unwrap();
        assert_eq!(Published::of(&other, Architecture::FastMnistCnn), None);
    }
}
