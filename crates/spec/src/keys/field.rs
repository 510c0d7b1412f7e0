//! How a setting is read from a [`Setup`] and written into it, by kind.

use super::places;
use crate::attack::{Attack, Cw, DeepFool, Norm, Pgd};
use crate::counter::CounterKind;
use crate::error::refused;
use crate::post_train::{Augmentation, Direction, Perturbation};
use crate::preset::Preset;
use crate::quantize::Quantize;
use crate::setup::{AttackKind, RiposteKind, Setup};
use crate::{Choice, Result, units};

/// What the values of a setting are, for whoever offers them.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// One of a few words.
    Words(Vec<Word>),
    /// A length in pixel units, 0 to 1: a decimal number or a fraction.
    Pixels,
    /// A positive number.
    Rate,
    /// A number from 0 to below 1.
    Share,
    /// A number above 0 and up to 1.
    Part,
    /// A number of at least 0.
    Size,
    /// A whole number of at least `least`. A link may ask for `most`: it should not keep a visitor's device busy for hours.
    Count {
        /// The smallest value allowed.
        least: usize,
        /// The largest value that a link may ask for.
        most: usize,
    },
    /// A class by its number, or `any`.
    Class,
}

/// One of a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// Other words that are read as it.
    pub aliases: &'static [&'static str],
    /// What it means, in one line.
    pub about: &'static str,
}

/// A setting's way into a [`Setup`].
pub(super) trait Field: Sync {
    fn kind(&self) -> Kind;

    /// Whether a text is a value of this setting.
    fn check(&self, text: &str) -> Result<()>;

    /// The same beside the `norm` that was given, if one was.
    fn check_in(&self, _norm: Option<&str>, text: &str) -> Result<()> {
        self.check(text)
    }

    /// The value as text; `None` if the setup has no place for it.
    fn get(&self, setup: &Setup) -> Option<String>;

    /// Sets the value; `None` if the setup has no place for it.
    fn set(&self, setup: &mut Setup, preset: &Preset, text: &str) -> Option<Result<()>>;
}

/// A value at a place that a setup has or has not.
pub(super) struct Slot<T: 'static> {
    kind: fn() -> Kind,
    parse: fn(&str) -> Result<T>,
    print: fn(&T) -> String,
    place: Place<T>,
}

type Place<T> = fn(&mut Setup) -> Option<&mut T>;

impl<T> Field for Slot<T> {
    fn kind(&self) -> Kind {
        (self.kind)()
    }

    fn check(&self, text: &str) -> Result<()> {
        (self.parse)(text).map(drop)
    }

    fn get(&self, setup: &Setup) -> Option<String> {
        (self.place)(&mut setup.clone()).map(|value| (self.print)(value))
    }

    fn set(&self, setup: &mut Setup, _: &Preset, text: &str) -> Option<Result<()>> {
        let place = (self.place)(setup)?;
        Some((self.parse)(text).map(|value| *place = value))
    }
}

pub(super) const fn word<T: Choice>(place: Place<T>) -> Slot<T> {
    Slot { kind: words::<T>, parse: T::named, print: |value| value.name().to_owned(), place }
}

pub(super) const fn pixels(place: Place<f32>) -> Slot<f32> {
    Slot { kind: || Kind::Pixels, parse: units::parse_pixels, print: |value| units::print_pixels(*value), place }
}

pub(super) const fn rate(place: Place<f32>) -> Slot<f32> {
    Slot { kind: || Kind::Rate, parse: units::parse_positive, print: f32::to_string, place }
}

/// A number of at least 0.
pub(super) const fn size(place: Place<f32>) -> Slot<f32> {
    Slot { kind: || Kind::Size, parse: units::parse_length, print: f32::to_string, place }
}

/// A number above 0 and up to 1.
pub(super) const fn part(place: Place<f32>) -> Slot<f32> {
    let parse = |text: &str| match units::parse_share(text)? {
        part if part > 0.0 => Ok(part),
        _ => refused(format!("`{text}` is not a number above 0 and up to 1")),
    };
    Slot { kind: || Kind::Part, parse, print: f32::to_string, place }
}

pub(super) const fn share(place: Place<f32>) -> Slot<f32> {
    let parse = |text: &str| match units::parse_share(text)? {
        share if share < 1.0 => Ok(share),
        _ => refused(format!("`{text}` is not a number from 0 to below 1")),
    };
    Slot { kind: || Kind::Share, parse, print: f32::to_string, place }
}

pub(super) const fn count<const LEAST: usize, const MOST: usize>(place: Place<usize>) -> Slot<usize> {
    let kind = || Kind::Count { least: LEAST, most: MOST };
    Slot { kind, parse: |text| units::parse_count(text, LEAST), print: usize::to_string, place }
}

/// An even number of at least 2.
pub(super) const fn pairs<const MOST: usize>(place: Place<usize>) -> Slot<usize> {
    let parse = |text: &str| match units::parse_count(text, 2)? {
        count if count.is_multiple_of(2) => Ok(count),
        _ => refused(format!("`{text}` is not an even number")),
    };
    Slot { kind: || Kind::Count { least: 2, most: MOST }, parse, print: usize::to_string, place }
}

pub(super) const fn switch(place: Place<bool>) -> Slot<bool> {
    let kind = || {
        Kind::Words(vec![
            Word { name: "on", aliases: &["true"], about: "Yes" },
            Word { name: "off", aliases: &["false"], about: "No" },
        ])
    };
    let parse = |text: &str| match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => refused(format!("`{text}` is neither `on` nor `off`")),
    };
    Slot { kind, parse, print: |on| if *on { "on" } else { "off" }.to_owned(), place }
}

pub(super) const fn class(place: Place<Option<usize>>) -> Slot<Option<usize>> {
    let parse = |text: &str| match text {
        "any" => Ok(None),
        number => match number.parse() {
            Ok(class) => Ok(Some(class)),
            Err(_) => refused(format!("`{number}` is neither the number of a class nor `any`")),
        },
    };
    let print = |class: &Option<usize>| class.map_or_else(|| "any".to_owned(), |class| class.to_string());
    Slot { kind: || Kind::Class, parse, print, place }
}

/// `none` or `crop-flip`; `crop-flip:2` for another padding than 4. The padding alone is what links once had.
pub(super) const fn augmentation(place: Place<Augmentation>) -> Slot<Augmentation> {
    let kind = || {
        Kind::Words(vec![
            Word { name: "none", aliases: &["0"], about: "Samples as they are" },
            Word {
                name: "crop-flip",
                aliases: &["4"],
                about: "Cut at a random place from the image with 4 black pixels on each side, mirrored in half of the cases; \
                        `crop-flip:2` for 2 pixels",
            },
        ])
    };
    let parse = |text: &str| match (text, text.strip_prefix("crop-flip:").unwrap_or(text).parse()) {
        ("none", _) | (_, Ok(0)) => Ok(Augmentation::None),
        ("crop-flip", _) => Ok(Augmentation::CropFlip { padding: 4 }),
        (_, Ok(padding @ 1..=16)) => Ok(Augmentation::CropFlip { padding }),
        _ => refused(format!("`{text}` is neither `none` nor `crop-flip`, or `crop-flip:PIXELS` with 1 to 16 of them")),
    };
    let print = |augmentation: &Augmentation| match augmentation {
        Augmentation::None => "none".to_owned(),
        Augmentation::CropFlip { padding: 4 } => "crop-flip".to_owned(),
        Augmentation::CropFlip { padding } => format!("crop-flip:{padding}"),
    };
    Slot { kind, parse, print, place }
}

/// Which attack. Another one than before keeps the radius, FGSM the loss too; what else it has is the preset's or its standard.
pub(super) struct WhichAttack;

impl Field for WhichAttack {
    fn kind(&self) -> Kind {
        words::<AttackKind>()
    }

    fn check(&self, text: &str) -> Result<()> {
        AttackKind::named(text).map(drop)
    }

    fn get(&self, setup: &Setup) -> Option<String> {
        Some(setup.attack_kind().to_string())
    }

    fn set(&self, setup: &mut Setup, preset: &Preset, text: &str) -> Option<Result<()>> {
        Some(AttackKind::named(text).map(|kind| {
            let attack = setup.attack.unwrap_or(Attack::Pgd(preset.attack));
            let epsilon = attack.epsilon().unwrap_or(preset.attack.epsilon);
            let loss = if let Attack::Pgd(pgd) = attack { pgd.loss } else { preset.attack.loss };
            setup.attack = match kind {
                kind if kind == attack.kind() => Some(attack),
                AttackKind::Pgd => Some(Attack::Pgd(Pgd { epsilon, loss, ..preset.attack })),
                AttackKind::Fgsm => Some(Attack::Pgd(Pgd { loss, ..Pgd::fgsm(epsilon) })),
                other => Attack::standard(other, epsilon),
            };
            setup.target = setup.target.filter(|_| setup.pgd().is_some());
            if setup.attack.is_none() {
                setup.quantize = Quantize::None;
            }
        }))
    }
}

/// Radius of the attack. The step of FGSM is as long.
pub(super) struct Radius;

impl Field for Radius {
    fn kind(&self) -> Kind {
        Kind::Pixels
    }

    fn check(&self, text: &str) -> Result<()> {
        length_in_any_norm(text)
    }

    fn check_in(&self, norm: Option<&str>, text: &str) -> Result<()> {
        length(norm.map_or(Ok(Norm::LInfinity), Norm::named)?, text).map(drop)
    }

    fn get(&self, setup: &Setup) -> Option<String> {
        setup.attack?.epsilon().map(units::print_pixels)
    }

    fn set(&self, setup: &mut Setup, _: &Preset, text: &str) -> Option<Result<()>> {
        let place = match setup.attack.as_mut()? {
            Attack::Pgd(pgd) if pgd.is_fgsm() => {
                return Some(units::parse_pixels(text).map(|epsilon| (pgd.epsilon, pgd.step_size) = (epsilon, epsilon)));
            }
            Attack::Pgd(attack) => return Some(length(attack.norm, text).map(|epsilon| attack.epsilon = epsilon)),
            Attack::Apgd(attack) => &mut attack.epsilon,
            Attack::Fab(attack) => &mut attack.epsilon,
            Attack::Square(attack) => &mut attack.epsilon,
            Attack::Auto(attack) => &mut attack.epsilon,
            Attack::Cw(_) | Attack::DeepFool(_) => return None,
        };
        Some(units::parse_pixels(text).map(|epsilon| *place = epsilon))
    }
}

/// Length of a step of projected gradient descent.
pub(super) struct StepSize;

impl Field for StepSize {
    fn kind(&self) -> Kind {
        Kind::Pixels
    }

    fn check(&self, text: &str) -> Result<()> {
        length_in_any_norm(text)
    }

    fn check_in(&self, norm: Option<&str>, text: &str) -> Result<()> {
        length(norm.map_or(Ok(Norm::LInfinity), Norm::named)?, text).map(drop)
    }

    fn get(&self, setup: &Setup) -> Option<String> {
        Some(units::print_pixels(setup.pgd()?.step_size))
    }

    fn set(&self, setup: &mut Setup, _: &Preset, text: &str) -> Option<Result<()>> {
        let attack = places::pgd(setup)?;
        Some(length(attack.norm, text).map(|step_size| attack.step_size = step_size))
    }
}

/// Whether a text can be a length, before the norm is known.
fn length_in_any_norm(text: &str) -> Result<()> {
    units::parse_pixels(text).map(drop).or_else(|refused| units::parse_length(text).map(drop).map_err(|_| refused))
}

/// A length in a norm, in pixel units.
fn length(norm: Norm, text: &str) -> Result<f32> {
    match norm {
        Norm::LInfinity => units::parse_pixels(text),
        Norm::L2 => units::parse_length(text),
    }
}

/// The norm of an attack. Carlini and Wagner's attacks in the two norms are two: another norm than before brings the standard settings of the
/// other one; and projected gradient descent's radius and steps.
pub(super) struct Measure;

impl Field for Measure {
    fn kind(&self) -> Kind {
        words::<Norm>()
    }

    fn check(&self, text: &str) -> Result<()> {
        Norm::named(text).map(drop)
    }

    fn get(&self, setup: &Setup) -> Option<String> {
        match setup.attack? {
            Attack::Cw(Cw { norm, .. }) | Attack::DeepFool(DeepFool { norm, .. }) => Some(norm.to_string()),
            Attack::Pgd(attack) if !attack.is_fgsm() => Some(attack.norm.to_string()),
            _ => None,
        }
    }

    fn set(&self, setup: &mut Setup, preset: &Preset, text: &str) -> Option<Result<()>> {
        match setup.attack.as_mut()? {
            Attack::DeepFool(attack) => Some(Norm::named(text).map(|norm| attack.norm = norm)),
            Attack::Pgd(attack) if !attack.is_fgsm() => Some(Norm::named(text).map(|norm| {
                *attack = match norm {
                    norm if norm == attack.norm => *attack,
                    Norm::L2 => attack.in_l2(),
                    Norm::LInfinity => {
                        Pgd { norm, epsilon: preset.attack.epsilon, step_size: preset.attack.step_size, ..*attack }
                    }
                };
            })),
            Attack::Cw(attack) => Some(Norm::named(text).map(|norm| {
                *attack = match norm {
                    norm if norm == attack.norm => *attack,
                    Norm::L2 => Cw::L2,
                    Norm::LInfinity => Cw::L_INFINITY,
                };
            })),
            _ => None,
        }
    }
}

/// Which defense. Another perturbation than before is the preset's.
pub(super) struct WhichRiposte;

impl Field for WhichRiposte {
    fn kind(&self) -> Kind {
        words::<RiposteKind>()
    }

    fn check(&self, text: &str) -> Result<()> {
        perturbation_of_link(text).map_or_else(|| RiposteKind::named(text).map(drop), |_| Ok(()))
    }

    fn get(&self, setup: &Setup) -> Option<String> {
        Some(setup.riposte_kind().to_string())
    }

    fn set(&self, setup: &mut Setup, preset: &Preset, text: &str) -> Option<Result<()>> {
        let mut riposte = setup.riposte.unwrap_or(preset.post_train);
        if let Some(perturbation) = perturbation_of_link(text) {
            riposte.perturbation = perturbation;
            setup.riposte = Some(riposte);
            return Some(Ok(()));
        }
        Some(RiposteKind::named(text).map(|kind| {
            if kind != riposte.perturbation.kind() {
                riposte.perturbation = match (kind, preset.post_train.perturbation) {
                    (RiposteKind::None | RiposteKind::Normal, _) => Perturbation::Normal,
                    (RiposteKind::Fixed, fixed @ Perturbation::Fixed(_)) => fixed,
                    (RiposteKind::Fixed, _) => Perturbation::Fixed(Direction::Both),
                    (RiposteKind::Fast, _) => preset.fast,
                    (RiposteKind::Pgd, _) => preset.pgd,
                };
            }
            setup.riposte = Some(riposte).filter(|_| kind != RiposteKind::None);
        }))
    }
}

/// Which attack on the defense. Its other settings are the preset's until they are set.
pub(super) struct WhichCounter;

impl Field for WhichCounter {
    fn kind(&self) -> Kind {
        words::<CounterKind>()
    }

    fn check(&self, text: &str) -> Result<()> {
        CounterKind::named(text).map(drop)
    }

    fn get(&self, setup: &Setup) -> Option<String> {
        Some(setup.counter_kind().to_string())
    }

    fn set(&self, setup: &mut Setup, preset: &Preset, text: &str) -> Option<Result<()>> {
        Some(CounterKind::named(text).map(|kind| {
            let counter = setup.counter.unwrap_or(preset.counter).of_kind(kind, preset.counter);
            setup.counter = Some(counter).filter(|_| kind != CounterKind::None);
        }))
    }
}

/// A perturbation with all its sizes in one word, as links once had it: `fixed-both`, `fast:0.3:0.375`, `pgd:0.3:0.01:40`.
fn perturbation_of_link(text: &str) -> Option<Perturbation> {
    if let Some(direction) = text.strip_prefix("fixed-") {
        return Direction::named(direction).ok().map(Perturbation::Fixed);
    }
    let parts: Vec<&str> = text.split(':').collect();
    let size = |text: &str| units::parse_pixels(text).ok();
    match parts[..] {
        ["fast", epsilon, step] => Some(Perturbation::Fast { epsilon: size(epsilon)?, step_size: size(step)? }),
        ["pgd", epsilon, step, steps] => {
            Some(Perturbation::Pgd { epsilon: size(epsilon)?, step_size: size(step)?, steps: units::parse_count(steps, 1).ok()? })
        }
        _ => None,
    }
}

fn words<T: Choice>() -> Kind {
    let word = |value: &T| Word { name: value.name(), aliases: value.aliases(), about: value.about() };
    Kind::Words(T::ALL.iter().map(word).collect())
}
