use riposte_spec::post_train::PostTrain;
use riposte_spec::setup::Setup;
use serde::{Deserialize, Serialize};

use crate::{DatasetEntry, ModelEntry, Picture, Plane};

/// Chosen by the page, never used twice in the life of a worker.
pub type RunId = u32;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Choose the device. Sent once, first.
    Start { device: DevicePreference },
    /// Load a model and its images. Asset paths are resolved against `base`. `fresh`: pass over caches.
    Open { run: RunId, base: String, dataset: DatasetEntry, model: Box<ModelEntry>, fresh: bool },
    /// Test images of an open model's dataset: `count` of each class, from the `skip`-th on.
    Gallery { run: RunId, model: String, skip: usize, count: usize },
    /// One test image, by its number in the official set; the first one at hand where none is named.
    TestImage { run: RunId, model: String, number: Option<u32> },
    /// The test images that follow this number in the order of the set; the first ones where none is named.
    NextImages { run: RunId, model: String, after: Option<u32>, count: usize },
    /// Acts 1 and 2 at once, of which nothing is told but how they end. `label` is what the image shows.
    Duel { run: RunId, model: String, input: Input, label: usize, setup: Setup },
    /// What the static classifier says of an image.
    Classify { run: RunId, model: String, image: Picture },
    /// Act 1, the attack of `setup`. `class` is the class to leave: the true one, or what the static classifier says of the untouched image.
    Attack { run: RunId, model: String, input: Input, class: usize, setup: Setup },
    /// Act 2, on the image as it arrives, whatever was done to it. The engine keeps the adapted copy under the run's id.
    Riposte { run: RunId, model: String, input: Input, settings: PostTrain },
    /// Act 3: the attack on the defense, both of `setup`, from the untouched image. `attacked` is what act 1 made of that.
    Counter { run: RunId, model: String, input: Input, label: usize, attacked: Picture, setup: Setup },
    /// How long post-training takes on this device.
    Time { run: RunId, model: String },
    /// What the static model and the copy that a riposte adapted say at the points of a plane, `size` by `size` of them.
    Slice { run: RunId, model: String, adapted: RunId, plane: Box<Plane>, size: usize },
    /// Drop the adapted copy of a run.
    Forget { adapted: RunId },
    /// Stop a run. It answers `Cancelled` within one step.
    Cancel { run: RunId },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DevicePreference {
    /// WebGPU where there is a real one, else the CPU.
    #[default]
    Auto,
    WebGpu,
    Cpu,
}

/// An image with all that its random draws depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    pub image: Picture,
    pub seed: u32,
    /// Its number in the test set; 0 for an image that is in none.
    pub number: u32,
}
