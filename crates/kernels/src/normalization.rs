//! Batch normalization and the statistics that it keeps.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::checks::{check_same, check_slope, check_type};
use crate::{Activation, Path, stock};

/// An exponential moving average of batch statistics, as PyTorch's batch normalization keeps it:
/// `(1 - momentum) * running + momentum * batch`, where the batch's variance is multiplied by the correction first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MovingAverage {
    /// Weight of the batch, from 0 to 1.
    pub momentum: f32,
    /// `n / (n - 1)` makes the unbiased variance of the biased one of n elements.
    pub correction: f32,
}

impl Path {
    /// Batch normalization with given statistics: `act((x - mean) / sqrt(var + epsilon) * gamma + beta)`.
    ///
    /// x `[batch, channel, height, width]`, the others `[channel]`, of x's dtype or f32 where x is f16; returns x's dtype. Gradients
    /// reach x, gamma and beta; the statistics are constants.
    ///
    /// # Panics
    /// Where the shapes or types do not fit, naming them.
    #[allow(clippy::too_many_arguments)]
    pub fn batch_norm_act(
        self,
        x: Tensor<4>,
        gamma: Tensor<1>,
        beta: Tensor<1>,
        mean: Tensor<1>,
        var: Tensor<1>,
        epsilon: f64,
        activation: Activation,
    ) -> Tensor<4> {
        let given = [("gamma", &gamma), ("beta", &beta), ("mean", &mean), ("var", &var)];
        check("batch_norm_act", &x, &given, activation);
        let x = x.into_dispatch();
        let [gamma, beta, mean, var] = [gamma, beta, mean, var].map(Tensor::into_dispatch);
        Tensor::from_dispatch(match self {
            Self::Kernels => Dispatch::batch_norm_act(x, gamma, beta, mean, var, epsilon, activation),
            Self::Stock => stock::batch_norm_act::<Dispatch>(x, gamma, beta, mean, var, epsilon, activation),
        })
    }

    /// Batch normalization with the statistics of the batch: [`batch_norm_act`](Self::batch_norm_act) with the mean and the
    /// biased variance of x over batch, height and width, through which gradients reach x, too.
    ///
    /// x `[batch, channel, height, width]`, gamma and beta `[channel]`, of x's dtype or f32 where x is f16. Returns the output, of x's
    /// dtype, the mean and the variance, `[channel]`, of gamma's, the last two detached where they come from [`Path::Kernels`].
    ///
    /// # Panics
    /// Where the shapes or types do not fit, naming them.
    pub fn batch_norm_train_act(
        self,
        x: Tensor<4>,
        gamma: Tensor<1>,
        beta: Tensor<1>,
        epsilon: f64,
        activation: Activation,
    ) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
        check("batch_norm_train_act", &x, &[("gamma", &gamma), ("beta", &beta)], activation);
        let x = x.into_dispatch();
        let [gamma, beta] = [gamma, beta].map(Tensor::into_dispatch);
        let (y, mean, var) = match self {
            Self::Kernels => Dispatch::batch_norm_train_act(x, gamma, beta, epsilon, activation),
            Self::Stock => stock::batch_norm_train_act::<Dispatch>(x, gamma, beta, epsilon, activation),
        };
        (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(var))
    }

    /// What the running mean and variance of a batch normalization become after a batch whose mean and biased variance
    /// [`batch_norm_train_act`](Self::batch_norm_train_act) returned: see [`MovingAverage`].
    ///
    /// All `[channel]` of one dtype, with kernels for f32; returns the new running mean and variance, detached. Not differentiable.
    ///
    /// # Panics
    /// Where the shapes or types differ, naming them.
    pub fn moving_statistics(self, running: [Tensor<1>; 2], batch: [Tensor<1>; 2], average: MovingAverage) -> [Tensor<1>; 2] {
        let [mean, var] = &batch;
        for (name, tensor) in [("running variance", &running[1]), ("mean", mean), ("variance", var)] {
            check_same("moving_statistics", &running[0], name, tensor);
        }
        let [[running_mean, running_var], [mean, var]] = [running, batch].map(|pair| pair.map(|t| t.detach().into_dispatch()));
        let (mean, var) = match self {
            Self::Kernels => Dispatch::moving_statistics(running_mean, running_var, mean, var, average),
            Self::Stock => stock::moving_statistics::<Dispatch>(running_mean, running_var, mean, var, average),
        };
        [Tensor::from_dispatch(mean), Tensor::from_dispatch(var)]
    }
}

/// Batch normalization on a backend, forward; on any device through `Dispatch`, differentiable on autodiff devices.
#[backend_extension(Cube: cfg(feature = "cubecl"), Flex, Autodiff)]
pub trait NormalizationOps: Backend {
    /// With given statistics: see [`Path::batch_norm_act`].
    #[allow(clippy::too_many_arguments)]
    fn batch_norm_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> FloatTensor<Self> {
        stock::batch_norm_act::<Self>(x, gamma, beta, mean, var, epsilon, activation)
    }

    /// With the mean and the biased variance of the batch, which come after the output: see [`Path::batch_norm_train_act`].
    fn batch_norm_train_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        stock::batch_norm_train_act::<Self>(x, gamma, beta, epsilon, activation)
    }

    /// New running mean and variance: see [`Path::moving_statistics`].
    fn moving_statistics(
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        average: MovingAverage,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        stock::moving_statistics::<Self>(running_mean, running_var, mean, var, average)
    }
}

/// Its gradients, on a backend without a graph.
pub trait NormalizationBackwardOps: Backend {
    /// Gradients of either batch normalization: x, gamma, beta, each present when wanted.
    fn batch_norm_act_backward(pass: BatchNormBackward<Self>) -> [Option<FloatTensor<Self>>; 3] {
        stock::batch_norm_act_backward(pass)
    }
}

/// Where the mean and the variance of a batch normalization come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// Given: constants of the backward pass.
    Given,
    /// Those of the batch, biased: the gradient of the input goes through them, too.
    Batch,
}

/// What the backward pass of a batch normalization is given.
#[derive(Debug)]
pub struct BatchNormBackward<B: Backend> {
    /// Gradient with respect to the output, `[batch, channel, height, width]`.
    pub gradient: FloatTensor<B>,
    /// The output; present exactly when the activation is not [`Activation::None`].
    pub output: Option<FloatTensor<B>>,
    /// The input; present exactly when the gradient of gamma is wanted, or that of x with the statistics of the batch.
    pub x: Option<FloatTensor<B>>,
    /// Scale, `[channel]`.
    pub gamma: FloatTensor<B>,
    /// The mean that was subtracted, `[channel]`.
    pub mean: FloatTensor<B>,
    /// The variance that was divided by, `[channel]`.
    pub var: FloatTensor<B>,
    /// Whether these two depend on the input.
    pub statistics: Statistics,
    /// Added to the variance.
    pub epsilon: f64,
    /// The activation of the forward pass.
    pub activation: Activation,
    /// Which gradients are wanted: of x, gamma, beta. At least one is.
    pub wanted: [bool; 3],
}

impl<B: NormalizationOps + NormalizationBackwardOps, C: CheckpointStrategy> NormalizationOps for Autodiff<B, C> {
    fn batch_norm_act(
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
        tracked::<B, C>(nodes, state, output)
    }

    fn batch_norm_train_act(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let keeps_x = gamma.is_tracked() || x.is_tracked();
        let [x, gamma, beta] = [x, gamma, beta].map(|t| t.into_primitive());
        let (output, mean, var) = B::batch_norm_train_act(x.clone(), gamma.clone(), beta, epsilon, activation);
        let of_batch = [mean.clone(), var.clone()].map(Self::from_inner);
        let statistics = Statistics::Batch;
        let state = BatchNormState { output: None, x: keeps_x.then_some(x), gamma, mean, var, statistics, epsilon, activation };
        let [mean, var] = of_batch;
        (tracked::<B, C>(nodes, state, output), mean, var)
    }

    fn moving_statistics(
        running_mean: FloatTensor<Self>,
        running_var: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        var: FloatTensor<Self>,
        average: MovingAverage,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [running_mean, running_var, mean, var] = [running_mean, running_var, mean, var].map(|t| t.into_primitive());
        let (mean, var) = B::moving_statistics(running_mean, running_var, mean, var, average);
        (Self::from_inner(mean), Self::from_inner(var))
    }
}

/// Puts a batch normalization's output into the graph.
fn tracked<B: NormalizationBackwardOps, C: CheckpointStrategy>(
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

/// See [`BatchNormBackward`].
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

impl<B: NormalizationBackwardOps> Backward<B, 3> for BatchNormStep {
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

fn check(operation: &str, x: &Tensor<4>, given: &[(&str, &Tensor<1>)], activation: Activation) {
    for (name, tensor) in given {
        let fits = tensor.dims() == [x.dims()[1]];
        assert!(fits, "{operation}: {name} {:?} does not fit x {:?}", tensor.dims(), x.dims());
        check_type(operation, x, name, tensor);
    }
    check_slope(activation);
}
