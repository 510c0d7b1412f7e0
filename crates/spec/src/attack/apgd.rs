//! Auto-PGD in the L-infinity ball (Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
//! parameter-free attacks").

use serde::{Deserialize, Serialize};

use super::{Loss, check_radius, check_restarts};
use crate::Result;

/// Settings of an Auto-PGD: gradient ascent with momentum whose step size follows from its own progress.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apgd {
    /// Radius of the ball, in pixel units (`[0, 1]`).
    pub epsilon: f32,
    /// Gradient steps of a run.
    pub steps: usize,
    /// Independent random starts, 1 to 256; an image that one of them fools is left alone.
    pub restarts: usize,
    /// What the attack ascends.
    pub loss: Loss,
    /// How many classes it leads to, a run each, from the likeliest wrong class of the clean image on, up to 255; 0: away from the
    /// label, wherever that leads.
    pub targets: usize,
}

impl Apgd {
    /// The first attack of the standard ensemble, at MNIST's usual radius.
    pub const STANDARD: Self = Self { epsilon: 0.3, steps: 100, restarts: 1, loss: Loss::CrossEntropy, targets: 0 };
    /// The second one, APGD-T: the targeted DLR loss, nine targets.
    pub const STANDARD_TARGETED: Self = Self { loss: Loss::Dlr, targets: 9, ..Self::STANDARD };

    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        check_radius(self.epsilon)?;
        check_restarts(self.restarts)?;
        if self.targets > 255 {
            return crate::error::refused(format!("targets must be at most 255, not {}", self.targets));
        }
        Ok(())
    }
}
