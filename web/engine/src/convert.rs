//! Between the protocol's plain data and the core's types.

use burn::tensor::{Device, Tensor, TensorData};
use riposte::attack::{self, Goal, Pgd};
use riposte::data::pool;
use riposte::neighbor::{NeighborSearch, SearchMethod};
use riposte::post_train::{self, PostTrain};
use riposte::precision::Precision;
use riposte_protocol::{
    AttackSettings, Augmentation, BatchNorm, Direction, Loss, Perturbation, Picture, PoolChoice, RiposteSettings, SearchKind,
    Start, Stop,
};

/// `[1, channel, height, width]` on a device.
pub fn tensor(picture: &Picture, device: &Device) -> Tensor<4> {
    let shape = [1, picture.channels, picture.height, picture.width];
    Tensor::from_data(TensorData::new(picture.pixels.clone(), shape), device)
}

pub fn pgd(settings: &AttackSettings) -> Pgd {
    Pgd {
        epsilon: settings.epsilon,
        step_size: settings.step_size,
        steps: settings.steps,
        restarts: 1,
        start: match settings.start {
            Start::Zero => attack::Start::Zero,
            Start::Uniform => attack::Start::Uniform,
        },
        stop: match settings.stop {
            Stop::Never => attack::Stop::Never,
            Stop::AtSuccess => attack::Stop::AtSuccess,
        },
        loss: match settings.loss {
            Loss::CrossEntropy => attack::Loss::CrossEntropy,
            Loss::Margin => attack::Loss::Margin,
        },
    }
}

/// The other way round, for presets; `target` is never part of one.
pub fn attack_settings(pgd: &Pgd) -> AttackSettings {
    AttackSettings {
        epsilon: pgd.epsilon,
        step_size: pgd.step_size,
        steps: pgd.steps,
        start: match pgd.start {
            attack::Start::Zero => Start::Zero,
            attack::Start::Uniform => Start::Uniform,
        },
        stop: match pgd.stop {
            attack::Stop::Never => Stop::Never,
            attack::Stop::AtSuccess => Stop::AtSuccess,
        },
        loss: match pgd.loss {
            attack::Loss::CrossEntropy => Loss::CrossEntropy,
            attack::Loss::Margin => Loss::Margin,
        },
        target: None,
    }
}

pub fn goal(class: usize, settings: &AttackSettings) -> Goal {
    match settings.target {
        Some(target) => Goal::Targeted { targets: vec![target] },
        None => Goal::Untargeted { labels: vec![class] },
    }
}

pub fn post_train(settings: &RiposteSettings) -> PostTrain {
    PostTrain {
        search: NeighborSearch {
            attack: pgd(&settings.search),
            method: match settings.search_kind {
                SearchKind::Untargeted => SearchMethod::Untargeted,
                SearchKind::Targeted => SearchMethod::Targeted,
            },
        },
        perturbation: match settings.perturbation {
            Perturbation::Fixed(direction) => post_train::Perturbation::Fixed(match direction {
                Direction::Positive => post_train::Direction::Positive,
                Direction::Negative => post_train::Direction::Negative,
                Direction::Both => post_train::Direction::Both,
            }),
            Perturbation::Fast { epsilon, step_size } => post_train::Perturbation::Fast { epsilon, step_size },
            Perturbation::Pgd { epsilon, step_size, steps } => post_train::Perturbation::Pgd { epsilon, step_size, steps },
            Perturbation::Normal => post_train::Perturbation::Normal,
        },
        data: match settings.pool {
            PoolChoice::OriginalAndNeighbour => post_train::TrainingData::OriginalAndNeighbor,
            PoolChoice::OriginalAndRandom => post_train::TrainingData::OriginalAndRandom,
            PoolChoice::WholeSet => post_train::TrainingData::WholeSet,
        },
        augmentation: match settings.augmentation {
            Augmentation::None => pool::Augmentation::None,
            Augmentation::CropFlip { padding } => pool::Augmentation::CropFlip { padding },
        },
        iterations: settings.iterations,
        batch_size: settings.batch,
        learning_rate: settings.learning_rate,
        momentum: settings.momentum,
        nesterov: settings.nesterov,
        batch_norm: match settings.batch_norm {
            BatchNorm::Frozen => post_train::BatchNormMode::Frozen,
            BatchNorm::BatchStatistics => post_train::BatchNormMode::BatchStatistics,
        },
        precision: Precision::Single,
    }
}

pub fn riposte_settings(config: &PostTrain) -> RiposteSettings {
    RiposteSettings {
        search_kind: match config.search.method {
            SearchMethod::Untargeted => SearchKind::Untargeted,
            SearchMethod::Targeted => SearchKind::Targeted,
        },
        search: attack_settings(&config.search.attack),
        perturbation: perturbation(config.perturbation),
        pool: match config.data {
            post_train::TrainingData::OriginalAndNeighbor => PoolChoice::OriginalAndNeighbour,
            post_train::TrainingData::OriginalAndRandom => PoolChoice::OriginalAndRandom,
            post_train::TrainingData::WholeSet => PoolChoice::WholeSet,
        },
        augmentation: match config.augmentation {
            pool::Augmentation::None => Augmentation::None,
            pool::Augmentation::CropFlip { padding } => Augmentation::CropFlip { padding },
        },
        iterations: config.iterations,
        batch: config.batch_size,
        learning_rate: config.learning_rate,
        momentum: config.momentum,
        nesterov: config.nesterov,
        batch_norm: match config.batch_norm {
            post_train::BatchNormMode::Frozen => BatchNorm::Frozen,
            post_train::BatchNormMode::BatchStatistics => BatchNorm::BatchStatistics,
        },
    }
}

pub fn perturbation(perturbation: post_train::Perturbation) -> Perturbation {
    match perturbation {
        post_train::Perturbation::Fixed(direction) => Perturbation::Fixed(match direction {
            post_train::Direction::Positive => Direction::Positive,
            post_train::Direction::Negative => Direction::Negative,
            post_train::Direction::Both => Direction::Both,
        }),
        post_train::Perturbation::Fast { epsilon, step_size } => Perturbation::Fast { epsilon, step_size },
        post_train::Perturbation::Pgd { epsilon, step_size, steps } => Perturbation::Pgd { epsilon, step_size, steps },
        post_train::Perturbation::Normal => Perturbation::Normal,
    }
}
