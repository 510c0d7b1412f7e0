//! A normalization of images that lies beside or around a state dict.

use std::collections::BTreeSet;

use crate::models::{Architecture, Normalization};
use crate::weights::StateDict;
use crate::{Error, Result};

/// A normalization, and the names under which it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub normalization: Normalization,
    pub keys: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statistic {
    Mean,
    Std,
    /// It belongs to a normalization and is not understood.
    Unknown,
}

/// Whether a name may be that of a normalization's mean or standard deviation: by its last word, at most one name deep.
pub fn is_candidate(key: &str) -> bool {
    key.matches('.').count() <= 1 && statistic(key).is_some()
}

/// The normalization that applies to the network under `root`: in it, beside it, or around it. With `overruled`, what is not understood
/// does not matter.
///
/// # Errors
/// [`Error::Weights`] naming the key, if there is something like one and it is not understood.
pub(super) fn find(
    dict: &StateDict,
    root: &str,
    others: &[&str],
    architecture: Architecture,
    overruled: bool,
) -> Result<Option<Found>> {
    let mut places: Vec<(&str, Vec<(Statistic, &str)>)> = Vec::new();
    for around in around(root) {
        for key in dict.0.keys() {
            let Some(rest) = key.strip_prefix(around).filter(|rest| is_candidate(rest)) else { continue };
            let place = &key[..key.len() - rest.rsplit('.').next().unwrap_or(rest).len()];
            // What lies within another state dict is that one's; what lies within the root is found there.
            let is_others = others.iter().any(|other| place.starts_with(*other) && !root.starts_with(*other));
            let is_nearer = around != root && place.starts_with(root);
            let statistic = statistic(rest).filter(|_| !is_others && !is_nearer && !places_have(&places, key));
            let Some(statistic) = statistic else { continue };
            match places.iter_mut().find(|(known, _)| *known == place) {
                Some((_, keys)) => keys.push((statistic, key)),
                None => places.push((place, vec![(statistic, key)])),
            }
        }
    }
    let keys: BTreeSet<String> = places.iter().flat_map(|(_, keys)| keys.iter().map(|(_, key)| (*key).to_owned())).collect();
    if overruled || places.is_empty() {
        return Ok((!keys.is_empty()).then_some(Found { normalization: Normalization::CIFAR10, keys }));
    }
    let advice = "say with --mean and --std what it should be";
    let [(_, found)] = &places[..] else {
        let names = places.iter().map(|(_, keys)| format!("`{}`", keys[0].1)).collect::<Vec<_>>().join(" and ");
        return Err(Error::Weights(format!("there are several normalizations of images, {names}: {advice}")));
    };
    let of = |wanted| found.iter().filter(move |(statistic, _)| *statistic == wanted).map(|(_, key)| *key).collect::<Vec<_>>();
    let (means, stds) = (of(Statistic::Mean), of(Statistic::Std));
    let ([mean], [std], []) = (&means[..], &stds[..], &of(Statistic::Unknown)[..]) else {
        let names = found.iter().map(|(_, key)| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        return Err(Error::Weights(format!("a normalization of images is not understood ({names}): {advice}")));
    };
    let [channels, ..] = architecture.image_shape();
    let normalization = Normalization::new(&dict.0[*mean].values, &dict.0[*std].values, channels).map_err(|error| {
        Error::Weights(format!("the normalization of images in `{mean}` and `{std}` is not understood ({error}): {advice}"))
    })?;
    Ok(Some(Found { normalization, keys }))
}

fn places_have(places: &[(&str, Vec<(Statistic, &str)>)], key: &str) -> bool {
    places.iter().any(|(_, keys)| keys.iter().any(|(_, known)| *known == key))
}

/// A root and everything around it, the root first: of `a.b.` that, `a.` and the file itself.
fn around(root: &str) -> Vec<&str> {
    let mut prefixes: Vec<&str> = root.match_indices('.').map(|(at, _)| &root[..=at]).collect();
    prefixes.insert(0, "");
    prefixes.reverse();
    prefixes
}

/// What a name says of itself: `new_mean`, `normalizer.std`, `mu`.
fn statistic(key: &str) -> Option<Statistic> {
    let (container, leaf) = key.rsplit_once('.').unwrap_or(("", key));
    let leaf = leaf.to_lowercase();
    let words: Vec<&str> = leaf.split('_').collect();
    let has = |names: &[&str]| words.iter().any(|word| names.contains(word));
    if has(&["running", "exp", "avg"]) {
        return None;
    }
    if has(&["mean", "means", "mu"]) {
        return Some(Statistic::Mean);
    }
    if has(&["std", "stds", "sd", "sds", "sigma", "stddev"]) {
        return Some(Statistic::Std);
    }
    let container = container.to_lowercase();
    let is_normalizer = ["normaliz", "normalis", "preprocess"].iter().any(|word| container.contains(word));
    is_normalizer.then_some(Statistic::Unknown)
}
