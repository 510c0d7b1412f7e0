//! What an attack wants: the objective that it ascends, and when it has succeeded.

use burn::tensor::{Device, Int, Tensor, TensorData};
use riposte_kernels::cross_entropy;
use riposte_spec::attack::Loss;

/// Whom to leave or where to go, a class for each image of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// Any class but the label.
    Untargeted {
        /// The label of each image.
        labels: Vec<usize>,
    },
    /// The target class.
    Targeted {
        /// The target of each image.
        targets: Vec<usize>,
    },
}

/// A goal on the device of its batch.
#[derive(Debug)]
pub(super) struct Objective {
    /// One-hot, `[batch, class]`.
    one_hot: Tensor<2>,
    /// `[batch, 1]`
    classes: Tensor<2, Int>,
    targeted: bool,
    loss: Loss,
}

impl Goal {
    /// The label or target of each image.
    pub fn classes(&self) -> &[usize] {
        match self {
            Self::Untargeted { labels } => labels,
            Self::Targeted { targets } => targets,
        }
    }
}

impl Objective {
    pub(super) fn new(goal: &Goal, loss: Loss, classes: usize, device: &Device) -> Self {
        let indices: Vec<i32> = goal.classes().iter().map(|class| *class as i32).collect();
        let count = indices.len();
        Self {
            one_hot: one_hot(goal.classes(), classes, device),
            classes: Tensor::from_data(TensorData::new(indices, [count, 1]), device),
            targeted: matches!(goal, Goal::Targeted { .. }),
            loss,
        }
    }

    /// What the attack ascends, `[batch]`, from logits `[batch, class]`.
    pub(super) fn value(&self, logits: Tensor<2>) -> Tensor<1> {
        let distance = self.distance(logits);
        if self.targeted { distance.neg() } else { distance }
    }

    /// How far the logits `[batch, class]` are from the class, `[batch]`: ascended or, by a targeted attack, descended.
    pub(super) fn distance(&self, logits: Tensor<2>) -> Tensor<1> {
        match self.loss {
            Loss::CrossEntropy => cross_entropy(logits, self.one_hot.clone()),
            Loss::Margin => self.margin(logits),
            Loss::Dlr => self.margin(logits.clone()) / (lead_over_the_third(logits) + DLR_FLOOR),
        }
    }

    /// 1 where the distance is ascended, -1 where it is descended.
    pub(super) fn direction(&self) -> f32 {
        if self.targeted { -1.0 } else { 1.0 }
    }

    /// 1 where the logits `[batch, class]` show success, else 0: `[batch]`. A NaN is no success.
    pub(super) fn succeeded(&self, logits: Tensor<2>) -> Tensor<1> {
        let hit = logits.argmax(1).equal(self.classes.clone());
        let success = if self.targeted { hit } else { hit.bool_not() };
        success.float().flatten(0, 1)
    }

    /// Largest other logit minus the class's own, `[batch]`.
    fn margin(&self, logits: Tensor<2>) -> Tensor<1> {
        let own = (logits.clone() * self.one_hot.clone()).sum_dim(1);
        // 1e30 rather than infinity: 0 * infinity would be NaN.
        let others = logits - self.one_hot.clone() * 1e30;
        (others.max_dim(1) - own).flatten(0, 1)
    }
}

/// As in the authors' code: a classifier that answers alike for all classes does not divide by zero.
const DLR_FLOOR: f32 = 1e-12;

/// Classes that the DLR loss compares.
pub(super) const DLR_CLASSES: usize = 3;

/// The largest logit minus the third, `[batch]`, of logits `[batch, class]`.
fn lead_over_the_third(logits: Tensor<2>) -> Tensor<1> {
    let [_, classes] = logits.dims();
    let numbers = Tensor::<1, Int>::arange(0..classes as i64, &logits.device()).reshape([1, classes]);
    let first = logits.clone().max_dim(1);
    // One maximum after the other, each without the one before: a sort is read back from the device.
    let mut rest = logits;
    for _ in 1..DLR_CLASSES {
        let largest = numbers.clone().equal(rest.clone().argmax(1)).float();
        rest = rest - largest * 1e30;
    }
    (first - rest.max_dim(1)).flatten(0, 1)
}

/// One-hot rows `[batch, class]`.
///
/// # Panics
/// If a class is out of range.
pub(crate) fn one_hot(indices: &[usize], classes: usize, device: &Device) -> Tensor<2> {
    let mut values = vec![0f32; indices.len() * classes];
    for (row, class) in indices.iter().enumerate() {
        assert!(*class < classes, "class {class} is out of range: there are {classes}");
        values[row * classes + class] = 1.0;
    }
    Tensor::from_data(TensorData::new(values, [indices.len(), classes]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distances(loss: Loss, rows: [[f32; 4]; 3], label: usize) -> Vec<f32> {
        let device = Device::flex();
        let goal = Goal::Untargeted { labels: vec![label; 3] };
        let objective = Objective::new(&goal, loss, 4, &device);
        objective.distance(Tensor::from_floats(rows, &device)).into_data().try_into_vec().unwrap()
    }

    /// Croce & Hein 2020, equation 3, by hand.
    #[test]
    fn the_dlr_loss_is_the_margin_over_the_lead_and_has_no_scale() {
        let found = distances(Loss::Dlr, [[1.0, 4.0, 2.0, 0.0], [100.0, 400.0, 200.0, 0.0], [7.0, 7.0, 7.0, 7.0]], 1);
        // -(4 - 2) / (4 - 1) in both, to f32's rounding; where all logits are equal, nothing is divided by nothing.
        let expected = [-2.0 / 3.0, -2.0 / 3.0, 0.0];
        assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6), "{found:?}");
        let wrong = distances(Loss::Dlr, [[1.0, 4.0, 2.0, 0.0]; 3], 3);
        assert!(wrong.iter().all(|value| (value - 4.0 / 3.0).abs() < 1e-6), "{wrong:?}");
    }
}
