//! Maximum of windows.

use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::fit;
use super::kernels::pooling::{self, PoolingLaunch};
use super::launch::{buffer, element, elementwise, empty_like, empty_of};
use crate::{PoolingBackwardOps, PoolingOps, stock};

impl PoolingOps for CubeBackend {
    fn max_pool(x: CubeTensor, size: usize) -> CubeTensor {
        if !fit([Some(&x)], []) {
            return stock::max_pool::<Self>(x, size);
        }
        let x = into_contiguous(x);
        let [batch, channels, height, width] = x.meta.shape().dims();
        let out = empty_of(x.dtype, &x, [batch, channels, height / size, width / size]);
        let (count, dim) = elementwise(out.meta.num_elements());
        unsafe {
            pooling::max_pool::launch_unchecked(
                &x.client,
                count,
                dim,
                buffer(&x),
                buffer(&out),
                extents(&x),
                size as u32,
                element(&x),
            );
        }
        out
    }
}

impl PoolingBackwardOps for CubeBackend {
    fn max_pool_backward(gradient: CubeTensor, x: CubeTensor, size: usize) -> CubeTensor {
        if !fit([Some(&gradient), Some(&x)], []) {
            return stock::max_pool_backward::<Self>(gradient, x, size);
        }
        let [gradient, x] = [gradient, x].map(into_contiguous);
        let out = empty_like(&x);
        let (count, dim) = elementwise(x.meta.num_elements());
        unsafe {
            pooling::max_pool_gradient::launch_unchecked(
                &x.client,
                count,
                dim,
                buffer(&gradient),
                buffer(&x),
                buffer(&out),
                extents(&x),
                size as u32,
                element(&x),
            );
        }
        out
    }
}

fn extents(x: &CubeTensor) -> PoolingLaunch {
    let [batch, channels, height, width] = x.meta.shape().dims();
    PoolingLaunch::new((batch * channels) as u32, height as u32, width as u32)
}
