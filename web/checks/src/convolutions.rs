//! Convolutions and linear layers: forward, and the gradients of input, weight and bias.

use burn::tensor::{Device, Tensor};
use riposte_kernels::{Activation, ConvOptions, ConvShape, Path};

use crate::definitions::before_activation;
use crate::networks::NETWORKS;
use crate::random::tensor;
use crate::reference::Conv;
use crate::{Finding, noise, read};

/// As the native tests have them: sums of up to 10^4 products in single precision, and over a batch of 256.
const FORWARD: f64 = 1e-5;
const WEIGHT_GRADIENT: f64 = 1e-4;

/// A layer as a convolution; of a linear one over a single position.
pub struct Layer {
    of: &'static str,
    shape: ConvShape,
    linear: bool,
    activation: Activation,
    bias: bool,
}

/// Every layer of every network, on one image as attacks have it and on several as post-training has it.
pub fn all() -> Vec<Layer> {
    let mut layers = Vec::new();
    for network in NETWORKS {
        // The page's own network is trained with 256 samples.
        let batches = if network.architecture == "fast-mnist-cnn" { [1, 256] } else { [1, 3] };
        for batch in batches {
            for &[channels, size, filters, kernel, stride, padding] in network.convolutions {
                layers.push(Layer {
                    of: network.architecture,
                    shape: ConvShape {
                        x: [batch, channels, size, size],
                        weight: [filters, channels, kernel, kernel],
                        options: ConvOptions::square(stride, padding),
                    },
                    linear: false,
                    activation: network.activation,
                    bias: network.bias,
                });
            }
            for &[inputs, outputs] in network.linear {
                layers.push(Layer {
                    of: network.architecture,
                    shape: ConvShape {
                        x: [batch, inputs, 1, 1],
                        weight: [outputs, inputs, 1, 1],
                        options: ConvOptions::square(1, 0),
                    },
                    linear: true,
                    activation: network.activation,
                    bias: true,
                });
            }
        }
    }
    for (x, weight, stride, padding) in [
        ([2, 3, 5, 7], [5, 3, 3, 2], [1, 2], [0, 1]),
        ([1, 1, 1, 1], [1, 1, 1, 1], [1, 1], [0, 0]),
        ([3, 7, 9, 11], [13, 7, 2, 5], [3, 1], [1, 2]),
        ([2, 4, 4, 4], [4, 4, 1, 1], [1, 1], [2, 2]),
        // Large enough for the tiles that the networks' batches of 32 and more have.
        ([33, 35, 32, 32], [37, 35, 1, 1], [1, 1], [0, 0]),
    ] {
        let shape = ConvShape { x, weight, options: ConvOptions { stride, padding } };
        layers.push(Layer { of: "odd sizes", shape, linear: false, activation: Activation::LeakyRelu(0.1), bias: true });
    }
    layers
}

impl Layer {
    pub fn name(&self) -> String {
        let [batch, channels, height, width] = self.shape.x;
        let [filters, _, kernel_h, kernel_w] = self.shape.weight;
        match self.linear {
            true => format!("{}: linear {channels} to {filters}, batch {batch}", self.of),
            false => {
                let ConvOptions { stride: [stride, _], padding: [padding, _] } = self.shape.options;
                format!(
                    "{}: convolution {kernel_h}x{kernel_w} of {channels}x{height}x{width} to {filters}, stride {stride}, padding {padding}, batch {batch}",
                    self.of
                )
            }
        }
    }

    /// `device` with autodiff.
    pub async fn check(&self, device: &Device) -> Vec<Finding> {
        let conv = Conv { shape: self.shape };
        let [filters, ..] = self.shape.weight;
        let x = noise(1, self.shape.x.iter().product());
        let weight = noise(2, self.shape.weight.iter().product());
        let bias = self.bias.then(|| noise(3, filters));
        let upstream = noise(4, self.shape.output().iter().product());
        let results = match self.linear {
            true => self.linear(&x, &weight, bias.as_deref(), &upstream, device).await,
            false => self.convolution(&x, &weight, bias.as_deref(), &upstream, device).await,
        };

        let expected = conv.forward(&x, &weight, bias.as_deref(), self.activation);
        // The mask from the device's own output: where rounding flips the sign of an output near 0, both answers are right.
        let signal = before_activation(&upstream, &results.y, self.activation);
        let mut found = vec![Finding::relative("output", results.y, &expected, FORWARD)];
        if signal.len() != upstream.len() {
            return found;
        }
        found.push(Finding::relative("input gradient", results.x, &conv.data_gradient(&signal, &weight), FORWARD));
        found.push(Finding::relative("weight gradient", results.weight, &conv.weight_gradient(&signal, &x), WEIGHT_GRADIENT));
        if let Some(bias) = results.bias {
            found.push(Finding::relative("bias gradient", bias, &conv.bias_gradient(&signal), WEIGHT_GRADIENT));
        }
        found
    }

    async fn convolution(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, upstream: &[f32], device: &Device) -> Results {
        let x = tensor(x, self.shape.x, device).require_grad();
        let weight = tensor(weight, self.shape.weight, device).require_grad();
        let bias = bias.map(|bias| tensor(bias, [bias.len()], device).require_grad());
        let y = Path::Kernels.conv2d(x.clone(), weight.clone(), bias.clone(), self.shape.options, self.activation);
        Results::read(y, tensor(upstream, self.shape.output(), device), x, weight, bias).await
    }

    async fn linear(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, upstream: &[f32], device: &Device) -> Results {
        let ([batch, inputs, ..], [outputs, ..]) = (self.shape.x, self.shape.weight);
        let x = tensor(x, [batch, inputs], device).require_grad();
        let weight = tensor(weight, [outputs, inputs], device).require_grad();
        let bias = bias.map(|bias| tensor(bias, [outputs], device).require_grad());
        let y = Path::Kernels.linear(x.clone(), weight.clone(), bias.clone(), self.activation);
        Results::read(y, tensor(upstream, [batch, outputs], device), x, weight, bias).await
    }
}

struct Results {
    y: Vec<f32>,
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Results {
    async fn read<const D: usize>(
        y: Tensor<D>,
        upstream: Tensor<D>,
        x: Tensor<D>,
        weight: Tensor<D>,
        bias: Option<Tensor<1>>,
    ) -> Self {
        let gradients = (y.clone() * upstream).sum().backward();
        let bias = match bias {
            Some(bias) => Some(gradient(bias.grad(&gradients)).await),
            None => None,
        };
        Self {
            y: read(y.inner()).await,
            x: gradient(x.grad(&gradients)).await,
            weight: gradient(weight.grad(&gradients)).await,
            bias,
        }
    }
}

/// Empty where there is none, which no expectation is.
pub async fn gradient<const D: usize>(gradient: Option<Tensor<D>>) -> Vec<f32> {
    match gradient {
        Some(gradient) => read(gradient).await,
        None => Vec::new(),
    }
}
