//! The loss.

use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::kernels::loss;
use super::launch::{buffer, elementwise, empty, empty_like};
use super::single;
use crate::{LossOps, stock};

impl LossOps for CubeBackend {
    fn cross_entropy(logits: CubeTensor, targets: CubeTensor) -> (CubeTensor, CubeTensor) {
        if !single([&logits, &targets]) {
            return stock::cross_entropy::<Self>(logits, targets);
        }
        let [logits, targets] = [logits, targets].map(into_contiguous);
        let [samples, classes] = logits.meta.shape().dims();
        let losses = empty(&logits, [samples]);
        let gradient = empty_like(&logits);
        let (count, dim) = elementwise(samples);
        unsafe {
            loss::cross_entropy::launch_unchecked(
                &logits.client,
                count,
                dim,
                buffer(&logits),
                buffer(&targets),
                buffer(&losses),
                buffer(&gradient),
                samples as u32,
                classes as u32,
            );
        }
        (losses, gradient)
    }
}
