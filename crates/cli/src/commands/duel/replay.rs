//! A duel from a record that the page or this program saved.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use riposte::spec::duel::Duel as Record;

use crate::args::DuelArgs;
use crate::file;
use crate::models::Source;

/// The record in a file, and what `args` ask for with all that it says.
///
/// # Errors
/// If the file holds no record, or one of a picture that is in no test set, and for settings beside it.
pub(super) fn of(args: DuelArgs, path: &Path) -> Result<(DuelArgs, Record)> {
    ensure!(
        args.settings.given().next().is_none(),
        "--replay takes every setting from the record: leave out --{}, or take the record's command and change that",
        args.settings.given().map(|(name, _)| name).collect::<Vec<_>>().join(", --")
    );
    let name = path.display();
    let record: Record = serde_json::from_slice(&file::read(path)?)
        .with_context(|| format!("`{name}` is not a record of a duel, as the page and `riposte duel --json` write it"))?;
    record.setup().check().with_context(|| format!("the settings in `{name}`"))?;
    let Some(index) = record.index else {
        bail!("the record `{name}` is of a picture that is in no test set: only a page can load it")
    };
    let (mut model, mut data) = (args.model, args.data);
    data.dataset = Some(record.dataset);
    if model.model.is_none() && model.weights.is_none() {
        model.model = Some(record.model.clone());
    }
    let args = DuelArgs {
        index: Some(usize::try_from(index)?),
        preset: Some(record.preset),
        seed: record.seed,
        post_samples: record.post_samples,
        model,
        data,
        ..args
    };
    Ok((args, record))
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

/// Whether it came out as the record says, in a sentence.
pub(super) fn comparison(record: &Record, now: &Record) -> String {
    let answers = |duel: &Record| (duel.attacked.as_ref().map(|said| said.class), duel.answer.as_ref().map(|said| said.class));
    let ends =
        |duel: &Record| duel.counter.as_ref().and_then(|course| course.verdict()).map(|verdict| (verdict.answer, verdict.judged));
    let (then, here) = (answers(record), answers(now));
    // What the record's run did not come to cannot differ.
    let differs = [(then.0, here.0), (then.1, here.1)].iter().any(|(then, here)| then.is_some() && then != here)
        || ends(record).is_some_and(|end| ends(now) != Some(end));
    match differs {
        false => "It came out as the record says.".to_owned(),
        true => "It came out otherwise than the record says: devices and versions round differently.".to_owned(),
    }
}
