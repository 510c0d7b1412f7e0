//! Where models come from: those that come along, files, pickles.

use std::sync::Arc;

use clap::Parser;
use pyo3::prelude::*;
use riposte::models::{Architecture, ModelCard};
use riposte::spec::normalization::Reading;
use riposte::weights::StateDict;
use riposte_cli::args::{Cli, Command};
use riposte_cli::device::{self, Found};
use riposte_cli::memory;
use riposte_cli::models::Source;
use riposte_cli::session::{Machine, Session, Watch};
use serde::{Deserialize, Serialize};

use crate::errors::{exception, refused};
use crate::model::Model;
use crate::wait::wait;

/// The model that `words` ask for, flags of the command line; and what a user should know of its file.
#[pyfunction]
pub fn load(py: Python<'_>, words: Vec<String>) -> PyResult<(Model, Vec<String>)> {
    let cli =
        Cli::try_parse_from(["riposte", "eval"].into_iter().map(str::to_owned).chain(words)).map_err(|error| refused(&error))?;
    let Some(Command::Eval(args)) = cli.command else { unreachable!("the command is `eval`") };
    wait(py, &None, &Watch::default(), || {
        memory::keep_freed_memory();
        let source = Source::look(&args.model, args.data.dataset)?;
        let machine = Machine::new(found(args.device.device)?, args.device.threads)?;
        let model = source.load(&machine.device.device)?;
        let notes = source.notes.clone();
        let session = Session { source: Arc::new(source), model, machine: Arc::new(machine), adapted: false };
        Ok((Model { session }, notes))
    })
}

/// The device asked for, in silence.
fn found(choice: device::Choice) -> anyhow::Result<Found> {
    if choice == device::Choice::Auto { Ok(device::automatic()) } else { device::open(choice) }
}

/// What a model is, beside its weights.
#[derive(Serialize, Deserialize)]
struct Origin {
    architecture: Architecture,
    sha256: String,
    reading: Reading,
    card: Option<ModelCard>,
    name: String,
    flags: String,
    adapted: bool,
    device: String,
    threads: usize,
}

/// What the model of a session is, for a pickle: JSON that [`unpickle`] reads.
pub fn origin(session: &Session) -> PyResult<String> {
    let Session { source, machine, adapted, .. } = session;
    let Source { architecture, sha256, reading, card, name, flags, .. } = (**source).clone();
    let (device, threads) = (machine.device.id.clone(), machine.threads);
    let origin = Origin { architecture, sha256, reading, card, name, flags, adapted: *adapted, device, threads };
    serde_json::to_string(&origin).map_err(|error| exception(error.into()))
}

/// The model of a pickle.
#[pyfunction]
pub fn unpickle(py: Python<'_>, origin: &str, weights: &[u8]) -> PyResult<Model> {
    let origin: Origin = serde_json::from_str(origin).map_err(|error| exception(error.into()))?;
    wait(py, &None, &Watch::default(), || {
        memory::keep_freed_memory();
        let Origin { architecture, sha256, reading, card, name, flags, adapted, device, threads } = origin;
        let device = device.parse().map_err(anyhow::Error::msg)?;
        let machine = Machine::new(found(device)?, Some(threads))?;
        let weights = StateDict::from_safetensors(weights)?;
        let source = Source { architecture, weights, sha256, reading, card, name, flags, notes: Vec::new() };
        let model = source.load(&machine.device.device)?;
        Ok(Model { session: Session { source: Arc::new(source), model, machine: Arc::new(machine), adapted } })
    })
}
