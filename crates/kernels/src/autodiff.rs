//! The operations as nodes of Burn's graph, on whichever backend a tensor lives.
//!
//! One node per layer, activation included. A node keeps the output where an activation needs its sign, the input only
//! if the weight is tracked, and the weight only if the input is.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Shape, TensorMetadata};

use crate::routing::{List, Maybe, Routed};
use crate::{
    Activation, BatchNormBackward, ConvOptions, ConvShape, KernelBackend, LayerBackward, LayerGradients, MovingAverage, SgdStep,
    SignedStep, Statistics,
};

impl<B: KernelBackend, C: CheckpointStrategy> Routed for Autodiff<B, C> {
    fn routed_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        options: ConvOptions,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let shape = ConvShape { x: x.shape().dims(), weight: weight.shape().dims(), options };
        layer::<B, C>(x, weight, bias, activation, LayerKind::Conv2d(shape))
    }

    fn routed_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Maybe<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        layer::<B, C>(x, weight, bias, activation, LayerKind::Linear)
    }

    fn routed_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let keeps_x = gamma.is_tracked();
        let [x, gamma, beta, mean, var] = [x, gamma, beta, mean, var].map(|t| t.into_primitive());
        let output = B::batch_norm_act(x.clone(), gamma.clone(), beta, mean.clone(), var.clone(), epsilon, activation);
        let statistics = Statistics::Given;
        let state = BatchNormState { output: None, x: keeps_x.then_some(x), gamma, mean, var, statistics, epsilon, activation };
        batch_norm::<B, C>(nodes, state, output)
    }

    fn routed_batch_norm_train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let keeps_x = gamma.is_tracked() || x.is_tracked();
        let [x, gamma, beta] = [x, gamma, beta].map(|t| t.into_primitive());
        let [output, mean, var] = B::batch_norm_train_act(x.clone(), gamma.clone(), beta, epsilon, activation);
        let statistics = [mean.clone(), var.clone()].map(Self::from_inner);
        let state = BatchNormState {
            output: None,
            x: keeps_x.then_some(x),
            gamma,
            mean,
            var,
            statistics: Statistics::Batch,
            epsilon,
            activation,
        };
        let [mean, var] = statistics;
        (batch_norm::<B, C>(nodes, state, output), mean, var)
    }

    fn routed_moving_statistics(
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        average: MovingAverage,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [running, batch] = [[running_mean, running_var], [mean, var]].map(|pair| pair.map(|t| t.into_primitive()));
        B::moving_statistics(running, batch, average).map(Self::from_inner).into()
    }

    fn routed_max_pool(x: FloatTensor<Self>, size: usize) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match MaxPoolStep.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.clone(), size), B::max_pool(x, size)),
            OpsKind::UnTracked(prep) => prep.finish(B::max_pool(x, size)),
        }
    }

    fn routed_cross_entropy(logits: FloatTensor<Self>, targets: FloatTensor<Self>) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        let (loss, gradient) = B::cross_entropy(logits, targets.into_primitive());
        match CrossEntropyStep.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(gradient, loss),
            OpsKind::UnTracked(prep) => prep.finish(loss),
        }
    }

    fn routed_signed_step(
        x: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        origin: FloatTensor<Self>,
        active: Maybe<Self>,
        step: SignedStep,
    ) -> FloatTensor<Self> {
        Self::from_inner(B::signed_step(
            x.into_primitive(),
            gradient.into_primitive(),
            origin.into_primitive(),
            active.into_option().map(|active| active.into_primitive()),
            step,
        ))
    }

    fn routed_sgd_step(
        parameters: List<Self>,
        gradients: List<Self>,
        velocities: List<Self>,
        step: SgdStep,
    ) -> (Vec<FloatTensor<Self>>, Vec<FloatTensor<Self>>) {
        let inner = |tensors: List<Self>| tensors.0.into_iter().map(|t| t.into_primitive()).collect();
        let outer = |tensors: Vec<FloatTensor<B>>| tensors.into_iter().map(Self::from_inner).collect();
        let [parameters, velocities] = B::sgd_step(inner(parameters), inner(gradients), inner(velocities), step);
        (outer(parameters), outer(velocities))
    }
}

#[derive(Clone, Copy, Debug)]
enum LayerKind {
    Conv2d(ConvShape),
    Linear,
}

impl LayerKind {
    fn forward<B: KernelBackend>(
        self,
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: Option<FloatTensor<B>>,
        activation: Activation,
    ) -> FloatTensor<B> {
        match self {
            Self::Conv2d(shape) => B::conv2d_act(x, weight, bias, shape.options, activation),
            Self::Linear => B::linear_act(x, weight, bias, activation),
        }
    }

    fn backward<B: KernelBackend>(self, pass: LayerBackward<B>) -> LayerGradients<B> {
        match self {
            Self::Conv2d(shape) => B::conv2d_act_backward(pass, shape),
            Self::Linear => B::linear_act_backward(pass),
        }
    }
}

fn layer<B: KernelBackend, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: Maybe<Autodiff<B, C>>,
    activation: Activation,
    kind: LayerKind,
) -> FloatTensor<Autodiff<B, C>> {
    let tracked = [x.is_tracked(), weight.is_tracked()];
    let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
    match bias {
        Maybe::Given(bias) => {
            let (bias, bias_node) = bias.into_parts();
            let nodes = [x_node, weight_node, bias_node];
            layer_with_parents::<B, C, 3>(nodes, tracked, x, weight, Some(bias), activation, kind)
        }
        Maybe::Absent => {
            let nodes = [x_node, weight_node];
            layer_with_parents::<B, C, 2>(nodes, tracked, x, weight, None, activation, kind)
        }
    }
}

fn layer_with_parents<B: KernelBackend, C: CheckpointStrategy, const N: usize>(
    nodes: [NodeGuard; N],
    [x_tracked, weight_tracked]: [bool; 2],
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    activation: Activation,
    kind: LayerKind,
) -> FloatTensor<Autodiff<B, C>>
where
    LayerStep: Backward<B, N, State = LayerState<B>>,
{
    match LayerStep.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::UnTracked(prep) => prep.finish(kind.forward::<B>(x, weight, bias, activation)),
        OpsKind::Tracked(prep) => {
            let kept_x = weight_tracked.then(|| x.clone());
            let kept_weight = x_tracked.then(|| weight.clone());
            let output = kind.forward::<B>(x, weight, bias, activation);
            let state = LayerState {
                output: (activation != Activation::None).then(|| output.clone()),
                x: kept_x,
                weight: kept_weight,
                activation,
                kind,
            };
            prep.finish(state, output)
        }
    }
}

#[derive(Clone, Debug)]
struct LayerState<B: Backend> {
    output: Option<FloatTensor<B>>,
    x: Option<FloatTensor<B>>,
    weight: Option<FloatTensor<B>>,
    activation: Activation,
    kind: LayerKind,
}

/// Parents: input, weight and, if there is one, bias.
#[derive(Debug)]
struct LayerStep;

impl<B: KernelBackend, const N: usize> Backward<B, N> for LayerStep {
    type State = LayerState<B>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let parent = |index: usize| ops.parents.get(index).and_then(Option::as_ref);
        let pass = LayerBackward {
            gradient: grads.consume::<B>(&ops.node),
            output: ops.state.output,
            x: ops.state.x,
            weight: ops.state.weight,
            bias: parent(2).is_some(),
            activation: ops.state.activation,
        };
        let gradients = ops.state.kind.backward::<B>(pass);
        let gradients = [gradients.x, gradients.weight, gradients.bias];
        for (index, gradient) in gradients.into_iter().enumerate() {
            if let (Some(node), Some(gradient)) = (parent(index), gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

/// Puts a batch normalization's output into the graph.
fn batch_norm<B: KernelBackend, C: CheckpointStrategy>(
    nodes: [NodeGuard; 3],
    state: BatchNormState<B>,
    output: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match BatchNormStep.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::UnTracked(prep) => prep.finish(output),
        OpsKind::Tracked(prep) => {
            let kept = (state.activation != Activation::None).then(|| output.clone());
            prep.finish(BatchNormState { output: kept, ..state }, output)
        }
    }
}

#[derive(Clone, Debug)]
struct BatchNormState<B: Backend> {
    output: Option<FloatTensor<B>>,
    x: Option<FloatTensor<B>>,
    gamma: FloatTensor<B>,
    mean: FloatTensor<B>,
    var: FloatTensor<B>,
    statistics: Statistics,
    epsilon: f64,
    activation: Activation,
}

/// Parents: input, gamma, beta.
#[derive(Debug)]
struct BatchNormStep;

impl<B: KernelBackend> Backward<B, 3> for BatchNormStep {
    type State = BatchNormState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let state = ops.state;
        let pass = BatchNormBackward {
            gradient: grads.consume::<B>(&ops.node),
            output: state.output,
            x: state.x,
            gamma: state.gamma,
            mean: state.mean,
            var: state.var,
            statistics: state.statistics,
            epsilon: state.epsilon,
            activation: state.activation,
            wanted: ops.parents.each_ref().map(Option::is_some),
        };
        for (node, gradient) in ops.parents.iter().zip(B::batch_norm_act_backward(pass)) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

/// Parent: input. State: the input and the windows' size.
#[derive(Debug)]
struct MaxPoolStep;

impl<B: KernelBackend> Backward<B, 1> for MaxPoolStep {
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

/// Parent: logits. State: the gradient of each sample's loss, `[batch, class]`.
#[derive(Debug)]
struct CrossEntropyStep;

impl<B: KernelBackend> Backward<B, 1> for CrossEntropyStep {
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
