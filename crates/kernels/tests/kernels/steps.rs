use burn::tensor::Device;
use riposte_kernels::{Path, SgdStep, SignedStep};

use crate::random::{Random, tensor, values};

const STEP: SignedStep = SignedStep { step_size: 0.1, epsilon: 0.15, range: [0.0, 1.0] };

#[test]
fn a_signed_step_stays_in_the_ball_and_the_range() {
    let device = Device::flex();
    let shape = [1, 1, 1, 6];
    let x = tensor(&[0.5, 0.5, 0.5, 0.95, 0.05, f32::NAN], shape, &device);
    let origin = tensor(&[0.5, 0.4, 0.5, 0.9, 0.1, 0.5], shape, &device);
    let gradient = tensor(&[3.0, 0.1, 0.0, 1.0, -1.0, 1.0], shape, &device);
    for path in [Path::Kernels, Path::Stock] {
        let moved = values(path.signed_step(x.clone(), gradient.clone(), origin.clone(), None, STEP));
        // Up; up to the ball's edge; no sign; up to 1; down to 0.
        assert_eq!(moved[..5], [0.6, 0.4 + 0.15, 0.5, 1.0, 0.0], "{path:?}");
        assert!(moved[5].is_nan(), "{path:?}");
    }
}

#[test]
fn samples_that_are_not_active_stay() {
    let device = Device::flex();
    let mut random = Random::new(5);
    let shape = [3, 2, 5, 7];
    let numbers: Vec<f32> = random.numbers(210).iter().map(|v| v.abs()).collect();
    let x = tensor(&numbers, shape, &device);
    let gradient = tensor(&random.numbers(210), shape, &device);
    let active = tensor(&[1.0, 0.0, 1.0], [3], &device);
    for path in [Path::Kernels, Path::Stock] {
        let all = values(path.signed_step(x.clone(), gradient.clone(), x.clone(), None, STEP));
        let some = values(path.signed_step(x.clone(), gradient.clone(), x.clone(), Some(active.clone()), STEP));
        assert_eq!(some[..70], all[..70]);
        assert_eq!(some[70..140], numbers[70..140]);
        assert_eq!(some[140..], all[140..]);
        assert_ne!(all[70..140], numbers[70..140]);
    }
}

/// PyTorch's `torch.optim.SGD`, by hand: two steps of `lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.5`.
#[test]
fn two_nesterov_steps_agree_with_the_formula() {
    let step = SgdStep { learning_rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.5 };
    let device = Device::flex();
    for path in [Path::Kernels, Path::Stock] {
        let (mut parameter, mut velocity) = (tensor(&[2.0], [1], &device), None);
        let (mut expected, mut speed) = (2.0f64, 0.0f64);
        for gradient in [1.0f32, -3.0] {
            let given = tensor(&[gradient], [1], &device);
            let (new, kept) = path.sgd_step(parameter, given, velocity, step);
            let decayed = f64::from(gradient) + 0.5 * expected;
            speed = 0.9 * speed + decayed;
            expected -= 0.1 * (decayed + 0.9 * speed);
            assert!((f64::from(values(new.clone())[0]) - expected).abs() < 1e-6, "{path:?}");
            assert!((f64::from(values(kept.clone())[0]) - speed).abs() < 1e-6, "{path:?}");
            (parameter, velocity) = (new, Some(kept));
        }
    }
}

#[test]
fn a_step_leaves_the_tensors_it_was_given_as_they_were() {
    let device = Device::flex();
    let mut random = Random::new(9);
    let [before, gradient, speed] = [(); 3].map(|()| tensor(&random.numbers(20), [4, 5], &device));
    let kept = [before.clone(), speed.clone()].map(values);
    let step = SgdStep { learning_rate: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0 };
    let _ = riposte_kernels::sgd_step(before.clone(), gradient, Some(speed.clone()), step);
    assert_eq!([before, speed].map(values), kept);
}
