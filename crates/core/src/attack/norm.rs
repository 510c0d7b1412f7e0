//! Norms of perturbations.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::rows::{highest, total};

/// How a perturbation is measured, in pixel units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Root of the sum of squares.
    L2,
    /// Largest absolute change of a pixel.
    LInfinity,
}

/// The distance of each image of one batch from that of another, both `[batch, channel, height, width]`: `[batch]`.
pub fn distance(norm: Norm, from: Tensor<4>, to: Tensor<4>) -> Tensor<1> {
    let change = to - from;
    match norm {
        Norm::L2 => total(change.powi_scalar(2)).sqrt(),
        Norm::LInfinity => highest(change.abs()),
    }
}
