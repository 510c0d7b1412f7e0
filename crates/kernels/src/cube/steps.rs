//! The update rules.

use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::kernels::steps;
use super::launch::{buffer, elementwise, empty_like, optional, width};
use super::single;
use crate::{List, Maybe, SgdStep, SignedStep, StepOps, stock};

impl StepOps for CubeBackend {
    fn signed_step(x: CubeTensor, gradient: CubeTensor, origin: CubeTensor, active: Maybe<Self>, step: SignedStep) -> CubeTensor {
        let active = active.into_option();
        if !single([&x, &gradient, &origin].into_iter().chain(&active)) {
            return stock::signed_step::<Self>(x, gradient, origin, active.into(), step);
        }
        let [x, gradient, origin] = [x, gradient, origin].map(into_contiguous);
        let active = active.map(into_contiguous);
        let size = x.meta.num_elements();
        let out = empty_like(&x);
        let (count, dim) = elementwise(size);
        let [low, high] = step.range;
        unsafe {
            steps::signed_step::launch_unchecked(
                &x.client,
                count,
                dim,
                buffer(&x),
                buffer(&gradient),
                buffer(&origin),
                optional(active.as_ref()),
                buffer(&out),
                size as u32,
                (size / x.meta.shape()[0]) as u32,
                step.step_size,
                step.epsilon,
                low,
                high,
            );
        }
        out
    }

    fn sgd_step(
        parameters: List<Self>,
        gradients: List<Self>,
        velocities: List<Self>,
        step: SgdStep,
    ) -> (Vec<CubeTensor>, Vec<CubeTensor>) {
        if !single(parameters.0.iter().chain(&gradients.0).chain(&velocities.0)) {
            return stock::sgd_step::<Self>(parameters, gradients, velocities, step);
        }
        let first = velocities.0.is_empty();
        let parameters: Vec<CubeTensor> = parameters.0.into_iter().map(into_contiguous).collect();
        let gradients: Vec<CubeTensor> = gradients.0.into_iter().map(ours).collect();
        let velocities: Vec<CubeTensor> =
            if first { gradients.iter().map(empty_like).collect() } else { velocities.0.into_iter().map(ours).collect() };
        let lengths: Vec<usize> = parameters.iter().map(|parameter| parameter.meta.num_elements()).collect();
        for (vectors, members) in launches(&lengths, parameters[0].client.properties().hardware.max_bindings as usize) {
            let largest = lengths[members[0]];
            let (count, dim) = elementwise(largest / vectors);
            let buffers = |tensors: &[CubeTensor]| members.iter().map(|index| buffer(&tensors[*index])).collect();
            unsafe {
                steps::sgd_step::launch_unchecked(
                    &parameters[0].client,
                    count,
                    dim,
                    vectors,
                    buffers(&parameters),
                    buffers(&gradients),
                    buffers(&velocities),
                    members.iter().map(|index| (lengths[*index] / vectors) as u32).collect(),
                    step.learning_rate,
                    step.momentum,
                    step.weight_decay,
                    step.gradient_scale,
                    first.into(),
                    step.nesterov,
                );
            }
        }
        (gradients, velocities)
    }
}

/// A contiguous tensor whose buffer may be written to: a copy if somebody else holds it.
fn ours(tensor: CubeTensor) -> CubeTensor {
    let tensor = into_contiguous(tensor);
    if tensor.can_mut() { tensor } else { tensor.copy() }
}

/// Which parameters of these lengths share a launch, the longest first, and in vectors of how many elements. Each parameter has three
/// buffers and a launch's numbers have one; more than eight parameters make a longer shader to compile and hardly fewer launches.
fn launches(lengths: &[usize], max_bindings: usize) -> Vec<(usize, Vec<usize>)> {
    let together = (max_bindings.saturating_sub(1) / 3).clamp(1, 8);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let (mut wide, mut narrow): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|&index| width(lengths[index]) > 1);
    // The shortest join the others where that saves a launch.
    let (rest, last) = (wide.len() % together, narrow.len() % together);
    if rest > 0 && last > 0 && rest + last <= together {
        narrow.extend(wide.split_off(wide.len() - rest));
        narrow.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    }
    let chunks =
        |members: Vec<usize>, vectors| members.chunks(together).map(|chunk| (vectors, chunk.to_vec())).collect::<Vec<_>>();
    [chunks(wide, 4), chunks(narrow, 1)].concat()
}

#[cfg(test)]
mod tests {
    use super::launches;

    #[test]
    fn every_parameter_has_one_launch_and_the_fewest_are_made() {
        // The MNIST network's: where eight buffers are promised, as in browsers, and where there are more.
        let lengths = [256, 16, 8192, 32, 156_800, 100, 1000, 10];
        let pairs = launches(&lengths, 8);
        assert_eq!(pairs, [(4, vec![4, 2]), (4, vec![6, 0]), (4, vec![5, 3]), (1, vec![1, 7])]);
        assert_eq!(launches(&lengths, 32), [(1, vec![4, 2, 6, 0, 5, 3, 1, 7])]);
        assert_eq!(launches(&[4, 5, 8], 1 << 20), [(1, vec![2, 1, 0])]);
        // Nothing to save: vectors stay.
        assert_eq!(launches(&[4, 5, 8], 7), [(4, vec![2, 0]), (1, vec![1])]);
    }
}
