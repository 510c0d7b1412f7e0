//! Convolution and its gradients from their definitions, one element at a time, in double precision.

use burn::tensor::Device;
use riposte_kernels::{Activation, ConvOptions, ConvShape, Path};

use crate::random::{Random, tensor, values};

/// A convolution with its operands and the gradient of a loss with respect to its output.
#[derive(Debug)]
pub struct Case {
    pub shape: ConvShape,
    pub activation: Activation,
    pub x: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub gradient: Vec<f32>,
}

/// What a path computed for a [`Case`].
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    pub y: Vec<f32>,
    pub x: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Case {
    pub fn new(x: [usize; 4], weight: [usize; 4], options: ConvOptions, activation: Activation) -> Self {
        let shape = ConvShape { x, weight, options };
        let mut random = Random::new(x.iter().chain(&weight).product::<usize>() as u64);
        Self {
            shape,
            activation,
            x: random.numbers(x.iter().product()),
            weight: random.numbers(weight.iter().product()),
            bias: random.numbers(weight[0]),
            gradient: random.numbers(shape.output().iter().product()),
        }
    }

    pub fn run(&self, path: Path) -> Results {
        let device = Device::flex().autodiff();
        let x = tensor(&self.x, self.shape.x, &device).require_grad();
        let weight = tensor(&self.weight, self.shape.weight, &device).require_grad();
        let bias = tensor(&self.bias, [self.bias.len()], &device).require_grad();
        let y = path.conv2d(x.clone(), weight.clone(), Some(bias.clone()), self.shape.options, self.activation);
        let loss = (y.clone() * tensor(&self.gradient, self.shape.output(), &device)).sum();
        let gradients = loss.backward();
        Results {
            y: values(y.inner()),
            x: values(x.grad(&gradients).expect("x is tracked")),
            weight: values(weight.grad(&gradients).expect("the weight is tracked")),
            bias: values(bias.grad(&gradients).expect("the bias is tracked")),
        }
    }

    /// One output.
    pub fn y(&self, [sample, out, row, column]: [usize; 4]) -> f64 {
        let [_, channels, height, width] = self.shape.weight;
        let mut sum = f64::from(self.bias[out]);
        for channel in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    let at = [sample, channel, y, x];
                    let pixel = self.pixel(at, [row, column]);
                    sum += pixel * f64::from(self.weight[flat([out, channel, y, x], self.shape.weight)]);
                }
            }
        }
        match self.activation.negative_slope() {
            Some(slope) if sum <= 0.0 => sum * f64::from(slope),
            _ => sum,
        }
    }

    /// The gradient before the activation. The sign is that of the computed output: rounding decides it near 0.
    pub fn before_activation(&self, y: &[f32]) -> Vec<f64> {
        let slope = f64::from(self.activation.negative_slope().unwrap_or(1.0));
        let pairs = self.gradient.iter().zip(y);
        pairs.map(|(&g, &y)| f64::from(g) * if y > 0.0 { 1.0 } else { slope }).collect()
    }

    /// One element of the weight's gradient.
    pub fn weight_gradient(&self, [out, channel, y, x]: [usize; 4], gradient: &[f64]) -> f64 {
        let shape = self.shape.output();
        let mut sum = 0.0;
        for sample in 0..shape[0] {
            for row in 0..shape[2] {
                for column in 0..shape[3] {
                    let pixel = self.pixel([sample, channel, y, x], [row, column]);
                    sum += pixel * gradient[flat([sample, out, row, column], shape)];
                }
            }
        }
        sum
    }

    /// One element of the bias's gradient.
    pub fn bias_gradient(&self, out: usize, gradient: &[f64]) -> f64 {
        let shape = self.shape.output();
        let plane = shape[2] * shape[3];
        let planes = gradient.chunks_exact(plane).skip(out).step_by(shape[1]);
        planes.flatten().sum()
    }

    /// One element of the input's gradient.
    pub fn x_gradient(&self, [sample, channel, y, x]: [usize; 4], gradient: &[f64]) -> f64 {
        let shape = self.shape.output();
        let [_, _, height, width] = self.shape.weight;
        let ConvOptions { stride, padding } = self.shape.options;
        let mut sum = 0.0;
        for out in 0..shape[1] {
            for row in 0..shape[2] {
                let Some(tap_y) = (y + padding[0]).checked_sub(row * stride[0]) else { continue };
                for column in 0..shape[3] {
                    let Some(tap_x) = (x + padding[1]).checked_sub(column * stride[1]) else { continue };
                    if tap_y < height && tap_x < width {
                        let weight = self.weight[flat([out, channel, tap_y, tap_x], self.shape.weight)];
                        sum += f64::from(weight) * gradient[flat([sample, out, row, column], shape)];
                    }
                }
            }
        }
        sum
    }

    /// What a tap sees at an output position: 0 in the padding.
    fn pixel(&self, [sample, channel, tap_y, tap_x]: [usize; 4], [row, column]: [usize; 2]) -> f64 {
        let ConvOptions { stride, padding } = self.shape.options;
        let [_, _, height, width] = self.shape.x;
        let y = (row * stride[0] + tap_y).checked_sub(padding[0]);
        let x = (column * stride[1] + tap_x).checked_sub(padding[1]);
        match (y, x) {
            (Some(y), Some(x)) if y < height && x < width => f64::from(self.x[flat([sample, channel, y, x], self.shape.x)]),
            _ => 0.0,
        }
    }
}

/// Index into a contiguous tensor.
pub fn flat(index: [usize; 4], shape: [usize; 4]) -> usize {
    index.iter().zip(shape).fold(0, |at, (index, size)| at * size + index)
}

/// The index of an element in a contiguous tensor.
pub fn unflat(mut at: usize, shape: [usize; 4]) -> [usize; 4] {
    let mut index = [0; 4];
    for (index, size) in index.iter_mut().zip(shape).rev() {
        *index = at % size;
        at /= size;
    }
    index
}
