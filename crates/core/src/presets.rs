//! The setups of the paper and of its code, by name, and the one that this project recommends.

use crate::attack::{Loss, Pgd, Start, Stop};
use crate::data::pool::Augmentation;
use crate::neighbour::{NeighbourSearch, SearchMethod};
use crate::post_train::{BatchNormMode, Direction, Perturbation, PostTrain, TrainingData};
use crate::precision::Precision;

/// An attack and a defense that belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// As on the command line: `f-mnist`.
    pub name: &'static str,
    /// `mnist` or `cifar10`; the MNIST ones also suit `digits`.
    pub dataset: &'static str,
    pub attack: Pgd,
    pub post_train: PostTrain,
    /// The `fast` variant's settings in this setup; `post_train` holds the fixed one.
    pub fast: Perturbation,
    /// The `pgd` variant's settings in this setup.
    pub pgd: Perturbation,
}

/// The neighbor search of the F code, for CIFAR-10 and, unchanged, for MNIST: a step longer than the radius, so that one
/// step reaches the corners of the box; each input rests at its first flip.
const F_SEARCH: NeighbourSearch = NeighbourSearch {
    attack: Pgd {
        epsilon: 8.0 / 255.0,
        step_size: 10.0 / 255.0,
        steps: 20,
        restarts: 1,
        start: Start::Zero,
        stop: Stop::AtSuccess,
        loss: Loss::CrossEntropy,
    },
    method: SearchMethod::Untargeted,
};

/// Section 4.3 of the paper, in the F code's reading: 50 batches of 256, nesterov, batch normalization frozen.
const F_POST_TRAIN: PostTrain = PostTrain {
    search: F_SEARCH,
    perturbation: Perturbation::Fixed(Direction::Both),
    data: TrainingData::OriginalAndNeighbour,
    augmentation: Augmentation::CropFlip { padding: 4 },
    iterations: 50,
    batch_size: 256,
    learning_rate: 0.001,
    momentum: 0.9,
    nesterov: true,
    batch_norm: BatchNormMode::Frozen,
    precision: Precision::Single,
};

impl Preset {
    /// CIFAR-10 as in the code of Fast-FGSM training: a step of 2/255 where the paper says 3/255, uniform start, and the
    /// attack stops at success.
    pub const F_CIFAR: Self = Self {
        name: "f-cifar",
        dataset: "cifar10",
        attack: Pgd { step_size: 2.0 / 255.0, start: Start::Uniform, stop: Stop::AtSuccess, ..Pgd::CIFAR10 },
        post_train: F_POST_TRAIN,
        fast: Perturbation::Fast { epsilon: 8.0 / 255.0, step_size: 10.0 / 255.0 },
        pgd: Perturbation::Pgd { epsilon: 8.0 / 255.0, step_size: 2.0 / 255.0, steps: 7 },
    };

    /// MNIST as in the code of Fast-FGSM training. The search keeps CIFAR-10's 8/255 and 10/255 while the attack is at
    /// 0.3, so most inputs have no neighbor and are answered by the base model.
    pub const F_MNIST: Self = Self {
        name: "f-mnist",
        dataset: "mnist",
        attack: Pgd { start: Start::Uniform, stop: Stop::AtSuccess, ..Pgd::MNIST },
        post_train: PostTrain { augmentation: Augmentation::None, batch_size: 200, ..F_POST_TRAIN },
        fast: Self::F_CIFAR.fast,
        pgd: Self::F_CIFAR.pgd,
    };

    /// CIFAR-10 as in the PyTorch port of Madry et al.: the attack never stops early, the search uses the attack's own
    /// settings, and batch normalization uses the statistics of the batch.
    pub const M_CIFAR: Self = Self {
        name: "m-cifar",
        dataset: "cifar10",
        attack: Pgd::CIFAR10,
        post_train: PostTrain {
            search: NeighbourSearch { attack: Pgd::CIFAR10, method: SearchMethod::Untargeted },
            batch_norm: BatchNormMode::BatchStatistics,
            ..F_POST_TRAIN
        },
        fast: Perturbation::Fast { epsilon: 8.0 / 255.0, step_size: 10.0 / 255.0 },
        pgd: Perturbation::Pgd { epsilon: 8.0 / 255.0, step_size: 2.0 / 255.0, steps: 7 },
    };

    /// MNIST as in the PyTorch port of Madry et al.: 64 + 64 samples, the search uses the attack's own settings.
    pub const M_MNIST: Self = Self {
        name: "m-mnist",
        dataset: "mnist",
        attack: Pgd::MNIST,
        post_train: PostTrain {
            search: NeighbourSearch { attack: Pgd::MNIST, method: SearchMethod::Untargeted },
            augmentation: Augmentation::None,
            batch_size: 128,
            ..F_POST_TRAIN
        },
        fast: Perturbation::Fast { epsilon: 0.3, step_size: 0.375 },
        pgd: Perturbation::Pgd { epsilon: 0.3, step_size: 0.01, steps: 40 },
    };

    /// All, in the order of the paper's tables.
    pub const ALL: [Self; 4] = [Self::F_CIFAR, Self::M_CIFAR, Self::F_MNIST, Self::M_MNIST];

    /// What this project recommends for a dataset (`mnist`, `digits`, `cifar10`). For gray digits the setup in which the search
    /// reaches as far as the attack does: with F-MNIST's 8/255 most inputs have no neighbor, and nothing adapts.
    pub fn recommended(dataset: &str) -> Option<Self> {
        match dataset {
            "mnist" | "digits" => Some(Self::M_MNIST),
            "cifar10" => Some(Self::F_CIFAR),
            _ => None,
        }
    }

    /// The preset named `name`, as in [`Preset::name`].
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name == name)
    }
}
