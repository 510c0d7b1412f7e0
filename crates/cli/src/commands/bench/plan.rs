//! `riposte bench plan`: the cells, what is done of them, and how long the rest takes on this device.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use humantime::format_duration;
use riposte::evaluate::Record;
use serde::Serialize;

use super::hall::Hall;
use super::pace::{Paces, adapts};
use super::tasks::Task;
use crate::interrupt::Interrupt;
use crate::results::Lines;
use crate::{file, progress};

#[derive(Debug, Serialize)]
pub(super) struct Plan {
    cells: Vec<Planned>,
    /// Files of Tables 5 and 6, whose time is not known beforehand.
    untimed: Vec<String>,
    /// Of all cells.
    seconds: f64,
    /// What the times hold for.
    device: String,
    threads: usize,
}

#[derive(Debug, Serialize)]
struct Planned {
    name: String,
    /// Images asked for.
    images: usize,
    /// Images in its file.
    done: usize,
    /// Of what is missing: an upper bound unless `adapting` is known.
    seconds: f64,
    /// The share of the answers so far that needed a post-training.
    adapting: Option<f64>,
    /// Why the file that is there cannot be gone on with.
    refused: Option<String>,
}

impl Plan {
    /// Looks at the files and measures this device.
    ///
    /// # Errors
    /// Of the core; [`riposte::Error::Cancelled`] after Ctrl-C.
    pub fn new(hall: &Hall, tasks: &[Task], untimed: Vec<String>, interrupt: &Interrupt) -> Result<Self> {
        let mut paces = Paces::default();
        let bar = progress::bar(tasks.len() as u64, "Measuring");
        let mut cells = Vec::new();
        for task in tasks {
            interrupt.check()?;
            let (records, refused) = match found(hall, task) {
                Ok(records) => (records, None),
                Err(error) => (Vec::new(), Some(format!("{error:#}"))),
            };
            let done = records.len().min(task.run.images);
            let missing = task.run.images - done;
            let adapting = adapts(&records);
            let seconds = match missing {
                0 => 0.0,
                _ => paces.of(hall, task)?.seconds(task, missing, adapting.unwrap_or(1.0), hall.workers.count()),
            };
            cells.push(Planned { name: task.name.clone(), images: task.run.images, done, seconds, adapting, refused });
            bar.inc(1);
        }
        bar.finish_and_clear();
        let seconds = cells.iter().map(|cell| cell.seconds).sum();
        Ok(Self { cells, untimed, seconds, device: hall.device.to_string(), threads: hall.threads })
    }

    /// For people.
    pub fn table(&self, folder: &Path) -> String {
        let width = self.cells.iter().map(|cell| cell.name.len()).max().unwrap_or(0).max(4);
        let mut text = String::new();
        let mut line = |line: String| writeln!(text, "{}", line.trim_end()).expect("a string takes it");
        line(format!("{:<width$}  {:>6}  {:>6}  time for the rest", "cell", "images", "done"));
        for Planned { name, images, done, seconds, adapting, refused } in &self.cells {
            let time = match (refused, done == images, adapting) {
                (Some(reason), ..) => reason.clone(),
                (None, true, _) => String::new(),
                (None, false, Some(share)) => format!("{}, {:.0} % of the answers adapt", words(*seconds), 100.0 * share),
                (None, false, None) => format!("at most {}", words(*seconds)),
            };
            line(format!("{name:<width$}  {images:>6}  {done:>6}  {time}"));
        }
        line(String::new());
        line(format!(
            "All: {} on {}, {} threads, at most. Files in `{}`.",
            words(self.seconds),
            self.device,
            self.threads,
            folder.display()
        ));
        if !self.untimed.is_empty() {
            line(format!("Besides, Tables 5 and 6, whose time is not in this: {}.", self.untimed.join(", ")));
        }
        line("A time is from a post-training measured just now; where no input of a cell is known yet, as if each of them adapted.".to_owned());
        text.truncate(text.trim_end().len());
        text
    }
}

/// The records in a task's file.
fn found(hall: &Hall, task: &Task) -> Result<Vec<Record>> {
    if !task.path.exists() {
        return Ok(Vec::new());
    }
    let Some(lines) = Lines::parse(&file::read(&task.path)?)? else { return Ok(Vec::new()) };
    let expected = hall.stage_of(task).settings(&task.run);
    anyhow::ensure!(lines.header.settings.same_run(&expected), "the file there was made with other settings");
    anyhow::ensure!(lines.header.settings.first == expected.first, "the file there begins with another input");
    Ok(lines.records)
}

/// `2m 5s`
fn words(seconds: f64) -> String {
    format_duration(Duration::from_secs((seconds + 0.999) as u64)).to_string()
}
