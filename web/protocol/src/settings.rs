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

/// The defence: the neighbour search and the post-training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiposteSettings {
    pub search: SearchKind,
    pub search_epsilon: f32,
    pub search_step_size: f32,
    pub search_steps: usize,
    pub perturbation: Perturbation,
    /// Direction of the fixed perturbation; other perturbations ignore it.
    pub direction: Direction,
    /// Ball and step of the fast and pgd perturbations; the fixed one ignores them.
    pub train_epsilon: f32,
    pub train_step_size: f32,
    pub train_steps: usize,
    pub pool: PoolChoice,
    /// K: minibatches of post-training.
    pub iterations: usize,
    /// M: samples in a minibatch, half of each class.
    pub batch: usize,
    pub learning_rate: f64,
    pub momentum: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SearchKind {
    /// Away from the original class.
    Untargeted,
    /// Towards each other class in turn; the easiest one is the neighbour.
    Targeted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Perturbation {
    /// The change that leads from the input to its neighbour, added to every sample.
    Fixed,
    /// One gradient step from a random start.
    Fast,
    /// A full attack on every sample.
    Pgd,
    /// None: plain training.
    Normal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    Positive,
    Negative,
    /// Plus on samples of the original class, minus on samples of the neighbour class.
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolChoice {
    OriginalAndNeighbour,
    OriginalAndRandom,
    WholeSet,
}
