//! The setups of the paper and of its code, by name, the one that this project recommends, and light ones.
//!
//! The authors of the paper extended two codes, and names say which: F is Fast-FGSM's code (Wong et al. 2020), M is Madry's code (the
//! PyTorch port of that of Madry et al. 2018).

use crate::attack::{Attack, Pgd, Start, Stop};
use crate::choice::choices;
use crate::counter::Counter;
use crate::dataset::DatasetId;
use crate::post_train::{
    Augmentation, BatchNormMode, Direction, Exit, Parameters, Perturbation, PostTrain, Precision, Samples, TrainingData,
};
use crate::quantize::Quantize;
use crate::search::{NeighborSearch, SearchMethod};
use crate::setup::Setup;

choices! {
    /// Which setup.
    pub enum PresetName: "preset" {
        /// As the code of Fast-FGSM training has it: the attack stops at success; batch normalization is frozen.
        FCifar = "f-cifar",
        /// As the code of Madry et al. has it: the attack takes all its steps; batch normalization uses the statistics of each
        /// batch.
        MCifar = "m-cifar",
        /// As the code of Fast-FGSM training has it: the attack stops at success, the search reaches only 8/255, so that most images
        /// have no neighbor and the base model answers.
        FMnist = "f-mnist",
        /// As the code of Madry et al. has it: the attack takes all its steps; the search reaches as far as the attack; 64 + 64
        /// samples a batch.
        MMnist = "m-mnist",
        /// F-CIFAR's attack and search, and a riposte for 2 % of the work: the last stage and the head adapt for ten steps on 64 samples
        /// that are kept. On `cifar10-robust` it keeps four fifths of what F-CIFAR gains where the attack stops at success
        LightCifar = "light-cifar",
        /// F-CIFAR's attack and search, and a riposte for 0.2 % of the work: the head alone adapts, on 32 samples that are kept. On
        /// `cifar10-robust` it keeps about half of what F-CIFAR gains where the attack stops at success
        InstantCifar = "instant-cifar",
        /// F-MNIST's attack and search, and a riposte for 1 % of the work: the head alone adapts, on 200 samples that are kept. On
        /// `mnist-robust` it gains more than F-MNIST
        LightMnist = "light-mnist",
        /// F-MNIST's attack and search, and a riposte for 0.3 % of the work: the head alone adapts, on 32 samples that are kept. On
        /// `mnist-robust` it gains as much as F-MNIST
        InstantMnist = "instant-mnist",
    }
}

/// An attack and a defense that belong together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// Which one it is.
    pub name: PresetName,
    /// The attack.
    pub attack: Pgd,
    /// The defense, with the fixed perturbation.
    pub post_train: PostTrain,
    /// The `fast` variant's perturbation in this setup.
    pub fast: Perturbation,
    /// The `pgd` variant's perturbation in this setup.
    pub pgd: Perturbation,
    /// The attack on the defense, for who asks for one.
    pub counter: Counter,
}

/// The neighbor search of Fast-FGSM's code, for CIFAR-10 and, unchanged, for MNIST: a step longer than the radius, so that one
/// step reaches the corners of the box; each input rests at its first flip.
const F_SEARCH: NeighborSearch = NeighborSearch {
    attack: Pgd { epsilon: 8.0 / 255.0, step_size: 10.0 / 255.0, stop: Stop::AtSuccess, ..Pgd::CIFAR10 },
    method: SearchMethod::Untargeted,
};

/// Section 4.3 of the paper, in the reading of Fast-FGSM's code: 50 batches of 256, nesterov, batch normalization frozen.
const F_POST_TRAIN: PostTrain = PostTrain {
    search: F_SEARCH,
    perturbation: Perturbation::Fixed(Direction::Both),
    data: TrainingData::OriginalAndNeighbor,
    augmentation: Augmentation::CropFlip { padding: 4 },
    iterations: 50,
    batch_size: 256,
    learning_rate: 0.001,
    momentum: 0.9,
    nesterov: true,
    batch_norm: BatchNormMode::Frozen,
    parameters: Parameters::All,
    samples: Samples::Redrawn,
    exit: Exit::Never,
    precision: Precision::Single,
};

impl Preset {
    /// CIFAR-10 as in the code of Fast-FGSM training: a step of 2/255 where the paper says 3/255, uniform start, and the
    /// attack stops at success.
    pub const F_CIFAR: Self = Self {
        name: PresetName::FCifar,
        attack: Pgd { step_size: 2.0 / 255.0, start: Start::Uniform, stop: Stop::AtSuccess, ..Pgd::CIFAR10 },
        post_train: F_POST_TRAIN,
        fast: Perturbation::Fast { epsilon: 8.0 / 255.0, step_size: 10.0 / 255.0 },
        pgd: Perturbation::Pgd { epsilon: 8.0 / 255.0, step_size: 2.0 / 255.0, steps: 7 },
        counter: Counter::STANDARD,
    };

    /// MNIST as in the code of Fast-FGSM training. The search keeps CIFAR-10's 8/255 and 10/255 while the attack is at
    /// 0.3, so most inputs have no neighbor and are answered by the base model.
    pub const F_MNIST: Self = Self {
        name: PresetName::FMnist,
        attack: Pgd { start: Start::Uniform, stop: Stop::AtSuccess, ..Pgd::MNIST },
        post_train: PostTrain { augmentation: Augmentation::None, batch_size: 200, ..F_POST_TRAIN },
        fast: Self::F_CIFAR.fast,
        pgd: Self::F_CIFAR.pgd,
        counter: Counter::STANDARD,
    };

    /// CIFAR-10 as in the PyTorch port of Madry et al.: the attack never stops early, the search uses the attack's own
    /// settings, and batch normalization uses the statistics of the batch.
    pub const M_CIFAR: Self = Self {
        name: PresetName::MCifar,
        attack: Pgd::CIFAR10,
        post_train: PostTrain {
            search: NeighborSearch { attack: Pgd::CIFAR10, method: SearchMethod::Untargeted },
            batch_norm: BatchNormMode::BatchStatistics,
            ..F_POST_TRAIN
        },
        fast: Perturbation::Fast { epsilon: 8.0 / 255.0, step_size: 10.0 / 255.0 },
        pgd: Perturbation::Pgd { epsilon: 8.0 / 255.0, step_size: 2.0 / 255.0, steps: 7 },
        counter: Counter::STANDARD,
    };

    /// MNIST as in the PyTorch port of Madry et al.: 64 + 64 samples, the search uses the attack's own settings.
    pub const M_MNIST: Self = Self {
        name: PresetName::MMnist,
        attack: Pgd::MNIST,
        post_train: PostTrain {
            search: NeighborSearch { attack: Pgd::MNIST, method: SearchMethod::Untargeted },
            augmentation: Augmentation::None,
            batch_size: 128,
            ..F_POST_TRAIN
        },
        fast: Perturbation::Fast { epsilon: 0.3, step_size: 0.375 },
        pgd: Perturbation::Pgd { epsilon: 0.3, step_size: 0.01, steps: 40 },
        counter: Counter::STANDARD,
    };

    /// [`F_CIFAR`](Self::F_CIFAR) with the strongest riposte measured for 2 % of its work.
    pub const LIGHT_CIFAR: Self = Self {
        name: PresetName::LightCifar,
        post_train: PostTrain {
            parameters: Parameters::LastStage,
            samples: Samples::Kept,
            batch_size: 64,
            iterations: 10,
            learning_rate: 0.01,
            ..Self::F_CIFAR.post_train
        },
        ..Self::F_CIFAR
    };

    /// [`F_CIFAR`](Self::F_CIFAR) with a riposte that takes hardly longer than its search.
    pub const INSTANT_CIFAR: Self = Self {
        name: PresetName::InstantCifar,
        post_train: PostTrain {
            parameters: Parameters::Head,
            samples: Samples::Kept,
            batch_size: 32,
            learning_rate: 0.003,
            ..Self::F_CIFAR.post_train
        },
        ..Self::F_CIFAR
    };

    /// [`F_MNIST`](Self::F_MNIST) with the strongest riposte measured for 2 % of its work.
    pub const LIGHT_MNIST: Self = Self {
        name: PresetName::LightMnist,
        post_train: PostTrain { parameters: Parameters::Head, samples: Samples::Kept, ..Self::F_MNIST.post_train },
        ..Self::F_MNIST
    };

    /// [`F_MNIST`](Self::F_MNIST) with a riposte that takes hardly longer than its search.
    pub const INSTANT_MNIST: Self = Self {
        name: PresetName::InstantMnist,
        post_train: PostTrain { batch_size: 32, learning_rate: 0.0003, ..Self::LIGHT_MNIST.post_train },
        ..Self::F_MNIST
    };

    /// All: in the order of the paper's tables, then the light ones.
    pub const ALL: [Self; 8] = [
        Self::F_CIFAR,
        Self::M_CIFAR,
        Self::F_MNIST,
        Self::M_MNIST,
        Self::LIGHT_CIFAR,
        Self::INSTANT_CIFAR,
        Self::LIGHT_MNIST,
        Self::INSTANT_MNIST,
    ];

    /// The same for one image that is watched, on which an attack on the defense should take seconds.
    pub fn for_duel(self) -> Self {
        Self { counter: Counter::DUEL, ..self }
    }

    /// Its attack and its defense.
    pub fn setup(&self) -> Setup {
        Setup {
            attack: Some(Attack::Pgd(self.attack)),
            target: None,
            quantize: Quantize::None,
            riposte: Some(self.post_train),
            counter: None,
        }
    }
}

impl PresetName {
    /// What it stands for.
    pub fn preset(self) -> Preset {
        match self {
            Self::FCifar => Preset::F_CIFAR,
            Self::MCifar => Preset::M_CIFAR,
            Self::FMnist => Preset::F_MNIST,
            Self::MMnist => Preset::M_MNIST,
            Self::LightCifar => Preset::LIGHT_CIFAR,
            Self::InstantCifar => Preset::INSTANT_CIFAR,
            Self::LightMnist => Preset::LIGHT_MNIST,
            Self::InstantMnist => Preset::INSTANT_MNIST,
        }
    }

    /// For a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::FCifar | Self::FMnist => "As in the paper, Fast-FGSM setup",
            Self::MCifar | Self::MMnist => "As in the paper, Madry setup",
            Self::LightCifar | Self::LightMnist => "Light: a little of the work, most of the gain",
            Self::InstantCifar | Self::InstantMnist => "Instant: hardly more work than the search",
        }
    }

    /// The same attack and search with more and with less post-training: as in the paper, then the light forms.
    pub fn forms(self) -> &'static [Self] {
        match self {
            Self::FCifar | Self::LightCifar | Self::InstantCifar => &[Self::FCifar, Self::LightCifar, Self::InstantCifar],
            Self::FMnist | Self::LightMnist | Self::InstantMnist => &[Self::FMnist, Self::LightMnist, Self::InstantMnist],
            Self::MCifar => &[Self::MCifar],
            Self::MMnist => &[Self::MMnist],
        }
    }

    /// The light form of it; the same where there is none.
    pub fn light(self) -> Self {
        *self.forms().get(1).unwrap_or(&self)
    }

    /// The datasets that it suits.
    pub fn datasets(self) -> &'static [DatasetId] {
        match self {
            Self::FCifar | Self::MCifar | Self::LightCifar | Self::InstantCifar => &[DatasetId::Cifar10],
            Self::FMnist | Self::MMnist | Self::LightMnist | Self::InstantMnist => &[DatasetId::Mnist, DatasetId::Digits],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Choice;

    #[test]
    fn forms_differ_in_their_post_training_alone_the_lighter_the_later() {
        for preset in PresetName::ALL {
            let forms: Vec<Preset> = preset.forms().iter().map(|form| form.preset()).collect();
            assert!(preset.forms().contains(preset) && forms.iter().all(|form| form.name.forms() == preset.forms()));
            for pair in forms.windows(2) {
                let [more, less] = [pair[0], pair[1]];
                assert_eq!(
                    (more.attack, more.post_train.search, more.name.datasets()),
                    (less.attack, less.post_train.search, less.name.datasets())
                );
                let network = "fast-mnist-cnn".parse().unwrap();
                assert!(
                    less.post_train.adaptation_work(network) < more.post_train.adaptation_work(network),
                    "{} {}",
                    more.name,
                    less.name
                );
            }
        }
        assert_eq!(PresetName::FCifar.light(), PresetName::LightCifar);
        assert_eq!(PresetName::MMnist.light(), PresetName::MMnist);
    }
}
