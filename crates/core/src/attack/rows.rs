//! Choices and distances image by image, on the device: in place of an early exit, which would need a readback.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use riposte_spec::attack::Norm;

/// Of each image the row of `yes` where the mask `[batch]` is set, else that of `no`; both `[batch, ...]`.
pub(crate) fn choose<const D: usize>(mask: &Tensor<1, Bool>, yes: Tensor<D>, no: Tensor<D>) -> Tensor<D> {
    let mut rows = [1; D];
    rows[0] = mask.dims()[0];
    let dims = no.dims();
    no.mask_where(mask.clone().reshape(rows).expand(dims), yes)
}

/// A number for each image, `[batch]`, as `[batch, 1, 1, 1]`: it multiplies images.
pub(super) fn each(values: Tensor<1>) -> Tensor<4> {
    let [batch] = values.dims();
    values.reshape([batch, 1, 1, 1])
}

/// The sum over the pixels of each image of `[batch, channel, height, width]`, `[batch]`.
pub(super) fn total(images: Tensor<4>) -> Tensor<1> {
    images.flatten::<2>(1, 3).sum_dim(1).flatten(0, 1)
}

/// The largest value in each image of `[batch, channel, height, width]`, `[batch]`.
pub(super) fn highest(images: Tensor<4>) -> Tensor<1> {
    images.flatten::<2>(1, 3).max_dim(1).flatten(0, 1)
}

/// The distance of each image of one batch from that of another, both `[batch, channel, height, width]`: `[batch]`.
pub fn distance(norm: Norm, from: Tensor<4>, to: Tensor<4>) -> Tensor<1> {
    let change = to - from;
    match norm {
        Norm::L2 => total(change.powi_scalar(2)).sqrt(),
        Norm::LInfinity => highest(change.abs()),
    }
}

/// The given rows of a tensor `[batch, ...]`.
pub(super) fn pick<const D: usize>(tensor: Tensor<D>, rows: &[usize]) -> Tensor<D> {
    let device = tensor.device();
    tensor.select(0, indices(rows, &device))
}

/// Rows as a tensor.
pub(super) fn indices(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
    Tensor::from_data(TensorData::new(values, [rows.len()]), device)
}
