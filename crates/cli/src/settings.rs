//! What a run is made of: flags over a preset, resolved once into plain data.

use anyhow::{Context, Result, ensure};
use riposte::attack::{Loss, Pgd, Start, Stop};
use riposte::neighbour::SearchMethod;
use riposte::post_train::{BatchNormMode, Direction, Perturbation, PostTrain, TrainingData};
use riposte::presets::Preset;

use crate::args::{
    AttackArgs, AttackName, BatchNormName, DirectionName, LossName, PostDataName, RiposteArgs, RiposteName, SearchName,
    StartName, StopName,
};
use crate::data::DatasetName;

/// The attack and the defense of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup {
    pub attack: Option<Pgd>,
    pub riposte: Option<PostTrain>,
}

impl Setup {
    /// The preset named `preset`, or the recommended one of `dataset`, with `attack` and `riposte` over it.
    ///
    /// # Errors
    /// For an unknown preset and for settings out of range.
    pub fn resolve(preset: Option<&str>, dataset: DatasetName, attack: &AttackArgs, riposte: &RiposteArgs) -> Result<Self> {
        let preset = match preset {
            Some(name) => Preset::named(name).with_context(|| {
                let names: Vec<&str> = Preset::ALL.iter().map(|preset| preset.name).collect();
                format!("unknown preset `{name}`: use {}", names.join(", "))
            })?,
            None => recommended(dataset),
        };
        let setup = Self { attack: resolve_attack(preset, attack), riposte: resolve_riposte(preset, riposte)? };
        if let Some(attack) = setup.attack {
            attack.check()?;
        }
        if let Some(riposte) = setup.riposte {
            riposte.check()?;
        }
        Ok(setup)
    }

    /// The preset whose attack, search and post-training these are, whatever the perturbation's kind.
    pub fn preset(&self) -> Option<Preset> {
        let (attack, riposte) = (self.attack?, self.riposte?);
        Preset::ALL.into_iter().find(|preset| {
            let variants = [preset.post_train.perturbation, preset.fast, preset.pgd];
            preset.attack == attack
                && variants.into_iter().any(|perturbation| riposte == PostTrain { perturbation, ..preset.post_train })
        })
    }
}

/// The preset that is taken when none is named.
pub fn recommended(dataset: DatasetName) -> Preset {
    Preset::recommended(&dataset.to_string()).expect("every dataset has one")
}

fn resolve_attack(preset: Preset, args: &AttackArgs) -> Option<Pgd> {
    let base = match args.attack {
        Some(AttackName::None) => return None,
        Some(AttackName::Fgsm) => Pgd::fgsm(args.epsilon.unwrap_or(preset.attack.epsilon)),
        Some(AttackName::Pgd) | None => preset.attack,
    };
    Some(Pgd {
        epsilon: args.epsilon.unwrap_or(base.epsilon),
        step_size: args.step_size.unwrap_or(base.step_size),
        steps: args.steps.unwrap_or(base.steps),
        restarts: args.restarts.unwrap_or(base.restarts),
        start: args.start.map_or(base.start, |start| match start {
            StartName::Zero => Start::Zero,
            StartName::Uniform => Start::Uniform,
        }),
        stop: args.stop.map_or(base.stop, stop),
        loss: args.loss.map_or(base.loss, |loss| match loss {
            LossName::CrossEntropy => Loss::CrossEntropy,
            LossName::Margin => Loss::Margin,
        }),
    })
}

fn resolve_riposte(preset: Preset, args: &RiposteArgs) -> Result<Option<PostTrain>> {
    let base = preset.post_train;
    let mut search = base.search;
    if let Some(method) = args.search {
        search.method = match method {
            SearchName::Untargeted => SearchMethod::Untargeted,
            SearchName::Targeted => SearchMethod::Targeted,
        };
    }
    search.attack = Pgd {
        epsilon: args.search_epsilon.unwrap_or(search.attack.epsilon),
        step_size: args.search_step_size.unwrap_or(search.attack.step_size),
        steps: args.search_steps.unwrap_or(search.attack.steps),
        stop: args.search_stop.map_or(search.attack.stop, stop),
        ..search.attack
    };
    let name = args.riposte.unwrap_or(RiposteName::Fixed);
    ensure!(args.direction.is_none() || name == RiposteName::Fixed, "--direction belongs to --riposte fixed");
    let sized = args.post_epsilon.is_some() || args.post_step_size.is_some();
    let perturbed = matches!(name, RiposteName::Fast | RiposteName::Pgd);
    ensure!(!sized || perturbed, "--post-epsilon and --post-step-size belong to --riposte fast and pgd");
    ensure!(args.post_steps.is_none() || name == RiposteName::Pgd, "--post-steps belongs to --riposte pgd");
    let perturbation = match name {
        RiposteName::None => return Ok(None),
        RiposteName::Normal => Perturbation::Normal,
        RiposteName::Fixed => match (args.direction, base.perturbation) {
            (Some(DirectionName::Positive), _) => Perturbation::Fixed(Direction::Positive),
            (Some(DirectionName::Negative), _) => Perturbation::Fixed(Direction::Negative),
            (Some(DirectionName::Both), _) => Perturbation::Fixed(Direction::Both),
            (None, fixed @ Perturbation::Fixed(_)) => fixed,
            (None, _) => Perturbation::Fixed(Direction::Both),
        },
        RiposteName::Fast => sizes(preset.fast, args),
        RiposteName::Pgd => sizes(preset.pgd, args),
    };
    Ok(Some(PostTrain {
        search,
        perturbation,
        data: args.post_data.map_or(base.data, |data| match data {
            PostDataName::OriginalAndNeighbour => TrainingData::OriginalAndNeighbour,
            PostDataName::OriginalAndRandom => TrainingData::OriginalAndRandom,
            PostDataName::Whole => TrainingData::WholeSet,
        }),
        iterations: args.post_iterations.unwrap_or(base.iterations),
        batch_size: args.post_batch.unwrap_or(base.batch_size),
        learning_rate: args.post_lr.unwrap_or(base.learning_rate),
        batch_norm: args.batch_norm.map_or(base.batch_norm, |mode| match mode {
            BatchNormName::Frozen => BatchNormMode::Frozen,
            BatchNormName::Batch => BatchNormMode::BatchStatistics,
        }),
        ..base
    }))
}

fn stop(name: StopName) -> Stop {
    match name {
        StopName::Never => Stop::Never,
        StopName::Success => Stop::AtSuccess,
    }
}

/// A `fast` or `pgd` perturbation with the sizes of `args`.
fn sizes(base: Perturbation, args: &RiposteArgs) -> Perturbation {
    match base {
        Perturbation::Fast { epsilon, step_size } => Perturbation::Fast {
            epsilon: args.post_epsilon.unwrap_or(epsilon),
            step_size: args.post_step_size.unwrap_or(step_size),
        },
        Perturbation::Pgd { epsilon, step_size, steps } => Perturbation::Pgd {
            epsilon: args.post_epsilon.unwrap_or(epsilon),
            step_size: args.post_step_size.unwrap_or(step_size),
            steps: args.post_steps.unwrap_or(steps),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(preset: &str, attack: AttackArgs, riposte: RiposteArgs) -> Result<Setup> {
        Setup::resolve(Some(preset), DatasetName::Mnist, &attack, &riposte)
    }

    #[test]
    fn a_preset_sets_everything() {
        let setup = resolve("f-mnist", AttackArgs::default(), RiposteArgs::default()).unwrap();
        assert_eq!(setup, Setup { attack: Some(Preset::F_MNIST.attack), riposte: Some(Preset::F_MNIST.post_train) });
    }

    #[test]
    fn flags_override_the_preset_and_nothing_else() {
        let attack = AttackArgs { epsilon: Some(0.2), stop: Some(StopName::Never), ..AttackArgs::default() };
        let riposte = RiposteArgs { riposte: Some(RiposteName::Fast), post_iterations: Some(10), ..RiposteArgs::default() };
        let setup = resolve("f-mnist", attack, riposte).unwrap();
        assert_eq!(setup.attack, Some(Pgd { epsilon: 0.2, stop: Stop::Never, ..Preset::F_MNIST.attack }));
        let expected = PostTrain { perturbation: Preset::F_MNIST.fast, iterations: 10, ..Preset::F_MNIST.post_train };
        assert_eq!(setup.riposte, Some(expected));
    }

    #[test]
    fn fgsm_is_one_step_of_the_given_radius() {
        let attack = AttackArgs { attack: Some(AttackName::Fgsm), epsilon: Some(0.1), ..AttackArgs::default() };
        let setup = resolve("m-mnist", attack, RiposteArgs::default()).unwrap();
        assert_eq!(setup.attack, Some(Pgd::fgsm(0.1)));
    }

    #[test]
    fn none_switches_off_the_attack_and_the_riposte() {
        let attack = AttackArgs { attack: Some(AttackName::None), ..AttackArgs::default() };
        let riposte = RiposteArgs { riposte: Some(RiposteName::None), ..RiposteArgs::default() };
        assert_eq!(resolve("f-mnist", attack, riposte).unwrap(), Setup { attack: None, riposte: None });
    }

    #[test]
    fn a_preset_is_recognized_in_each_of_its_variants_and_not_when_changed() {
        for name in [RiposteName::Fixed, RiposteName::Fast, RiposteName::Pgd] {
            let riposte = RiposteArgs { riposte: Some(name), ..RiposteArgs::default() };
            let setup = resolve("m-mnist", AttackArgs::default(), riposte).unwrap();
            assert_eq!(setup.preset().map(|preset| preset.name), Some("m-mnist"));
        }
        let fewer = RiposteArgs { post_iterations: Some(49), ..RiposteArgs::default() };
        assert_eq!(resolve("m-mnist", AttackArgs::default(), fewer).unwrap().preset(), None);
    }

    #[test]
    fn flags_that_would_be_ignored_are_refused() {
        let fast = Some(RiposteName::Fast);
        let direction = RiposteArgs { riposte: fast, direction: Some(DirectionName::Both), ..RiposteArgs::default() };
        assert!(resolve("m-mnist", AttackArgs::default(), direction).is_err());
        let size = RiposteArgs { post_epsilon: Some(0.1), ..RiposteArgs::default() };
        assert!(resolve("m-mnist", AttackArgs::default(), size).is_err());
        let steps = RiposteArgs { riposte: fast, post_steps: Some(3), ..RiposteArgs::default() };
        assert!(resolve("m-mnist", AttackArgs::default(), steps).is_err());
    }

    #[test]
    fn odd_batches_and_unknown_presets_are_refused_in_a_sentence() {
        let odd = RiposteArgs { post_batch: Some(7), ..RiposteArgs::default() };
        assert!(resolve("f-mnist", AttackArgs::default(), odd).unwrap_err().to_string().contains("even"));
        let error = resolve("nope", AttackArgs::default(), RiposteArgs::default()).unwrap_err().to_string();
        assert!(error.contains("f-mnist"), "{error}");
    }
}
