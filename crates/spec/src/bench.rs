//! The benchmark suite: the paper's tables as cells. A cell is a run of `riposte eval` with a results file of its own.

use crate::Result;
use crate::architecture::Architecture;
use crate::choice::choices;
use crate::dataset::DatasetId;
use crate::keys::Key;
use crate::preset::PresetName;
use crate::setup::Setup;

choices! {
    /// A table of the paper, or what the project adds to it.
    pub enum Table: "table" {
        /// Robust and natural accuracy on CIFAR-10
        Cifar10 = "table1",
        /// Robust and natural accuracy on MNIST
        Mnist = "table2",
        /// Which samples the post-training draws
        Data = "table3",
        /// How often the label is the original or the neighbor class
        Neighbors = "table4",
        /// Seconds an input
        Speed = "table5",
        /// How often two estimates of a gradient differ in sign, and what attackers achieve who can only ask
        Gradients = "table6",
        /// Direction, iterations and learning rate: not in the paper
        Sweeps = "sweeps",
    }
}

impl Table {
    /// Whether one machine makes it, also where the others are split: seconds depend on the machine, and Table 6 takes inputs until it has enough.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Speed | Self::Gradients)
    }
}

choices! {
    /// How strong the attack is.
    pub enum Protocol: "protocol" {
        /// As the authors' code has it
        Paper = "paper",
        /// The attack takes all its steps from 5 random starts, and the neighbor search reaches as far as the attack
        Strict = "strict",
    }
}

/// A line of a table: a defense, as changes of a preset.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// In file names.
    pub key: &'static str,
    /// As the paper names it.
    pub name: &'static str,
    /// The tables that show it.
    pub tables: &'static [Table],
    /// Settings and their values, as [`Preset::with`](crate::preset::Preset::with) takes them.
    pub changes: &'static [(&'static str, &'static str)],
    /// How many test images it is measured on.
    pub size: Size,
    /// The paper's one figure for it, and in which setup; Tables 1 and 2 are in [`crate::paper`].
    pub figure: Option<(PresetName, f64)>,
}

/// How much an input of a row costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A post-training; the natural images are defended, too, where the accuracy on them is part of the table.
    Adapts {
        /// Whether it is.
        natural: bool,
    },
    /// A search without post-training: cheap, so that the whole test set is the rule, and without draws that would differ from
    /// seed to seed.
    Searches,
}

/// All rows, the most decisive first.
pub static ROWS: [Row; 13] = [
    Row {
        key: "fixed",
        name: "+ post train (fixed)",
        tables: &[Table::Cifar10, Table::Mnist, Table::Data],
        changes: &[("riposte", "fixed")],
        size: Size::Adapts { natural: true },
        figure: Some((PresetName::FCifar, 0.6448)),
    },
    Row {
        key: "fast",
        name: "+ post train (fast)",
        tables: &[Table::Cifar10, Table::Mnist],
        changes: &[("riposte", "fast")],
        size: Size::Adapts { natural: true },
        figure: None,
    },
    Row {
        key: "untargeted",
        name: "Untargeted",
        tables: &[Table::Neighbors],
        changes: &[("search", "untargeted"), ("post-iterations", "0")],
        size: Size::Searches,
        figure: Some((PresetName::FCifar, 0.8707)),
    },
    Row {
        key: "random",
        name: "50 % original + 50 % random",
        tables: &[Table::Data],
        changes: &[("post-data", "original-and-random")],
        size: Size::Adapts { natural: false },
        figure: Some((PresetName::FCifar, 0.5198)),
    },
    Row {
        key: "whole",
        name: "Train dataset",
        tables: &[Table::Data],
        changes: &[("post-data", "whole-set")],
        size: Size::Adapts { natural: false },
        figure: Some((PresetName::FCifar, 0.579)),
    },
    Row {
        key: "targeted",
        name: "Targeted",
        tables: &[Table::Neighbors],
        changes: &[("search", "targeted"), ("post-iterations", "0")],
        size: Size::Searches,
        figure: Some((PresetName::FCifar, 0.8783)),
    },
    Row {
        key: "pgd",
        name: "+ post train (PGD)",
        tables: &[Table::Cifar10, Table::Mnist],
        changes: &[("riposte", "pgd")],
        size: Size::Adapts { natural: true },
        figure: None,
    },
    sweep("positive", "Fixed, added to all", &[("direction", "positive")]),
    sweep("negative", "Fixed, subtracted from all", &[("direction", "negative")]),
    sweep("iterations-10", "Fixed, 10 iterations", &[("post-iterations", "10")]),
    sweep("iterations-100", "Fixed, 100 iterations", &[("post-iterations", "100")]),
    sweep("rate-0.0003", "Fixed, learning rate 0.0003", &[("post-learning-rate", "0.0003")]),
    sweep("rate-0.003", "Fixed, learning rate 0.003", &[("post-learning-rate", "0.003")]),
];

const fn sweep(key: &'static str, name: &'static str, changes: &'static [(&'static str, &'static str)]) -> Row {
    Row { key, name, tables: &[Table::Sweeps], changes, size: Size::Adapts { natural: false }, figure: None }
}

/// A run of the suite: one row under one protocol with one seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// What it is a cell of.
    pub row: &'static Row,
    /// The protocol.
    pub protocol: Protocol,
    /// Seed of every draw.
    pub seed: u64,
    /// The attack and the defense.
    pub setup: Setup,
    /// Whether the natural images are defended, too. Not under the strict protocol where its defense is the same: they would be
    /// answered as they were.
    pub natural: bool,
}

/// Which cells there are for a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suite<'a> {
    /// Of these tables.
    pub tables: &'a [Table],
    /// Under these protocols.
    pub protocols: &'a [Protocol],
    /// With seeds 0, 1, 2, ... where the answer depends on draws of the defense.
    pub seeds: u64,
}

impl Suite<'_> {
    /// The cells of a model of this architecture on this dataset: all of seed 0 first, the most decisive before the others.
    ///
    /// # Errors
    /// Never for the rows of [`ROWS`], which a test goes through.
    pub fn cells(&self, dataset: DatasetId, architecture: Architecture) -> Result<Vec<Cell>> {
        let preset = preset(dataset, architecture);
        let mut cells = Vec::new();
        for seed in 0..self.seeds {
            let rows = ROWS.iter().filter(|row| row.tables.iter().any(|t| self.tables.contains(t) && t.covers(dataset)));
            for row in rows.filter(|row| seed == 0 || row.size != Size::Searches) {
                for protocol in self.protocols {
                    let [paper, setup] = [Protocol::Paper, *protocol].map(|protocol| row.setup(preset, protocol));
                    let (paper, setup) = (paper?, setup?);
                    let is_new = *protocol == Protocol::Paper || !self.protocols.contains(&Protocol::Paper);
                    let natural = row.size == Size::Adapts { natural: true } && (is_new || setup.riposte != paper.riposte);
                    cells.push(Cell { row, protocol: *protocol, seed, setup, natural });
                }
            }
        }
        Ok(cells)
    }
}

impl Cell {
    /// `fixed-strict-seed0`
    pub fn name(&self) -> String {
        format!("{}-{}-seed{}", self.row.key, self.protocol, self.seed)
    }
}

impl Row {
    /// Attack and defense of this row in a preset, under a protocol.
    ///
    /// # Errors
    /// If the changes do not fit the preset.
    pub fn setup(&self, preset: PresetName, protocol: Protocol) -> Result<Setup> {
        let preset = preset.preset();
        let radius = Key::named("epsilon").and_then(|key| key.get(&preset.setup())).unwrap_or_default();
        let strict = [("stop", "never"), ("start", "uniform"), ("restarts", "5"), ("search-epsilon", radius.as_str())];
        let strict = if protocol == Protocol::Strict { &strict[..] } else { &[] };
        preset.with(self.changes.iter().chain(strict).copied())
    }
}

impl Table {
    /// Whether it has rows for models of this dataset.
    pub fn covers(self, dataset: DatasetId) -> bool {
        match self {
            Self::Cifar10 => dataset == DatasetId::Cifar10,
            Self::Mnist => matches!(dataset, DatasetId::Mnist | DatasetId::Digits),
            Self::Data | Self::Neighbors | Self::Speed | Self::Gradients | Self::Sweeps => true,
        }
    }

    /// As a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cifar10 => "Table 1. Robust and natural accuracy on CIFAR-10",
            Self::Mnist => "Table 2. Robust and natural accuracy on MNIST",
            Self::Data => "Table 3. Robust accuracy by what the post-training draws from",
            Self::Neighbors => "Table 4. How often the label is the original or the neighbor class",
            Self::Speed => "Table 5. Seconds an input",
            Self::Gradients => "Table 6. How often two estimates of a gradient differ in sign",
            Self::Sweeps => "Sweeps: robust accuracy by direction, iterations and learning rate (not in the paper)",
        }
    }
}

/// The setup of the paper that a model of this architecture belongs to.
pub fn preset(dataset: DatasetId, architecture: Architecture) -> PresetName {
    let [fast, madry] = [dataset.presets()[0], dataset.presets()[1]];
    match architecture {
        Architecture::MadryMnistCnn | Architecture::WideResNet { .. } | Architecture::DmWideResNet { .. } => madry,
        Architecture::FastMnistCnn
        | Architecture::TradesMnistCnn
        | Architecture::PreActResNet { .. }
        | Architecture::ResNet { .. }
        | Architecture::ResNet4b
        | Architecture::CnnA => fast,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Choice;
    use crate::architecture::PreActForm;
    use crate::paper;

    fn all(seeds: u64, dataset: DatasetId, architecture: Architecture) -> Vec<Cell> {
        Suite { tables: Table::ALL, protocols: Protocol::ALL, seeds }.cells(dataset, architecture).unwrap()
    }

    #[test]
    fn every_row_fits_every_preset_and_no_two_cells_are_the_same_run() {
        let papers = PresetName::ALL.iter().filter_map(|preset| Some((preset, paper::used(*preset)?)));
        for (preset, architecture) in papers {
            let cells = all(2, preset.datasets()[0], architecture);
            for (index, cell) in cells.iter().enumerate() {
                cell.setup.check().unwrap();
                let same = |other: &Cell| (other.setup, other.seed) == (cell.setup, cell.seed);
                assert!(!cells[..index].iter().any(same), "{preset} {}", cell.name());
            }
        }
    }

    #[test]
    fn the_paper_s_protocol_is_the_preset_and_the_strict_one_never_stops() {
        let cells = all(1, DatasetId::Mnist, Architecture::FastMnistCnn);
        let [paper, strict] = [0, 1].map(|index| cells[index].setup);
        assert_eq!(paper, PresetName::FMnist.preset().setup());
        let value = |setup: &Setup, name: &str| Key::named(name).unwrap().get(setup).unwrap();
        assert_eq!(["stop", "restarts", "start"].map(|name| value(&strict, name)), ["never", "5", "uniform"]);
        assert_eq!(value(&strict, "search-epsilon"), value(&paper, "epsilon"));
    }

    /// The strict search of F-CIFAR is the paper's own.
    #[test]
    fn natural_images_are_defended_once_where_both_protocols_answer_them_alike() {
        let natural = |cells: &[Cell]| [0, 1].map(|index| cells[index].natural);
        let network = Architecture::PreActResNet { width: 16, blocks: 2, form: PreActForm::Fast };
        assert_eq!(natural(&all(1, DatasetId::Cifar10, network)), [true, false]);
        assert_eq!(natural(&all(1, DatasetId::Mnist, Architecture::FastMnistCnn)), [true, true]);
        let strict = Suite { tables: Table::ALL, protocols: &[Protocol::Strict], seeds: 1 };
        assert!(strict.cells(DatasetId::Cifar10, network).unwrap()[0].natural);
    }

    #[test]
    fn searches_are_not_repeated_for_other_seeds() {
        let cells = all(3, DatasetId::Cifar10, Architecture::CnnA);
        assert!(cells.iter().all(|cell| cell.seed == 0 || cell.row.size != Size::Searches));
        assert!(cells.iter().any(|cell| cell.seed == 2));
    }
}
