//! The operations composed of Burn's own: the default of a backend, the path for dtypes without kernels, and (on the `Dispatch`
//! backend, differentiated by Burn) what to compare with.
//!
//! f16 activations are cast to f32 on the way in, as their parameters are, and back on the way out.

use burn::backend::ops::ConvOptions as BurnConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, DType, FloatDType, Scalar, Shape, TensorMetadata, get_or_init_device_settings};

use crate::{
    Activation, BatchNormBackward, ConvOptions, ConvShape, LayerBackward, LayerGradients, List, Maybe, MovingAverage, SgdStep,
    SignedStep, Statistics,
};

/// Ends the program where the large operations were left out of the build: on a device of the page every tensor is f32 and every
/// layer has a kernel.
fn require() {
    if cfg!(not(feature = "stock")) {
        panic!("this build has no stock operations: riposte-kernels was compiled without its feature `stock`");
    }
}

pub fn conv2d_act<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Maybe<B>,
    options: ConvOptions,
    activation: Activation,
) -> FloatTensor<B> {
    require();
    let dtype = x.dtype();
    let y = B::conv2d(widened::<B>(x), weight, bias.into_option(), burn_options(options));
    stored::<B>(activate::<B>(y, activation), dtype)
}

pub fn conv2d_act_backward<B: Backend>(pass: LayerBackward<B>, shape: ConvShape) -> LayerGradients<B> {
    require();
    let options = burn_options(shape.options);
    let stored_as = pass.gradient.dtype();
    let gradient = before_activation::<B>(pass.gradient, pass.output, pass.activation);
    let (device, dtype) = (gradient.device(), gradient.dtype());
    // Burn reads only the shape of the tensor whose gradient it computes.
    let shaped = |shape: [usize; 4]| B::float_empty(Shape::new(shape), &device, dtype.into());
    LayerGradients {
        x: pass.weight.map(|weight| {
            let of_x = B::conv2d_x_backward(shaped(shape.x), weight, gradient.clone(), options.clone());
            stored::<B>(of_x, stored_as)
        }),
        weight: pass.x.map(|x| B::conv2d_weight_backward(widened::<B>(x), shaped(shape.weight), gradient.clone(), options)),
        bias: pass.bias.then(|| sum_to_channels::<B>(gradient, &[0, 2, 3])),
    }
}

pub fn linear_act<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Maybe<B>,
    activation: Activation,
) -> FloatTensor<B> {
    require();
    let dtype = x.dtype();
    let y = B::float_matmul(widened::<B>(x), B::float_transpose(weight));
    let y = match bias {
        Maybe::Given(bias) => {
            let row = Shape::new([1, bias.shape()[0]]);
            B::float_add(y, B::float_reshape(bias, row))
        }
        Maybe::Absent => y,
    };
    stored::<B>(activate::<B>(y, activation), dtype)
}

pub fn linear_act_backward<B: Backend>(pass: LayerBackward<B>) -> LayerGradients<B> {
    require();
    let dtype = pass.gradient.dtype();
    let gradient = before_activation::<B>(pass.gradient, pass.output, pass.activation);
    LayerGradients {
        x: pass.weight.map(|weight| stored::<B>(B::float_matmul(gradient.clone(), weight), dtype)),
        weight: pass.x.map(|x| B::float_matmul(B::float_transpose(gradient.clone()), widened::<B>(x))),
        bias: pass.bias.then(|| sum_to_channels::<B>(gradient, &[0])),
    }
}

pub fn batch_norm_act<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    mean: FloatTensor<B>,
    var: FloatTensor<B>,
    epsilon: f64,
    activation: Activation,
) -> FloatTensor<B> {
    let dtype = x.dtype();
    let y = B::batch_norm(widened::<B>(x), gamma, beta, mean, var, epsilon);
    stored::<B>(activate::<B>(y, activation), dtype)
}

pub fn batch_norm_train_act<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f64,
    activation: Activation,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let dtype = x.dtype();
    let x = widened::<B>(x);
    let [batch, channels, height, width] = x.shape().dims();
    let share = Scalar::Float(1.0 / (batch * height * width) as f64);
    let mean = B::float_mul_scalar(sum_to_channels::<B>(x.clone(), &[0, 2, 3]), share);
    let centered = B::float_sub(x.clone(), B::float_reshape(mean.clone(), Shape::new([1, channels, 1, 1])));
    let squares = B::float_mul(centered.clone(), centered);
    let var = B::float_mul_scalar(sum_to_channels::<B>(squares, &[0, 2, 3]), share);
    let y = batch_norm_act::<B>(x, gamma, beta, mean.clone(), var.clone(), epsilon, activation);
    (stored::<B>(y, dtype), mean, var)
}

pub fn batch_norm_act_backward<B: Backend>(pass: BatchNormBackward<B>) -> [Option<FloatTensor<B>>; 3] {
    let dtype = pass.gradient.dtype();
    let gradient = before_activation::<B>(pass.gradient, pass.output, pass.activation);
    let [batch, channels, height, width] = gradient.shape().dims();
    let per_channel = |of: FloatTensor<B>| B::float_reshape(of, Shape::new([1, channels, 1, 1]));
    let inverse_deviation = B::float_recip(B::float_sqrt(B::float_add_scalar(pass.var, Scalar::Float(pass.epsilon))));
    let normal = pass.x.map(|x| {
        let centered = B::float_sub(widened::<B>(x), per_channel(pass.mean));
        B::float_mul(centered, per_channel(inverse_deviation.clone()))
    });
    let of_gamma = |normal| sum_to_channels::<B>(B::float_mul(gradient.clone(), normal), &[0, 2, 3]);
    let gamma_gradient = normal.clone().map(of_gamma);
    let beta_gradient = sum_to_channels::<B>(gradient.clone(), &[0, 2, 3]);
    let [x_wanted, gamma_wanted, beta_wanted] = pass.wanted;
    let x_gradient = x_wanted.then(|| {
        let gradient = match (pass.statistics, normal, &gamma_gradient) {
            (Statistics::Batch, Some(normal), Some(gamma_gradient)) => {
                let share = Scalar::Float(1.0 / (batch * height * width) as f64);
                let through_mean = per_channel(B::float_mul_scalar(beta_gradient.clone(), share));
                let through_var = per_channel(B::float_mul_scalar(gamma_gradient.clone(), share));
                B::float_sub(B::float_sub(gradient, through_mean), B::float_mul(normal, through_var))
            }
            _ => gradient,
        };
        stored::<B>(B::float_mul(gradient, per_channel(B::float_mul(pass.gamma, inverse_deviation))), dtype)
    });
    [x_gradient, gamma_gradient.filter(|_| gamma_wanted), beta_wanted.then_some(beta_gradient)]
}

pub fn max_pool<B: Backend>(x: FloatTensor<B>, size: usize) -> FloatTensor<B> {
    B::max_pool2d(x, [size; 2], [size; 2], [0; 2], [1; 2], false)
}

pub fn max_pool_backward<B: Backend>(gradient: FloatTensor<B>, x: FloatTensor<B>, size: usize) -> FloatTensor<B> {
    let index_dtype = get_or_init_device_settings::<B>(&x.device()).int_dtype;
    let pooled = B::max_pool2d_with_indices(x.clone(), [size; 2], [size; 2], [0; 2], [1; 2], false, index_dtype);
    let gradients = B::max_pool2d_with_indices_backward(x, [size; 2], [size; 2], [0; 2], [1; 2], false, gradient, pooled.indices);
    gradients.x_grad
}

pub fn cross_entropy<B: Backend>(logits: FloatTensor<B>, targets: FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
    let log_probabilities = B::log_softmax(logits, 1);
    let batch = targets.shape()[0];
    let likelihood = B::float_sum_dim(B::float_mul(targets.clone(), log_probabilities.clone()), 1);
    let loss = B::float_reshape(B::float_neg(likelihood), Shape::new([batch]));
    let weight = B::float_sum_dim(targets.clone(), 1);
    let expected = B::float_mul(B::float_exp(log_probabilities), weight);
    (loss, B::float_sub(expected, targets))
}

pub fn signed_step<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    origin: FloatTensor<B>,
    active: Maybe<B>,
    step: SignedStep,
) -> FloatTensor<B> {
    let bool_dtype = get_or_init_device_settings::<B>(&x.device()).bool_dtype;
    let epsilon = Scalar::Float(step.epsilon.into());
    let [low, high] = step.range.map(|bound| Scalar::Float(bound.into()));
    let ascent = B::float_mul_scalar(B::float_sign(gradient), Scalar::Float(step.step_size.into()));
    let moved = B::float_add(x.clone(), ascent);
    let floor = B::float_sub_scalar(origin.clone(), epsilon);
    let ceiling = B::float_add_scalar(origin, epsilon);
    let below = B::float_lower(moved.clone(), floor.clone(), bool_dtype);
    let moved = B::float_mask_where(moved, below, floor);
    let above = B::float_greater(moved.clone(), ceiling.clone(), bool_dtype);
    let moved = B::float_clamp(B::float_mask_where(moved, above, ceiling), low, high);
    match active {
        Maybe::Absent => moved,
        Maybe::Given(active) => {
            let shape = x.shape();
            let column = Shape::new([shape[0], 1, 1, 1]);
            let resting = B::float_equal_elem(active, Scalar::Float(0.0), bool_dtype);
            let resting = B::bool_expand(B::bool_reshape(resting, column), shape);
            B::float_mask_where(moved, resting, x)
        }
    }
}

pub fn moving_statistics<B: Backend>(
    running_mean: FloatTensor<B>,
    running_var: FloatTensor<B>,
    mean: FloatTensor<B>,
    var: FloatTensor<B>,
    average: MovingAverage,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let scaled = |tensor: FloatTensor<B>, factor: f32| B::float_mul_scalar(tensor, Scalar::Float(factor.into()));
    let MovingAverage { momentum, correction } = average;
    let moved = |running, batch| B::float_add(scaled(running, 1.0 - momentum), scaled(batch, momentum));
    (moved(running_mean, mean), moved(running_var, scaled(var, correction)))
}

pub fn sgd_step<B: Backend>(
    parameters: List<B>,
    gradients: List<B>,
    velocities: List<B>,
    step: SgdStep,
) -> (Vec<FloatTensor<B>>, Vec<FloatTensor<B>>) {
    let velocities = velocities.0.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    let pairs = parameters.0.into_iter().zip(gradients.0).zip(velocities);
    pairs.map(|((parameter, gradient), velocity)| sgd_step_of_one::<B>(parameter, gradient, velocity, step)).unzip()
}

fn sgd_step_of_one<B: Backend>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    velocity: Option<FloatTensor<B>>,
    step: SgdStep,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let scaled = |tensor: FloatTensor<B>, factor: f32| B::float_mul_scalar(tensor, Scalar::Float(factor.into()));
    let gradient = match step.gradient_scale {
        1.0 => gradient,
        scale => scaled(gradient, scale),
    };
    let gradient = match step.weight_decay {
        0.0 => gradient,
        decay => B::float_add(gradient, scaled(parameter.clone(), decay)),
    };
    let velocity = match velocity {
        Some(velocity) => B::float_add(scaled(velocity, step.momentum), gradient.clone()),
        None => gradient.clone(),
    };
    let direction = match step.nesterov {
        true => B::float_add(gradient, scaled(velocity.clone(), step.momentum)),
        false => velocity.clone(),
    };
    let parameter = B::float_sub(parameter, scaled(direction, step.learning_rate));
    (parameter, velocity)
}

/// Activations as a layer computes with them: f16 as f32.
fn widened<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    match tensor.dtype() {
        DType::F16 => B::float_cast(tensor, FloatDType::F32),
        _ => tensor,
    }
}

/// What a layer computed from activations of `dtype`, as it is stored.
fn stored<B: Backend>(tensor: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    match dtype {
        DType::F16 => B::float_cast(tensor, FloatDType::F16),
        _ => tensor,
    }
}

fn burn_options(options: ConvOptions) -> BurnConvOptions<2> {
    BurnConvOptions::new(options.stride, options.padding, [1, 1], 1)
}

fn activate<B: Backend>(y: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    match activation {
        Activation::None => y,
        Activation::Relu => B::relu(y),
        Activation::LeakyRelu(slope) => B::leaky_relu(y, Scalar::Float(slope.into())),
    }
}

/// The gradient with respect to the value that went into the activation, as a layer computes with it.
fn before_activation<B: Backend>(
    gradient: FloatTensor<B>,
    output: Option<FloatTensor<B>>,
    activation: Activation,
) -> FloatTensor<B> {
    let (gradient, output) = (widened::<B>(gradient), output.map(widened::<B>));
    match (activation, output) {
        (Activation::None, _) | (_, None) => gradient,
        (Activation::Relu, Some(output)) => B::relu_backward(output, gradient),
        (Activation::LeakyRelu(slope), Some(output)) => {
            let bool_dtype = get_or_init_device_settings::<B>(&output.device()).bool_dtype;
            let negative = B::float_lower_equal_elem(output, Scalar::Float(0.0), bool_dtype);
            let scaled = B::float_mul_scalar(gradient.clone(), Scalar::Float(slope.into()));
            B::float_mask_where(gradient, negative, scaled)
        }
    }
}

/// Sums over all axes but the second, which stays alone.
pub fn sum_to_channels<B: Backend>(tensor: FloatTensor<B>, axes: &[usize]) -> FloatTensor<B> {
    let channels = tensor.shape()[1];
    B::float_reshape(B::float_sum_dims(tensor, axes), Shape::new([channels]))
}
