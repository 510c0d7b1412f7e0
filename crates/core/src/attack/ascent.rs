//! Signed gradient ascent in an L-infinity ball: the loop inside every attack, every perturbed batch of the post-training and all
//! adversarial training (Goodfellow et al. 2015, Madry et al. 2018).

use burn::tensor::Tensor;
use riposte_kernels::SignedStep;

use super::subject::{Slope, Subject};

/// A batch of points that climb, each in the ball around its own origin.
#[derive(Debug)]
pub(crate) struct Ascent {
    /// The centers of the balls, `[batch, channel, height, width]`.
    origin: Tensor<4>,
    /// Where the points are, of the same shape.
    point: Tensor<4>,
    step: SignedStep,
}

/// `point` moved by `step_size` along the sign of `gradient`, both `[batch, channel, height, width]`.
pub fn signed_step(point: Tensor<4>, gradient: Tensor<4>, step_size: f32) -> Tensor<4> {
    point + gradient.sign() * step_size
}

/// The nearest points to `point` in the L-infinity ball of radius `epsilon` around `origin` and in the pixel range `[low, high]`;
/// tensors `[batch, channel, height, width]`, all values in the unit of the pixels.
pub fn project_linf(point: Tensor<4>, origin: Tensor<4>, epsilon: f32, [low, high]: [f32; 2]) -> Tensor<4> {
    point.max_pair(origin.clone() - epsilon).min_pair(origin + epsilon).clamp(low, high)
}

impl Ascent {
    /// Starts at `start`, in balls around `origin`. A negative step size descends.
    pub(crate) fn new(origin: Tensor<4>, start: Tensor<4>, step: SignedStep) -> Self {
        Self { origin, point: start, step }
    }

    /// Where the points are, `[batch, channel, height, width]`.
    pub(crate) fn point(&self) -> Tensor<4> {
        self.point.clone()
    }

    /// One step of all points up a `value` `[batch]` of their logits; or of those where `moving` `[batch]`, made of the logits, is
    /// not 0. Returns the logits `[batch, class]` of where they were, without autodiff.
    pub(crate) fn step<S: Subject>(
        &mut self,
        subject: &S,
        value: impl Fn(Tensor<2>) -> Tensor<1>,
        moving: impl FnOnce(Tensor<2>) -> Option<Tensor<1>>,
    ) -> Tensor<2> {
        let Slope { logits, gradient, .. } = subject.slope(self.point(), &value);
        // project_linf(signed_step(point)), in one pass over memory.
        let next = riposte_kernels::signed_step(self.point(), gradient, self.origin.clone(), moving(logits.clone()), self.step);
        self.point = next;
        logits
    }

    /// `steps` steps of all points up a `value` `[batch]` of their logits; returns where they end.
    pub(crate) fn climb<S: Subject>(mut self, subject: &S, steps: usize, value: impl Fn(Tensor<2>) -> Tensor<1>) -> Tensor<4> {
        for _ in 0..steps {
            self.step(subject, &value, |_| None);
        }
        self.point
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Seed, symmetric, unit};
    use burn::tensor::{Device, TensorData};

    #[test]
    fn the_kernel_computes_the_step_and_the_projection() {
        let mut stream = Seed(0).stream(Purpose::Attack, 0);
        let mut tensor = |draw: fn(&mut crate::rng::Stream) -> f32| {
            let values: Vec<f32> = (0..3 * 2 * 5 * 5).map(|_| draw(&mut stream)).collect();
            Tensor::<4>::from_data(TensorData::new(values, [3, 2, 5, 5]), &Device::flex())
        };
        let origin = tensor(unit);
        let point = origin.clone() + tensor(|stream| symmetric(stream, 0.3));
        // An exact zero stays where it is.
        let gradient = tensor(|stream| symmetric(stream, 1.0).max(0.0));
        for (step_size, range) in [(0.1, [0.0, 1.0]), (-0.4, [f32::NEG_INFINITY, f32::INFINITY])] {
            let step = SignedStep { step_size, epsilon: 0.3, range };
            let fused = riposte_kernels::signed_step(point.clone(), gradient.clone(), origin.clone(), None, step);
            let moved = signed_step(point.clone(), gradient.clone(), step_size);
            let plain = project_linf(moved, origin.clone(), 0.3, range);
            assert_eq!(fused.into_data(), plain.into_data());
        }
    }
}
