//! What is known of one input: one line of a results file.

use serde::{Deserialize, Serialize};

use crate::attack::AttackKind;
use crate::counter::Countered;
use crate::doubt::Doubt;
use crate::outcome::Outcome;

/// What is known of one input. Fields that were not computed are `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Number in the test set.
    pub input: u64,
    /// The ground truth.
    pub label: usize,
    /// The base model's class of the natural image.
    pub natural: usize,
    /// The base model's class of the attacked image.
    pub attacked: Option<usize>,
    /// Largest absolute change that the attack made to a pixel.
    pub perturbation: Option<f32>,
    /// Euclidean length of the whole change, in pixel units, by an attack whose norm is L2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<f32>,
    /// Which of the strong attacks fooled the base model; `None` if none did, and for PGD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fooled_by: Option<AttackKind>,
    /// What makes a strong attack's verdict on this image doubtful.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
    /// Whether a logit was not a number, of the base model or of the adapted one.
    pub nan: bool,
    /// The defense on the natural image.
    pub riposte_natural: Option<Defended>,
    /// The defense on the attacked image.
    pub riposte_attacked: Option<Defended>,
    /// The attacks on the defense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<Countered>,
}

/// What the defense did with an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defended {
    /// y': the class that the base model gives the input.
    pub original: usize,
    /// y'': the neighbor class; equal to y' where there is none.
    #[serde(alias = "neighbour")]
    pub neighbor: usize,
    /// The answer of the adapted model, or the base model's where nothing adapted.
    pub answer: usize,
    /// Whether nothing adapted although there is a neighbor: y' was ahead of it ([`Exit::Ahead`](crate::post_train::Exit::Ahead)).
    #[serde(default, skip_serializing_if = "is_false")]
    pub ahead: bool,
}

impl Defended {
    /// Whether a copy adapted, and answered.
    pub fn adapted(&self) -> bool {
        self.original != self.neighbor && !self.ahead
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Record {
    /// Of an input of which no more is known than what the base model says of the natural image.
    pub fn of_input(input: u64, label: usize, natural: usize) -> Self {
        Self {
            input,
            label,
            natural,
            attacked: None,
            perturbation: None,
            distance: None,
            fooled_by: None,
            doubts: Vec::new(),
            nan: false,
            riposte_natural: None,
            riposte_attacked: None,
            counter: None,
        }
    }

    /// How the duel over the attacked image ended; `None` without an attack or without a defense.
    pub fn outcome(&self) -> Option<Outcome> {
        let Defended { original, neighbor, answer, .. } = self.riposte_attacked?;
        Some(Outcome::of(self.label, original, neighbor, answer))
    }
}
