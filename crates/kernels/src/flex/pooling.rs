//! Maximum of windows.

use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};

use super::kernels::pooling::{Windows, backward, forward};
use super::memory::{filled, is_f32, slice};
use crate::{PoolingBackwardOps, PoolingOps, stock};

impl PoolingOps for Flex {
    fn max_pool(x: FlexTensor, size: usize) -> FlexTensor {
        if !is_f32(&x) {
            return stock::max_pool::<Self>(x, size);
        }
        let [batch, channels, height, width] = x.shape().dims();
        let x = x.to_contiguous();
        // SAFETY: `forward` writes every element.
        unsafe {
            filled([batch, channels, height / size, width / size], |y| forward(Windows { size, height, width }, slice(&x), y))
        }
    }
}

impl PoolingBackwardOps for Flex {
    fn max_pool_backward(gradient: FlexTensor, x: FlexTensor, size: usize) -> FlexTensor {
        if !is_f32(&gradient) {
            return stock::max_pool_backward::<Self>(gradient, x, size);
        }
        let shape: [usize; 4] = x.shape().dims();
        let (gradient, x) = (gradient.to_contiguous(), x.to_contiguous());
        let windows = Windows { size, height: shape[2], width: shape[3] };
        // SAFETY: `backward` writes every element.
        unsafe { filled(shape, |to| backward(windows, slice(&gradient), slice(&x), to)) }
    }
}
