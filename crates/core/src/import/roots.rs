//! Where in a file the state dict of a network is.

use std::collections::{BTreeMap, BTreeSet};

use super::normalization::{self, Found};
use super::{Shapes, fits, guess};
use crate::models::Architecture;
use crate::weights::{StateDict, in_short};
use crate::{Error, Result};

/// A part of a file that is the state dict of an architecture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Root {
    /// What its names begin with: nothing, or `state_dict.model.`.
    pub prefix: String,
    pub architecture: Architecture,
}

/// Names that compilers and parallel wrappers put anywhere into the paths of parameters.
const TRANSPARENT: [&str; 4] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module"];

/// `dict` without [`TRANSPARENT`] names in its paths, unless two parameters would then have the same one, and a note of those that were
/// removed.
pub(super) fn without_transparent_names(dict: StateDict) -> (StateDict, Vec<String>) {
    let (mut dict, mut removed) = (dict.0, Vec::new());
    for name in TRANSPARENT {
        let without = |key: &str| key.split('.').filter(|part| *part != name).collect::<Vec<_>>().join(".");
        let new: BTreeSet<String> = dict.keys().map(|key| without(key)).collect();
        let is_somewhere = dict.keys().any(|key| key.split('.').any(|part| part == name));
        if is_somewhere && new.len() == dict.len() && !new.contains("") {
            dict = dict.into_iter().map(|(key, value)| (without(&key), value)).collect();
            removed.push(format!("`{name}.`"));
        }
    }
    let notes = if removed.is_empty() { Vec::new() } else { vec![format!("names without {}", removed.join(" and "))] };
    (StateDict(dict), notes)
}

/// All parts of a file that fit `architecture`, or any architecture.
///
/// # Errors
/// If there is none: why the part that comes nearest does not fit.
pub(super) fn fitting(shapes: &Shapes, architecture: Option<Architecture>) -> Result<Vec<Root>> {
    let (mut roots, mut failures) = (Vec::new(), Vec::new());
    for prefix in prefixes(shapes) {
        let part = part(shapes, prefix);
        let tried = architecture.map_or_else(|| guess::guesses(&part), |architecture| vec![architecture]);
        for architecture in tried {
            match fits(architecture, &part) {
                Ok(()) => roots.push(Root { prefix: prefix.to_owned(), architecture }),
                Err((matched, error)) => failures.push((matched, prefix, architecture, error)),
            }
        }
    }
    if !roots.is_empty() {
        return Ok(roots);
    }
    // Of parts that come as near, the outermost one: `min_by_key` takes the first of equals.
    let nearest = failures.into_iter().min_by_key(|(matched, ..)| std::cmp::Reverse(*matched));
    let names = || in_short(shapes.keys().copied());
    match (nearest, architecture) {
        (Some((_, prefix, _, error)), _) if altered(&error, prefix, shapes).is_some() => {
            Err(Error::Weights(altered(&error, prefix, shapes).expect("it was just there")))
        }
        (Some((.., error)), Some(_)) => Err(error),
        (Some((_, _, architecture, error)), None) => {
            Err(Error::Weights(format!("the architecture of the weights is not known; the nearest is {architecture}: {error}")))
        }
        (None, _) => Err(Error::Weights(format!(
            "the architecture of the weights is not known: none of those here has parameters like {}; what is known: {}",
            names(),
            Architecture::named().map(|known| known.to_string()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// Why a parameter is missing, where something else stands for it.
fn altered(error: &Error, prefix: &str, shapes: &Shapes) -> Option<String> {
    let Error::MissingKey { key, .. } = error else { return None };
    let is_there = |end: &str| shapes.contains_key(format!("{prefix}{key}{end}").as_str());
    let (module, leaf) = key.rsplit_once('.')?;
    if is_there("_orig") {
        return Some(format!(
            "`{prefix}{key}` is pruned or normalized while it is used (`{key}_orig`): make it permanent before saving, with \
             torch.nn.utils.prune.remove or torch.nn.utils.remove_spectral_norm"
        ));
    }
    let parametrized = format!("{prefix}{module}.parametrizations.{leaf}.");
    if is_there("_g") || shapes.keys().any(|name| name.starts_with(&parametrized)) {
        return Some(format!(
            "`{prefix}{key}` is parametrized (as by weight_norm): make it permanent before saving, with \
             torch.nn.utils.parametrize.remove_parametrizations or torch.nn.utils.remove_weight_norm"
        ));
    }
    None
}

/// The part to take.
///
/// # Errors
/// If `state` names none, or if there are several and it is not given.
pub(super) fn choose(roots: &[Root], dict: &StateDict, state: Option<&str>, notes: &mut Vec<String>) -> Result<Root> {
    let names = |roots: &[&Root]| roots.iter().map(|root| format!("`{}`", title(&root.prefix))).collect::<Vec<_>>().join(", ");
    let named: Vec<&Root> = match state {
        Some(state) => roots.iter().filter(|root| answers_to(&root.prefix, state)).collect(),
        None => roots.iter().filter(|root| !is_average(&root.prefix)).collect(),
    };
    let all: Vec<&Root> = roots.iter().collect();
    let candidates = match (named.is_empty(), state) {
        (false, _) => named,
        (true, None) => all.clone(),
        (true, Some(state)) => {
            return Err(Error::Config(format!("there is no state dict `{state}`, only {}", names(&all))));
        }
    };
    // The same weights twice, as an attacker that holds the model has them: the outermost.
    let first = candidates.iter().min_by_key(|root| root.prefix.split('.').count()).copied().expect("there is one");
    if let Some(other) = candidates.iter().find(|other| !are_equal(dict, &first.prefix, &other.prefix)) {
        return Err(Error::Config(format!(
            "there are several state dicts that differ, {}: say with --state which one to take",
            names(&[first, other])
        )));
    }
    if !first.prefix.is_empty() {
        notes.push(format!("weights of `{}`", title(&first.prefix)));
    }
    let rest: Vec<&Root> = all.into_iter().filter(|other| !are_equal(dict, &first.prefix, &other.prefix)).collect();
    if !rest.is_empty() {
        notes.push(format!("not taken: {} (--state NAME takes it)", names(&rest)));
    }
    Ok(first.clone())
}

/// What else is in the file, in words.
pub(super) fn left_out(dict: &StateDict, prefix: &str, others: &[&str], found: Option<&Found>) -> Option<String> {
    let is_other =
        |key: &str| others.iter().any(|other| key.starts_with(*other) && (prefix.is_empty() || !prefix.starts_with(*other)));
    let is_left = |key: &str| !key.starts_with(prefix) && !is_other(key) && found.is_none_or(|found| !found.keys.contains(key));
    let mut names: Vec<&str> = dict.0.keys().map(String::as_str).filter(|key| is_left(key)).collect();
    if dict.0.keys().any(|key| key.strip_prefix(prefix).is_some_and(|own| own.starts_with("sub_block1."))) {
        names.push("sub_block1");
    }
    (!names.is_empty()).then(|| format!("left out: {}", in_short(names.iter().copied())))
}

/// Whether a name has a word for a moving average in it.
fn is_average(prefix: &str) -> bool {
    let words = prefix.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .map(str::to_lowercase)
        .any(|word| ["ema", "swa", "avg", "average", "averaged", "shadow", "polyak"].contains(&word.as_str()))
}

fn answers_to(prefix: &str, state: &str) -> bool {
    let wanted = state.trim_end_matches('.');
    title(prefix) == wanted || prefix.split('.').any(|part| part == wanted) || wanted == "ema" && is_average(prefix)
}

/// A prefix without its last dot; the root of the file has no name.
fn title(prefix: &str) -> &str {
    match prefix.strip_suffix('.') {
        Some(title) => title,
        None => "(the file itself)",
    }
}

fn are_equal(dict: &StateDict, a: &str, b: &str) -> bool {
    let part = |prefix: &str| -> BTreeMap<String, _> {
        let own = dict.0.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value)));
        own.filter(|(key, _)| !normalization::is_candidate(key)).collect()
    };
    a == b || part(a) == part(b)
}

/// Everything that names begin with, up to a dot; the empty prefix first.
fn prefixes<'a>(shapes: &Shapes<'a>) -> Vec<&'a str> {
    let mut prefixes: Vec<&str> =
        shapes.keys().flat_map(|key| key.match_indices('.').map(|(at, _)| &key[..=at]).chain([""])).collect();
    prefixes.sort_unstable_by_key(|prefix| (prefix.matches('.').count(), *prefix));
    prefixes.dedup();
    prefixes
}

/// What lies under `prefix`, without what may be a normalization of images.
fn part<'a>(shapes: &Shapes<'a>, prefix: &'a str) -> Shapes<'a> {
    let under = shapes.range(prefix..).take_while(|(key, _)| key.starts_with(prefix));
    under.map(|(key, shape)| (&key[prefix.len()..], *shape)).filter(|(key, _)| !normalization::is_candidate(key)).collect()
}
