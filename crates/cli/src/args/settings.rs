//! Flags from the table of settings: what [`KEYS`] lists is a flag, with the words and the help that it has there.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use riposte::spec::Error;
use riposte::spec::keys::{KEYS, Key, Kind, Word};

/// The settings of the attack and of the riposte that were given. What is not given is as in the preset.
#[derive(Debug, Clone, Default)]
pub struct SettingFlags {
    given: Vec<(&'static Key, String)>,
}

impl SettingFlags {
    /// Settings by their names.
    ///
    /// # Errors
    /// If there is none of a name.
    pub fn of<'a>(given: impl IntoIterator<Item = (&'a str, &'a str)>) -> riposte::spec::Result<Self> {
        let key = |name: &str| Key::named(name).ok_or_else(|| Error::Setting(format!("there is no setting `{name}`")));
        let given = given.into_iter().map(|(name, value)| Ok((key(name)?, value.to_owned())));
        Ok(Self { given: given.collect::<riposte::spec::Result<_>>()? })
    }

    /// Names and values.
    pub fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().map(|(key, value)| (key.name, value.as_str()))
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        KEYS.iter().fold(command, |command, key| command.arg(flag(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let value = |name: &str| matches.get_one::<String>(name);
        let given: Vec<(&Key, String)> = KEYS.iter().filter_map(|key| Some((key, value(key.name)?.clone()))).collect();
        let norm = value("norm").map(String::as_str);
        for (key, text) in &given {
            key.check_in(norm, text).map_err(|error| {
                let words = format!("invalid value '{text}' for '--{} <{}>': {error}\n", key.name, key.value_name);
                clap::Error::raw(ErrorKind::ValueValidation, words)
            })?;
        }
        Ok(Self { given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let newer = Self::from_arg_matches(matches)?;
        self.given.retain(|(key, _)| newer.given.iter().all(|(new, _)| new.name != key.name));
        self.given.extend(newer.given);
        Ok(())
    }
}

fn flag(key: &'static Key) -> Arg {
    let numeric = !matches!(key.kind(), Kind::Words(_));
    Arg::new(key.name)
        .long(key.name)
        .aliases(key.aliases)
        .help(key.help)
        .help_heading(key.heading.title())
        .value_name(key.value_name)
        .value_parser(ValueOf(key))
        // A negative number is an error of the value, not an unknown flag.
        .allow_hyphen_values(numeric)
}

/// Takes what is a value of the setting, as it was typed.
#[derive(Clone)]
struct ValueOf(&'static Key);

impl TypedValueParser for ValueOf {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let text = value.to_string_lossy();
        let Err(error) = self.0.check(&text) else { return Ok(text.into_owned()) };
        if let Kind::Words(words) = self.0.kind() {
            return PossibleValuesParser::new(words.iter().map(possible)).parse_ref(command, arg, value);
        }
        let mut refusal = clap::Error::new(ErrorKind::ValueValidation).with_cmd(command);
        let flag = arg.map_or_else(|| format!("--{}", self.0.name), ToString::to_string);
        refusal.insert(ContextKind::InvalidArg, ContextValue::String(flag));
        refusal.insert(ContextKind::InvalidValue, ContextValue::String(format!("{text}: {error}")));
        Err(refusal)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        match self.0.kind() {
            Kind::Words(words) => Some(Box::new(words.into_iter().map(|word| possible(&word)))),
            _ => None,
        }
    }
}

fn possible(word: &Word) -> PossibleValue {
    PossibleValue::new(word.name).aliases(word.aliases).help(word.about)
}
