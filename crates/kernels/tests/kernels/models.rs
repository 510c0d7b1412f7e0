//! The layers of the networks: each different shape once, for the tests on every device.

use riposte_kernels::Activation;

/// The layers of an architecture.
pub struct Layers {
    pub architecture: &'static str,
    /// Input channels, size, output channels, kernel, stride, padding.
    pub convolutions: &'static [[usize; 6]],
    /// Inputs, outputs.
    pub linear: &'static [[usize; 2]],
    /// Of a convolution: batch normalization, where there is one, comes between it and its activation.
    pub activation: Activation,
    pub bias: bool,
}

pub const NETWORKS: &[Layers] = &[
    Layers {
        architecture: "fast-mnist-cnn",
        convolutions: &[[1, 28, 16, 4, 2, 1], [16, 14, 32, 4, 2, 1]],
        linear: &[[1568, 100], [100, 10]],
        activation: Activation::Relu,
        bias: true,
    },
    Layers {
        architecture: "madry-mnist-cnn",
        convolutions: &[[1, 28, 32, 5, 1, 2], [32, 14, 64, 5, 1, 2]],
        linear: &[[3136, 1024], [1024, 10]],
        activation: Activation::Relu,
        bias: true,
    },
    Layers {
        architecture: "trades-mnist-cnn",
        convolutions: &[[1, 28, 32, 3, 1, 0], [32, 26, 32, 3, 1, 0], [32, 12, 64, 3, 1, 0], [64, 10, 64, 3, 1, 0]],
        linear: &[[1024, 200], [200, 200], [200, 10]],
        activation: Activation::Relu,
        bias: true,
    },
    Layers {
        architecture: "preact-resnet-w16",
        convolutions: &[
            [3, 32, 16, 3, 1, 1],
            [16, 32, 16, 3, 1, 1],
            [16, 32, 32, 3, 2, 1],
            [16, 32, 32, 1, 2, 0],
            [32, 16, 32, 3, 1, 1],
            [32, 16, 64, 3, 2, 1],
            [32, 16, 64, 1, 2, 0],
            [64, 8, 64, 3, 1, 1],
            [64, 8, 128, 3, 2, 1],
            [64, 8, 128, 1, 2, 0],
            [128, 4, 128, 3, 1, 1],
        ],
        linear: &[[128, 10]],
        activation: Activation::None,
        bias: false,
    },
    Layers {
        architecture: "resnet4b",
        convolutions: &[
            [3, 32, 16, 3, 2, 1],
            [16, 16, 32, 3, 2, 1],
            [16, 16, 32, 1, 2, 0],
            [32, 8, 32, 3, 1, 1],
            [32, 8, 32, 3, 2, 1],
            [32, 8, 32, 1, 2, 0],
            [32, 4, 32, 3, 1, 1],
        ],
        linear: &[[512, 100], [100, 10]],
        activation: Activation::Relu,
        bias: true,
    },
    Layers {
        architecture: "cnn-a",
        convolutions: &[[3, 32, 16, 4, 2, 1], [16, 16, 32, 4, 2, 1]],
        linear: &[[2048, 100], [100, 10]],
        activation: Activation::Relu,
        bias: true,
    },
];
