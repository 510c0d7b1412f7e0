//! The command line's program, and what of it has no model of its own.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use riposte::evaluate::Record;
use riposte::spec::Choice;
use riposte::spec::dataset::{DatasetId, Split};
use riposte::spec::keys::{KEYS, Kind};
use riposte::spec::preset::PresetName;
use riposte::zoo;
use riposte_cli::args::{Cli, Command};
use riposte_cli::commands::duel::fight;
use riposte_cli::commands::eval::{self, Audience};
use riposte_cli::interrupt::Interrupt;
use riposte_cli::screen::Screen;
use riposte_cli::session::Watch;
use riposte_cli::{device, memory};

use crate::errors::{exception, refused};
use crate::model::Model;
use crate::setup;
use crate::wait::{Bar, wait};

/// The command `riposte` with these words, of which the first is its own name; its exit code.
#[pyfunction]
pub fn main(py: Python<'_>, words: Vec<OsString>) -> u8 {
    memory::keep_freed_memory();
    py.detach(|| riposte_cli::exit_code(words))
}

/// The version.
#[pyfunction]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Evaluates `model`, or the one that the words name, as `riposte eval` with these words; what `--json` prints.
#[pyfunction]
pub fn evaluate(py: Python<'_>, model: Option<&Model>, words: Vec<String>, bar: Bar) -> PyResult<String> {
    let cli =
        Cli::try_parse_from(["riposte", "eval"].into_iter().map(str::to_owned).chain(words)).map_err(|error| refused(&error))?;
    let Some(Command::Eval(args)) = cli.command else { unreachable!("the command is `eval`") };
    let watch = Watch::default();
    let report = wait(py, &bar, &watch, || {
        memory::keep_freed_memory();
        let evaluated = eval::evaluate(&args, model.map(|model| &model.session), &Watching(&watch))?;
        evaluated.exported.map(|()| evaluated.report)
    })?;
    serde_json::to_string(&report).map_err(|error| exception(error.into()))
}

/// Fights a duel as `riposte duel` with these words, over `model` or the one that they name: what `--json` prints, with the images, and the
/// report in HTML.
#[pyfunction]
pub fn duel(py: Python<'_>, model: Option<&Model>, words: Vec<String>) -> PyResult<(String, String)> {
    let cli = Cli::try_parse_from(["riposte", "duel"].into_iter().map(str::to_owned).chain(words.clone()))
        .map_err(|error| refused(&error))?;
    let Some(Command::Duel(args)) = cli.command else { unreachable!("the command is `duel`") };
    let watch = Watch::default();
    wait(py, &None, &watch, || {
        memory::keep_freed_memory();
        let mut screen = Screen::silent(watch.interrupt.clone());
        let fought = fight(args, words, model.map(|model| &model.session), &mut screen)?;
        Ok((serde_json::to_string(&fought.facts(true))?, fought.html()?))
    })
}

/// A caller who waits.
struct Watching<'a>(&'a Watch);

impl Audience for Watching<'_> {
    fn loading(&self) -> Interrupt {
        self.0.interrupt.clone()
    }

    fn interrupt(&self) -> anyhow::Result<Interrupt> {
        Ok(self.0.interrupt.clone())
    }

    fn begin(&self, _: &Interrupt, done: usize, images: usize) {
        self.0.expect(images);
        self.0.reach(done);
    }

    fn see(&self, records: &[Record]) {
        self.0.reach(records.len());
    }

    fn end(&self, _: &Interrupt, _: &[Record], _: bool) {}
}

/// Some images of a dataset as gray levels, their size (channels, height, width) and labels; and what a user should know of the files.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "a tuple of Python's")]
pub fn dataset<'py>(
    py: Python<'py>,
    name: &str,
    split: &str,
    first: usize,
    images: Option<usize>,
    data: Option<PathBuf>,
) -> PyResult<(Bound<'py, PyBytes>, [usize; 3], Bound<'py, PyBytes>, Vec<String>)> {
    let named = || Ok((DatasetId::named(name)?, Split::named(split)?));
    let (name, split) = named().map_err(|error: riposte::spec::Error| exception(error.into()))?;
    let watch = Watch::default();
    let (chosen, notes) = wait(py, &None, &watch, || {
        let end = images.map(|images| first.saturating_add(images));
        let stop = || watch.interrupt.is_over();
        let (dataset, notes) = riposte_cli::dataset::look(name, split, end, data.as_deref(), stop)?;
        let (end, all) = (end.unwrap_or(dataset.len()), dataset.len());
        anyhow::ensure!(
            first < all && end <= all,
            "there are {all} {split} images of {name} here: those from number {first} to {} are more",
            end.saturating_sub(1)
        );
        Ok(((dataset, first..end), notes))
    })?;
    let (dataset, range) = chosen;
    let images = dataset.images();
    let pixels = &images.pixels()[range.start * images.image_len()..range.end * images.image_len()];
    let size = [images.channels(), images.height(), images.width()];
    Ok((PyBytes::new(py, pixels), size, PyBytes::new(py, &dataset.labels()[range]), notes))
}

/// The devices of this machine: what `device` takes, kind and name; the one that `auto` takes comes first.
#[pyfunction]
pub fn devices(py: Python<'_>) -> PyResult<Vec<(String, String, String)>> {
    wait(py, &None, &Watch::default(), || {
        let auto = device::automatic().id;
        let mut all: Vec<_> = device::all().iter().map(|found| found.recorded()).collect();
        all.sort_by_key(|found| found.id != auto);
        Ok(all.into_iter().map(|found| (found.id, found.kind, found.name)).collect())
    })
}

/// The cards of the models that come along, as JSON.
#[pyfunction]
pub fn models() -> PyResult<Vec<String>> {
    zoo::cards().iter().map(serde_json::to_string).collect::<Result<_, _>>().map_err(|error| exception(error.into()))
}

/// The presets: name, the datasets that it suits, what it is.
#[pyfunction]
pub fn presets() -> Vec<(&'static str, Vec<&'static str>, &'static str)> {
    let suits = |preset: PresetName| preset.datasets().iter().map(|dataset| dataset.name()).collect();
    PresetName::ALL.iter().map(|preset| (preset.name(), suits(*preset), preset.about())).collect()
}

/// Every setting: what it is about, its name, what it means, and what its values are: a word for the kind, and the words that it takes.
#[pyfunction]
pub fn settings() -> Vec<(&'static str, &'static str, &'static str, &'static str, Vec<&'static str>)> {
    let of = |kind: Kind| match kind {
        Kind::Words(words) => ("word", words.iter().map(|word| word.name).collect()),
        Kind::Pixels => ("pixels", Vec::new()),
        Kind::Rate | Kind::Share | Kind::Part | Kind::Size => ("number", Vec::new()),
        Kind::Count { .. } => ("count", Vec::new()),
        Kind::Class => ("class", Vec::new()),
    };
    let row = |key: &'static riposte::spec::keys::Key| {
        let (kind, words) = of(key.kind());
        (setup::word(key.heading), key.name, key.help, kind, words)
    };
    KEYS.iter().map(row).collect()
}
