//! The settings: their names in a link, and the controls that change them.

pub mod codec;
mod controls;

use riposte_protocol::{
    AttackSettings, Augmentation, BatchNorm, Direction, Loss, Perturbation, PoolChoice, RiposteSettings, SearchKind, Start, Stop,
};

pub use controls::{AmountControl, AttackControls, MoreAttackControls, RiposteControls, light};

/// Held only until a model brings its presets; nothing can run before.
pub const BLANK_ATTACK: AttackSettings = AttackSettings {
    epsilon: 0.0,
    step_size: 0.0,
    steps: 0,
    start: Start::Zero,
    stop: Stop::Never,
    loss: Loss::CrossEntropy,
    target: None,
};

/// As [`BLANK_ATTACK`].
pub const BLANK_RIPOSTE: RiposteSettings = RiposteSettings {
    search_kind: SearchKind::Untargeted,
    search: BLANK_ATTACK,
    perturbation: Perturbation::Fixed(Direction::Both),
    pool: PoolChoice::OriginalAndNeighbour,
    augmentation: Augmentation::None,
    iterations: 0,
    batch: 0,
    learning_rate: 0.0,
    momentum: 0.0,
    nesterov: true,
    batch_norm: BatchNorm::Frozen,
};
