//! The attacks of Carlini & Wagner 2017 ("Towards evaluating the robustness of neural networks").

use serde::{Deserialize, Serialize};

use super::Norm;
use crate::Result;
use crate::error::refused;

/// Settings of a Carlini-Wagner attack: it minimizes the perturbation and a penalty for the right class together. It does not draw,
/// and knows no radius.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cw {
    /// What is minimized: L2 by a search over the constant, L-infinity by a bound that falls.
    pub norm: Norm,
    /// Values of the constant tried for an image (L2), or of the constant and the bound together (L-infinity); at least 1.
    pub rounds: usize,
    /// Steps of Adam in a round, at least 1.
    pub steps: usize,
    /// Adam's, above 0.
    pub learning_rate: f32,
    /// The first value of c, the weight of the penalty, above 0.
    pub constant: f32,
    /// κ: by how much another logit should exceed the label's, at least 0.
    pub confidence: f32,
}

impl Cw {
    /// The authors' L2 attack.
    pub const L2: Self = Self { norm: Norm::L2, rounds: 9, steps: 10_000, learning_rate: 1e-2, constant: 1e-3, confidence: 0.0 };
    /// The authors' L-infinity attack. In 75 rounds the constant can reach its last value and the bound 1/256.
    pub const L_INFINITY: Self =
        Self { norm: Norm::LInfinity, rounds: 75, steps: 1000, learning_rate: 5e-3, constant: 1e-5, confidence: 0.0 };

    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self) -> Result<()> {
        let positive = [("the learning rate", self.learning_rate), ("the constant", self.constant)];
        if let Some((what, value)) = positive.into_iter().find(|(_, value)| !(*value > 0.0 && value.is_finite())) {
            return refused(format!("{what} of `attack` cw must be above 0, not {value}"));
        }
        if !(self.confidence >= 0.0 && self.confidence.is_finite()) {
            return refused(format!("the confidence must be at least 0, not {}", self.confidence));
        }
        if self.steps == 0 || self.rounds == 0 {
            return refused("`attack` cw needs at least one round of one step");
        }
        Ok(())
    }
}
