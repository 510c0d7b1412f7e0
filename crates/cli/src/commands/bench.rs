//! `riposte bench`: the paper's tables, cell by cell. Each cell is a run as `riposte eval` makes it, with a results file of its own.

mod hall;
mod pace;
mod plan;
mod queries;
mod speed;
mod tasks;
mod work;

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::args::SuiteArgs;
use crate::interrupt::Interrupt;
use crate::{file, output};
use hall::Hall;

/// # Errors
/// For unknown models, missing files, other results where these should go; [`riposte::Error::Cancelled`] after Ctrl-C.
pub fn run(args: SuiteArgs) -> Result<()> {
    let deadline = args.budget.map(|budget| Instant::now() + budget);
    let subjects = tasks::subjects(&args)?;
    let hall = Hall::open(&args, subjects)?;
    let (tasks, empty) = tasks::of(&args, &hall)?;
    let (speeds, asking) = (speed::of(&args, &hall), queries::of(&args, &hall));
    // A job of a cluster that has nothing to do has not failed.
    let elsewhere = !args.is_first() && args.tables().iter().all(|table| table.is_whole());
    if elsewhere {
        eprintln!("Tables 5 and 6 are not split: the first part, `--shard 0/...`, makes them, and this one has nothing to do.");
    }
    let nothing = tasks.is_empty() && speeds.is_empty() && asking.is_empty();
    if nothing && empty > 0 {
        eprintln!("There are more parts than images: this one has none, and nothing to do.");
    }
    ensure!(
        !nothing || elsewhere || empty > 0,
        "no cell is left: look at the names that `riposte bench plan` shows without --only"
    );
    let interrupt = Interrupt::listen()?;
    if args.is_plan() {
        let untimed = speeds.iter().map(|speed| speed.name.clone()).chain(asking.iter().map(|asking| asking.name.clone()));
        let plan = plan::Plan::new(&hall, &tasks, untimed.collect(), &interrupt)?;
        return if args.json { output::json(&plan) } else { output::line(&plan.table(&args.out)) };
    }
    file::check_folder(&args.out).with_context(|| format!("cannot write to `{}`", args.out.display()))?;
    let outcome = work::run(&hall, &tasks, &interrupt, deadline);
    let outcome = outcome.and_then(|mut done| {
        done.unfinished.extend(speed::run(&hall, &speeds, &args.out, &interrupt, deadline)?);
        done.unfinished.extend(queries::run(&hall, &asking, &args.out, &interrupt, deadline)?);
        Ok(done)
    });
    if interrupt.pressed() {
        eprintln!("What was done is in `{}`; the same command goes on.", args.out.display());
    }
    let done = outcome?;
    if args.json { output::json(&done) } else { output::line(&done.in_words(&args.out)) }
}
