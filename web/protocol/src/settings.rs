use serde::{Deserialize, Serialize};

/// The attack: projected gradient descent in the L-infinity ball of radius `epsilon` around the image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttackSettings {
    /// Radius of the ball, in pixel units of [0, 1].
    pub epsilon: f32,
    /// How far one step moves each pixel.
    pub step_size: f32,
    pub steps: usize,
    pub start: Start,
    pub stop: Stop,
    pub loss: Loss,
    /// Class to be mistaken for; none: any class but the right one.
    pub target: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// At the image itself.
    Zero,
    /// At a random point of the ball.
    Uniform,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// Take every step.
    Never,
    /// Stop as soon as the classifier errs.
    AtSuccess,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    CrossEntropy,
    Margin,
}

/// The defense: the neighbor search and the post-training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiposteSettings {
    pub search_kind: SearchKind,
    /// The attack on the input itself that finds its neighbor; its target is ignored.
    pub search: AttackSettings,
    pub perturbation: Perturbation,
    pub pool: PoolChoice,
    /// Random crop and flip of the samples.
    pub augmentation: Augmentation,
    /// K: minibatches of post-training.
    pub iterations: usize,
    /// M: samples in a minibatch, half of each class.
    pub batch: usize,
    pub learning_rate: f32,
    pub momentum: f32,
    pub nesterov: bool,
    pub batch_norm: BatchNorm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SearchKind {
    /// Away from the original class.
    Untargeted,
    /// Towards each other class in turn; the easiest one is the neighbor.
    Targeted,
}

/// What is done to the training samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Perturbation {
    /// The change that leads from the input to its neighbor, added to every sample.
    Fixed(Direction),
    /// One gradient step from a random start.
    Fast { epsilon: f32, step_size: f32 },
    /// A full attack on every sample.
    Pgd { epsilon: f32, step_size: f32, steps: usize },
    /// Nothing: plain training.
    Normal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    Positive,
    Negative,
    /// Plus on samples of the original class, minus on samples of the neighbor class.
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolChoice {
    OriginalAndNeighbour,
    OriginalAndRandom,
    WholeSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Augmentation {
    None,
    CropFlip { padding: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchNorm {
    /// Running statistics stay as they are.
    Frozen,
    /// The statistics of each minibatch.
    BatchStatistics,
}
