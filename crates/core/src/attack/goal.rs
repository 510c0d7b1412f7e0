//! What an attack wants: the objective that it ascends, and when it has succeeded.

use burn::tensor::{Device, Int, Tensor, TensorData};
use riposte_kernels::cross_entropy;
use riposte_spec::attack::Loss;

use super::rows::{indices, pick};
use crate::rng::Draws;
use crate::{Error, Result};

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
    /// Any class but the label, by way of the target class.
    Toward {
        /// The label of each image.
        labels: Vec<usize>,
        /// The class of each image that the attack moves toward.
        targets: Vec<usize>,
    },
}

/// A goal on the device of its batch.
#[derive(Debug)]
pub(super) struct Objective {
    /// The class that success is judged by, one-hot, `[batch, class]`.
    one_hot: Tensor<2>,
    /// The same, `[batch, 1]`.
    classes: Tensor<2, Int>,
    /// The class on the way, one-hot, `[batch, class]`.
    toward: Option<Tensor<2>>,
    targeted: bool,
    loss: Loss,
}

impl Goal {
    /// The class of each image that success is judged by: its label, or its target.
    pub fn classes(&self) -> &[usize] {
        match self {
            Self::Untargeted { labels } | Self::Toward { labels, .. } => labels,
            Self::Targeted { targets } => targets,
        }
    }

    /// For a batch with its first image once more at its end.
    pub(super) fn with_its_first_again(mut self) -> Self {
        match &mut self {
            Self::Untargeted { labels } => labels.push(labels[0]),
            Self::Targeted { targets } => targets.push(targets[0]),
            Self::Toward { labels, targets } => {
                labels.push(labels[0]);
                targets.push(targets[0]);
            }
        }
        self
    }

    /// # Errors
    /// [`Error::Config`] if the goal is not for `batch` images, names a class that there is not, or if the loss needs more classes.
    pub(super) fn check(&self, batch: usize, classes: usize, loss: Loss) -> Result<()> {
        let (on_the_way, least): (&[usize], _) = match self {
            Self::Toward { targets, .. } => (targets, 4),
            Self::Untargeted { .. } | Self::Targeted { .. } => (self.classes(), 3),
        };
        for named in [self.classes(), on_the_way] {
            if named.len() != batch {
                return Err(Error::Config(format!("{batch} images need as many classes, not {}", named.len())));
            }
            if let Some(class) = named.iter().find(|class| **class >= classes) {
                return Err(Error::Config(format!("class {class} is out of range: the classifier has {classes}")));
            }
        }
        if loss == Loss::Dlr && classes < least {
            return Err(Error::Config(format!(
                "the DLR loss needs {least} classes here, the classifier has {classes}: use the margin"
            )));
        }
        Ok(())
    }
}

impl Objective {
    pub(super) fn new(goal: &Goal, loss: Loss, classes: usize, device: &Device) -> Self {
        let indices: Vec<i32> = goal.classes().iter().map(|class| *class as i32).collect();
        let count = indices.len();
        let toward = if let Goal::Toward { targets, .. } = goal { Some(one_hot(targets, classes, device)) } else { None };
        Self {
            one_hot: one_hot(goal.classes(), classes, device),
            classes: Tensor::from_data(TensorData::new(indices, [count, 1]), device),
            toward,
            targeted: matches!(goal, Goal::Targeted { .. }),
            loss,
        }
    }

    /// What the attack ascends, `[batch]`, from logits `[batch, class]`.
    pub(super) fn value(&self, logits: Tensor<2>) -> Tensor<1> {
        let distance = self.distance(logits);
        if self.direction() < 0.0 { distance.neg() } else { distance }
    }

    /// How far the logits `[batch, class]` are from the label, `[batch]`, ascended; or from the target, descended.
    pub(super) fn distance(&self, logits: Tensor<2>) -> Tensor<1> {
        let lead = |logits: &Tensor<2>| match &self.toward {
            None => self.margin(logits.clone()),
            // The label's lead over the class on the way.
            Some(target) => (logits.clone() * (self.one_hot.clone() - target.clone())).sum_dim(1).flatten(0, 1),
        };
        match self.loss {
            Loss::CrossEntropy => cross_entropy(logits, self.toward.as_ref().unwrap_or(&self.one_hot).clone()),
            Loss::Margin => lead(&logits),
            Loss::Dlr => lead(&logits) / (self.spread(logits) + DLR_FLOOR),
        }
    }

    /// 1 where the distance is ascended, -1 where it is descended.
    pub(super) fn direction(&self) -> f32 {
        if self.targeted || self.toward.is_some() { -1.0 } else { 1.0 }
    }

    /// 1 where the logits `[batch, class]` show success, else 0: `[batch]`. A NaN is no success.
    pub(super) fn succeeded(&self, logits: Tensor<2>) -> Tensor<1> {
        let hit = logits.argmax(1).equal(self.classes.clone());
        let success = if self.targeted { hit } else { hit.bool_not() };
        success.float().flatten(0, 1)
    }

    /// The objective of some rows of the batch.
    pub(super) fn pick(&self, rows: &[usize]) -> Self {
        Self {
            one_hot: pick(self.one_hot.clone(), rows),
            classes: self.classes.clone().select(0, indices(rows, &self.classes.device())),
            toward: self.toward.clone().map(|toward| pick(toward, rows)),
            ..*self
        }
    }

    /// Largest other logit minus the class's own, `[batch]`.
    fn margin(&self, logits: Tensor<2>) -> Tensor<1> {
        let own = (logits.clone() * self.one_hot.clone()).sum_dim(1);
        // 1e30 rather than infinity: 0 * infinity would be NaN.
        let others = logits - self.one_hot.clone() * 1e30;
        (others.max_dim(1) - own).flatten(0, 1)
    }

    /// What the DLR loss divides by, `[batch]`: the largest logit minus the third, or minus the mean of third and fourth on the
    /// way to a target.
    fn spread(&self, logits: Tensor<2>) -> Tensor<1> {
        let count = if self.toward.is_some() { 4 } else { 3 };
        let ranked: Vec<Tensor<2>> = ranked(logits, count).into_iter().map(|class| class.logit).collect();
        let low = if let Some(fourth) = ranked.get(3) { (ranked[2].clone() + fourth.clone()) * 0.5 } else { ranked[2].clone() };
        (ranked[0].clone() - low).flatten(0, 1)
    }
}

/// # Errors
/// [`Error::Config`] if there are not draws for each image.
pub(super) fn check_draws(draws: &[Draws], batch: usize) -> Result<()> {
    if draws.len() == batch {
        return Ok(());
    }
    Err(Error::Config(format!("{batch} images need as many draws, not {}", draws.len())))
}

/// As in the authors' code: it keeps a subject that answers alike for all classes from dividing by zero.
const DLR_FLOOR: f32 = 1e-12;

/// A class of each image by the rank of its logit.
pub(super) struct Ranked {
    /// `[batch, 1]`, with its gradient.
    pub logit: Tensor<2>,
    /// `[batch, class]`
    pub one_hot: Tensor<2>,
}

/// The `count` classes of the largest logits of each row of `[batch, class]`, largest first.
///
/// By one maximum after the other: a sort would be read back from the device.
pub(super) fn ranked(logits: Tensor<2>, count: usize) -> Vec<Ranked> {
    let [_, classes] = logits.dims();
    let numbers = Tensor::<1, Int>::arange(0..classes as i64, &logits.device()).reshape([1, classes]);
    let mut rest = logits;
    let mut next = || {
        let (logit, index) = rest.clone().max_dim_with_indices(1);
        let one_hot = numbers.clone().equal(index).float();
        rest = rest.clone() - one_hot.clone() * 1e30;
        Ranked { logit, one_hot }
    };
    (0..count).map(|_| next()).collect()
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
