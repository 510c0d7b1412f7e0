//! Weights as training scripts, trackers and frameworks leave them: found in whatever wraps them, told which architecture they fit, with
//! the normalization that lies beside them.
//!
//! Names and shapes do not show everything that a network computes. What they leave open is part of an architecture's name
//! ([`Architecture::beyond_weights`]), and [`import`] says what it assumed.

mod guess;
mod normalization;
mod roots;

use std::collections::BTreeMap;

use crate::models::{Architecture, Model, Normalization};
use crate::weights::{BATCH_NORM_EPSILON, StateDict};
use crate::{Error, Result};
use normalization::Found;
use roots::Root;

/// Weights that fit their architecture.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Which one.
    pub architecture: Architecture,
    /// Under the architecture's own names; a normalization of images that is not the architecture's is among them.
    pub weights: StateDict,
    /// What was chosen, left out and assumed, in sentences.
    pub notes: Vec<String>,
}

/// What a file does not say of its weights, or says and should be overruled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// `None`: the one that the weights fit, if they fit one alone.
    pub architecture: Option<Architecture>,
    /// Which of several state dicts, by the name that it is stored under, or `ema`; `None`: the only one that is no moving average.
    pub state: Option<String>,
    /// In the place of the file's and of the architecture's own.
    pub normalization: Option<Normalization>,
    /// Added to the variances of batch normalizations in the place of PyTorch's default.
    pub batch_norm_epsilon: Option<f32>,
}

pub use normalization::is_candidate as is_statistic;

/// Names and shapes of a state dict, or of a part of it.
type Shapes<'a> = BTreeMap<&'a str, &'a [usize]>;

/// Finds the weights of a network in `dict`, all floating-point tensors of a file by their paths.
///
/// # Errors
/// [`Error::Config`] if the file leaves a choice that `wanted` does not make: between architectures, or between several state dicts;
/// [`Error::MissingKey`], [`Error::Shape`] or [`Error::UnexpectedKeys`] if no part of it fits the architecture wanted;
/// [`Error::Weights`] if it fits none that is known, holds numbers that are not finite, or a normalization that is not understood.
pub fn import(dict: StateDict, wanted: &Wanted) -> Result<Imported> {
    let (mut dict, mut notes) = roots::without_transparent_names(dict);
    let epsilon = dict.0.remove(BATCH_NORM_EPSILON);
    let shapes: Shapes = dict.0.iter().map(|(key, parameter)| (key.as_str(), parameter.shape.as_slice())).collect();
    let fitting = roots::fitting(&shapes, wanted.architecture)?;
    let Root { prefix, architecture } = roots::choose(&fitting, &dict, wanted.state.as_deref(), &mut notes)?;
    if wanted.architecture.is_none() && architecture.lookalikes().len() > 1 {
        let choices = architecture.lookalikes().into_iter().filter_map(|one| Some(format!("{one} ({})", one.beyond_weights()?)));
        return Err(Error::Config(format!(
            "the weights do not show which of these architectures they belong to: {}; name one with --architecture",
            choices.collect::<Vec<_>>().join(", ")
        )));
    }
    let others: Vec<&str> = fitting.iter().map(|root| root.prefix.as_str()).filter(|other| *other != prefix).collect();
    let found = normalization::find(&dict, &prefix, &others, architecture, wanted.normalization.is_some())?;
    notes.extend(roots::left_out(&dict, &prefix, &others, found.as_ref()));
    let is_found = |key: &String| found.as_ref().is_some_and(|found| found.keys.contains(key));
    let own = dict.0.into_iter().filter(|(key, _)| !is_found(key));
    let own = own.filter_map(|(key, value)| Some((key.strip_prefix(prefix.as_str())?.to_owned(), value)));
    let mut weights = StateDict(own.collect());
    let infinite = weights.0.iter().find(|(_, parameter)| parameter.values.iter().any(|value| !value.is_finite()));
    if let Some((key, _)) = infinite {
        return Err(Error::Weights(format!("parameter `{prefix}{key}` holds values that are not finite numbers")));
    }
    weights.0.extend(epsilon.map(|epsilon| (BATCH_NORM_EPSILON.to_owned(), epsilon)));
    notes.push(assume(&mut weights, architecture, found, wanted)?);
    Ok(Imported { architecture, weights, notes })
}

/// Settles the normalization, and says what was assumed where the weights show nothing.
fn assume(weights: &mut StateDict, architecture: Architecture, found: Option<Found>, wanted: &Wanted) -> Result<String> {
    let normalization = match (&wanted.normalization, found) {
        (Some(asked), _) => {
            weights.set_normalization(Some(asked), architecture);
            // Nothing is said of a normalization before it is seen to fit.
            weights.normalization(architecture)?;
            format!("images normalized by {}, as asked for", asked.in_words())
        }
        (None, Some(found)) => {
            weights.set_normalization(Some(&found.normalization), architecture);
            format!("images normalized by the file's {}", found.normalization.in_words())
        }
        (None, None) => match architecture.normalization() {
            Some(own) => format!("images normalized by {}, as in the architecture's published code", own.in_words()),
            None => "images not normalized".to_owned(),
        },
    };
    let mut words: Vec<String> = architecture.beyond_weights().map(str::to_owned).into_iter().collect();
    words.push(normalization);
    if architecture.has_batch_norm() {
        if let Some(epsilon) = wanted.batch_norm_epsilon {
            weights.set_batch_norm_epsilon(epsilon);
        }
        let epsilon = weights.batch_norm_epsilon()?.map_or_else(|| "1e-5".to_owned(), |epsilon| epsilon.to_string());
        words.push(format!("{epsilon} added to the variances of batch normalizations"));
    }
    let alike: Vec<String> =
        architecture.lookalikes().into_iter().filter(|other| *other != architecture).map(|other| other.to_string()).collect();
    let hint = if alike.is_empty() { String::new() } else { format!(" (the same weights fit {}, too)", alike.join(" and ")) };
    Ok(format!("computed as {architecture}{hint}: {}", words.join(", ")))
}

/// Whether `shapes` are those of `architecture`, or how many parameters fit before the first that does not.
fn fits(architecture: Architecture, shapes: &Shapes) -> std::result::Result<(), (usize, Error)> {
    let matched = std::cell::Cell::new(0);
    Model::fits(architecture, shapes, &matched).map_err(|error| (matched.get(), error))
}

#[cfg(test)]
mod tests;
