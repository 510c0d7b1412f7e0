//! A duel from a record that the page or this program saved.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use riposte::bank::BankUse;
use riposte::spec::duel::{Duel as Record, Opinion};
use serde::Deserialize;

use crate::args::{BankFlags, DuelArgs};
use crate::models::Source;
use crate::{file, results};

/// A record in a file.
pub(super) struct Replayed {
    pub record: Record,
    /// The pixels of an image that is in no test set, `[channel, height, width]` in `[0, 1]`.
    pub own: Option<Vec<f32>>,
}

/// What a record has beside the duel.
#[derive(Deserialize)]
struct Beside {
    images: Option<Images>,
}

#[derive(Deserialize)]
struct Images {
    natural: Option<Pixels>,
}

#[derive(Deserialize)]
struct Pixels {
    shape: [usize; 3],
    values: Vec<f32>,
}

/// The record in a file, and what `args` ask for with all that it says.
///
/// # Errors
/// If the file holds no record, or one of an own picture without its pixels, and for settings beside it.
pub(super) fn of(args: DuelArgs, path: &Path) -> Result<(DuelArgs, Replayed)> {
    ensure!(
        args.settings.given().next().is_none(),
        "--replay takes every setting from the record: leave out --{}, or take the record's command and change that",
        args.settings.given().map(|(name, _)| name).collect::<Vec<_>>().join(", --")
    );
    let name = path.display();
    let bytes = file::read(path)?;
    let (record, Beside { images }) = serde_json::from_slice(&bytes)
        .and_then(|record: Record| Ok((record, serde_json::from_slice(&bytes)?)))
        .with_context(|| format!("`{name}` is not a record of a duel, as the page and `riposte duel --json` write it"))?;
    record.setup().check().with_context(|| format!("the settings in `{name}`"))?;
    let own = match (record.index, images.and_then(|images| images.natural)) {
        (Some(_), _) => None,
        (None, Some(natural)) => Some(checked(natural, &record).with_context(|| format!("the picture in `{name}`"))?),
        (None, None) => bail!(
            "the record `{name}` is of a picture that is in no test set, and it does not hold its pixels: those of the page and of \
             `riposte duel --json --images` do"
        ),
    };
    if let Some(label) = record.label {
        let classes = record.dataset.classes().len();
        ensure!(label < classes, "`{name}` says that the image shows class {label}: {} has 0 to {}", record.dataset, classes - 1);
    }
    match (&record.bank, &args.bank.bank) {
        (Some(_), None) => bail!("in `{name}` the copies of a bank answer: name its folder with --bank"),
        (None, Some(_)) => bail!("in `{name}` a copy adapts to the input, and no bank answers: leave out --bank"),
        _ => {}
    }
    let bank_copy = record.bank.as_ref().map_or(args.bank.bank_copy, |used| used.pick);
    let (mut model, mut data) = (args.model, args.data);
    data.dataset = Some(record.dataset);
    if model.model.is_none() && model.weights.is_none() {
        model.model = Some(record.model.clone());
    }
    let args = DuelArgs {
        index: record.index.map(usize::try_from).transpose()?,
        preset: Some(record.preset),
        seed: record.seed,
        post_samples: record.post_samples,
        bank: BankFlags { bank_copy, ..args.bank },
        model,
        data,
        ..args
    };
    Ok((args, Replayed { record, own }))
}

/// The pixels of an own picture.
///
/// # Errors
/// If they are not those of an image of the record's data set.
fn checked(Pixels { shape, values }: Pixels, record: &Record) -> Result<Vec<f32>> {
    let expected = record.dataset.image_shape();
    ensure!(shape == expected, "its shape is {shape:?}, and {} has images of {expected:?}", record.dataset);
    let (found, count) = (values.len(), expected.iter().product::<usize>());
    ensure!(found == count, "it has {found} values, and an image of {} has {count}", record.dataset);
    ensure!(values.iter().all(|value| (0.0..=1.0).contains(value)), "a pixel is not between 0 and 1");
    Ok(values)
}

/// # Errors
/// If the record is of other weights.
pub(super) fn check(record: &Record, source: &Source) -> Result<()> {
    ensure!(
        record.weights_sha256 == source.sha256,
        "the record is of other weights than `{}`: their SHA-256 is {} there and {} here",
        source.name,
        record.weights_sha256,
        source.sha256
    );
    Ok(())
}

/// # Errors
/// If the record is of another bank than `used`.
pub(super) fn check_bank(record: &Record, used: Option<&BankUse>) -> Result<()> {
    if let (Some(there), Some(here)) = (&record.bank, used) {
        let differences = results::differences(there, here)?;
        ensure!(there.is_same(here), "the record is of another bank than --bank ({differences}): name the one that answered");
    }
    Ok(())
}

/// By how much a probability may differ where devices and versions round differently: a point of the attack is a step away where a
/// gradient is within rounding of zero, and so are samples of the post-training. As far apart are a browser and the native program
/// allowed to be on the prepared duels (`tests/browser/cases.test.js`). On one device with one version nothing differs.
const ROUNDING: f32 = 0.03;

/// The largest difference of two answers' probabilities; `None` where one of them has none, or another number of classes.
fn apart(then: Option<&Opinion>, here: Option<&Opinion>) -> Option<f32> {
    let (then, here) = (&then?.probabilities, &here?.probabilities);
    let differences = then.iter().zip(here).map(|(then, here)| (then - here).abs());
    (then.len() == here.len() && !then.is_empty()).then(|| differences.fold(0.0, f32::max))
}

/// Whether it came out as the record says, in a sentence.
pub(super) fn comparison(record: &Record, now: &Record) -> String {
    let answers = |duel: &Record| (duel.attacked.as_ref().map(|said| said.class), duel.answer.as_ref().map(|said| said.class));
    let ends =
        |duel: &Record| duel.counter.as_ref().and_then(|course| course.verdict()).map(|verdict| (verdict.answer, verdict.judged));
    let (then, here) = (answers(record), answers(now));
    // What the record's run did not come to cannot differ.
    let differs = [(then.0, here.0), (then.1, here.1)].iter().any(|(then, here)| then.is_some() && then != here)
        || ends(record).is_some_and(|end| ends(now) != Some(end));
    let apart = apart(record.answer.as_ref(), now.answer.as_ref()).unwrap_or(0.0);
    let far = format!("a probability of the answer differs by {apart:.4}");
    match (differs, apart) {
        (true, _) => format!("It came out otherwise than the record says, and {far}: devices and versions round differently."),
        (false, 0.0) => "It came out as the record says.".to_owned(),
        (false, apart) if apart <= ROUNDING => {
            format!("It came out as the record says; {far}, as where devices and versions round differently.")
        }
        (false, _) => format!(
            "The classes are those of the record, but {far}: more than the {ROUNDING} that devices and versions explain by their rounding, \
             so what answered here is hardly what answered there."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_by_their_probabilities() {
        let opinion = |sure: f32| Opinion { class: 0, probabilities: vec![sure, 1.0 - sure] };
        let between = |then: f32, here: f32| apart(Some(&opinion(then)), Some(&opinion(here)));
        assert_eq!(between(0.75, 0.75), Some(0.0));
        assert_eq!(between(0.75, 0.5), Some(0.25));
        assert_eq!(apart(None, Some(&opinion(0.5))), None);
        let other = Opinion { class: 0, probabilities: vec![1.0] };
        assert_eq!(apart(Some(&other), Some(&opinion(0.5))), None);
    }
}
