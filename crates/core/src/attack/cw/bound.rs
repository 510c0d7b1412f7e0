//! The L-infinity attack's search: a bound τ that falls below what was reached, and a constant c that doubles where it was not.

use burn::tensor::{Bool, Device, Tensor};

use super::{Cw, Seen, Verdict, choose, each};
use crate::attack::rows::{highest, total};

/// The bound begins at the whole pixel range, falls by this factor, and ends below a pixel's step.
const FALL: f32 = 0.9;
const LEAST: f32 = 1.0 / 256.0;
/// The constant is doubled up to this value.
const LARGEST: f32 = 20.0;
/// A loss below this share of the constant is a success.
const REACHED: f32 = 1e-4;

/// Where each image's search is; all `[batch]`.
#[derive(Debug)]
pub struct Bound {
    settings: Cw,
    bound: Tensor<1>,
    constant: Tensor<1>,
    round: Tensor<1>,
}

impl Bound {
    pub fn new(settings: Cw, batch: usize, device: &Device) -> Self {
        Self {
            settings,
            bound: Tensor::ones([batch], device),
            constant: Tensor::full([batch], settings.constant, device),
            round: Tensor::zeros([batch], device),
        }
    }

    pub fn finished(&self) -> Tensor<1, Bool> {
        let exhausted = self.constant.clone().greater_equal_elem(LARGEST).bool_or(self.bound.clone().lower_equal_elem(LEAST));
        exhausted.bool_or(self.round.clone().greater_equal_elem(self.settings.rounds as f32))
    }

    /// The gradient of `Σ max(0, |x - image| - τ) + c penalty`; a round ends when that is as good as zero, or after its steps.
    pub fn judge(&mut self, images: &Tensor<4>, seen: Seen, steps: Tensor<1>) -> Verdict {
        let change = seen.points.clone() - images.clone();
        let excess = (change.clone().abs() - each(self.bound.clone())).clamp_min(0.0);
        let outside = excess.clone().greater_elem(0.0).float() * change.clone().sign();
        let gradient = outside + seen.gradient * each(self.constant.clone());
        let loss = total(excess) + seen.penalty * self.constant.clone();
        let reached = seen.fooled.bool_and(loss.lower(self.constant.clone() * REACHED));
        let over = (steps + 1.0).greater_equal_elem(self.settings.steps as f32);
        let failed = over.bool_and(reached.clone().bool_not());
        let restart = reached.clone().bool_or(failed.clone());
        let tighter = self.bound.clone().min_pair(highest(change.abs())) * FALL;
        self.bound = choose(&reached, tighter, self.bound.clone());
        self.constant = choose(&failed, self.constant.clone() * 2.0, self.constant.clone());
        self.round = choose(&restart, self.round.clone() + 1.0, self.round.clone());
        // After a success from there, after a failure from where the round began.
        let from = (seen.points, reached);
        Verdict { gradient, restart, from: Some(from) }
    }
}
