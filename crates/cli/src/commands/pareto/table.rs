//! What the forms gain, and what they cost.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use riposte::evaluate::Record;
use riposte::spec::pareto::{Form, Header, Line};
use riposte::spec::post_train::PostTrain;

use super::lines;
use crate::file;
use crate::output::{percent, points};

/// Forms on the same inputs, cheapest first.
pub(super) struct Front {
    pub inputs: usize,
    /// Inputs that the base model answers rightly.
    pub base: usize,
    /// Work of the search for one input, in FLOP; every form has it.
    search: f64,
    /// Inputs that the full form answers rightly, and its work.
    pub full: Option<(usize, f64)>,
    pub points: Vec<Point>,
}

/// A form.
pub(super) struct Point {
    pub name: String,
    /// Of one input with a neighbor, search included, in FLOP.
    pub work: f64,
    /// Inputs answered rightly.
    pub right: usize,
    /// Inputs answered as the full form answers them.
    agrees: Option<usize>,
    /// Median time after the search, of inputs with a neighbor.
    seconds: f32,
    /// No other form answers as many rightly with as little work.
    pub best: bool,
}

impl Front {
    /// Of files with the same inputs. The full form is in the results file `full`, or is the form without changes.
    ///
    /// # Errors
    /// If a file cannot be read, or they are of other models, attacks or searches.
    pub(super) fn of(paths: &[PathBuf], full: Option<&Path>) -> Result<Self> {
        let files = paths.iter().map(|path| lines::read(path)).collect::<Result<Vec<_>>>()?;
        let (first, _) = files.first().context("there is no file")?;
        for (path, (header, _)) in paths.iter().zip(&files) {
            let subject = |header: &Header| {
                let settings = &header.settings;
                (
                    settings.weights_sha256.clone(),
                    settings.dataset,
                    settings.seed,
                    settings.attack,
                    settings.riposte.map(|r| r.search),
                )
            };
            ensure!(subject(header) == subject(first), "`{}` is of another model, attack or search", path.display());
        }
        let mut inputs = files.iter().map(|(_, lines)| lines.len()).min().unwrap_or(0);
        let architecture = first.settings.architecture;
        let search = flop(first.settings.riposte.map_or(0, |riposte| riposte.search_work(architecture)));
        let work = |form: &Form| search + flop(form.work(architecture));
        let full: Option<(Vec<usize>, f64)> = match full {
            Some(path) => {
                let (riposte, answers) = answers_of(path, first)?;
                inputs = inputs.min(answers.len());
                Some((answers, search + flop(riposte.adaptation_work(architecture))))
            }
            None => files.iter().find_map(|(header, lines)| {
                let place = header.forms.iter().position(|form| form.name.is_empty())?;
                Some((lines.iter().map(|line| line.answers[place]).collect(), work(&header.forms[place])))
            }),
        };
        ensure!(inputs > 0, "there is no input that all files have");
        let mut points = Vec::new();
        for (header, lines) in &files {
            let lines = &lines[..inputs];
            for (place, form) in header.forms.iter().enumerate() {
                let mut seconds: Vec<f32> =
                    lines.iter().filter(|line| line.neighbor != line.original()).map(|line| line.seconds[place]).collect();
                seconds.sort_by(f32::total_cmp);
                points.push(Point {
                    name: if form.name.is_empty() { "the form that nothing changes".to_owned() } else { form.name.clone() },
                    work: work(form),
                    right: lines.iter().filter(|line| line.answers[place] == line.label).count(),
                    agrees: full.as_ref().map(|(answers, _)| {
                        lines.iter().zip(answers).filter(|(line, answer)| line.answers[place] == **answer).count()
                    }),
                    seconds: seconds.get(seconds.len() / 2).copied().unwrap_or(0.0),
                    best: false,
                });
            }
        }
        points.sort_by(|a, b| a.work.total_cmp(&b.work).then(b.right.cmp(&a.right)));
        let mut most = 0;
        for point in &mut points {
            point.best = point.right > most;
            most = most.max(point.right);
        }
        let lines = &files[0].1[..inputs];
        let right = |line: &Line, answer: usize| answer == line.label;
        let base = lines.iter().filter(|line| right(line, line.original())).count();
        let full =
            full.map(|(answers, work)| (lines.iter().zip(answers).filter(|(line, answer)| right(line, *answer)).count(), work));
        Ok(Self { inputs, base, search, full, points })
    }

    /// In lines of Markdown.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| writeln!(text, "{line}").expect("a string takes it");
        let share = |count: usize| percent(count as f64 / self.inputs as f64);
        line(format!(
            "{} inputs. The base model is right on {} ({}). The search takes {} for an input; it is in every work below.",
            self.inputs,
            self.base,
            share(self.base),
            flops(self.search)
        ));
        if let Some((right, work)) = self.full {
            line(format!(
                "The full form is right on {right} ({}), with {} for an input that has a neighbor.",
                share(right),
                flops(work)
            ));
        }
        line(String::new());
        line(
            "| | form | work | of the full | after the search | right | accuracy | gain | of the full's | as the full |"
                .to_owned(),
        );
        line("|---|---|---|---|---|---|---|---|---|---|".to_owned());
        for point in &self.points {
            let of_full = self.full.map_or(String::new(), |(_, work)| percent(point.work / work));
            let gain = point.right as f64 - self.base as f64;
            // A share of no gain, or of a loss, says nothing.
            let of_gain = self
                .full
                .filter(|(right, _)| *right > self.base)
                .map_or(String::new(), |(right, _)| percent(gain / (right as f64 - self.base as f64)));
            line(format!(
                "| {} | {} | {} | {of_full} | {:.1} ms | {} | {} | {} | {of_gain} | {} |",
                if point.best { "*" } else { "" },
                point.name,
                flops(point.work),
                1e3 * point.seconds,
                point.right,
                share(point.right),
                points(gain / self.inputs as f64),
                point.agrees.map_or(String::new(), share),
            ));
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// Two for a multiply-accumulate.
fn flop(multiply_accumulates: u64) -> f64 {
    2.0 * multiply_accumulates as f64
}

fn flops(flop: f64) -> String {
    match flop {
        flop if flop >= 1e12 => format!("{:.3} TFLOP", flop / 1e12),
        flop => format!("{:.3} GFLOP", flop / 1e9),
    }
}

/// The riposte of a results file, and its answers to inputs 0, 1, 2, ...
fn answers_of(path: &Path, header: &Header) -> Result<(PostTrain, Vec<usize>)> {
    let bytes = file::read(path)?;
    let mut riposte = None;
    let mut answers = Vec::new();
    for row in bytes.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()) {
        if row.starts_with(br#"{"format""#) {
            let found: riposte::spec::results::Header =
                serde_json::from_slice(row).with_context(|| format!("`{}` is not a results file", path.display()))?;
            let settings = found.settings;
            let (ours, theirs) = (&header.settings, &settings);
            ensure!(
                (&theirs.weights_sha256, theirs.seed, theirs.attack, theirs.riposte.map(|riposte| riposte.search))
                    == (&ours.weights_sha256, ours.seed, ours.attack, ours.riposte.map(|riposte| riposte.search)),
                "`{}` is of another model, seed, attack or search",
                path.display()
            );
            riposte = theirs.riposte;
        } else {
            let record: Record =
                serde_json::from_slice(row).with_context(|| format!("`{}` has a damaged line", path.display()))?;
            let defended = record.riposte_attacked.or(record.riposte_natural);
            ensure!(record.input == answers.len() as u64, "`{}` does not begin with input 0, or misses one", path.display());
            answers.push(defended.with_context(|| format!("`{}` has no answers of a riposte", path.display()))?.answer);
        }
    }
    Ok((riposte.with_context(|| format!("`{}` has no riposte", path.display()))?, answers))
}
