//! Maximum of windows.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::{Path, stock};

impl Path {
    /// Maximum of square windows `size` wide that do not overlap; NaN where a window holds one.
    ///
    /// x `[batch, channel, height, width]`; returns `[batch, channel, height / size, width / size]`, rounded down, of x's dtype.
    ///
    /// # Panics
    /// Where no window fits, naming the shape.
    pub fn max_pool(self, x: Tensor<4>, size: usize) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        assert!(size > 0 && height >= size && width >= size, "max_pool: no window of size {size} fits x {:?}", x.dims());
        let x = x.into_dispatch();
        Tensor::from_dispatch(match self {
            Self::Kernels => Dispatch::max_pool(x, size),
            Self::Stock => stock::max_pool::<Dispatch>(x, size),
        })
    }
}

/// Pooling on a backend, forward; on any device through `Dispatch`, differentiable on autodiff devices.
#[backend_extension(Cube: cfg(feature = "cubecl"), Flex, Autodiff)]
pub trait PoolingOps: Backend {
    /// Maximum of square windows: see [`Path::max_pool`].
    fn max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        stock::max_pool::<Self>(x, size)
    }
}

/// Its gradient, on a backend without a graph.
pub trait PoolingBackwardOps: Backend {
    /// Gradient of [`PoolingOps::max_pool`] with respect to x: each window's goes to the first of its elements that is the
    /// maximum.
    fn max_pool_backward(gradient: FloatTensor<Self>, x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        stock::max_pool_backward::<Self>(gradient, x, size)
    }
}

impl<B: PoolingOps + PoolingBackwardOps, C: CheckpointStrategy> PoolingOps for Autodiff<B, C> {
    fn max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match MaxPoolStep.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.clone(), size), B::max_pool(x, size)),
            OpsKind::UnTracked(prep) => prep.finish(B::max_pool(x, size)),
        }
    }
}

/// Parent: input. State: the input and the windows' size.
#[derive(Debug)]
struct MaxPoolStep;

impl<B: PoolingBackwardOps> Backward<B, 1> for MaxPoolStep {
    type State = (FloatTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        if let Some(node) = x {
            let (x, size) = ops.state;
            grads.register::<B>(node.id, B::max_pool_backward(gradient, x, size));
        }
    }
}
