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
