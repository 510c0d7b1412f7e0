//! The fast adaptive boundary attack, targeted, in the L-infinity norm (Croce & Hein 2020, "Minimally distorted adversarial examples
//! with a fast adaptive boundary attack").

use serde::{Deserialize, Serialize};

use super::check_radius;
use crate::Result;
use crate::error::refused;

/// Settings of FAB-T: it looks for the nearest point that is given another class. It does not draw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fab {
    /// Points within this distance count, in pixel units (`[0, 1]`); the search itself knows no radius.
    pub epsilon: f32,
    /// Steps of a run.
    pub steps: usize,
    /// How many classes it leads to, a run each, from the likeliest wrong class of the clean image on; at least 1.
    pub targets: usize,
}

impl Fab {
    /// The third attack of the standard ensemble, at MNIST's usual radius.
    pub const STANDARD: Self = Self { epsilon: 0.3, steps: 100, targets: 9 };

    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        check_radius(self.epsilon)?;
        if self.steps == 0 || self.targets == 0 {
            return refused("`attack` fab-t needs at least one step and one target");
        }
        Ok(())
    }
}
