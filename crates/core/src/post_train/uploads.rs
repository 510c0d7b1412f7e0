//! What every step of an adaptation needs on the device and most runs have the same in all: uploaded once, because an upload stalls a
//! device.

use burn::tensor::{Device, Tensor, TensorData};

use super::Direction;
use crate::attack::one_hot;

/// Those of the latest batch.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    labels: Vec<usize>,
    targets: Option<Tensor<2>>,
    signs: Option<Tensor<4>>,
}

impl Uploads {
    /// One-hot rows over the batch size, `[batch, class]`: cross-entropies with them add up to their mean, without operations
    /// for it forward and backward.
    pub(super) fn targets(&mut self, labels: &[usize], classes: usize, device: &Device) -> Tensor<2> {
        if let (Some(targets), true) = (&self.targets, self.labels == labels) {
            return targets.clone();
        }
        let targets = one_hot(labels, classes, device) / labels.len() as f32;
        self.labels = labels.to_vec();
        self.signs = None;
        self.targets.insert(targets).clone()
    }

    /// Of each sample of the batch of [`targets`](Self::targets) the sign with which the fixed perturbation is added,
    /// `[batch, 1, 1, 1]`; always of the same direction.
    pub(super) fn signs(&mut self, direction: Direction, device: &Device) -> Tensor<4> {
        let batch = self.labels.len();
        self.signs.get_or_insert_with(|| signs(batch, direction, device)).clone()
    }
}

fn signs(batch: usize, direction: Direction, device: &Device) -> Tensor<4> {
    let of_second_half = if direction == Direction::Positive { 1.0 } else { -1.0 };
    let of_first_half = if direction == Direction::Negative { -1.0 } else { 1.0 };
    let signs: Vec<f32> = (0..batch).map(|sample| if sample < batch / 2 { of_first_half } else { of_second_half }).collect();
    Tensor::from_data(TensorData::new(signs, [batch, 1, 1, 1]), device)
}
