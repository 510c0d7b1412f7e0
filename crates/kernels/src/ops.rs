//! The public operations on `Tensor`s: shapes and types checked, then routed to the tensor's device.

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, FloatDType, Tensor};

use crate::routing::{List, Routed};
use crate::{Activation, ConvOptions, ConvShape, MovingAverage, SgdStep, SignedStep, stock};

/// Which implementation computes a layer.
///
/// A model that keeps a path can be run both ways; the results agree within rounding. The free functions of this crate
/// take [`Path::Kernels`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// This crate's kernels where the device has them, Burn's operations elsewhere.
    #[default]
    Kernels,
    /// Burn's operations, differentiated by Burn: the reference to compare with.
    Stock,
}

/// Whether the device has kernels for activations in f16: a GPU device that computes with them. Elsewhere Burn's operations take
/// f16 tensors, if at all, without the speed that is the point of them.
pub fn stores_f16(device: &Device) -> bool {
    let device = device.clone().without_autodiff();
    device != Device::flex() && device.supports_dtype(FloatDType::F16)
}

/// [`Path::conv2d`] by [`Path::Kernels`].
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
    activation: Activation,
) -> Tensor<4> {
    Path::Kernels.conv2d(x, weight, bias, options, activation)
}

/// [`Path::linear`] by [`Path::Kernels`].
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>, activation: Activation) -> Tensor<2> {
    Path::Kernels.linear(x, weight, bias, activation)
}

/// [`Path::batch_norm_act`] by [`Path::Kernels`].
pub fn batch_norm_act(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    mean: Tensor<1>,
    var: Tensor<1>,
    epsilon: f64,
    activation: Activation,
) -> Tensor<4> {
    Path::Kernels.batch_norm_act(x, gamma, beta, mean, var, epsilon, activation)
}

/// [`Path::batch_norm_train_act`] by [`Path::Kernels`].
pub fn batch_norm_train_act(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    activation: Activation,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    Path::Kernels.batch_norm_train_act(x, gamma, beta, epsilon, activation)
}

/// [`Path::moving_statistics`] by [`Path::Kernels`].
pub fn moving_statistics(running: [Tensor<1>; 2], batch: [Tensor<1>; 2], average: MovingAverage) -> [Tensor<1>; 2] {
    Path::Kernels.moving_statistics(running, batch, average)
}

/// [`Path::max_pool`] by [`Path::Kernels`].
pub fn max_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    Path::Kernels.max_pool(x, size)
}

/// [`Path::cross_entropy`] by [`Path::Kernels`].
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    Path::Kernels.cross_entropy(logits, targets)
}

/// [`Path::signed_step`] by [`Path::Kernels`].
pub fn signed_step(
    x: Tensor<4>,
    gradient: Tensor<4>,
    origin: Tensor<4>,
    active: Option<Tensor<1>>,
    step: SignedStep,
) -> Tensor<4> {
    Path::Kernels.signed_step(x, gradient, origin, active, step)
}

/// [`Path::sgd_step`] by [`Path::Kernels`].
pub fn sgd_step(
    parameters: Vec<Tensor<1>>,
    gradients: Vec<Tensor<1>>,
    velocities: Vec<Tensor<1>>,
    step: SgdStep,
) -> (Vec<Tensor<1>>, Vec<Tensor<1>>) {
    Path::Kernels.sgd_step(parameters, gradients, velocities, step)
}

impl Path {
    /// `act(conv2d(x, weight) + bias)`: x `[batch, in, height, width]`, weight `[out, in, kernel height, kernel width]`,
    /// bias `[out]`; returns `[batch, out, height', width']` of x's dtype. Weight and bias are of that, too, or f32 where x is f16.
    ///
    /// # Panics
    /// Where the shapes or types do not fit, naming them.
    pub fn conv2d(
        self,
        x: Tensor<4>,
        weight: Tensor<4>,
        bias: Option<Tensor<1>>,
        options: ConvOptions,
        activation: Activation,
    ) -> Tensor<4> {
        check_conv2d(&x, &weight, &bias, options);
        check_slope(activation);
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        let bias = bias.map(Tensor::into_dispatch);
        Tensor::from_dispatch(match self {
            Self::Kernels => Dispatch::routed_conv2d(x, weight, bias.into(), options, activation),
            Self::Stock => stock::conv2d_act::<Dispatch>(x, weight, bias, options, activation),
        })
    }

    /// `act(x weight^T + bias)`: x `[batch, in]`, weight `[out, in]`, bias `[out]`; returns `[batch, out]` of x's dtype. Weight and
    /// bias are of that, too, or f32 where x is f16.
    ///
    /// # Panics
    /// Where the shapes or types do not fit, naming them.
    pub fn linear(self, x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>, activation: Activation) -> Tensor<2> {
        let [out, inputs] = weight.dims();
        assert!(x.dims()[1] == inputs, "linear: x {:?} does not fit weight {:?} ([out, in])", x.dims(), weight.dims(),);
        check_type("linear", &x, "weight", &weight);
        check_bias("linear", &x, &bias, out);
        check_slope(activation);
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        let bias = bias.map(Tensor::into_dispatch);
        Tensor::from_dispatch(match self {
            Self::Kernels => Dispatch::routed_linear(x, weight, bias.into(), activation),
            Self::Stock => stock::linear_act::<Dispatch>(x, weight, bias, activation),
        })
    }

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
        let channels = x.dims()[1];
        for (name, tensor) in [("gamma", &gamma), ("beta", &beta), ("mean", &mean), ("var", &var)] {
            assert!(tensor.dims() == [channels], "batch_norm_act: {name} {:?} does not fit x {:?}", tensor.dims(), x.dims(),);
            check_type("batch_norm_act", &x, name, tensor);
        }
        check_slope(activation);
        let x = x.into_dispatch();
        let [gamma, beta, mean, var] = [gamma, beta, mean, var].map(Tensor::into_dispatch);
        Tensor::from_dispatch(match self {
            Self::Kernels => Dispatch::routed_batch_norm(x, gamma, beta, mean, var, epsilon, activation),
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
        let channels = x.dims()[1];
        for (name, tensor) in [("gamma", &gamma), ("beta", &beta)] {
            assert!(
                tensor.dims() == [channels],
                "batch_norm_train_act: {name} {:?} does not fit x {:?}",
                tensor.dims(),
                x.dims(),
            );
            check_type("batch_norm_train_act", &x, name, tensor);
        }
        check_slope(activation);
        let x = x.into_dispatch();
        let [gamma, beta] = [gamma, beta].map(Tensor::into_dispatch);
        let (y, mean, var) = match self {
            Self::Kernels => Dispatch::routed_batch_norm_train(x, gamma, beta, epsilon, activation),
            Self::Stock => stock::batch_norm_train_act::<Dispatch>(x, gamma, beta, epsilon, activation).into(),
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
            Self::Kernels => Dispatch::routed_moving_statistics(running_mean, running_var, mean, var, average),
            Self::Stock => stock::moving_statistics::<Dispatch>([running_mean, running_var], [mean, var], average).into(),
        };
        [Tensor::from_dispatch(mean), Tensor::from_dispatch(var)]
    }

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
            Self::Kernels => Dispatch::routed_max_pool(x, size),
            Self::Stock => stock::max_pool::<Dispatch>(x, size),
        })
    }

    /// Cross-entropy of each sample, `-sum(targets * log_softmax(logits))` over the classes.
    ///
    /// Logits and targets `[batch, class]` of one dtype, with kernels for f32; targets one-hot or any weights; returns `[batch]`.
    /// Gradients reach the logits.
    ///
    /// # Panics
    /// Where the shapes or types differ, naming them.
    pub fn cross_entropy(self, logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
        check_same("cross_entropy", &logits, "targets", &targets);
        let (logits, targets) = (logits.into_dispatch(), targets.into_dispatch());
        Tensor::from_dispatch(match self {
            Self::Kernels => Dispatch::routed_cross_entropy(logits, targets),
            Self::Stock => stock::cross_entropy_loss::<Dispatch>(logits, targets),
        })
    }

    /// One step of projected gradient ascent:
    /// `clamp(clamp(x + step_size * sign(gradient), origin - epsilon, origin + epsilon), range)`.
    ///
    /// x, gradient and origin `[batch, channel, height, width]` of one dtype, with kernels for f32. With `active` `[batch]`,
    /// samples whose entry is 0 keep their x. The sign of 0 and of NaN is 0. Not differentiable.
    ///
    /// # Panics
    /// Where the shapes do not fit, naming them.
    pub fn signed_step(
        self,
        x: Tensor<4>,
        gradient: Tensor<4>,
        origin: Tensor<4>,
        active: Option<Tensor<1>>,
        step: SignedStep,
    ) -> Tensor<4> {
        check_same("signed_step", &x, "gradient", &gradient);
        check_same("signed_step", &x, "origin", &origin);
        if let Some(active) = &active {
            assert!(active.dims()[0] == x.dims()[0], "signed_step: active {:?} does not fit x {:?}", active.dims(), x.dims(),);
        }
        let [x, gradient, origin] = [x, gradient, origin].map(Tensor::into_dispatch);
        let active = active.map(Tensor::into_dispatch);
        Tensor::from_dispatch(match self {
            Self::Kernels => Dispatch::routed_signed_step(x, gradient, origin, active.into(), step),
            Self::Stock => stock::signed_step::<Dispatch>(x, gradient, origin, active, step),
        })
    }

    /// One step of gradient descent with momentum on all parameters of a model, flattened: the new parameters and the new
    /// velocities, detached, in the same order.
    ///
    /// Without velocities (the first step) they become the gradients, as in PyTorch. Not differentiable.
    ///
    /// # Panics
    /// Where numbers or lengths differ, naming them.
    pub fn sgd_step(
        self,
        parameters: Vec<Tensor<1>>,
        gradients: Vec<Tensor<1>>,
        velocities: Vec<Tensor<1>>,
        step: SgdStep,
    ) -> (Vec<Tensor<1>>, Vec<Tensor<1>>) {
        let lengths = |tensors: &[Tensor<1>]| tensors.iter().map(|tensor| tensor.dims()[0]).collect::<Vec<_>>();
        let expected = lengths(&parameters);
        let fits = |tensors: &[Tensor<1>]| lengths(tensors) == expected;
        assert!(fits(&gradients), "sgd_step: gradients {:?} differ from parameters {expected:?}", lengths(&gradients));
        let fit = velocities.is_empty() || fits(&velocities);
        assert!(fit, "sgd_step: velocities {:?} differ from parameters {expected:?}", lengths(&velocities));
        if parameters.is_empty() {
            return (parameters, velocities);
        }
        let inner = |tensors: Vec<Tensor<1>>| tensors.into_iter().map(Tensor::into_dispatch).collect();
        let (parameters, gradients, velocities) = (inner(parameters), inner(gradients), inner(velocities));
        let (parameters, velocities) = match self {
            Self::Kernels => Dispatch::routed_sgd_step(List(parameters), List(gradients), List(velocities), step),
            Self::Stock => stock::sgd_step::<Dispatch>(parameters, gradients, velocities, step).into(),
        };
        let outer = |tensors: Vec<_>| tensors.into_iter().map(Tensor::from_dispatch).collect();
        (outer(parameters), outer(velocities))
    }
}

fn check_conv2d(x: &Tensor<4>, weight: &Tensor<4>, bias: &Option<Tensor<1>>, options: ConvOptions) {
    let (input, kernel) = (x.dims(), weight.dims());
    assert!(options.stride.iter().all(|&stride| stride > 0), "conv2d: stride {:?} must be positive", options.stride,);
    let fits = |axis: usize| input[axis] + 2 * options.padding[axis - 2] >= kernel[axis];
    assert!(
        input[1] == kernel[1] && fits(2) && fits(3),
        "conv2d: x {input:?} does not fit weight {kernel:?} ([out, in, height, width]) with {options:?}",
    );
    let shape = ConvShape { x: input, weight: kernel, options };
    assert!(
        kernel.iter().all(|&size| size > 0) && shape.output().iter().all(|&size| size > 0),
        "conv2d: empty tensors: x {input:?}, weight {kernel:?}",
    );
    check_type("conv2d", x, "weight", weight);
    check_bias("conv2d", x, bias, kernel[0]);
}

fn check_bias<const D: usize>(operation: &str, x: &Tensor<D>, bias: &Option<Tensor<1>>, out: usize) {
    if let Some(bias) = bias {
        assert!(bias.dims() == [out], "{operation}: bias {:?} does not fit {out} outputs", bias.dims(),);
        check_type(operation, x, "bias", bias);
    }
}

/// A parameter has the dtype of x, or f32 where x is f16.
fn check_type<const D: usize, const P: usize>(operation: &str, x: &Tensor<D>, name: &str, parameter: &Tensor<P>) {
    let (x, found) = (x.dtype(), parameter.dtype());
    let expected = if x == DType::F16 { DType::F32 } else { x };
    assert!(found == expected, "{operation}: {name} in {found:?} does not fit x in {x:?}: {expected:?} does");
}

/// The sign of the output must tell the sign of the input.
fn check_slope(activation: Activation) {
    if let Activation::LeakyRelu(slope) = activation {
        assert!(slope >= 0.0, "LeakyRelu: slope {slope} is negative");
    }
}

fn check_same<const D: usize>(operation: &str, first: &Tensor<D>, name: &str, second: &Tensor<D>) {
    assert!(first.dims() == second.dims(), "{operation}: {name} {:?} differs in shape from {:?}", second.dims(), first.dims(),);
    let (first, second) = (first.dtype(), second.dtype());
    assert!(first == second, "{operation}: {name} in {second:?} differs in type from {first:?}");
}
