//! Attackers who can only ask: their settings, and what `riposte bench table6` writes of them.

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::choice::choices;
use crate::dataset::DatasetId;
use crate::post_train::PostTrain;
use crate::preset::PresetName;

/// What a header says the file is.
pub const FORMAT: &str = "riposte queries 1";

/// ZOO (Chen et al. 2017, "ZOO: zeroth order optimization based black-box attacks"): symmetric differences at random coordinates, each
/// with an Adam of its own, on the loss of Carlini & Wagner in the space of the inverse hyperbolic tangent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zoo {
    /// Coordinates of a step: it asks twice as often, and once where it is.
    pub coordinates: usize,
    /// Half the distance of a difference. In f32 the paper's 1e-4 is lost in the rounding of logits.
    pub difference: f32,
    /// Of Adam.
    pub learning_rate: f32,
    /// What the lead of the label counts against the squared distance in the first round.
    pub constant: f32,
    /// Rounds with a constant of their own: ten times larger while nothing is found, else between what found and what did not.
    pub rounds: usize,
    /// Answers asked for in all rounds together.
    pub queries: usize,
}

/// Opt-Attack (Cheng et al. 2019, "Query-efficient hard-label black-box attack: an optimization-based approach"): it looks for the direction
/// in which the boundary is nearest, by differences of distances to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptAttack {
    /// Random directions among which the first is chosen.
    pub directions: usize,
    /// Random directions of a gradient estimate.
    pub probes: usize,
    /// The first step, α.
    pub step: f32,
    /// How far a probe is from the direction, β.
    pub smoothing: f32,
    /// Answers asked for.
    pub queries: usize,
}

impl Zoo {
    /// The paper's for MNIST and CIFAR-10, with as many queries as 200 steps take.
    pub const STANDARD: Self =
        Self { coordinates: 128, difference: 1e-3, learning_rate: 0.1, constant: 10.0, rounds: 2, queries: 50_000 };
}

impl OptAttack {
    /// The authors' code for CIFAR-10, with the smoothing that the paper of the riposte names.
    pub const STANDARD: Self = Self { directions: 100, probes: 10, step: 0.2, smoothing: 0.005, queries: 50_000 };
}

choices! {
    /// How a gradient is had.
    pub enum Estimate: "estimate" {
        /// As the copy that answers computes it
        Gradient = "gradient",
        /// The difference of the losses of two answers, at one pixel (ZOO)
        Zoo = "zoo",
        /// The difference of two distances to the boundary, along one direction (Opt-Attack)
        OptAttack = "opt-attack",
    }
}

choices! {
    /// What the answers are drawn with, of which two estimates are made.
    pub enum Drawn: "draws" {
        /// Each answer with draws of its own, as an attacker meets it: the paper's definition
        Fresh = "fresh",
        /// All answers of one estimate with the same draws, and the other estimate with others
        Common = "common",
        /// All answers of both with the same draws: a control, which must read 0
        Same = "same",
    }
}

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`FORMAT`].
    pub format: String,
    /// The program's version.
    pub version: String,
    /// What the weights belong to.
    pub architecture: Architecture,
    /// SHA-256 of the weights file, in lower-case hexadecimal.
    pub weights_sha256: String,
    /// Whose test images.
    pub dataset: DatasetId,
    /// The defense draws from the first so many training samples; `None`: from all.
    pub post_samples: Option<usize>,
    /// Whose defense.
    pub preset: PresetName,
    /// The same, as settings.
    pub riposte: PostTrain,
    /// Of the attacks that are run to their ends; `None`: signs of gradients are compared.
    pub attacks: Option<(Zoo, OptAttack)>,
}

/// A further line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// Two estimates of a gradient were compared.
    Signs(Signs),
    /// An attack was run to its end.
    Attacked(Attacked),
    /// All that belongs to the input stands above; inputs that are left out have only this.
    Done {
        /// Number in the test set.
        input: u64,
    },
}

/// Two estimates of the gradient at a natural image to which the defense adapts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signs {
    /// Number in the test set.
    pub input: u64,
    /// How both were made.
    pub estimate: Estimate,
    /// With what draws.
    pub draws: Drawn,
    /// Pixels at which they were compared.
    pub pixels: usize,
    /// Of these, those at which one is positive and the other is not, or one is negative and the other is not.
    pub differing: usize,
    /// Answers that both took.
    pub answers: usize,
}

/// What became of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attacked {
    /// Number in the test set.
    pub input: u64,
    /// Which attack: not [`Estimate::Gradient`].
    pub attack: Estimate,
    /// Whether the defense was asked; else the base model.
    pub defended: bool,
    /// Answers until the first one that was wrong; `None`: there was none.
    pub first_success: Option<usize>,
    /// Answers in all.
    pub queries: usize,
    /// Euclidean length of the smallest change that an answer was wrong at.
    pub distance: Option<f64>,
    /// Largest change of a pixel by it.
    pub largest: Option<f64>,
    /// How many of 16 other answers are wrong there; of the base model's one.
    pub wrong: Option<[usize; 2]>,
}
