//! Defenses and their answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::ensure;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;
use riposte::attack::Quantize;
use riposte::bank::{BankUse, Pick};
use riposte::data::pool::ClassPools;
use riposte::data::{Dataset, Images};
use riposte::spec::Choice;
use riposte::spec::class::{argmax, softmax};
use riposte::spec::dataset::{DatasetId, Split};
use riposte::spec::duel::{Duel, Opinion};
use riposte::spec::post_train::PostTrain;
use riposte_cli::bank::Folder;
use riposte_cli::dataset;
use riposte_cli::session::{self, Copies, Defending, Numbers, Pictures, Session, Watch};

use crate::bytes::{array, floats};
use crate::errors::exception;
use crate::model::Model;
use crate::setup::Setup;
use crate::wait::{Bar, wait};

/// A model that adapts to each input before it answers.
#[pyclass(frozen, module = "riposte._riposte")]
pub struct Defense {
    defending: Defending,
    /// The bank whose copies answer.
    bank: Option<BankUse>,
}

/// The answer to an image.
#[pyclass(frozen, module = "riposte._riposte")]
pub struct Answered {
    answered: session::Answered,
}

impl Defense {
    /// One that draws training samples of a dataset; and what a user should know of its files.
    pub fn adapting(
        py: Python<'_>,
        session: &Session,
        setup: &Setup,
        name: DatasetId,
        data: Option<PathBuf>,
        post_samples: Option<usize>,
    ) -> PyResult<(Self, Vec<String>)> {
        let settings = settings(setup)?;
        let watch = Watch::default();
        let (pools, notes) = wait(py, &None, &watch, || {
            let stop = || watch.interrupt.is_over();
            let (samples, notes) = dataset::look(name, Split::Train, post_samples, data.as_deref(), stop)?;
            dataset::check_shape(&samples, session.source.architecture)?;
            let (asked, found) = (post_samples.unwrap_or(0), samples.len());
            ensure!(asked <= found, "`post_samples` {asked} are more than the {found} training samples of {name}");
            Ok((ClassPools::new(samples), notes))
        })?;
        Ok((Self::of(session, settings, Copies::Pools(pools)), notes))
    }

    /// One with copies that were made beforehand.
    pub fn banked(py: Python<'_>, session: &Session, setup: &Setup, folder: &Path, pick: &str) -> PyResult<Self> {
        let pick = Pick::named(pick).map_err(|error| exception(error.into()))?;
        let (settings, bank, used) = wait(py, &None, &Watch::default(), || {
            let folder = Folder::open(folder)?;
            let setup = folder.setup(setup.settings, &setup.flags)?;
            Ok((setup.riposte, folder.load(&session.source, &session.model)?, folder.used(pick)?))
        })?;
        let settings = settings.ok_or_else(without)?;
        Ok(Self { bank: Some(used), ..Self::of(session, settings, Copies::Bank(bank, pick)) })
    }

    /// One that draws from these samples, gray levels `[image, channel, height, width]`.
    pub fn on(session: &Session, setup: &Setup, samples: &[u8], labels: Vec<u8>) -> PyResult<Self> {
        let make = || -> anyhow::Result<Dataset> {
            let [channels, height, width] = session.source.architecture.image_shape();
            Ok(Dataset::new(Images::new(samples.to_vec(), channels, height, width)?, labels, session.classes())?)
        };
        let samples = make().map_err(exception)?;
        Ok(Self::of(session, settings(setup)?, Copies::Pools(ClassPools::new(samples))))
    }

    fn of(session: &Session, settings: PostTrain, copies: Copies) -> Self {
        Self { defending: Defending { session: session.clone(), settings, copies: Arc::new(copies) }, bank: None }
    }

    fn pictures<'a>(&self, pixels: &'a [f32]) -> anyhow::Result<Pictures<'a>> {
        Pictures::new(pixels, self.defending.session.source.architecture.image_shape())
    }
}

fn settings(setup: &Setup) -> PyResult<PostTrain> {
    setup.settings.riposte.ok_or_else(without)
}

fn without() -> PyErr {
    PyValueError::new_err("`riposte` is none, which is the model itself")
}

#[pymethods]
impl Defense {
    /// How it searches and adapts, as results files have it.
    #[getter]
    fn settings(&self) -> PyResult<String> {
        serde_json::to_string(&self.defending.settings).map_err(|error| exception(error.into()))
    }

    /// Logits.
    fn logits<'py>(&self, py: Python<'py>, images: &[u8], seed: u64, first: u64, bar: Bar) -> PyResult<Bound<'py, PyByteArray>> {
        let watch = Watch::default();
        let logits = wait(py, &bar, &watch, || {
            let pixels = floats(images);
            self.defending.logits(self.pictures(&pixels)?, Numbers { seed, first }, &watch)
        })?;
        array(py, &logits)
    }

    /// The answer to one image.
    fn answer(&self, py: Python<'_>, image: &[u8], seed: u64, first: u64, bar: Bar) -> PyResult<Answered> {
        let watch = Watch::default();
        let answered = wait(py, &bar, &watch, || {
            let pixels = floats(image);
            self.defending.answer(self.pictures(&pixels)?, Numbers { seed, first }, &watch)
        })?;
        Ok(Answered { answered })
    }

    /// The answer in the words of the page and of `riposte duel --json`. The image is in no test set, and nobody knows what attacked it.
    fn record(&self, answered: &Answered, setup: &Setup, seed: u64, label: Option<usize>) -> PyResult<String> {
        let answered = &answered.answered;
        let Defending { session, settings, .. } = &self.defending;
        let dataset = session.source.dataset();
        let opinion = |logits: &[f32]| Some(Opinion { class: argmax(logits), probabilities: softmax(logits) });
        let record = Duel {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            date: None,
            device: Some(session.machine.device.recorded()),
            command: None,
            link: None,
            dataset,
            classes: dataset.classes().iter().map(|name| (*name).to_owned()).collect(),
            index: None,
            label,
            model: session.source.name.clone(),
            weights_sha256: session.source.sha256.clone(),
            preset: setup.preset,
            seed,
            attack: setup.preset.preset().attack,
            target: None,
            quantize: Quantize::None,
            riposte: *settings,
            post_samples: None,
            bank: self.bank.clone(),
            outcome: None,
            natural: opinion(&answered.base_logits),
            attacked: None,
            perturbation: None,
            fooled_after: None,
            original: Some(answered.original),
            neighbor: Some(answered.neighbor),
            riposted: Some(answered.adapted.is_some()),
            answer: opinion(&answered.logits),
            race: answered.watched.race.clone(),
            losses: answered.watched.losses.clone(),
            counter: None,
            seconds: answered.seconds,
        };
        serde_json::to_string(&record).map_err(|error| exception(error.into()))
    }
}

#[pymethods]
impl Answered {
    #[getter]
    fn logits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        array(py, &self.answered.logits)
    }

    #[getter]
    fn base_logits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        array(py, &self.answered.base_logits)
    }

    #[getter]
    fn original(&self) -> usize {
        self.answered.original
    }

    #[getter]
    fn neighbor(&self) -> usize {
        self.answered.neighbor
    }

    #[getter]
    fn neighbor_image<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        array(py, &self.answered.neighbor_pixels)
    }

    #[getter]
    fn race<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        array(py, self.answered.watched.race.concat().as_slice())
    }

    #[getter]
    fn losses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        array(py, &self.answered.watched.losses)
    }

    #[getter]
    fn samples(&self) -> Vec<usize> {
        self.answered.watched.samples.clone()
    }

    #[getter]
    fn adapted(&self) -> Option<Model> {
        self.answered.adapted.clone().map(|session| Model { session })
    }

    #[getter]
    fn seconds(&self) -> f64 {
        self.answered.seconds
    }
}
