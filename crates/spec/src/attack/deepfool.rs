//! DeepFool (Moosavi-Dezfooli et al. 2016, "DeepFool: a simple and accurate method to fool deep neural networks").

use serde::{Deserialize, Serialize};

use super::Norm;
use crate::Result;
use crate::error::refused;

/// Settings of a DeepFool: step by step onto the nearest of the boundaries. It does not draw, and knows no radius.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepFool {
    /// The norm in which the nearest boundary is sought.
    pub norm: Norm,
    /// Steps at most.
    pub steps: usize,
    /// How many of the likeliest classes of the clean image are considered, its own among them: at least 2.
    pub candidates: usize,
}

impl DeepFool {
    /// The authors' settings.
    pub const STANDARD: Self = Self { norm: Norm::L2, steps: 50, candidates: 10 };

    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        if self.candidates < 2 {
            return refused(format!("`attack` deepfool needs at least 2 candidates, not {}", self.candidates));
        }
        Ok(())
    }
}
