//! The command line: files, downloads, devices, progress bars, tables and reports around the core.
//!
//! [`args`] is what the user types, [`settings`] what a run is made of, [`commands`] one file for each command.

pub mod answers;
pub mod args;
pub mod arrays;
pub mod bank;
pub mod commands;
pub mod dataset;
pub mod device;
pub mod evaluation;
pub mod export;
pub mod file;
pub mod given;
pub mod host;
pub mod interrupt;
pub mod memory;
pub mod models;
pub mod output;
pub mod photo;
pub mod picture;
pub mod progress;
pub mod report;
pub mod results;
pub mod run;
pub mod screen;
pub mod session;
pub mod settings;
pub mod story;
pub mod watched;
pub mod weights_file;
pub mod workers;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// Runs the program with `words`, of which the first is its own name: 0 is success, 1 an error (one sentence on standard error), 130
/// cancelled. Wrong usage ends the process with 2.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::from(exit_code(words))
}

/// [`main`] with the code as a number.
pub fn exit_code(words: impl IntoIterator<Item = OsString>) -> u8 {
    let words: Vec<OsString> = words.into_iter().collect();
    let cli = Cli::parse_from(&words);
    let typed = || words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let result = match cli.command {
        None => commands::duel::run(cli.duel, typed()),
        Some(Command::Duel(args)) => commands::duel::run(args, typed()),
        Some(Command::Eval(args)) => commands::eval::run(args),
        Some(Command::Bank(args)) => commands::bank::run(args),
        Some(Command::Detect(args)) => commands::detect::run(args),
        Some(Command::Pareto(args)) => commands::pareto::run(args),
        Some(Command::Bench(args)) => commands::bench::run(args),
        Some(Command::Report(args)) => commands::report::run(args),
        Some(Command::Import(args)) => commands::import::run(args),
        Some(Command::Train(args)) => commands::train::run(args),
        Some(Command::Models(args)) => commands::models::run(args),
        Some(Command::Data(args)) => commands::data::run(args),
        Some(Command::Devices(args)) => commands::devices::run(args),
        Some(Command::BenchSpeed(args)) => commands::bench_speed::run(args),
    };
    match result {
        Ok(()) => 0,
        Err(error) if closed_pipe(&error) => 0,
        Err(error) => {
            eprintln!("riposte: {error:#}");
            if cancelled(&error) { interrupt::CANCELLED } else { 1 }
        }
    }
}

/// Whether the user stopped a computation or a download.
pub fn cancelled(error: &anyhow::Error) -> bool {
    let computation = matches!(error.downcast_ref(), Some(riposte::Error::Cancelled));
    computation || matches!(error.downcast_ref(), Some(riposte::data::Error::Cancelled))
}

/// Whether the reader of standard output has gone, as in `riposte devices | head -1`.
fn closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}
