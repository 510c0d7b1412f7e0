use burn::tensor::{Device, FloatDType};
use riposte_kernels::{MovingAverage, Path, SgdStep, SignedStep, sgd_step, signed_step};

use crate::random::{Random, tensor, values};

/// What the kernels compute, and what Burn's operations do.
const TYPES: [FloatDType; 2] = [FloatDType::F32, FloatDType::F64];

const STEP: SignedStep = SignedStep { step_size: 0.1, epsilon: 0.15, range: [0.0, 1.0] };

#[test]
fn a_signed_step_stays_in_the_ball_and_the_range() {
    let device = Device::flex();
    let shape = [1, 1, 1, 6];
    let x = tensor(&[0.5, 0.5, 0.5, 0.95, 0.05, f32::NAN], shape, &device);
    let origin = tensor(&[0.5, 0.4, 0.5, 0.9, 0.1, 0.5], shape, &device);
    let gradient = tensor(&[3.0, 0.1, 0.0, 1.0, -1.0, 1.0], shape, &device);
    for dtype in TYPES {
        let [x, gradient, origin] = [&x, &gradient, &origin].map(|tensor| tensor.clone().cast(dtype));
        let moved = values(signed_step(x, gradient, origin, None, STEP));
        // Up; up to the ball's edge; no sign; up to 1; down to 0.
        assert_eq!(moved[..5], [0.6, 0.4 + 0.15, 0.5, 1.0, 0.0], "{dtype:?}");
        assert!(moved[5].is_nan(), "{dtype:?}");
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
    for dtype in TYPES {
        let [x, gradient] = [&x, &gradient].map(|tensor| tensor.clone().cast(dtype));
        let step = |active| values(signed_step(x.clone(), gradient.clone(), x.clone(), active, STEP));
        let (all, some) = (step(None), step(Some(active.clone().cast(dtype))));
        assert_eq!(some[..70], all[..70]);
        assert_eq!(some[70..140], numbers[70..140]);
        assert_eq!(some[140..], all[140..]);
        assert_ne!(all[70..140], numbers[70..140]);
    }
}

/// PyTorch's `torch.optim.SGD`, by hand: steps of `lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.5` on a quarter of the gradient.
#[test]
fn nesterov_steps_agree_with_the_formula() {
    let step = SgdStep { learning_rate: 0.1, momentum: 0.9, nesterov: true, weight_decay: 0.5, gradient_scale: 0.25 };
    let device = Device::flex();
    let start = [vec![2.0f32], vec![-1.0, 0.5]];
    for dtype in TYPES {
        let on_device = |values: &Vec<f32>| tensor(values, [values.len()], &device).cast(dtype);
        let (mut parameters, mut velocities): (Vec<_>, _) = (start.iter().map(on_device).collect(), Vec::new());
        let mut expected: Vec<(f64, f64)> = start.iter().flatten().map(|&value| (value.into(), 0.0)).collect();
        for gradients in [[vec![1.0], vec![0.25, 4.0]], [vec![-3.0], vec![0.0, -0.5]]] {
            let given = gradients.iter().map(on_device).collect();
            (parameters, velocities) = sgd_step(parameters, given, velocities, step);
            for ((value, speed), &gradient) in expected.iter_mut().zip(gradients.iter().flatten()) {
                let decayed = 0.25 * f64::from(gradient) + 0.5 * *value;
                *speed = 0.9 * *speed + decayed;
                *value -= 0.1 * (decayed + 0.9 * *speed);
            }
            let found = parameters.iter().cloned().flat_map(values).zip(velocities.iter().cloned().flat_map(values));
            for ((value, speed), (expected, kept)) in found.zip(&expected) {
                // A few roundings of values below 10.
                assert!((f64::from(value) - expected).abs() < 1e-6, "{dtype:?}: {value} instead of {expected}");
                assert!((f64::from(speed) - kept).abs() < 1e-6, "{dtype:?}: {speed} instead of {kept}");
            }
        }
    }
}

#[test]
fn a_step_leaves_the_tensors_it_was_given_as_they_were() {
    let device = Device::flex();
    let mut random = Random::new(9);
    let given = [(); 3].map(|()| tensor(&random.numbers(20), [20], &device));
    let kept = given.clone().map(values);
    let step = SgdStep { learning_rate: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0, gradient_scale: 1.0 };
    let [parameter, gradient, velocity] = given.clone().map(|tensor| vec![tensor]);
    let _ = sgd_step(parameter, gradient, velocity, step);
    assert_eq!(given.map(values), kept);
}

/// On a device of any kind.
pub fn check_moving_statistics(path: Path, device: &Device) {
    let average = MovingAverage { momentum: 0.1, correction: 64.0 / 63.0 };
    // One workgroup, more than one, and a length of neither.
    for channels in [3, 64, 130] {
        let mut random = Random::new(channels as u64);
        let given = [(); 4].map(|()| random.numbers(channels));
        let [running_mean, running_var, mean, var] = given.each_ref().map(|numbers| tensor(numbers, [channels], device));
        let kept = running_var.clone();
        let found = path.moving_statistics([running_mean, running_var], [mean, var], average).map(values);
        let moved = |running: f32, batch: f64| 0.9 * f64::from(running) + 0.1 * batch;
        for channel in 0..channels {
            let [running_mean, running_var, mean, var] = given.each_ref().map(|numbers| numbers[channel]);
            let expected = [moved(running_mean, mean.into()), moved(running_var, f64::from(var) * 64.0 / 63.0)];
            for (found, expected) in found.iter().zip(expected) {
                // A few roundings of values of about 1.
                assert!((f64::from(found[channel]) - expected).abs() < 1e-6, "{path:?}: {} not {expected}", found[channel]);
            }
        }
        assert_eq!(values(kept), given[1], "{path:?} changed what it was given");
    }
}

#[test]
fn running_statistics_move_by_the_momentum() {
    for path in [Path::Kernels, Path::Stock] {
        check_moving_statistics(path, &Device::flex());
        check_moving_statistics(path, &Device::flex().autodiff());
    }
}

#[test]
#[should_panic(expected = "sgd_step: gradients [3] differ from parameters [2]")]
fn a_gradient_of_another_length_is_refused() {
    let device = Device::flex();
    let step = SgdStep { learning_rate: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0, gradient_scale: 1.0 };
    let [parameter, gradient] = [2, 3].map(|length| vec![tensor(&vec![0.0; length], [length], &device)]);
    let _ = sgd_step(parameter, gradient, Vec::new(), step);
}
