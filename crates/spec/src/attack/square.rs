//! The Square attack in the L-infinity ball (Andriushchenko et al. 2020, "Square attack: a query-efficient black-box adversarial
//! attack via random search").

use serde::{Deserialize, Serialize};

use super::{check_radius, check_restarts};
use crate::Result;
use crate::choice::choices;
use crate::error::refused;

/// Settings of a Square attack: it asks for logits alone, so that no gradient can mislead it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Square {
    /// Radius of the ball, in pixel units (`[0, 1]`).
    pub epsilon: f32,
    /// Windows tried in a run, a query each, besides the one query for the start; at least 1.
    pub queries: usize,
    /// p: share of the image that the first windows take, above 0 and up to 1.
    pub share: f32,
    /// How that share falls.
    pub schedule: Schedule,
    /// What a window is filled with.
    pub colors: Colors,
    /// Independent runs, 1 to 256; an image that one of them fools is left alone.
    pub restarts: usize,
}

choices! {
    /// How the share of the image that a window takes falls.
    pub enum Schedule: "schedule" {
        /// After so many queries as in a run of 10,000, as AutoAttack does: a shorter run ends with larger windows
        Absolute = "absolute",
        /// After the same parts of a run of any length, as the authors of the attack do
        Relative = "relative",
    }
}

choices! {
    /// What a window is filled with.
    pub enum Colors: "colors" {
        /// A random sign for each channel, as AutoAttack does: a small window often has it already, and a query is lost
        Random = "random",
        /// The opposite signs where the window would stay as it is
        Changing = "changing",
    }
}

impl Square {
    /// The fourth attack of the standard ensemble, at MNIST's usual radius.
    pub const STANDARD: Self =
        Self { epsilon: 0.3, queries: 5000, share: 0.8, schedule: Schedule::Absolute, colors: Colors::Random, restarts: 1 };

    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        check_radius(self.epsilon)?;
        check_restarts(self.restarts)?;
        if self.queries == 0 {
            return refused("queries must be at least 1");
        }
        if !(self.share > 0.0 && self.share <= 1.0) {
            return refused(format!("the share of the first windows must be above 0 and up to 1, not {}", self.share));
        }
        Ok(())
    }
}
