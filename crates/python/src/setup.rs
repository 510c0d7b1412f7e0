//! Settings over a preset.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use riposte::spec::Choice;
use riposte::spec::dataset::DatasetId;
use riposte::spec::keys::{Heading, Key};
use riposte::spec::preset::PresetName;
use riposte::spec::setup::Setup as Settings;
use riposte_cli::args::SettingFlags;
use riposte_cli::settings;

use crate::errors::exception;

/// An attack and a defense.
#[pyclass(frozen, module = "riposte._riposte")]
pub struct Setup {
    pub settings: Settings,
    pub preset: PresetName,
    /// What was said over the preset.
    pub flags: SettingFlags,
}

/// Settings of a preset, or of the dataset's, with `given` over it, all of which are about `about`.
pub fn resolve(dataset: DatasetId, preset: Option<&str>, about: &str, given: &[(String, String)]) -> PyResult<Setup> {
    let preset = preset.map(PresetName::named).transpose().map_err(|error| exception(error.into()))?;
    let pairs = || given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, _) in pairs() {
        if let Some(key) = Key::named(name).filter(|key| word(key.heading) != about) {
            let (name, place) = (key.name.replace('-', "_"), place(key.heading));
            return Err(PyValueError::new_err(format!("`{name}` is a setting of {place}")));
        }
    }
    let flags = SettingFlags::of(pairs()).map_err(|error| exception(error.into()))?;
    let settings = settings::of(preset, dataset, pairs()).map_err(exception)?;
    Ok(Setup { settings, preset: preset.unwrap_or(dataset.recommended()), flags })
}

#[pymethods]
impl Setup {
    /// What is allowed and hardly meant, in sentences.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.settings.warnings()
    }

    /// As results files have it.
    fn json(&self) -> PyResult<String> {
        serde_json::to_string(&self.settings).map_err(|error| exception(error.into()))
    }
}

/// A heading in the words of this module's arguments.
pub fn word(heading: Heading) -> &'static str {
    match heading {
        Heading::Attack => "attack",
        Heading::Riposte => "riposte",
        Heading::Counter => "counter",
    }
}

fn place(heading: Heading) -> &'static str {
    match heading {
        Heading::Attack => "an attack: `Model.attack` takes it",
        Heading::Riposte => "a defense: `Model.riposte` takes it",
        Heading::Counter => "an attack on a defense: `riposte.evaluate` takes it",
    }
}
