//! The loss.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Shape, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

use crate::checks::check_same;
use crate::stock;

/// Cross-entropy of each sample, `-sum(targets * log_softmax(logits))` over the classes.
///
/// Logits and targets `[batch, class]` of one dtype, with kernels for f32; targets one-hot or any weights; returns `[batch]`.
/// Gradients reach the logits.
///
/// # Panics
/// Where the shapes or types differ, naming them.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    check_same("cross_entropy", &logits, "targets", &targets);
    let (loss, _) = Dispatch::cross_entropy(logits.into_dispatch(), targets.into_dispatch());
    Tensor::from_dispatch(loss)
}

/// Losses on a backend; on any device through `Dispatch`, differentiable on autodiff devices.
#[backend_extension(Cube: cfg(feature = "cubecl"), Flex, Autodiff)]
pub trait LossOps: Backend {
    /// [`cross_entropy`](crate::cross_entropy()) of each sample, `[batch]`, and in the same pass its gradient with respect to the
    /// logits, `[batch, class]`: `softmax(logits) * sum(targets) - targets`, sums over classes. The gradient is a constant.
    fn cross_entropy(logits: FloatTensor<Self>, targets: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        stock::cross_entropy::<Self>(logits, targets)
    }
}

impl<B: LossOps, C: CheckpointStrategy> LossOps for Autodiff<B, C> {
    fn cross_entropy(logits: FloatTensor<Self>, targets: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (logits, node) = logits.into_parts();
        let (loss, gradient) = B::cross_entropy(logits, targets.into_primitive());
        let loss = match CrossEntropyStep.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(gradient.clone(), loss),
            OpsKind::UnTracked(prep) => prep.finish(loss),
        };
        (loss, Self::from_inner(gradient))
    }
}

/// Parent: logits. State: the gradient of each sample's loss, `[batch, class]`.
#[derive(Debug)]
struct CrossEntropyStep;

impl<B: Backend> Backward<B, 1> for CrossEntropyStep {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [logits] = ops.parents;
        let weight = grads.consume::<B>(&ops.node);
        if let Some(node) = logits {
            let column = Shape::new([weight.shape()[0], 1]);
            let gradient = B::float_mul(ops.state, B::float_reshape(weight, column));
            grads.register::<B>(node.id, gradient);
        }
    }
}
