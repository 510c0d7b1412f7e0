//! What a suite consists of: models, their cells, and the file of each.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use riposte::models::ModelCard;
use riposte::spec::Choice;
use riposte::spec::bench::{Cell, Protocol, ROWS, Size, Suite, Table};
use riposte::spec::dataset::{DatasetId, Split};
use riposte::zoo;

use super::hall::Hall;
use crate::args::{ModelArgs, Shard, SuiteArgs};
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

/// The cells of all models: those of seed 0 first, the most decisive before the others.
///
/// # Errors
/// Never for the suite's own rows.
pub(super) fn of(args: &SuiteArgs, hall: &Hall) -> Result<Vec<Task>> {
    let (tables, protocols) = (args.tables(), args.protocol.map_or(Protocol::ALL.to_vec(), |protocol| vec![protocol]));
    let suite = Suite { tables: &tables, protocols: &protocols, seeds: args.seeds as u64 };
    let mut tasks = Vec::new();
    for (index, subject) in hall.subjects.iter().enumerate() {
        for cell in suite.cells(subject.dataset, subject.source.architecture)? {
            let all = subject.dataset.size(Split::Test);
            let images = match cell.row.size {
                Size::Adapts { .. } => args.images,
                Size::Searches => args.search_images.unwrap_or(all),
            };
            let inputs = args.shard.map_or(0..images.min(all), |shard| part(images.min(all), shard, hall.batch));
            let name = format!("{}-{}", subject.name, cell.name());
            let suffix = args.shard.map_or(String::new(), |Shard { index, count }| format!(".shard-{index}-of-{count}"));
            if inputs.is_empty() || !(args.only.is_empty() || args.only.iter().any(|text| name.contains(text.as_str()))) {
                continue;
            }
            let run =
                Run { setup: cell.setup, seed: cell.seed, natural: cell.natural, first: inputs.start, images: inputs.len() };
            tasks.push(Task { path: args.out.join(format!("{name}{suffix}.jsonl")), name, subject: index, cell, run });
        }
    }
    let rank = |task: &Task| ROWS.iter().position(|row| *row == *task.cell.row);
    tasks.sort_by_key(|task| (task.cell.seed, rank(task), task.cell.protocol == Protocol::Strict, task.subject));
    Ok(tasks)
}

/// The images of a part: as many as of every other, because any image costs as much as another before it is known. Where a part has
/// many batches they are whole ones, those of one run.
fn part(images: usize, Shard { index, count }: Shard, batch: usize) -> Range<usize> {
    let unit = if images >= 8 * batch * count { batch } else { 1 };
    let begin = |index: usize| if index == count { images } else { (images * index / count + unit / 2) / unit * unit };
    begin(index)..begin(index + 1)
}

fn words(tables: &[Table]) -> String {
    tables.iter().map(|table| table.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_cell_follow_each_other_and_are_of_about_the_same_size() {
        for (images, count, batch) in [(1000, 4, 128), (10, 3, 128), (10_000, 7, 512), (2, 4, 128), (130, 1, 128)] {
            let parts: Vec<_> = (0..count).map(|index| part(images, Shard { index, count }, batch)).collect();
            assert_eq!((parts[0].start, parts[count - 1].end), (0, images));
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            let equal = images as f64 / count as f64;
            assert!(parts.iter().all(|part| (part.len() as f64 - equal).abs() <= 1.0 + equal / 8.0), "{parts:?}");
        }
    }
}
