//! What a suite consists of: models, their cells, and the file of each.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use riposte::models::ModelCard;
use riposte::spec::Choice;
use riposte::spec::bench::{Cell, Protocol, ROWS, Size, Suite, Table};
use riposte::spec::dataset::{DatasetId, Split};
use riposte::zoo;

use super::hall::Hall;
use crate::args::{ModelArgs, SuiteArgs};
use crate::models::Source;
use crate::run::Run;

/// A model and the images that it is measured on.
pub(super) struct Subject {
    pub source: Source,
    pub dataset: DatasetId,
    /// In file names.
    pub name: String,
}

/// A cell of one model, or a part of it.
pub(super) struct Task {
    /// `mnist-robust-fixed-paper-seed0`
    pub name: String,
    /// Number of the model.
    pub subject: usize,
    pub cell: Cell,
    pub run: Run,
    pub path: PathBuf,
}

/// The models asked for: those named, or the usual ones that come with the program for the datasets of the tables.
///
/// # Errors
/// If there is no such model, a file cannot be read, or two models would have the same files.
pub(super) fn subjects(args: &SuiteArgs) -> Result<Vec<Subject>> {
    let architectures = args.architecture.len();
    ensure!(
        architectures <= 1 || architectures == args.weights.len(),
        "there are {} --weights and {architectures} --architecture: name one for all, or one for each in order",
        args.weights.len()
    );
    let mut sources = Vec::new();
    for (index, path) in args.weights.iter().enumerate() {
        let architecture = args.architecture.get(index).or(args.architecture.first()).copied();
        sources.push(Source::find(&ModelArgs { weights: Some(path.clone()), architecture, ..ModelArgs::default() }, None)?);
    }
    for id in &args.models {
        sources.push(Source::find(&ModelArgs { model: Some(id.clone()), ..ModelArgs::default() }, None)?);
    }
    if sources.is_empty() {
        for card in zoo::cards().into_iter().filter(ModelCard::is_usual) {
            if args.dataset.map_or(card.dataset != DatasetId::Digits, |dataset| dataset == card.dataset) {
                sources.push(Source::find(&ModelArgs { model: Some(card.id), ..ModelArgs::default() }, None)?);
            }
        }
    }
    let tables = args.tables();
    let mut subjects: Vec<Subject> = Vec::new();
    for source in sources {
        let dataset = args.dataset.unwrap_or(source.dataset());
        if !tables.iter().any(|table| table.covers(dataset)) {
            continue;
        }
        let stem = source.name.rsplit_once('.').map_or(source.name.as_str(), |(stem, _)| stem);
        let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' }).collect();
        if let Some(other) = subjects.iter().find(|other| other.name == name) {
            bail!("two models would write the same files: `{}` and `{}`; rename one", other.source.name, source.name);
        }
        subjects.push(Subject { source, dataset, name });
    }
    ensure!(!subjects.is_empty(), "no model of the datasets of {}: name others with --models or --weights", words(&tables));
    Ok(subjects)
}

/// The cells of all models, those of seed 0 first, the most decisive before the others; and how many more there are of which this part has
/// no image.
///
/// # Errors
/// Never for the suite's own rows.
pub(super) fn of(args: &SuiteArgs, hall: &Hall) -> Result<(Vec<Task>, usize)> {
    let (tables, protocols) = (args.tables(), args.protocol.map_or(Protocol::ALL.to_vec(), |protocol| vec![protocol]));
    let suite = Suite { tables: &tables, protocols: &protocols, seeds: args.seeds as u64 };
    let (mut tasks, mut empty) = (Vec::new(), 0);
    for (index, subject) in hall.subjects.iter().enumerate() {
        for cell in suite.cells(subject.dataset, subject.source.architecture)? {
            let all = subject.dataset.size(Split::Test);
            let images = match cell.row.size {
                Size::Adapts { .. } => args.images,
                Size::Searches => args.search_images.unwrap_or(all),
            };
            let inputs = args.shard.map_or(0..images.min(all), |shard| shard.of(images.min(all), hall.batch));
            let name = format!("{}-{}", subject.name, cell.name());
            let suffix = args.shard.map_or(String::new(), |shard| format!(".{shard}"));
            if !(args.only.is_empty() || args.only.iter().any(|text| name.contains(text.as_str()))) {
                continue;
            }
            if inputs.is_empty() {
                empty += 1;
                continue;
            }
            let run =
                Run { setup: cell.setup, seed: cell.seed, natural: cell.natural, first: inputs.start, images: inputs.len() };
            tasks.push(Task { path: args.out.join(format!("{name}{suffix}.jsonl")), name, subject: index, cell, run });
        }
    }
    let rank = |task: &Task| ROWS.iter().position(|row| *row == *task.cell.row);
    tasks.sort_by_key(|task| (task.cell.seed, rank(task), task.cell.protocol == Protocol::Strict, task.subject));
    Ok((tasks, empty))
}

fn words(tables: &[Table]) -> String {
    tables.iter().map(|table| table.name()).collect::<Vec<_>>().join(", ")
}
