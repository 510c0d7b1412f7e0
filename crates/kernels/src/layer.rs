//! What convolutions and linear layers have in common: a product with a weight, a bias, an activation, and their gradients.

use std::fmt::Debug;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

use crate::{Activation, Maybe};

/// What the backward pass of a layer is given.
///
/// The optional tensors are present exactly when a gradient that needs them is wanted: an attack asks for `x` alone and
/// so hands over the weight alone; the first layer in training asks for the weight and the bias and hands over `x` alone.
#[derive(Debug)]
pub struct LayerBackward<B: Backend> {
    /// Gradient of the loss with respect to the layer's output, of the output's shape.
    pub gradient: FloatTensor<B>,
    /// The layer's output; present exactly when the activation is not [`Activation::None`]. Its sign says which
    /// elements the activation let through: see [`Activation`].
    pub output: Option<FloatTensor<B>>,
    /// The layer's input; present exactly when the gradient of the weight is wanted.
    pub x: Option<FloatTensor<B>>,
    /// The layer's weight; present exactly when the gradient of the input is wanted.
    pub weight: Option<FloatTensor<B>>,
    /// Whether the gradient of the bias is wanted.
    pub bias: bool,
    /// The activation of the forward pass.
    pub activation: Activation,
}

/// The gradients of a layer: each present exactly when it was wanted.
#[derive(Debug)]
pub struct LayerGradients<B: Backend> {
    /// With respect to the input.
    pub x: Option<FloatTensor<B>>,
    /// With respect to the weight.
    pub weight: Option<FloatTensor<B>>,
    /// With respect to the bias, `[out]`.
    pub bias: Option<FloatTensor<B>>,
}

/// A layer as a node of the graph sees it.
pub(crate) trait Layer<B: Backend>: Copy + Debug + Send + 'static {
    /// `act(product(x, weight) + bias)`.
    fn forward(self, x: FloatTensor<B>, weight: FloatTensor<B>, bias: Maybe<B>, activation: Activation) -> FloatTensor<B>;

    /// The wanted gradients.
    fn backward(self, pass: LayerBackward<B>) -> LayerGradients<B>;
}

/// The output of a layer, in the graph if one of its inputs is.
pub(crate) fn tracked<B: Backend, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: Maybe<Autodiff<B, C>>,
    activation: Activation,
    layer: impl Layer<B>,
) -> FloatTensor<Autodiff<B, C>> {
    let tracked = [x.is_tracked(), weight.is_tracked()];
    let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
    match bias {
        Maybe::Given(bias) => {
            let (bias, bias_node) = bias.into_parts();
            let nodes = [x_node, weight_node, bias_node];
            with_parents::<B, C, 3>(nodes, tracked, x, weight, Maybe::Given(bias), activation, layer)
        }
        Maybe::Absent => {
            let nodes = [x_node, weight_node];
            with_parents::<B, C, 2>(nodes, tracked, x, weight, Maybe::Absent, activation, layer)
        }
    }
}

fn with_parents<B: Backend, C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    [x_tracked, weight_tracked]: [bool; 2],
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Maybe<B>,
    activation: Activation,
    layer: impl Layer<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match LayerStep(layer).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::UnTracked(prep) => prep.finish(layer.forward(x, weight, bias, activation)),
        OpsKind::Tracked(prep) => {
            let kept_x = weight_tracked.then(|| x.clone());
            let kept_weight = x_tracked.then(|| weight.clone());
            let output = layer.forward(x, weight, bias, activation);
            let kept_output = (activation != Activation::None).then(|| output.clone());
            prep.finish(LayerState { output: kept_output, x: kept_x, weight: kept_weight, activation }, output)
        }
    }
}

/// The output where an activation needs its sign, the input only if the weight is tracked, the weight only if the input is.
#[derive(Clone, Debug)]
struct LayerState<B: Backend> {
    output: Option<FloatTensor<B>>,
    x: Option<FloatTensor<B>>,
    weight: Option<FloatTensor<B>>,
    activation: Activation,
}

/// Parents: input, weight and, if there is one, bias.
#[derive(Debug)]
struct LayerStep<L>(L);

impl<B: Backend, L: Layer<B>, const N: usize> Backward<B, N> for LayerStep<L> {
    type State = LayerState<B>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let parent = |index: usize| ops.parents.get(index).and_then(Option::as_ref);
        let gradients = self.0.backward(LayerBackward {
            gradient: grads.consume::<B>(&ops.node),
            output: ops.state.output,
            x: ops.state.x,
            weight: ops.state.weight,
            bias: parent(2).is_some(),
            activation: ops.state.activation,
        });
        let gradients = [gradients.x, gradients.weight, gradients.bias];
        for (index, gradient) in gradients.into_iter().enumerate() {
            if let (Some(node), Some(gradient)) = (parent(index), gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
