//! The paper's figures, to stand beside measured ones: tables 1 and 2 of arXiv 2112.12431.

use riposte::models::Architecture;
use riposte::post_train::Perturbation;
use serde::Serialize;

use crate::settings::Setup;

/// What the paper reports for a setup.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Published {
    pub table: &'static str,
    pub preset: &'static str,
    pub riposte: &'static str,
    /// Accuracies of the base model: robust, natural.
    pub base: [f64; 2],
    /// Accuracies with the riposte: robust, natural.
    pub defended: [f64; 2],
}

/// One row for each preset and variant of the paper.
const ROWS: [Published; 9] = [
    row("Table 1", "f-cifar", "fast", [0.4681, 0.8380], [0.6127, 0.8244]),
    row("Table 1", "f-cifar", "fixed", [0.4681, 0.8380], [0.6448, 0.8556]),
    row("Table 1", "m-cifar", "fast", [0.4740, 0.8729], [0.5490, 0.8750]),
    row("Table 1", "m-cifar", "fixed", [0.4740, 0.8729], [0.5317, 0.8577]),
    row("Table 2", "f-mnist", "fast", [0.9204, 0.9850], [0.9413, 0.9847]),
    row("Table 2", "f-mnist", "fixed", [0.9204, 0.9850], [0.9441, 0.9846]),
    row("Table 2", "m-mnist", "fast", [0.9536, 0.9903], [0.9430, 0.9913]),
    row("Table 2", "m-mnist", "fixed", [0.9536, 0.9903], [0.9433, 0.9919]),
    row("Table 2", "m-mnist", "pgd", [0.9536, 0.9903], [0.9618, 0.9874]),
];

impl Published {
    /// The paper's figures for `setup`, if it is one of the paper's on the architecture that it used there.
    pub fn of(setup: &Setup, architecture: Architecture) -> Option<Self> {
        let preset = setup.preset()?;
        let used = match preset.name {
            "f-mnist" => architecture == Architecture::FastMnistCnn,
            "m-mnist" => architecture == Architecture::MadryMnistCnn,
            "f-cifar" => architecture == Architecture::PreActResNet { width: 64, blocks: 2 },
            _ => false,
        };
        let riposte = kind(&setup.riposte?.perturbation);
        ROWS.into_iter().find(|row| used && row.preset == preset.name && row.riposte == riposte)
    }

    /// Gains in accuracy: robust, natural.
    pub fn gains(&self) -> [f64; 2] {
        [self.defended[0] - self.base[0], self.defended[1] - self.base[1]]
    }
}

/// How a perturbation is called on the command line.
pub fn kind(perturbation: &Perturbation) -> &'static str {
    match perturbation {
        Perturbation::Fixed(_) => "fixed",
        Perturbation::Fast { .. } => "fast",
        Perturbation::Pgd { .. } => "pgd",
        Perturbation::Normal => "normal",
    }
}

const fn row(table: &'static str, preset: &'static str, riposte: &'static str, base: [f64; 2], defended: [f64; 2]) -> Published {
    Published { table, preset, riposte, base, defended }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{AttackArgs, DatasetName, RiposteArgs};

    #[test]
    fn the_paper_is_quoted_for_its_own_setup_alone() {
        let setup = |attack: &AttackArgs| Setup::resolve(Some("f-mnist"), DatasetName::Mnist, attack, &RiposteArgs::default()).unwrap();
        let same = setup(&AttackArgs::default());
        let gains = Published::of(&same, Architecture::FastMnistCnn).unwrap().gains();
        assert!((gains[0] - 0.0237).abs() < 1e-9, "Table 2: .9204 to .9441");
        assert_eq!(Published::of(&same, Architecture::MadryMnistCnn), None);
        let other = setup(&AttackArgs { epsilon: Some(0.2), ..AttackArgs::default() });
        assert_eq!(Published::of(&other, Architecture::FastMnistCnn), None);
    }
}
