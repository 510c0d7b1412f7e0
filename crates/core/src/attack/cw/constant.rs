//! The L2 attack's search over c, the weight of the penalty: ten times more until the attack succeeds, then by bisection.

use burn::tensor::{Bool, Device, Tensor};

use super::{Cw, Seen, Verdict, choose, each};
use crate::attack::rows::total;

/// No upper bound of the constant yet.
const UNBOUNDED: f32 = 1e30;
/// A round goes on while every tenth of it lowers the loss to this share at least.
const PROGRESS: f32 = 0.9999;

/// Where each image's search is; all `[batch]`.
#[derive(Debug)]
pub struct Constant {
    settings: Cw,
    round: Tensor<1>,
    constant: Tensor<1>,
    lower: Tensor<1>,
    upper: Tensor<1>,
    /// Whether a point of this round has fooled the subject.
    found: Tensor<1, Bool>,
    /// The loss at the last tenth of the round.
    checked: Tensor<1>,
}

impl Constant {
    pub fn new(settings: Cw, batch: usize, device: &Device) -> Self {
        let zero = Tensor::zeros([batch], device);
        Self {
            settings,
            round: zero.clone(),
            constant: Tensor::full([batch], settings.constant, device),
            lower: zero.clone(),
            upper: Tensor::full([batch], UNBOUNDED, device),
            found: zero.clone().greater_elem(0.5),
            checked: Tensor::full([batch], f32::MAX, device),
        }
    }

    pub fn finished(&self) -> Tensor<1, Bool> {
        self.round.clone().greater_equal_elem(self.settings.rounds as f32)
    }

    /// The gradient of `|x - image|² + c penalty`; a round ends after its steps, or when the loss no longer falls.
    pub fn judge(&mut self, images: &Tensor<4>, seen: Seen, steps: Tensor<1>) -> Verdict {
        let change = seen.points - images.clone();
        let gradient = change.clone() * 2.0 + seen.gradient * each(self.constant.clone());
        let loss = total(change.powi_scalar(2)) + seen.penalty * self.constant.clone();
        self.found = self.found.clone().bool_or(seen.fooled);
        let tenth = self.settings.steps.div_ceil(10) as f32;
        let due = steps.clone().remainder_scalar(tenth).lower_elem(0.5);
        let stalled = due.clone().bool_and(loss.clone().greater(self.checked.clone() * PROGRESS));
        self.checked = choose(&due, loss, self.checked.clone());
        let restart = stalled.bool_or((steps + 1.0).greater_equal_elem(self.settings.steps as f32));
        self.next_round(&restart);
        Verdict { gradient, restart, from: None }
    }

    fn next_round(&mut self, mask: &Tensor<1, Bool>) {
        let constant = self.constant.clone();
        let succeeded = mask.clone().bool_and(self.found.clone());
        let failed = mask.clone().bool_and(self.found.clone().bool_not());
        self.upper = choose(&succeeded, constant.clone(), self.upper.clone());
        self.lower = choose(&failed, constant.clone(), self.lower.clone());
        let bounded = self.upper.clone().lower_elem(UNBOUNDED);
        let middle = (self.lower.clone() + self.upper.clone()) * 0.5;
        let next = choose(&bounded, middle, constant.clone() * 10.0);
        self.round = choose(mask, self.round.clone() + 1.0, self.round.clone());
        self.constant = choose(mask, next, constant);
        self.checked = choose(mask, self.checked.full_like(f32::MAX), self.checked.clone());
        self.found = self.found.clone().bool_and(mask.clone().bool_not());
    }
}
