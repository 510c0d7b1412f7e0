//! What `riposte bench table5` writes: JSON Lines, a header, then one [`Timing`] for each input of each row.

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::dataset::DatasetId;

/// What a header says the file is.
pub const FORMAT: &str = "riposte speed 1";

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`FORMAT`].
    pub format: String,
    /// The program's version.
    pub version: String,
    /// What the weights belong to.
    pub architecture: Architecture,
    /// SHA-256 of the weights file, in lower-case hexadecimal.
    pub weights_sha256: String,
    /// Whose test images.
    pub dataset: DatasetId,
    /// As the hardware names itself.
    pub device: String,
    /// Threads on the CPU.
    pub threads: usize,
}

/// The time of one answer, from the image to the class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// `base`, or the key of a row of [`crate::bench::ROWS`].
    pub row: String,
    /// Number in the test set.
    pub input: u64,
    /// Whether a neighbor was found, so that the model adapted.
    pub adapted: bool,
    /// Wall-clock time, alone on the device.
    pub seconds: f64,
}

/// Mean and median of some times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// How many.
    pub inputs: usize,
    /// Seconds.
    pub mean: f64,
    /// Seconds.
    pub median: f64,
}

impl Times {
    /// Of the timings of one row that `counts` takes; `None` for none.
    pub fn of(timings: &[Timing], row: &str, counts: impl Fn(&Timing) -> bool) -> Option<Self> {
        let of_row = timings.iter().filter(|timing| timing.row == row && counts(timing));
        let mut seconds: Vec<f64> = of_row.map(|timing| timing.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        Some(Self { inputs: seconds.len(), mean, median: *seconds.get(seconds.len() / 2)? })
    }
}
