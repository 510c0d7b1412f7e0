//! Parsers of single values.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use riposte::spec::{Choice, units};

/// One of a few words.
pub fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    let possible = |value: &T| PossibleValue::new(value.name()).aliases(value.aliases()).help(value.about());
    PossibleValuesParser::new(T::ALL.iter().map(possible)).try_map(|word| T::named(&word))
}

/// A folder. An empty one, as of an environment variable that is set to nothing, is as none: see `dataset::library`.
pub fn folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// A count of at least 1.
///
/// # Errors
/// A sentence for the user.
pub fn count(text: &str) -> riposte::spec::Result<usize> {
    units::parse_count(text, 1)
}
