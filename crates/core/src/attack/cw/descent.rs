//! Gradient descent on a perturbation that cannot leave the pixel range, each image at its own pace.

use burn::tensor::{Bool, Tensor};

use super::super::rows::{choose, each};

/// Pixels are drawn in by this factor, so that their inverse hyperbolic tangents are finite.
const INWARD: f32 = 0.999_999;
/// Adam's decay rates and the number that keeps its quotient finite (Kingma & Ba 2015, Algorithm 1).
const DECAY: [f32; 2] = [0.9, 0.999];
const FLOOR: f32 = 1e-8;

/// Points `x = (tanh(w + δ) + 1) / 2`, where Adam descends on δ.
#[derive(Debug)]
pub struct Descent {
    /// w, of the pixels that the descent begins at, `[batch, channel, height, width]`.
    origin: Tensor<4>,
    /// δ
    offset: Tensor<4>,
    mean: Tensor<4>,
    square: Tensor<4>,
    /// Steps of each image since it began, `[batch]`.
    steps: Tensor<1>,
    learning_rate: f32,
}

impl Descent {
    /// Begins at images `[batch, channel, height, width]` in `[0, 1]`.
    pub fn new(images: Tensor<4>, learning_rate: f32) -> Self {
        let zero = images.zeros_like();
        let steps = Tensor::zeros([images.dims()[0]], &images.device());
        Self { origin: inverse(images), offset: zero.clone(), mean: zero.clone(), square: zero, steps, learning_rate }
    }

    /// The current points, in `[0, 1]`.
    pub fn points(&self) -> Tensor<4> {
        ((self.origin.clone() + self.offset.clone()).tanh() + 1.0) * 0.5
    }

    /// Steps of each image since it began or began anew, `[batch]`.
    pub fn steps(&self) -> Tensor<1> {
        self.steps.clone()
    }

    /// One step down the gradient of a loss with respect to the points, of their shape.
    pub fn step(&mut self, gradient: Tensor<4>) {
        let points = self.points();
        // d/dw of (tanh w + 1) / 2 is 2 x (1 - x).
        let gradient: Tensor<4> = gradient * points.clone() * (points.neg() + 1.0) * 2.0;
        self.steps = self.steps.clone() + 1.0;
        self.mean = self.mean.clone() * DECAY[0] + gradient.clone() * (1.0 - DECAY[0]);
        self.square = self.square.clone() * DECAY[1] + gradient.powi_scalar(2) * (1.0 - DECAY[1]);
        let unbias = |decay: f32| each((self.steps.clone() * decay.ln()).exp().neg() + 1.0);
        let mean = self.mean.clone() / unbias(DECAY[0]);
        let square = self.square.clone() / unbias(DECAY[1]);
        self.offset = self.offset.clone() - mean / (square.sqrt() + FLOOR) * self.learning_rate;
    }

    /// Lets the images of the mask `[batch]` begin anew; those of the mask of `from` at its points.
    pub fn restart(&mut self, mask: &Tensor<1, Bool>, from: Option<(Tensor<4>, Tensor<1, Bool>)>) {
        let zero = self.offset.zeros_like();
        for state in [&mut self.offset, &mut self.mean, &mut self.square] {
            *state = choose(mask, zero.clone(), state.clone());
        }
        self.steps = choose(mask, self.steps.zeros_like(), self.steps.clone());
        if let Some((points, mask)) = from {
            self.origin = choose(&mask, inverse(points), self.origin.clone());
        }
    }
}

/// The w of pixels in `[0, 1]`.
fn inverse(images: Tensor<4>) -> Tensor<4> {
    ((images * 2.0 - 1.0) * INWARD).atanh()
}
