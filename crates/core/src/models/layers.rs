//! The layers of the models: Burn modules over `riposte-kernels`, with PyTorch's parameter names and layouts.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::silu;
use riposte_kernels::{Activation, ConvOptions, MovingAverage, Path};
use riposte_spec::architecture::Nonlinearity;

use super::buffer::Buffer;

/// A 2-D convolution with a square stride and padding, and its activation.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in, height, width]`
    pub(crate) weight: Param<Tensor<4>>,
    /// `[out]`
    pub(crate) bias: Option<Param<Tensor<1>>>,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    #[module(skip)]
    pub(crate) path: Path,
}

impl Conv2d {
    /// `activation(conv(x) + bias)`; `x` is `[batch, in, height, width]`.
    pub(crate) fn forward(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        let options = ConvOptions::square(self.stride, self.padding);
        self.path.conv2d(x, self.weight.val(), self.bias.as_ref().map(Param::val), options, activation)
    }
}

/// A fully connected layer and its activation.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`
    pub(crate) weight: Param<Tensor<2>>,
    /// `[out]`
    pub(crate) bias: Param<Tensor<1>>,
    #[module(skip)]
    pub(crate) path: Path,
}

impl Linear {
    /// `activation(x weight^T + bias)`; `x` is `[batch, in]`.
    pub(crate) fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        self.path.linear(x, self.weight.val(), Some(self.bias.val()), activation)
    }
}

/// Max pooling by windows that do not overlap.
#[derive(Module, Debug)]
pub struct MaxPool2d {
    pub(crate) size: usize,
    #[module(skip)]
    pub(crate) path: Path,
}

impl MaxPool2d {
    /// `x` is `[batch, channel, height, width]`, the result `[batch, channel, height / size, width / size]`.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.path.max_pool(x, self.size)
    }
}

/// Batch normalization over feature maps, and its activation.
///
/// It normalizes with the statistics of the batch, and updates the running ones, when the input carries autodiff and
/// `training` is on; otherwise with the running statistics. Post-training as in Fast-FGSM's code needs the second with trainable
/// affine parameters: switch `training` off with [`freeze_statistics`].
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    pub(crate) weight: Param<Tensor<1>>,
    pub(crate) bias: Param<Tensor<1>>,
    pub(crate) running_mean: Buffer,
    pub(crate) running_var: Buffer,
    pub(crate) training: Param<Flag>,
    /// Added to variances.
    #[module(skip)]
    pub(crate) epsilon: f64,
    #[module(skip)]
    pub(crate) path: Path,
}

/// PyTorch's defaults.
pub(crate) const EPSILON: f64 = 1e-5;
const MOMENTUM: f32 = 0.1;

impl BatchNorm2d {
    /// `activation(norm(x) * weight + bias)`; `x` is `[batch, channel, height, width]`.
    pub(crate) fn forward(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        if x.device().is_autodiff() && self.training.is_enabled() {
            let [batch, _, height, width] = x.dims();
            let (weight, bias) = (self.weight.val(), self.bias.val());
            let (y, mean, variance) = self.path.batch_norm_train_act(x, weight, bias, self.epsilon, activation);
            self.follow(mean, variance, batch * height * width);
            y
        } else {
            let (mean, variance) = (self.running_mean.value(), self.running_var.value());
            let (weight, bias) = (self.weight.val(), self.bias.val());
            self.path.batch_norm_act(x, weight, bias, mean.inner(), variance.inner(), self.epsilon, activation)
        }
    }

    /// [`forward`](Self::forward) with an activation of an architecture that has a choice.
    pub(crate) fn forward_then(&self, x: Tensor<4>, nonlinearity: Nonlinearity) -> Tensor<4> {
        match nonlinearity {
            Nonlinearity::Relu => self.forward(x, Activation::Relu),
            Nonlinearity::Leaky => self.forward(x, Activation::LeakyRelu(0.1)),
            Nonlinearity::Silu => silu(self.forward(x, Activation::None)),
        }
    }

    /// Moves the running statistics towards those of a batch of `count` elements a channel.
    fn follow(&self, mean: Tensor<1>, variance: Tensor<1>, count: usize) {
        // PyTorch normalizes with the biased variance of the batch but keeps the unbiased one as running statistics.
        let average = MovingAverage { momentum: MOMENTUM, correction: count as f32 / (count as f32 - 1.0) };
        let running = [self.running_mean.value(), self.running_var.value()];
        let [mean, variance] = self.path.moving_statistics(running, [mean, variance], average);
        self.running_mean.set(mean);
        self.running_var.set(variance);
    }
}

/// Makes every batch normalization of `model` use its running statistics, whatever mode the model is in.
///
/// Not Burn's `freeze`: that would also stop the gradients of the affine parameters, which post-training trains.
pub(crate) fn freeze_statistics<M: Module>(model: M) -> M {
    struct Freeze;
    impl ModuleMapper for Freeze {
        fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
            flag.with_value(false)
        }
    }
    model.map(&mut Freeze)
}

/// Stops the gradients of every parameter of `model` that is no factor or offset of a batch normalization.
pub(crate) fn train_normalization_alone<M: Module>(model: M) -> M {
    model.map(&mut Normalizations::default())
}

/// Whether `model` has a batch normalization.
pub(crate) fn has_normalization<M: Module>(model: &M) -> bool {
    let mut normalizations = Normalizations::default();
    model.visit(&mut normalizations);
    normalizations.found
}

/// Tells parameters of batch normalization, this one's or Burn's, from others, by the structs around them.
#[derive(Default)]
struct Normalizations {
    /// Whether each struct around is one, from the outermost to the innermost.
    around: Vec<bool>,
    found: bool,
}

impl Normalizations {
    fn enter(&mut self, container: &str) {
        let is_one = ["Struct:BatchNorm2d", "Struct:BatchNorm"].contains(&container);
        self.found |= is_one;
        self.around.push(is_one);
    }
}

impl ModuleVisitor for Normalizations {
    fn enter_module(&mut self, _: &str, container: &str) {
        self.enter(container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.around.pop();
    }
}

impl ModuleMapper for Normalizations {
    fn enter_module(&mut self, _: &str, container: &str) {
        self.enter(container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.around.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.around.last() == Some(&true) { param } else { param.set_require_grad(false) }
    }
}
