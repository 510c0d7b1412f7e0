//! What the page and its worker say to each other.
//!
//! Plain data, shared by both sides, so that a request the engine does not know does not compile. Every run has an id chosen by
//! the page; an event about a run carries it, and events of one run arrive in order. What a run is (settings, datasets, what a
//! classifier says) is in [`riposte_spec`].

mod event;
mod manifest;
mod picture;
mod plane;
mod prepared;
mod request;

/// Training images of a dataset that the page holds: the first so many, in the dataset's own order. `riposte --post-samples` takes
/// the same ones.
pub const TRAINING_IMAGES: usize = 10_000;

/// The same of color photographs, which take four times as long to download.
pub const TRAINING_PHOTOGRAPHS: usize = 5_000;

pub use event::{DeviceKind, DeviceNotice, Event, IterationData, Notice, Sample, StepData, Verdict, Work};
pub use manifest::{Asset, DatasetEntry, Manifest, ModelEntry, Sequence, Step};
pub use picture::{Ink, Picture};
pub use plane::Plane;
pub use prepared::{Case, Odds, Prepared, Said, ends_well, name_of, percent};
pub use request::{DevicePreference, Input, Request, RunId};
