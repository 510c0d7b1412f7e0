//! The nearest point of a hyperplane inside the pixel range, in the L-infinity norm.

use burn::tensor::Tensor;

/// Newton steps. Each one multiplies what is still missing times the slope by a quarter or less, whatever the weights: so many
/// divide it by 2^24, the resolution of f32. For ordinary weights five are enough.
const STEPS: usize = 12;

/// The change `d` of least largest absolute entry with `w · d = amount` and `points + d` in `[0, 1]`; where no change in the pixel
/// range is enough, the one that goes farthest. Entries whose weight is 0 stay.
///
/// Points in `[0, 1]` and weights `[batch, pixel]`, amounts `[batch, 1]`; returns `[batch, pixel]`.
///
/// All entries move by the same λ, each as far as its room allows: Σ |w| min(λ, room) = |amount|. The left side is concave in λ and
/// made of straight pieces, so Newton's method from 0 rises to the solution and is exact on its piece. (The authors sort the rooms;
/// a sort would be read back from the device.)
pub fn project(points: Tensor<2>, weights: Tensor<2>, amounts: Tensor<2>) -> Tensor<2> {
    let directions = weights.clone().sign() * amounts.clone().sign();
    let up = directions.clone().greater_elem(0.0);
    let room = points.clone().mask_where(up, points.neg() + 1.0);
    let (weights, amounts) = (weights.abs(), amounts.abs());
    let all = weights.clone().sum_dim(1);
    let mut lambda = amounts.zeros_like();
    for _ in 0..STEPS {
        // min(λ, room) is λ and the part of this that is negative; where it is positive, room is left.
        let left = room.clone() - lambda.clone();
        let used = lambda.clone() * all.clone() + (weights.clone() * left.clone().clamp_max(0.0)).sum_dim(1);
        let slope = (weights.clone() * left.greater_elem(0.0).float()).sum_dim(1);
        // Without room left the slope is 0: the quotient is huge or 0, and λ ends at 1, the whole range, or stays.
        let missing = (amounts.clone() - used).clamp_min(0.0);
        lambda = (lambda + missing / slope.clamp_min(f32::MIN_POSITIVE)).clamp_max(1.0);
    }
    directions * room.clone().min_pair(lambda.expand(room.dims()))
}
