//! Gradient ascent in a ball, along the gradient's sign where that is of L-infinity: the loop inside every attack, every perturbed batch of
//! the post-training and all adversarial training (Goodfellow et al. 2015, Madry et al. 2018).

use burn::tensor::Tensor;
use riposte_kernels::SignedStep;
use riposte_spec::attack::Norm;

use super::rows::{choose, distance, each};
use super::subject::{Slope, Subject};

/// A batch of points that climb, each in the ball around its own origin.
#[derive(Debug)]
pub(crate) struct Ascent {
    /// The centers of the balls, `[batch, channel, height, width]`.
    origin: Tensor<4>,
    /// Where the points are, of the same shape.
    point: Tensor<4>,
    step: SignedStep,
    norm: Norm,
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

/// `point` moved by `step_size` along `gradient` as it lies, both `[batch, channel, height, width]`: the step of the L2 ball. A gradient of
/// zero moves nothing.
pub fn normal_step(point: Tensor<4>, gradient: Tensor<4>, step_size: f32) -> Tensor<4> {
    let length = distance(Norm::L2, gradient.zeros_like(), gradient.clone());
    point + gradient * each(length.clamp_min(1e-12).recip() * step_size)
}

/// The points on the way from `origin` to `point` that are in the L2 ball of radius `epsilon` around `origin`, cut to the pixel range
/// `[low, high]`, in which the origin is: the cut brings nothing out of the ball; tensors `[batch, channel, height, width]`.
pub fn project_l2(point: Tensor<4>, origin: Tensor<4>, epsilon: f32, [low, high]: [f32; 2]) -> Tensor<4> {
    let length = distance(Norm::L2, origin.clone(), point.clone());
    let share = (length.clamp_min(1e-12).recip() * epsilon).clamp_max(1.0);
    (origin.clone() + (point - origin) * each(share)).clamp(low, high)
}

impl Ascent {
    /// Starts at `start`, in L-infinity balls around `origin`. A negative step size descends.
    pub(crate) fn new(origin: Tensor<4>, start: Tensor<4>, step: SignedStep) -> Self {
        Self { origin, point: start, step, norm: Norm::LInfinity }
    }

    /// The same in balls of another norm, by steps of its own.
    pub(crate) fn measured_by(self, norm: Norm) -> Self {
        Self { norm, ..self }
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
        let (origin, moving) = (self.origin.clone(), moving(logits.clone()));
        self.point = match self.norm {
            // project_linf(signed_step(point)), in one pass over memory.
            Norm::LInfinity => riposte_kernels::signed_step(self.point(), gradient, origin, moving, self.step),
            Norm::L2 => {
                let SignedStep { step_size, epsilon, range } = self.step;
                let next = project_l2(normal_step(self.point(), gradient, step_size), origin, epsilon, range);
                match moving {
                    Some(moving) => choose(&moving.not_equal_elem(0.0), next, self.point()),
                    None => next,
                }
            }
        };
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
    fn a_step_in_the_l2_ball_is_as_long_as_told_and_ends_in_it() {
        let mut stream = Seed(0).stream(Purpose::Attack, 1);
        let mut tensor = |size: f32| {
            let values: Vec<f32> = (0..2 * 25).map(|_| symmetric(&mut stream, size)).collect();
            Tensor::<4>::from_data(TensorData::new(values, [2, 1, 5, 5]), &Device::flex())
        };
        let (origin, gradient) = (tensor(0.2) + 0.5, tensor(3.0));
        let lengths = |to: Tensor<4>| -> Vec<f32> { distance(Norm::L2, origin.clone(), to).into_data().try_into_vec().unwrap() };
        let moved = normal_step(origin.clone(), gradient.clone(), 0.25);
        // Sums of 25 squares in f32.
        assert!(lengths(moved).iter().all(|length| (length - 0.25).abs() < 1e-6));
        let far = normal_step(origin.clone(), gradient.clone(), 9.0);
        let inside = project_l2(far.clone(), origin.clone(), 1.0, [f32::NEG_INFINITY, f32::INFINITY]);
        assert!(lengths(inside).iter().all(|length| (length - 1.0).abs() < 1e-5));
        let cut: Vec<f32> = project_l2(far, origin.clone(), 2.0, [0.0, 1.0]).into_data().try_into_vec().unwrap();
        assert!(cut.iter().all(|pixel| (0.0..=1.0).contains(pixel)) && cut.contains(&0.0) && cut.contains(&1.0));
        let still = normal_step(origin.clone(), gradient.zeros_like(), 0.25);
        assert_eq!(still.into_data(), origin.into_data());
    }

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
