use serde::{Deserialize, Serialize};

use crate::{AttackSettings, DatasetEntry, ModelEntry, Picture, RiposteSettings};

/// Chosen by the page, never used twice in the life of a worker.
pub type RunId = u32;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Choose the device. Sent once, first.
    Start { device: DevicePreference },
    /// Load a model and its images. Asset paths are resolved against `base`.
    Open { run: RunId, base: String, dataset: DatasetEntry, model: ModelEntry, fresh: bool },
    /// More test images: `count` of each class, from the `skip`-th on.
    Gallery { run: RunId, model: String, skip: usize, count: usize },
    /// The test image at an index of the set.
    TestImage { run: RunId, model: String, index: usize },
    /// What the static classifier says of an image.
    Classify { run: RunId, model: String, image: Picture },
    /// Act 1. `class` is the class to leave: the true one, or what the classifier says of the untouched image.
    Attack { run: RunId, model: String, image: Picture, class: usize, settings: AttackSettings, seed: u32 },
    /// Act 2, on the image as it arrives, whatever was done to it.
    Riposte { run: RunId, model: String, image: Picture, settings: RiposteSettings, seed: u32 },
    /// Act 3: attack the copy that run `adapted` made, which the engine keeps until it is forgotten.
    Counter { run: RunId, adapted: RunId, image: Picture, class: usize, settings: AttackSettings, seed: u32 },
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
