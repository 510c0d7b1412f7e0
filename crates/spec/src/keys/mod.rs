//! Every setting of a [`Setup`], one row for each: its name on the command line and in an address, what it means, and its way into
//! the setup. Flags, the page's controls and addresses are made from this table.

mod field;
mod places;
mod table;

use crate::error::refused;
use crate::preset::Preset;
use crate::setup::{AttackKind, Setup};
use crate::{Choice, Error, Result};
use field::Field;

pub use field::{Kind, Word};
pub use table::KEYS;

/// A setting.
pub struct Key {
    /// The flag's long name, and the key in an address.
    pub name: &'static str,
    /// Names that earlier versions had for it, and short ones.
    pub aliases: &'static [&'static str],
    /// What it means, in one line.
    pub help: &'static str,
    /// What stands for its value in a help text: `SIZE`.
    pub value_name: &'static str,
    /// What it is about.
    pub heading: Heading,
    /// What it belongs to, for whoever sets it without that.
    belongs_to: &'static str,
    field: &'static dyn Field,
}

/// What a setting is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heading {
    /// The attack.
    Attack,
    /// The defense.
    Riposte,
    /// The attack on the defense.
    Counter,
}

impl Heading {
    /// As a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Attack => "Attack",
            Self::Riposte => "Riposte",
            Self::Counter => "Counter-riposte",
        }
    }
}

impl Key {
    /// The setting with this name or alias.
    pub fn named(name: &str) -> Option<&'static Self> {
        let known = KEYS.iter().find(|key| key.name == name);
        known.or_else(|| KEYS.iter().find(|key| key.aliases.contains(&name)))
    }

    /// What its values are.
    pub fn kind(&self) -> Kind {
        self.field.kind()
    }

    /// Whether `text` is a value of it, whatever the setup.
    ///
    /// # Errors
    /// [`Error::Setting`] that says what is wrong with it.
    pub fn check(&self, text: &str) -> Result<()> {
        self.field.check(text)
    }

    /// Whether `text` is a value of it beside the `norm` that was given, or where none was: lengths reach further in L2.
    ///
    /// # Errors
    /// [`Error::Setting`] that says what is wrong with it.
    pub fn check_in(&self, norm: Option<&str>, text: &str) -> Result<()> {
        self.field.check_in(norm, text)
    }

    /// Its value in `setup`; `None` where it has no place, as the radius of no attack.
    pub fn get(&self, setup: &Setup) -> Option<String> {
        self.field.get(setup)
    }

    /// Sets it. What a change of the attack's or the defense's kind leaves open is as in `preset`.
    ///
    /// # Errors
    /// [`Error::Setting`] if the text is no value of it, or the setup has no place for it.
    pub fn set(&self, setup: &mut Setup, preset: &Preset, text: &str) -> Result<()> {
        let name = self.name;
        match self.field.set(setup, preset, text) {
            Some(result) => result.map_err(|error| Error::Setting(format!("`{name}`: {error}"))),
            None => {
                let (kind, found) = match self.heading {
                    Heading::Attack => ("attack", setup.attack_kind().name()),
                    Heading::Riposte => ("riposte", setup.riposte_kind().name()),
                    Heading::Counter => ("counter", setup.counter_kind().name()),
                };
                refused(format!("`{name}` belongs to {}, and `{kind}` is {found}", self.belongs_to))
            }
        }
    }

    /// The setup with another value of it, in the ranges that a page offers: counts that would keep a visitor's device busy for hours are
    /// refused, too.
    ///
    /// # Errors
    /// As [`set`](Self::set) and [`Setup::check`]; [`Error::Setting`] for a count above its kind's `most`.
    pub fn set_moderately(&self, setup: &Setup, preset: &Preset, text: &str) -> Result<Setup> {
        if let Kind::Count { most, .. } = self.kind()
            && text.trim().parse().is_ok_and(|count: usize| count > most)
        {
            return refused(format!("`{}`: {text} is more than {most}, the most that the page takes", self.name));
        }
        let mut changed = *setup;
        self.set(&mut changed, preset, text)?;
        changed.check()?;
        Ok(changed)
    }

    /// Its place in [`KEYS`]: a setting that others depend on comes before them.
    fn place(&self) -> usize {
        KEYS.iter().position(|key| key.name == self.name).unwrap_or(KEYS.len())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Sets one setting by its name.
///
/// # Errors
/// [`Error::Setting`] if there is none of this name; as [`Key::set`].
pub fn apply(setup: &mut Setup, preset: &Preset, name: &str, value: &str) -> Result<()> {
    match Key::named(name) {
        Some(key) => key.set(setup, preset, value),
        None => refused(format!("there is no setting `{name}`")),
    }
}

/// What to set, and how, to come from `preset` to `setup`, in the order of [`KEYS`].
pub fn differences(preset: &Preset, setup: &Setup) -> Vec<(&'static str, String)> {
    let mut reached = preset.setup();
    let mut differences = Vec::new();
    for key in KEYS {
        if let Some(value) = key.get(setup).filter(|value| key.get(&reached).as_ref() != Some(value)) {
            // A value that was read can be set, and the kinds that decide on places come first.
            let set = key.set(&mut reached, preset, &value);
            debug_assert_eq!(set, Ok(()), "{key:?} of {setup:?}");
            differences.push((key.name, value));
        }
    }
    differences
}

impl Preset {
    /// Its setup with some settings set otherwise, in any order.
    ///
    /// # Errors
    /// [`Error::Setting`] if a name or a value is unknown or out of range, if a setting would be ignored, or if two contradict each
    /// other.
    pub fn with<'a>(&self, given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Setup> {
        let given = in_order(given)?;
        let mut setup = self.setup();
        for (key, value) in &given {
            key.set(&mut setup, self, value)?;
        }
        let one_step = given.iter().any(|(key, value)| key.name == "attack" && *value == AttackKind::Fgsm.name());
        if one_step && setup.attack_kind() != AttackKind::Fgsm {
            let others = given.iter().filter(|(key, _)| ["steps", "step-size"].contains(&key.name));
            let others: Vec<String> = others.map(|(key, value)| format!("`{}` {value}", key.name)).collect();
            return refused(format!(
                "`attack` fgsm is one step as long as `epsilon`, which contradicts {}: leave that out, or take `attack` pgd",
                others.join(" and ")
            ));
        }
        setup.check()?;
        Ok(setup)
    }

    /// Its setup with the settings of a link. What means nothing, has no place, or would keep a visitor's device busy for hours changes
    /// nothing, and is named.
    pub fn with_link<'a>(&self, given: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Setup, Vec<Refused<'a>>) {
        let (known, unknown): (Vec<_>, Vec<_>) = given.into_iter().partition(|(name, _)| Key::named(name).is_some());
        let mut refused: Vec<Refused> = unknown
            .into_iter()
            .map(|(name, value)| Refused { name, value, why: Error::Setting(format!("there is no setting `{name}`")) })
            .collect();
        let mut ordered: Vec<_> = known.into_iter().filter_map(|(name, value)| Some((Key::named(name)?, name, value))).collect();
        ordered.sort_by_key(|(key, ..)| key.place());
        let mut setup = self.setup();
        for (key, name, value) in ordered {
            match key.set_moderately(&setup, self, value) {
                Ok(changed) => setup = changed,
                Err(why) => refused.push(Refused { name, value, why }),
            }
        }
        (setup, refused)
    }
}

/// A setting of a link that was left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused<'a> {
    /// As the link names it.
    pub name: &'a str,
    /// As the link has it.
    pub value: &'a str,
    /// What is wrong with it.
    pub why: Error,
}

/// The settings in the order of [`KEYS`].
fn in_order<'a>(given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Vec<(&'static Key, &'a str)>> {
    let key = |name: &str| Key::named(name).ok_or_else(|| Error::Setting(format!("there is no setting `{name}`")));
    let mut ordered: Vec<(&Key, &str)> = given.into_iter().map(|(name, value)| Ok((key(name)?, value))).collect::<Result<_>>()?;
    ordered.sort_by_key(|(key, _)| key.place());
    Ok(ordered)
}

#[cfg(test)]
mod tests;
