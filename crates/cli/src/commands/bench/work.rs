//! The cells are computed in rounds: all of them on the first images, then on twice as many, so that a run that ends early has
//! something of every cell.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use humantime::format_duration;
use riposte::evaluate::Summary;
use serde::Serialize;

use super::hall::Hall;
use super::pace::{Paces, adapts};
use super::tasks::Task;
use crate::interrupt::Interrupt;
use crate::output::in_short;
use crate::progress::Bars;
use crate::run::Begun;

/// What came of a suite.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    cells: Vec<CellDone>,
    /// Other files that the budget left unfinished, in words.
    pub unfinished: Vec<String>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct CellDone {
    name: String,
    /// Images asked for.
    images: usize,
    summary: Summary,
}

/// A task with its open file, and how fast it went.
struct Open<'a> {
    task: &'a Task,
    begun: Option<Begun>,
    /// Seconds an image of what this process did.
    each: Option<f64>,
}

/// Computes what is missing of the tasks, until `deadline` if there is one. Every file that was begun stays open and locked.
///
/// # Errors
/// If a file belongs to other settings or to another process, or cannot be written; of the core;
/// [`riposte::Error::Cancelled`] after Ctrl-C.
pub(super) fn run(hall: &Hall, tasks: &[Task], interrupt: &Interrupt, deadline: Option<Instant>) -> Result<Done> {
    let clock = Instant::now();
    let mut open: Vec<Open> = tasks.iter().map(|task| Open { task, begun: None, each: None }).collect();
    let bars = Bars::new(tasks.iter().map(|task| task.run.images as u64).sum());
    let outcome = rounds(hall, &mut open, &bars, interrupt, deadline);
    bars.clear();
    within_budget(outcome, interrupt)?;
    let cells = open.iter().map(|Open { task, begun, .. }| CellDone {
        name: task.name.clone(),
        images: task.run.images,
        summary: Summary::of(begun.as_ref().map_or(&[][..], |begun| &begun.records)),
    });
    Ok(Done { cells: cells.collect(), unfinished: Vec::new(), seconds: clock.elapsed().as_secs_f64() })
}

/// What came of work that stops at a deadline, too; `None` if it did there: the budget is over, and that is no error.
///
/// # Errors
/// Of the work; [`riposte::Error::Cancelled`] after Ctrl-C.
pub(super) fn within_budget<T>(outcome: Result<T>, interrupt: &Interrupt) -> Result<Option<T>> {
    match outcome {
        Err(error) if !interrupt.pressed() && matches!(error.downcast_ref(), Some(riposte::Error::Cancelled)) => Ok(None),
        outcome => outcome.map(Some),
    }
}

fn rounds(hall: &Hall, open: &mut [Open], bars: &Bars, interrupt: &Interrupt, deadline: Option<Instant>) -> Result<()> {
    let mut paces = Paces::default();
    let stop = interrupt.or_at(deadline);
    let seeds: Vec<u64> = {
        let mut seeds: Vec<u64> = open.iter().map(|open| open.task.cell.seed).collect();
        seeds.dedup();
        seeds
    };
    for seed in seeds {
        let most = open.iter().filter(|open| open.task.cell.seed == seed).map(|open| open.task.run.images).max().unwrap_or(0);
        let mut images = hall.batch;
        loop {
            for open in open.iter_mut().filter(|open| open.task.cell.seed == seed) {
                stop.check()?;
                advance(hall, open, images, bars, &stop, deadline, &mut paces)?;
            }
            if images >= most {
                break;
            }
            images *= 2;
        }
    }
    Ok(())
}

/// Computes a task up to its first `images`, if that fits before the deadline.
fn advance(
    hall: &Hall,
    open: &mut Open,
    images: usize,
    bars: &Bars,
    stop: &Interrupt,
    deadline: Option<Instant>,
    paces: &mut Paces,
) -> Result<()> {
    let Open { task, begun, each } = open;
    let stage = hall.stage_of(task);
    let images = images.min(task.run.images);
    let begun = match begun {
        Some(begun) => begun,
        None => {
            let new = stage.begin(task.run, Some(&task.path))?;
            bars.found(new.records.len() as u64);
            begun.insert(new)
        }
    };
    let missing = images.saturating_sub(begun.records.len());
    if missing == 0 {
        return Ok(());
    }
    if let Some(deadline) = deadline {
        let seconds = match *each {
            Some(each) => each * missing as f64,
            None => {
                let adapts = adapts(&begun.records).unwrap_or(1.0);
                paces.of(hall, task)?.seconds(task, missing, adapts, hall.workers.count())
            }
        };
        if Duration::from_secs_f64(seconds) > deadline.saturating_duration_since(Instant::now()) {
            return Ok(());
        }
    }
    let clock = Instant::now();
    bars.cell(&task.name, begun.records.len() as u64, images as u64);
    stage.advance(begun, images, stop, |records| bars.step(|| in_short(&Summary::of(records))))?;
    *each = Some(clock.elapsed().as_secs_f64() / missing as f64);
    let (done, asked) = (begun.records.len(), task.run.images);
    bars.say(&format!("{}: {done} of {asked} images, {}", task.name, in_short(&Summary::of(&begun.records))));
    Ok(())
}

impl Done {
    /// The figures of each cell, and how to see more of them.
    pub fn in_words(&self, folder: &Path) -> String {
        let width = self.cells.iter().map(|cell| cell.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for CellDone { name, images, summary } in &self.cells {
            let figures = if summary.images == 0 { "nothing yet".to_owned() } else { in_short(summary) };
            writeln!(text, "{name:<width$}  {:>5} of {images:<5}  {figures}", summary.images).expect("a string takes it");
        }
        let folder = crate::models::quoted(&folder.to_string_lossy());
        if !self.cells.is_empty() {
            let complete = self.cells.iter().filter(|cell| cell.summary.images == cell.images).count();
            let took = format_duration(Duration::from_secs(self.seconds.round() as u64));
            write!(text, "\n{complete} of {} cells are complete; {took}. ", self.cells.len()).expect("a string takes it");
        }
        if !self.unfinished.is_empty() {
            write!(text, "Not finished: {}; the same command with more time goes on. ", self.unfinished.join(", "))
                .expect("a string takes it");
        }
        text += &format!("Tables: riposte report {folder}");
        text
    }
}
