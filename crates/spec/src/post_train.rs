//! Post-training: the classifier adapts itself to one input before it answers (paper, section 3.4 and Algorithm 2).

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::choice::choices;
use crate::error::refused;
use crate::search::NeighborSearch;

/// Settings of the defense. Named ones: [`crate::preset`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostTrain {
    /// How the neighbor class is found.
    pub search: NeighborSearch,
    /// How the samples are perturbed.
    pub perturbation: Perturbation,
    /// Which samples a batch holds.
    pub data: TrainingData,
    /// How they are augmented.
    pub augmentation: Augmentation,
    /// K: SGD steps. The paper calls them epochs; each is one batch.
    pub iterations: usize,
    /// M: samples of a batch, half of them of each class. Even.
    pub batch_size: usize,
    /// Of SGD.
    pub learning_rate: f32,
    /// Of SGD, at least 0 and less than 1.
    pub momentum: f32,
    /// Whether the momentum is Nesterov's.
    pub nesterov: bool,
    /// What batch normalization does meanwhile.
    pub batch_norm: BatchNormMode,
    /// Which parameters adapt.
    #[serde(default = "all", skip_serializing_if = "Parameters::is_all")]
    pub parameters: Parameters,
    /// Whether every iteration draws samples of its own.
    #[serde(default = "redrawn", skip_serializing_if = "Samples::are_redrawn")]
    pub samples: Samples,
    /// When an adaptation ends.
    #[serde(default = "never", skip_serializing_if = "Exit::is_never")]
    pub exit: Exit,
    /// Of the SGD steps; the search and the perturbations are f32.
    #[serde(default = "single", skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
}

/// How the samples of a batch are perturbed (section 3.4). None of them is clipped to the pixel range: the reference
/// code does not, either.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Perturbation {
    /// The fixed perturbation of equations 5 to 7: no gradient needed.
    Fixed(Direction),
    /// FGSM from a uniform start in the ball (Wong et al. 2020). Lengths in pixel units.
    Fast {
        /// Radius of the ball.
        epsilon: f32,
        /// Length of the step.
        step_size: f32,
    },
    /// PGD from a uniform start in the ball (Madry et al. 2018). Lengths in pixel units.
    Pgd {
        /// Radius of the ball.
        epsilon: f32,
        /// Length of a step.
        step_size: f32,
        /// Number of steps.
        steps: usize,
    },
    /// None: ordinary training, for ablations.
    Normal,
}

choices! {
    /// Which way the fixed perturbation x'' - x' is added to the samples.
    pub enum Direction: "direction" {
        /// Added to all (equation 7 to the letter)
        Positive = "positive" | "pos",
        /// Subtracted from all
        Negative = "negative" | "neg",
        /// Added to the samples of y', subtracted from those of y'': away from either class, as in the paper's headline runs
        Both = "both",
    }
}

choices! {
    /// Which training samples a batch holds (Table 3).
    pub enum TrainingData: "training data" {
        /// Half of the original class, half of the neighbor class: the method
        OriginalAndNeighbor = "original-and-neighbor"
            | "original-and-neighbour" | "original+neighbor" | "original+neighbour" | "neighbor",
        /// Half of the original class, half of a class redrawn in every iteration, which can be the original one
        OriginalAndRandom = "original-and-random" | "original+random" | "random",
        /// Drawn from the whole training set
        WholeSet = "whole-set" | "whole" | "all",
    }
}

choices! {
    /// What batch normalization does while the model adapts.
    pub enum BatchNormMode: "batch normalization" {
        /// It uses its running statistics, and its affine parameters train (Fast-FGSM's code: "eval mode")
        Frozen = "frozen",
        /// It uses the batch's statistics and updates the running ones (Madry's code: "train mode")
        BatchStatistics = "batch-statistics" | "batch",
    }
}

choices! {
    /// Which parameters adapt. The others, and the statistics of their batch normalization, stay as they are in the base model.
    pub enum Parameters: "parameters" {
        /// All of them: the method
        All = "all",
        /// Those of the last stage and of the head: the last residual stage, or the hidden linear layers, and the layer that gives the logits
        LastStage = "last-stage",
        /// Those of the layer that gives the logits
        Head = "head",
        /// The factors and offsets of batch normalization
        Normalization = "normalization" | "norm",
    }
}

choices! {
    /// Whether every iteration draws samples of its own.
    pub enum Samples: "samples" {
        /// Each iteration draws: the method
        Redrawn = "redrawn",
        /// All iterations have the samples, the augmentation and the random start of the first: what does not adapt is computed once
        Kept = "kept",
    }
}

choices! {
    /// When an adaptation ends.
    pub enum Exit: "exit" {
        /// After all iterations: the method
        Never = "never",
        /// Once the race is settled: y' or y'' leads the other by more logits than the iterations left would move that lead at the fastest of the last five, ten iterations or more from the begin
        Settled = "settled",
        /// Before the first iteration where the base model puts y' ahead of y'' by more than a logit, and else after all of them
        Ahead = "ahead",
    }
}

choices! {
    /// What activations and their gradients are stored as while a model trains. Parameters and their gradients, statistics,
    /// moments and the loss are f32 either way, and so are the sums of convolutions, linear layers and normalizations. Attacks
    /// are f32 throughout.
    pub enum Precision: "precision" {
        /// 32-bit floats
        Single = "single",
        /// 16-bit floats: half the memory for activations, on devices that have kernels for them
        Mixed = "mixed",
    }
}

/// Change of a sample before it is trained on. As a word: `none`, or `crop-flip:PADDING`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augmentation {
    /// None.
    #[serde(alias = "None")]
    None,
    /// Cut at a random place from the image with `padding` black pixels on each side, then mirrored left to right in half of the
    /// cases: what the CIFAR-10 models are trained with.
    #[serde(alias = "CropFlip")]
    CropFlip {
        /// Black pixels on each side.
        padding: usize,
    },
}

impl PostTrain {
    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        self.search.attack.check()?;
        if self.batch_size == 0 || self.batch_size % 2 == 1 {
            return refused(format!("the batch size must be even and at least 2, not {}", self.batch_size));
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refused(format!("the learning rate must be positive, not {}", self.learning_rate));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return refused(format!("the momentum must be at least 0 and less than 1, not {}", self.momentum));
        }
        Ok(())
    }
}

impl Parameters {
    /// Whether it is [`Parameters::All`], which results files leave out.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}

impl Samples {
    /// Whether it is [`Samples::Redrawn`], which results files leave out.
    pub fn are_redrawn(&self) -> bool {
        *self == Self::Redrawn
    }
}

impl Exit {
    /// The lead of y' over y'', in logits of the base model, above which nothing adapts under [`Exit::Ahead`]. How many adaptations have
    /// turned a larger one around: `docs/results/forms`.
    pub const LEAD: f32 = 1.0;

    /// Whether it is [`Exit::Never`], which results files leave out.
    pub fn is_never(&self) -> bool {
        *self == Self::Never
    }
}

impl Precision {
    /// Whether it is [`Precision::Single`], which results files and checkpoints leave out.
    pub fn is_single(&self) -> bool {
        *self == Self::Single
    }
}

pub(crate) fn single() -> Precision {
    Precision::Single
}

fn all() -> Parameters {
    Parameters::All
}

fn redrawn() -> Samples {
    Samples::Redrawn
}

fn never() -> Exit {
    Exit::Never
}
