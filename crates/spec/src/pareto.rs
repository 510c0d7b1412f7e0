//! Forms of the defense side by side: what each answers to the same inputs, and what that costs.

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::bank::BankUse;
use crate::keys;
use crate::post_train::PostTrain;
use crate::preset::Preset;
use crate::results::Settings;
use crate::setup::Setup;
use crate::{Error, Result};

/// What a header says the file is.
pub const FORMAT: &str = "riposte forms 1";

/// The first line of a file: JSON Lines, a header, then a [`Line`] for each input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// The program's version.
    pub version: String,
    /// Everything else that the answers depend on; the riposte is what the forms are changes of.
    pub settings: Settings,
    /// What answers.
    pub forms: Vec<Form>,
}

/// A form of the defense.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// What it sets otherwise: `post-parameters=head post-draws=kept`; empty where it sets nothing.
    pub name: String,
    /// Its settings.
    pub riposte: PostTrain,
    /// The bank whose copies answer; `None`: each input has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<BankUse>,
}

impl Form {
    /// Whether it answers as `other` does, as far as both know their banks.
    pub fn is_same(&self, other: &Self) -> bool {
        let bank = match (&self.bank, &other.bank) {
            (Some(ours), Some(others)) => ours.is_same(others),
            (ours, others) => ours == others,
        };
        bank && (&self.name, self.riposte) == (&other.name, other.riposte)
    }

    /// Multiply-accumulates of its answer to an input that has a neighbor, after the search; of a copy made beforehand, its forward
    /// pass.
    pub fn work(&self, architecture: Architecture) -> u64 {
        match self.bank {
            Some(_) => architecture.multiply_accumulates(),
            None => self.riposte.adaptation_work(architecture),
        }
    }
}

/// What all forms say of one input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Number in the test set.
    pub input: u64,
    /// The ground truth.
    pub label: usize,
    /// The base model's class of the natural image.
    pub natural: usize,
    /// The base model's class of the attacked image; `None` without an attack.
    pub attacked: Option<usize>,
    /// y''; equal to y' where there is none: then the base model answers, whatever the form.
    pub neighbor: usize,
    /// The class that each form answers.
    pub answers: Vec<usize>,
    /// What each form took after the search.
    pub seconds: Vec<f32>,
}

impl Line {
    /// y': the base model's class of what the defense gets.
    pub fn original(&self) -> usize {
        self.attacked.unwrap_or(self.natural)
    }
}

/// The forms that `text` names, as changes of `setup`: settings `key=value` separated by spaces, and for several values of one
/// `key=a,b`, which are combined with those of every other.
///
/// # Errors
/// [`Error::Setting`] if a name or a value is unknown or out of range, or if one belongs to an attack or the search.
pub fn forms(text: &str, setup: &Setup, preset: &Preset) -> Result<Vec<Form>> {
    let refusal = |what: &str| Error::Setting(format!("form `{text}`: {what}"));
    let mut forms = vec![(Vec::<String>::new(), *setup)];
    for part in text.split_whitespace() {
        let Some((key, values)) = part.split_once('=') else {
            return Err(refusal(&format!("`{part}` is not `key=value`")));
        };
        let mut next = Vec::new();
        for (name, setup) in &forms {
            for value in values.split(',') {
                let mut changed = *setup;
                keys::apply(&mut changed, preset, key, value)?;
                changed.check()?;
                next.push(([name.as_slice(), &[format!("{key}={value}")]].concat(), changed));
            }
        }
        forms = next;
    }
    let form = |(name, changed): (Vec<String>, Setup)| match (changed.riposte, setup.riposte) {
        (Some(riposte), Some(base)) if Setup { riposte: setup.riposte, ..changed } == *setup && riposte.search == base.search => {
            Ok(Form { name: name.join(" "), riposte, bank: None })
        }
        _ => Err(refusal("forms differ in the riposte alone, after the same attack on the base model and the same search")),
    };
    forms.into_iter().map(form).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::post_train::{Parameters, Samples};

    #[test]
    fn several_values_of_a_setting_are_combined_with_those_of_every_other() {
        let preset = Preset::F_CIFAR;
        let setup = preset.setup();
        let found = forms("post-parameters=head,last-stage post-draws=kept post-iterations=5,50", &setup, &preset).unwrap();
        let names: Vec<&str> = found.iter().map(|form| form.name.as_str()).collect();
        assert_eq!(names.len(), 4);
        assert_eq!(names[1], "post-parameters=head post-draws=kept post-iterations=50");
        let of = |parameters, iterations| PostTrain { parameters, iterations, samples: Samples::Kept, ..preset.post_train };
        assert_eq!(found[1].riposte, of(Parameters::Head, 50));
        assert_eq!(found[2].riposte, of(Parameters::LastStage, 5));
        assert_eq!(forms("", &setup, &preset).unwrap(), [Form { name: String::new(), riposte: preset.post_train, bank: None }]);
    }

    #[test]
    fn forms_of_another_attack_or_search_are_refused() {
        let preset = Preset::F_CIFAR;
        let others = ["steps=3", "target=3", "quantize=8", "counter=all", "search-steps=3", "riposte=none"];
        for text in others.into_iter().chain(["post-iterations", "nope=1", "post-batch-size=7"]) {
            assert!(forms(text, &preset.setup(), &preset).is_err(), "{text}");
        }
    }
}
