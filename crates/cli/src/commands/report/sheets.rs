//! The tables of a report, from the records alone.

use riposte::evaluate::{Gain, Record, Summary, wilson_interval};
use riposte::spec::bench::{Protocol, ROWS, Row, Size, Table};
use riposte::spec::dataset::DatasetId;
use riposte::spec::paper::{self, Published, Quoted};
use riposte::spec::preset::PresetName;
use riposte::spec::speed::Times;
use riposte::spec::summary::mcnemar;
use riposte::spec::verdict::{Difference, Verdict};
use serde::Serialize;

use super::attackers;
use super::gather::{Gathered, Measured, Timed};
use crate::output::{percent, points};

/// A table for people and for machines.
#[derive(Debug, Serialize)]
pub(super) struct Sheet {
    pub title: String,
    /// What the figures say of the paper's, by the rule of [`riposte::spec::verdict::RULE`].
    pub verdict: Option<Verdict>,
    pub sentence: String,
    pub rows: Vec<Line>,
}

/// A line of a table. What a table does not have is `None`, and no column of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Line {
    pub model: String,
    pub what: String,
    pub protocol: Option<Protocol>,
    /// `attacked` or `natural`.
    pub accuracy_on: Option<&'static str>,
    pub images: Option<usize>,
    pub before: Option<Share>,
    pub after: Option<Share>,
    pub gain: Option<Gain>,
    pub mcnemar_p: Option<f64>,
    /// The share that the table is about, where it is no gain.
    pub share: Option<Share>,
    /// What is left after an attack on the defense: the expected accuracy with its interval, how many images every answer was right on,
    /// and the gain over the base model with its interval.
    pub expected: Option<[f64; 3]>,
    pub always: Option<usize>,
    pub expected_gain: Option<[f64; 3]>,
    /// The same at the worst point of each image by the judges' count.
    pub worst: Option<f64>,
    pub worst_gain: Option<[f64; 3]>,
    /// Of compared signs, and of attacked images.
    pub differing: Option<Share>,
    pub fooled: Option<Share>,
    /// Answers of the defense, and the Euclidean length of a change.
    pub answers: Option<f64>,
    pub distance: Option<f64>,
    pub seconds_adapted: Option<Times>,
    pub seconds_skipped: Option<Times>,
    pub seconds: Option<Times>,
    pub device: Option<String>,
    /// The paper's accuracies before and after, or its one figure.
    pub paper: Vec<f64>,
    pub difference: Option<Difference>,
    /// Accuracy with each seed, and the share of inputs whose answers differ between any two of them.
    pub seeds: Option<Seeds>,
}

/// A count with its share and the Wilson interval.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Share {
    pub right: usize,
    pub share: f64,
    pub interval: [f64; 2],
}

#[derive(Debug, Serialize)]
pub(super) struct Seeds {
    pub accuracies: Vec<f64>,
    pub images: usize,
    pub differing: f64,
}

/// All tables that the runs have something for.
pub(super) fn sheets(gathered: &Gathered) -> Vec<Sheet> {
    let runs = &gathered.runs;
    let mut sheets = vec![
        accuracies(Table::Cifar10, runs),
        accuracies(Table::Mnist, runs),
        accuracies(Table::Data, runs),
        neighbors(runs),
        speeds(&gathered.speeds),
        attackers::signs(&gathered.asked),
        attackers::attacks(&gathered.asked),
        accuracies(Table::Sweeps, runs),
        seeds(runs),
        attackers::counters(runs),
        others(runs),
    ];
    sheets.retain(|sheet| !sheet.rows.is_empty());
    sheets
}

/// The runs that a table shows: of each model and row the lowest seed.
fn of_table(table: Table, runs: &[Measured]) -> Vec<(&Measured, &'static Row, Protocol)> {
    let mut found: Vec<(&Measured, &'static Row, Protocol)> = Vec::new();
    for run in runs {
        let Some((row, protocol)) = run.cell else { continue };
        let same = |other: &(&Measured, &Row, Protocol)| other.0.is_as(run);
        if row.tables.contains(&table) && table.covers(run.settings.dataset) && !found.iter().any(same) {
            found.push((run, row, protocol));
        }
    }
    found.sort_by_key(|(run, ..)| run.model.clone());
    found
}

fn accuracies(table: Table, runs: &[Measured]) -> Sheet {
    let mut rows = Vec::new();
    for (run, row, protocol) in of_table(table, runs) {
        let published = published(table, run, row);
        let robust = Gain::robust(&run.records).map(|gain| (gain, "attacked", published.map(|[robust, _]| robust)));
        let of_table_of_both = matches!(table, Table::Cifar10 | Table::Mnist);
        let natural = Gain::natural(&run.records).filter(|_| of_table_of_both);
        let natural = natural.map(|gain| (gain, "natural", published.and_then(|[_, natural]| natural)));
        let robust = robust.map(|(gain, on, paper)| (gain, on, paper.flatten()));
        for (gain, on, paper) in [robust, natural].into_iter().flatten() {
            rows.push(gain_line(run, run.of_row(row), Some(protocol), on, gain, paper));
        }
    }
    let quoted: &[Quoted] = match table {
        _ if rows.is_empty() => &[],
        Table::Cifar10 => &paper::QUOTED_CIFAR10,
        Table::Mnist if of_dataset(table, runs, DatasetId::Mnist) => &paper::QUOTED_MNIST,
        _ => &[],
    };
    let (verdict, mut sentence) = verdict(&rows);
    if table == Table::Sweeps {
        "The paper has no figures for these.".clone_into(&mut sentence);
    }
    rows.extend(quoted.iter().flat_map(|quoted| {
        ["attacked", "natural"].into_iter().zip(quoted.accuracies).map(|(on, figure)| Line {
            model: "in the paper".to_owned(),
            what: quoted.name.to_owned(),
            accuracy_on: Some(on),
            paper: vec![figure],
            ..Line::default()
        })
    }));
    if rows.iter().any(|row| row.protocol == Some(Protocol::Strict)) && matches!(table, Table::Cifar10 | Table::Mnist) {
        sentence += " Under the strict protocol the attack takes all its steps from 5 random starts, and the search reaches as far as \
                     the attack; where that leaves the defense as it is, natural images are answered as under the paper's.";
    }
    Sheet { title: table.title().to_owned(), verdict, sentence, rows }
}

fn of_dataset(table: Table, runs: &[Measured], dataset: DatasetId) -> bool {
    of_table(table, runs).iter().any(|(run, ..)| run.settings.dataset == dataset)
}

/// The paper's accuracies, before and after, of attacked and of natural images, on the network that it has in this setup.
fn published(table: Table, run: &Measured, row: &Row) -> Option<[Option<[f64; 2]>; 2]> {
    if !is_as_in_paper(run) {
        return None;
    }
    if table == Table::Data {
        let (_, figure) = row.figure.filter(|(preset, _)| *preset == run.preset)?;
        let base = Published::in_row(run.preset, riposte::spec::setup::RiposteKind::Fixed)?.base[0];
        return Some([Some([base, figure]), None]);
    }
    let Published { base, defended, .. } = Published::in_row(run.preset, run.settings.setup().riposte_kind())?;
    let is_of_table = row.tables.contains(&Table::Mnist);
    is_of_table.then(|| [Some([base[0], defended[0]]), Some([base[1], defended[1]])])
}

/// Whether network and images are those that the paper has in this setup.
fn is_as_in_paper(run: &Measured) -> bool {
    paper::is_of(run.preset, run.settings.architecture, run.settings.dataset)
}

fn gain_line(
    run: &Measured,
    what: String,
    protocol: Option<Protocol>,
    on: &'static str,
    gain: Gain,
    paper: Option<[f64; 2]>,
) -> Line {
    let attacked = on == "attacked";
    let right = |after: bool| {
        let verdicts = run.records.iter().filter(|record| match (attacked, after) {
            (true, true) => record.riposte_attacked.is_some_and(|answer| answer.answer == record.label),
            (true, false) => record.attacked == Some(record.label),
            (false, true) => record.riposte_natural.is_some_and(|answer| answer.answer == record.label),
            (false, false) => record.natural == record.label,
        });
        Share::of(verdicts.count(), run.records.len())
    };
    // The strict protocol is another question than the paper's.
    let compared = paper.filter(|_| protocol != Some(Protocol::Strict));
    Line {
        model: run.model.clone(),
        what,
        protocol,
        accuracy_on: Some(on),
        images: Some(run.records.len()),
        before: Some(right(false)),
        after: Some(right(true)),
        gain: Some(gain),
        mcnemar_p: Some(mcnemar(gain.won, gain.lost)),
        paper: paper.map_or(Vec::new(), |paper| paper.to_vec()),
        difference: compared.map(|paper| Difference::of_gain(gain, paper)),
        ..Line::default()
    }
}

fn neighbors(runs: &[Measured]) -> Sheet {
    let mut rows = Vec::new();
    for (run, row, protocol) in of_table(Table::Neighbors, runs) {
        let summary = Summary::of(&run.records);
        let Some(right) = summary.neighbor_correct else { continue };
        let figure = row.figure.filter(|(preset, _)| *preset == run.preset && is_as_in_paper(run));
        let compared = figure.filter(|_| protocol == Protocol::Paper);
        rows.push(Line {
            model: run.model.clone(),
            what: run.of_row(row),
            protocol: Some(protocol),
            images: Some(summary.images),
            before: summary.robust_correct.map(|right| Share::of(right, summary.images)),
            share: Some(Share::of(right, summary.images)),
            paper: figure.iter().map(|(_, figure)| *figure).collect(),
            difference: compared.map(|(_, figure)| Difference::of_share(right, summary.images, figure)),
            ..Line::default()
        });
    }
    let (verdict, mut sentence) = verdict(&rows);
    sentence +=
        " The share is that of attacked images whose label is y' or y'': no riposte between the two can be right more often.";
    Sheet { title: Table::Neighbors.title().to_owned(), verdict, sentence, rows }
}

fn speeds(speeds: &[Timed]) -> Sheet {
    let mut rows = Vec::new();
    for Timed { model, head, timings } in speeds {
        let keys = ROWS.iter().filter(|row| row.tables.contains(&Table::Mnist)).map(|row| (row.key, row.name));
        for (key, name) in std::iter::once(("base", "base model")).chain(keys) {
            let Some(all) = Times::of(timings, key, |_| true) else { continue };
            rows.push(Line {
                model: model.clone(),
                what: name.to_owned(),
                seconds: Some(all),
                seconds_adapted: Times::of(timings, key, |timing| timing.adapted),
                seconds_skipped: Times::of(timings, key, |timing| !timing.adapted).filter(|_| key != "base"),
                device: Some(format!("{}, {} threads", head.device, head.threads)),
                ..Line::default()
            });
        }
    }
    let sentence = "One attacked input at a time, from the image to the class, without the first one. The paper's times are of a Quadro RTX \
                    6000 and PreActResNet18 on CIFAR-10: 0.00173 s for the base model, 12.78 s with fast, 7.75 s with fixed, inputs that \
                    did not adapt among them. Another device and another network: nothing to reproduce."
        .to_owned();
    Sheet { title: Table::Speed.title().to_owned(), verdict: None, sentence, rows }
}

/// What other seeds say of the same images.
fn seeds(runs: &[Measured]) -> Sheet {
    let mut rows = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let Some((row, protocol)) = run.cell.filter(|(row, _)| row.size != Size::Searches) else { continue };
        let same = |other: &&Measured| other.is_as(run);
        if runs[..index].iter().any(|other| same(&other)) {
            continue;
        }
        let group: Vec<&Measured> = runs.iter().filter(same).collect();
        let images = group.iter().map(|run| run.records.len()).min().unwrap_or(0);
        if group.len() < 2 || group.iter().any(|other| other.settings.first != run.settings.first) {
            continue;
        }
        let answer = |record: &Record| record.riposte_attacked.map(|answer| answer.answer);
        let right = |run: &&Measured| run.records[..images].iter().filter(|record| answer(record) == Some(record.label)).count();
        let differs = |index: &usize| group.iter().any(|run| answer(&run.records[*index]) != answer(&group[0].records[*index]));
        let differing = (0..images).filter(differs).count() as f64 / images as f64;
        let accuracies = group.iter().map(|run| right(run) as f64 / images as f64).collect();
        rows.push(Line {
            model: run.model.clone(),
            what: run.of_row(row),
            protocol: Some(protocol),
            seeds: Some(Seeds { accuracies, images, differing }),
            ..Line::default()
        });
    }
    let sentence =
        "The same images, attacked and answered with other draws; an answer also differs where the attack ends elsewhere."
            .to_owned();
    Sheet { title: "Seeds: how much is chance".to_owned(), verdict: None, sentence, rows }
}

/// Runs that are no cells of the suite.
fn others(runs: &[Measured]) -> Sheet {
    let mut rows = Vec::new();
    for run in runs.iter().filter(|run| run.cell.is_none()) {
        let name = run.files[0].file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let gains = [(Gain::robust(&run.records), "attacked"), (Gain::natural(&run.records), "natural")];
        for (gain, on) in gains {
            if let Some(gain) = gain {
                rows.push(gain_line(run, name.clone(), None, on, gain, None));
            }
        }
        if rows.last().is_none_or(|row| row.what != name) {
            let summary = Summary::of(&run.records);
            let found = [("attacked", summary.robust_correct), ("natural", Some(summary.natural_correct))];
            rows.extend(found.into_iter().filter_map(|(on, right)| {
                Some(Line {
                    model: run.model.clone(),
                    what: name.clone(),
                    accuracy_on: Some(on),
                    images: Some(summary.images),
                    before: Some(Share::of(right?, summary.images)),
                    ..Line::default()
                })
            }));
        }
    }
    let sentence = "Files that are no cells of the suite.".to_owned();
    Sheet { title: "Other runs".to_owned(), verdict: None, sentence, rows }
}

/// Of a table, and the sentence about it.
pub(super) fn verdict(rows: &[Line]) -> (Option<Verdict>, String) {
    let compared: Vec<Verdict> = rows.iter().filter_map(|row| Some(row.difference?.verdict)).collect();
    let verdict = Verdict::of_all(&compared);
    let count = |verdict: Verdict| compared.iter().filter(|other| **other == verdict).count();
    let sentence = match verdict {
        None => "Nothing here is of a network that the paper has in this setup: not comparable.".to_owned(),
        Some(verdict) => {
            let [yes, no, open] = [Verdict::Reproduced, Verdict::NotReproduced, Verdict::NotDecidable].map(count);
            let mut sentence = format!("{}{}", verdict.to_string()[..1].to_uppercase(), &verdict.to_string()[1..]);
            sentence +=
                &format!(": of {} figures that the paper has, {yes} reproduced, {no} not, {open} not decidable.", compared.len());
            sentence
        }
    };
    (verdict, sentence)
}

impl Share {
    pub fn of(right: usize, images: usize) -> Self {
        Self { right, share: right as f64 / images.max(1) as f64, interval: wilson_interval(right, images) }
    }

    fn words(self) -> String {
        let [low, high] = self.interval;
        format!("{} ({} to {})", percent(self.share), number(low), number(high))
    }
}

/// A column: its heading, and what a line has there.
type Column = (&'static str, fn(&Line) -> Option<String>);

/// All columns, in order; a table shows those in which a line of it has something.
const COLUMNS: [Column; 28] = [
    ("model", |line| Some(line.model.clone())),
    ("row", |line| Some(line.what.clone())),
    ("protocol", |line| line.protocol.map(|protocol| protocol.to_string())),
    ("images", |line| line.accuracy_on.map(str::to_owned)),
    ("n", |line| line.images.map(|images| images.to_string())),
    ("base", |line| line.before.map(Share::words)),
    ("riposte", |line| line.after.map(Share::words)),
    ("gain, points", |line| line.gain.map(|gain| interval(gain.gain, gain.interval))),
    ("won : lost", |line| line.gain.map(|gain| format!("{} : {}", gain.won, gain.lost))),
    ("McNemar p", |line| line.mcnemar_p.map(probability)),
    ("expected", |line| {
        line.expected.map(|[share, low, high]| format!("{} ({} to {})", percent(share), number(low), number(high)))
    }),
    ("always", |line| line.always.map(|count| count.to_string())),
    ("gain over the base, points", |line| line.expected_gain.map(|[gain, low, high]| interval(gain, [low, high]))),
    ("at the worst point", |line| line.worst.map(percent)),
    ("gain there, points", |line| line.worst_gain.map(|[gain, low, high]| interval(gain, [low, high]))),
    ("signs that differ", |line| line.differing.map(Share::words)),
    ("fooled", |line| line.fooled.map(Share::words)),
    ("answers", |line| line.answers.map(|answers| format!("{answers:.0}"))),
    ("distance", |line| line.distance.map(|distance| format!("{distance:.3}"))),
    ("label is y' or y''", |line| line.share.map(Share::words)),
    ("seconds, mean (median)", |line| line.seconds.map(times)),
    ("adapted", |line| line.seconds_adapted.map(times)),
    ("not adapted", |line| line.seconds_skipped.map(times)),
    ("device", |line| line.device.clone()),
    ("paper", |line| match line.paper[..] {
        [before, after] => Some(format!("{} to {} ({})", percent(before), percent(after), points(after - before))),
        [figure] => Some(percent(figure)),
        _ => None,
    }),
    ("ours - paper, points", |line| line.difference.map(|difference| interval(difference.difference, difference.interval))),
    ("verdict", |line| line.difference.map(|difference| difference.verdict.to_string())),
    ("with each seed", |line| {
        let Seeds { accuracies, images, differing } = line.seeds.as_ref()?;
        let list = accuracies.iter().map(|accuracy| percent(*accuracy)).collect::<Vec<_>>().join(", ");
        Some(format!("{list}; {} of {images} answers differ", percent(*differing)))
    }),
];

impl Sheet {
    /// Headings and lines, without columns that no line has anything in.
    pub fn grid(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let used: Vec<&Column> = COLUMNS.iter().filter(|(_, of)| self.rows.iter().any(|row| of(row).is_some())).collect();
        let rows = self.rows.iter().map(|row| used.iter().map(|(_, of)| of(row).unwrap_or_default()).collect()).collect();
        (used.iter().map(|(name, _)| *name).collect(), rows)
    }
}

fn interval(value: f64, [low, high]: [f64; 2]) -> String {
    format!("{} ({} to {})", points(value), points(low), points(high))
}

fn number(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

fn probability(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

fn times(times: Times) -> String {
    format!("{} ({}), {} inputs", seconds(times.mean), seconds(times.median), times.inputs)
}

fn seconds(seconds: f64) -> String {
    if seconds < 0.001 { format!("{seconds:.6}") } else { format!("{seconds:.3}") }
}

/// A model of the suite in the words of RobustBench's model cards. Its leaderboard takes no defense that optimizes at test time: hence
/// `unreliable`; `external` is the accuracy under the strict protocol.
#[derive(Debug, Serialize)]
pub(super) struct RobustBench {
    link: &'static str,
    name: String,
    authors: &'static str,
    additional_data: bool,
    /// Of an input that adapts, in forward passes of one image; a backward pass counts as two.
    number_forward_passes: usize,
    dataset: DatasetId,
    venue: &'static str,
    architecture: String,
    eps: String,
    clean_acc: Option<String>,
    reported: Option<String>,
    external: Option<String>,
    unreliable: bool,
    footnote: String,
}

/// One for each model's `fixed` row.
pub(super) fn robustbench(runs: &[Measured]) -> Vec<RobustBench> {
    let table = |run: &Measured| if run.settings.dataset == DatasetId::Cifar10 { Table::Cifar10 } else { Table::Mnist };
    let fixed = |run: &&Measured| {
        of_table(table(run), runs)
            .iter()
            .any(|(other, row, protocol)| std::ptr::eq(*other, *run) && row.key == "fixed" && *protocol == Protocol::Paper)
    };
    let card = |run: &Measured| {
        let riposte = run.settings.riposte?;
        let accuracy = |records: &[Record], attacked: bool| {
            let summary = Summary::of(records);
            let right = if attacked { summary.riposte_robust_correct } else { summary.riposte_natural_correct };
            right.map(|right| number(right as f64 / summary.images as f64))
        };
        let strict = runs.iter().find(|other| {
            (&other.model, other.settings.post_samples) == (&run.model, run.settings.post_samples)
                && other.cell.is_some_and(|(row, protocol)| row.key == "fixed" && protocol == Protocol::Strict)
        });
        Some(RobustBench {
            link: "https://arxiv.org/abs/2112.12431",
            name: format!("{} with post-training (fixed)", run.model),
            authors: "Zhiwen Yan, Teck Khim Ng",
            additional_data: false,
            number_forward_passes: 2 + 3 * riposte.search.attack.steps + 3 * riposte.iterations * riposte.batch_size,
            dataset: run.settings.dataset,
            venue: "arXiv, Dec 2021",
            architecture: run.settings.architecture.to_string(),
            eps: radius(run.preset),
            clean_acc: accuracy(&run.records, false),
            reported: accuracy(&run.records, true),
            external: strict.and_then(|strict| accuracy(&strict.records, true)),
            unreliable: true,
            footnote: format!(
                "Adapts to each input before it answers. First {} test images; `reported` under the attack of the paper's code, `external` \
                 under one that never stops early, from 5 random starts. The attack does not know of the adaptation. No AutoAttack.",
                run.records.len()
            ),
        })
    };
    runs.iter().filter(fixed).filter_map(card).collect()
}

fn radius(preset: PresetName) -> String {
    let key = riposte::spec::keys::Key::named("epsilon");
    key.and_then(|key| key.get(&preset.preset().setup())).unwrap_or_default()
}
