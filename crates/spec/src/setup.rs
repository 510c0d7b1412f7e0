//! An attack and a defense: what the settings of a run make up.

use serde::{Deserialize, Serialize};

use crate::Result;
pub use crate::attack::AttackKind;
use crate::attack::{Attack, Norm, Pgd, Start};
use crate::choice::choices;
use crate::counter::{Counter, CounterKind};
use crate::error::refused;
use crate::post_train::{Perturbation, PostTrain};
use crate::preset::Preset;
use crate::quantize::Quantize;
use crate::units::print_pixels;

/// The attack and the defense of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// `None`: the natural images alone.
    pub attack: Option<Attack>,
    /// The class that the attack leads to; `None`: any but the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<usize>,
    /// Which values the pixels of attacked images may have.
    #[serde(default, skip_serializing_if = "Quantize::is_none")]
    pub quantize: Quantize,
    /// `None`: the base model alone.
    pub riposte: Option<PostTrain>,
    /// The attack on the defense; `None`: it meets the attack on the base model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<Counter>,
}

choices! {
    /// Which defense, by how it perturbs the samples of the post-training.
    pub enum RiposteKind: "riposte" {
        /// No riposte: the base model alone
        None = "none",
        /// The fixed perturbation x'' - x': the paper's own
        Fixed = "fixed",
        /// FGSM from a random start
        Fast = "fast",
        /// PGD from a random start
        Pgd = "pgd",
        /// Samples as they are
        Normal = "normal",
    }
}

impl Setup {
    /// Which attack it is.
    pub fn attack_kind(&self) -> AttackKind {
        self.attack.map_or(AttackKind::None, |attack| attack.kind())
    }

    /// The attack where it is projected gradient descent.
    pub fn pgd(&self) -> Option<Pgd> {
        match self.attack {
            Some(Attack::Pgd(pgd)) => Some(pgd),
            _ => None,
        }
    }

    /// Which defense it is.
    pub fn riposte_kind(&self) -> RiposteKind {
        self.riposte.map_or(RiposteKind::None, |riposte| riposte.perturbation.kind())
    }

    /// Which attack on the defense it is.
    pub fn counter_kind(&self) -> CounterKind {
        self.counter.map_or(CounterKind::None, |counter| counter.kind)
    }

    /// Checks that every setting is in its range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting that is out of its range.
    pub fn check(&self) -> Result<()> {
        self.attack.map_or(Ok(()), |attack| attack.check())?;
        if self.target.is_some() && self.pgd().is_none() {
            return refused("a target needs an attack by PGD");
        }
        if let Some(most) = self.quantize.most() {
            let Some(attack) = self.attack else {
                return refused("`quantize` rounds what an attack makes, and `attack` is none");
            };
            if self.is_in_l2() {
                return refused("`quantize` could round an image out of the ball of `norm` l2: it goes with l-infinity alone");
            }
            if attack.epsilon().is_some_and(|epsilon| self.quantize.radius(epsilon) < 1.0 / most) {
                return refused(format!(
                    "`quantize` {} leaves no image but the original within an `epsilon` of less than 1/{most}",
                    self.quantize
                ));
            }
        }
        if let Some(counter) = &self.counter {
            counter.check()?;
            if self.attack.and_then(|attack| attack.epsilon()).is_none() {
                return refused("`counter` needs an attack in a ball, whose radius it takes");
            }
            if self.is_in_l2() {
                return refused("`counter` attacks in the L-infinity ball, and `norm` is l2");
            }
            if self.riposte.is_none() {
                return refused("`counter` attacks a riposte, and `riposte` is none");
            }
            if self.target.is_some() {
                return refused("`counter` leads to any class but the label, which contradicts `target`");
            }
        }
        self.riposte.map_or(Ok(()), |riposte| riposte.check())
    }

    fn is_in_l2(&self) -> bool {
        self.pgd().is_some_and(|attack| attack.norm == Norm::L2)
    }

    /// What is allowed and hardly meant, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let of = |prefix, Pgd { epsilon, step_size, steps, start, .. }: Pgd| {
            let from = if start == Start::Zero { "the image" } else { "the random start" };
            out_of_reach(prefix, epsilon, step_size, steps, from)
        };
        warnings.extend(self.pgd().and_then(|attack| of("", attack)));
        warnings.extend(self.riposte.and_then(|riposte| of("search-", riposte.search.attack)));
        warnings
    }

    /// The preset whose attack, search and post-training these are, whatever the perturbation's kind.
    pub fn preset(&self) -> Option<Preset> {
        let (attack, riposte) = (self.pgd()?, self.riposte?);
        Preset::ALL.into_iter().find(|preset| {
            let variants = [preset.post_train.perturbation, preset.fast, preset.pgd];
            self.target.is_none()
                && self.quantize == Quantize::None
                && preset.attack == attack
                && variants.into_iter().any(|perturbation| riposte == PostTrain { perturbation, ..preset.post_train })
        })
    }
}

impl Perturbation {
    /// Which kind it is.
    pub fn kind(&self) -> RiposteKind {
        match self {
            Self::Fixed(_) => RiposteKind::Fixed,
            Self::Fast { .. } => RiposteKind::Fast,
            Self::Pgd { .. } => RiposteKind::Pgd,
            Self::Normal => RiposteKind::Normal,
        }
    }
}

/// A sentence about steps that do not lead as far as an attack's radius; `prefix` is that of its keys.
pub(crate) fn out_of_reach(prefix: &str, epsilon: f32, step_size: f32, steps: usize, from: &str) -> Option<String> {
    let reach = steps as f64 * f64::from(step_size);
    // Forty steps of 0.01 in f32 are a little less than 0.4.
    if reach >= f64::from(epsilon) * (1.0 - 1e-6) {
        return None;
    }
    let (epsilon, step) = (print_pixels(epsilon), print_pixels(step_size));
    let (number, lead) = match steps {
        1 => ("1 step".to_owned(), "leads"),
        _ => (format!("{steps} steps (`{prefix}steps`)"), "lead"),
    };
    let reach = (reach * 1e6).round() / 1e6;
    Some(format!(
        "{number} of {step} (`{prefix}step-size`) {lead} {reach} from {from} at most, less than the {epsilon} that `{prefix}epsilon` allows"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_do_not_reach_the_radius_are_warned_of() {
        for preset in Preset::ALL {
            assert_eq!(preset.setup().warnings(), [] as [&str; 0], "{}", preset.name);
        }
        let weak = Setup { attack: Some(Attack::Pgd(Pgd { steps: 20, ..Pgd::MNIST })), ..Preset::F_MNIST.setup() };
        let warnings = weak.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("0.2 from the image"), "{warnings:?}");
        assert!(warnings[0].contains("0.3 that `epsilon` allows"), "{warnings:?}");
        let exact = Setup { attack: Some(Attack::Pgd(Pgd { epsilon: 0.4, ..Pgd::MNIST })), ..weak };
        assert!(exact.warnings().is_empty());
    }

    #[test]
    fn what_keeps_to_the_l_infinity_ball_is_refused_in_another() {
        let whole = Setup { attack: Some(Attack::Pgd(Pgd::MNIST.in_l2())), ..Preset::M_MNIST.setup() };
        assert_eq!(whole.check(), Ok(()));
        let rounded = Setup { quantize: Quantize::Eight, ..whole };
        let countered = Setup { counter: Some(Counter::STANDARD), ..whole };
        for setup in [rounded, countered] {
            assert!(setup.check().unwrap_err().to_string().contains("l2"));
        }
    }

    #[test]
    fn eight_bits_need_an_attack_that_may_change_a_pixel_by_one_level() {
        let whole = Setup { quantize: Quantize::Eight, ..Preset::M_MNIST.setup() };
        assert_eq!(whole.check(), Ok(()));
        let at = |epsilon| Setup { attack: Some(Attack::Pgd(Pgd { epsilon, ..Pgd::MNIST })), ..whole }.check();
        assert_eq!(at(1.0 / 255.0), Ok(()));
        assert!(at(0.0039).unwrap_err().to_string().contains("1/255"));
        assert!(Setup { attack: None, ..whole }.check().unwrap_err().to_string().contains("`attack` is none"));
        // Smallest perturbations have no radius to keep to.
        assert_eq!(Setup { attack: Attack::standard(AttackKind::DeepFool, 0.3), ..whole }.check(), Ok(()));
    }

    #[test]
    fn a_preset_is_recognized_in_each_of_its_variants_and_not_when_changed() {
        let whole = Preset::M_MNIST.setup();
        for perturbation in [Preset::M_MNIST.post_train.perturbation, Preset::M_MNIST.fast, Preset::M_MNIST.pgd] {
            let setup = Setup { riposte: Some(PostTrain { perturbation, ..Preset::M_MNIST.post_train }), ..whole };
            assert_eq!(setup.preset(), Some(Preset::M_MNIST));
        }
        let fewer = Setup { riposte: Some(PostTrain { iterations: 49, ..Preset::M_MNIST.post_train }), ..whole };
        assert_eq!(fewer.preset(), None);
        assert_eq!(Setup { target: Some(3), ..whole }.preset(), None);
        assert_eq!(Setup { quantize: Quantize::Eight, ..whole }.preset(), None);
    }
}
