//! Models: asking them, attacking them, defending them.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use riposte::attack::{Goal, Loss};
use riposte::models::Model as Network;
use riposte::spec::Choice;
use riposte::spec::dataset::DatasetId;
use riposte::weights::Precision;
use riposte_cli::session::{Numbers, Pictures, Session, Watch};

use crate::bytes::{array, floats};
use crate::defense::Defense;
use crate::errors::exception;
use crate::loading;
use crate::setup::{self, Setup};
use crate::wait::{Bar, wait};

type Array<'py> = Bound<'py, PyByteArray>;

/// A model on a device.
#[pyclass(frozen, module = "riposte._riposte")]
pub struct Model {
    pub session: Session,
}

#[pymethods]
impl Model {
    #[getter]
    fn name(&self) -> &str {
        &self.session.source.name
    }

    #[getter]
    fn architecture(&self) -> String {
        self.session.source.architecture.to_string()
    }

    /// What it computes beside its weights, in words.
    #[getter]
    fn computation(&self) -> String {
        self.session.source.computation()
    }

    #[getter]
    fn dataset(&self) -> &'static str {
        self.session.source.dataset().name()
    }

    #[getter]
    fn classes(&self) -> Vec<&'static str> {
        self.session.source.dataset().classes().to_vec()
    }

    #[getter]
    fn shape(&self) -> [usize; 3] {
        self.session.source.architecture.image_shape()
    }

    #[getter]
    fn device(&self) -> (&str, &str) {
        (&self.session.machine.device.id, &self.session.machine.device.name)
    }

    #[getter]
    fn threads(&self) -> usize {
        self.session.machine.threads
    }

    #[getter]
    fn adapted(&self) -> bool {
        self.session.adapted
    }

    /// Of its weights file, hexadecimal.
    #[getter]
    fn sha256(&self) -> &str {
        &self.session.source.sha256
    }

    #[getter]
    fn card(&self) -> PyResult<Option<String>> {
        let json = self.session.source.card.as_ref().map(serde_json::to_string);
        json.transpose().map_err(|error| exception(error.into()))
    }

    /// The parts of a pickle: what it is, and its weights as safetensors.
    fn pickled<'py>(&self, py: Python<'py>) -> PyResult<(String, Bound<'py, PyBytes>)> {
        Ok((loading::origin(&self.session)?, PyBytes::new(py, &self.weights(py)?)))
    }

    /// Settings about `about` over a preset.
    fn setup(&self, preset: Option<&str>, about: &str, given: Vec<(String, String)>) -> PyResult<Setup> {
        setup::resolve(self.session.source.dataset(), preset, about, &given)
    }

    /// Logits.
    fn logits<'py>(&self, py: Python<'py>, images: &[u8], bar: Bar) -> PyResult<Array<'py>> {
        let watch = Watch::default();
        let logits = wait(py, &bar, &watch, || self.session.logits(self.pictures(&floats(images))?, &watch))?;
        array(py, &logits)
    }

    /// Gradients with respect to the images: away from the classes, or to them.
    fn input_gradient<'py>(
        &self,
        py: Python<'py>,
        images: &[u8],
        classes: Vec<usize>,
        targeted: bool,
        loss: &str,
        bar: Bar,
    ) -> PyResult<Array<'py>> {
        let loss = Loss::named(loss).map_err(|error| exception(error.into()))?;
        let watch = Watch::default();
        let gradient = wait(py, &bar, &watch, || {
            let pixels = floats(images);
            let images = self.pictures(&pixels)?;
            self.check(&classes, images)?;
            let goal = if targeted { Goal::Targeted { targets: classes } } else { Goal::Untargeted { labels: classes } };
            self.session.input_gradient(images, &goal, loss, &watch)
        })?;
        array(py, &gradient)
    }

    /// Products of vectors and the Jacobians of the logits.
    fn vjp<'py>(&self, py: Python<'py>, images: &[u8], vectors: &[u8], bar: Bar) -> PyResult<Array<'py>> {
        let watch = Watch::default();
        let products = wait(py, &bar, &watch, || {
            let (pixels, vectors) = (floats(images), floats(vectors));
            let images = self.pictures(&pixels)?;
            let expected = images.count() * self.session.classes();
            anyhow::ensure!(
                vectors.len() == expected,
                "{} images need as many vectors of {} numbers",
                images.count(),
                self.session.classes()
            );
            self.session.vector_jacobian(images, &vectors, &watch)
        })?;
        array(py, &products)
    }

    /// Attacked images, the logits there, and of each image which attack of an ensemble fooled the model and what makes that doubtful.
    #[expect(clippy::too_many_arguments, reason = "the package beside this crate has their names and defaults")]
    #[expect(clippy::type_complexity, reason = "a tuple of Python's")]
    fn attack<'py>(
        &self,
        py: Python<'py>,
        setup: &Setup,
        images: &[u8],
        labels: Vec<usize>,
        seed: u64,
        first: u64,
        batch: Option<usize>,
        bar: Bar,
    ) -> PyResult<(Array<'py>, Array<'py>, Vec<(Option<&'static str>, Vec<&'static str>)>)> {
        let watch = Watch::default();
        let attacked = wait(py, &bar, &watch, || {
            let pixels = floats(images);
            let images = self.pictures(&pixels)?;
            self.check(&labels, images)?;
            let batch = batch.unwrap_or(self.session.usual_batch());
            anyhow::ensure!(batch > 0, "`batch` is the number of images attacked at once, at least 1");
            self.session.attack(&setup.settings, images, &labels, Numbers { seed, first }, batch, &watch)
        })?;
        let fates = attacked.fates.iter().map(|fate| {
            let doubts = fate.doubts.iter().map(|doubt| doubt.name()).collect();
            (fate.fooled_by.map(|kind| kind.name()), doubts)
        });
        Ok((array(py, &attacked.pixels)?, array(py, &attacked.logits)?, fates.collect()))
    }

    /// Original classes, neighbor classes, x'', logits on the images and there.
    #[expect(clippy::type_complexity, reason = "a tuple of Python's")]
    fn neighbors<'py>(
        &self,
        py: Python<'py>,
        setup: &Setup,
        images: &[u8],
        seed: u64,
        first: u64,
        bar: Bar,
    ) -> PyResult<(Vec<usize>, Vec<usize>, Array<'py>, Array<'py>, Array<'py>)> {
        let Some(riposte) = setup.settings.riposte else {
            return Err(PyValueError::new_err("`riposte` is none, and what searches a neighbor is a riposte"));
        };
        let watch = Watch::default();
        let found = wait(py, &bar, &watch, || {
            self.session.neighbors(riposte.search, self.pictures(&floats(images))?, Numbers { seed, first }, &watch)
        })?;
        let arrays = [&found.pixels, &found.logits, &found.neighbor_logits].map(|values| array(py, values));
        let [pixels, logits, neighbor_logits] = arrays;
        Ok((found.original, found.neighbor, pixels?, logits?, neighbor_logits?))
    }

    /// A defense that draws training samples of `dataset` in the files of `data`, or has the copies in the folder `bank`; and what a
    /// user should know of the files.
    #[expect(clippy::too_many_arguments, reason = "the package beside this crate has their names and defaults")]
    fn riposte(
        &self,
        py: Python<'_>,
        setup: &Setup,
        dataset: Option<&str>,
        data: Option<std::path::PathBuf>,
        post_samples: Option<usize>,
        bank: Option<std::path::PathBuf>,
        bank_copy: &str,
    ) -> PyResult<(Defense, Vec<String>)> {
        let dataset =
            dataset.map_or(Ok(self.session.source.dataset()), DatasetId::named).map_err(|error| exception(error.into()))?;
        match bank {
            Some(bank) => Ok((Defense::banked(py, &self.session, setup, &bank, bank_copy)?, Vec::new())),
            None => Defense::adapting(py, &self.session, setup, dataset, data, post_samples),
        }
    }

    /// A defense that draws from these samples: `[image, channel, height, width]` in gray levels, with their labels.
    fn riposte_on(&self, setup: &Setup, samples: &[u8], labels: Vec<u8>) -> PyResult<Defense> {
        Defense::on(&self.session, setup, samples, labels)
    }
}

impl Model {
    /// The weights in safetensors, at full precision.
    fn weights(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        let network: &Network = &self.session.model;
        wait(py, &None, &Watch::default(), || Ok(pollster::block_on(network.weights())?.to_safetensors(Precision::F32)))
    }

    fn pictures<'a>(&self, pixels: &'a [f32]) -> anyhow::Result<Pictures<'a>> {
        Pictures::new(pixels, self.session.source.architecture.image_shape())
    }

    /// Whether there is a class for each image.
    fn check(&self, classes: &[usize], images: Pictures) -> anyhow::Result<()> {
        let (count, all) = (images.count(), self.session.classes());
        anyhow::ensure!(classes.len() == count, "{count} images need as many labels, not {}", classes.len());
        anyhow::ensure!(classes.iter().all(|class| *class < all), "labels are the numbers of classes, 0 to {}", all - 1);
        Ok(())
    }
}
