//! The losses against their definitions in f64, and their gradients against finite differences.

use burn::tensor::{Device, Tensor, TensorData};
use riposte::attack::{Apgd, Attacks, Goal, Loss, Pgd, Slope, Subject, Value, input_gradient};
use riposte::models::{Architecture, Model};
use riposte::rng::Seed;

use crate::attacks_subjects::values;

/// Its logits are its pixels, times twenty.
#[derive(Debug)]
struct Pixels(usize);

const SCALE: f32 = 20.0;

impl Subject for Pixels {
    fn class_count(&self) -> usize {
        self.0
    }

    fn answer(&self, images: Tensor<4>) -> Tensor<2> {
        images.flatten(1, 3) * SCALE
    }

    fn slope(&self, images: Tensor<4>, value: Value<'_>) -> Slope {
        let point = images.autodiff().require_grad();
        let logits = self.answer(point.clone());
        let value = value(logits.clone());
        let gradient = point.grad(&value.backward()).expect("the value depends on the logits");
        Slope { logits: logits.inner(), value: value.inner(), gradient }
    }
}

/// What an attack ascends, in f64: of logits, the class that it leaves, and the class that it goes to on the way or for good.
fn definition(loss: Loss, goal: &Goal, row: usize, z: &[f64]) -> f64 {
    let mut sorted = z.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let other = |class: usize| (0..z.len()).filter(|index| *index != class).map(|index| z[index]).fold(f64::MIN, f64::max);
    let cross_entropy = |class: usize| z.iter().map(|logit| (logit - z[class]).exp()).sum::<f64>().ln();
    let spread = sorted[0] - sorted[2] + 1e-12;
    match (goal, loss) {
        (Goal::Untargeted { labels }, Loss::CrossEntropy) => cross_entropy(labels[row]),
        (Goal::Untargeted { labels }, Loss::Margin) => other(labels[row]) - z[labels[row]],
        (Goal::Untargeted { labels }, Loss::Dlr) => -(z[labels[row]] - other(labels[row])) / spread,
        (Goal::Targeted { targets }, Loss::CrossEntropy) => -cross_entropy(targets[row]),
        (Goal::Targeted { targets }, Loss::Margin) => z[targets[row]] - other(targets[row]),
        (Goal::Targeted { targets }, Loss::Dlr) => (z[targets[row]] - other(targets[row])) / spread,
        (Goal::Toward { targets, .. }, Loss::CrossEntropy) => -cross_entropy(targets[row]),
        (Goal::Toward { labels, targets }, Loss::Margin) => z[targets[row]] - z[labels[row]],
        (Goal::Toward { labels, targets }, Loss::Dlr) => {
            -(z[labels[row]] - z[targets[row]]) / (sorted[0] - 0.5 * (sorted[2] + sorted[3]) + 1e-12)
        }
    }
}

/// Labels that are the first, the second, the third and the last of the logits.
fn goals(logits: &[Vec<f32>]) -> [Goal; 3] {
    let by_rank = |row: usize, rank: usize| {
        let mut order: Vec<usize> = (0..logits[row].len()).collect();
        order.sort_by(|a, b| logits[row][*b].total_cmp(&logits[row][*a]));
        order[rank.min(order.len() - 1)]
    };
    let labels: Vec<usize> = [0, 1, 2, 9, 0].into_iter().enumerate().map(|(row, rank)| by_rank(row, rank)).collect();
    let targets: Vec<usize> = [1, 0, 3, 2, 9].into_iter().enumerate().map(|(row, rank)| by_rank(row, rank)).collect();
    [Goal::Untargeted { labels: labels.clone() }, Goal::Targeted { targets: targets.clone() }, Goal::Toward { labels, targets }]
}

#[test]
fn losses_equal_their_definitions_and_their_gradients_finite_differences() {
    for classes in [4, 10] {
        let pixels: Vec<Vec<f32>> = (0..5).map(|row| crate::formula::unit(&format!("logits {row}"), classes)).collect();
        let images = Tensor::<4>::from_data(TensorData::new(pixels.concat(), [5, 1, 1, classes]), &Device::flex());
        for goal in goals(&pixels) {
            for loss in [Loss::CrossEntropy, Loss::Margin, Loss::Dlr] {
                let (found, gradient) = input_gradient(&Pixels(classes), images.clone(), &goal, loss);
                let (found, gradient) = (values(found), values(gradient));
                for (row, pixels) in pixels.iter().enumerate() {
                    let at = |moved: Option<(usize, f64)>| {
                        let mut z: Vec<f64> = pixels.iter().map(|pixel| f64::from(*pixel * SCALE)).collect();
                        if let Some((class, by)) = moved {
                            z[class] += by;
                        }
                        definition(loss, &goal, row, &z)
                    };
                    let name = format!("{loss:?} {goal:?} row {row}");
                    // Sums of ten f32 of size 20: a few roundings of 2e-6, divided by a spread of at least 1.
                    assert!((f64::from(found[row]) - at(None)).abs() < 2e-5, "{name}: {} instead of {}", found[row], at(None));
                    for class in 0..classes {
                        // Logits differ by more than h, so that their order stays.
                        let h = 1e-4;
                        let expected = f64::from(SCALE) * (at(Some((class, h))) - at(Some((class, -h)))) / (2.0 * h);
                        let found = f64::from(gradient[row * classes + class]);
                        assert!(
                            (found - expected).abs() < 1e-3 + 1e-4 * expected.abs(),
                            "{name} class {class}: {found}, {expected}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn gradients_of_the_dlr_losses_pass_through_a_network() {
    let model = Model::random(Architecture::FastMnistCnn, Seed(3), &Device::flex());
    let image = crate::formula::unit("finite differences", 784);
    let tensor = |values: Vec<f32>| Tensor::<4>::from_data(TensorData::new(values, [1, 1, 28, 28]), &Device::flex());
    for goal in [Goal::Untargeted { labels: vec![4] }, Goal::Toward { labels: vec![4], targets: vec![7] }] {
        let (_, gradient) = input_gradient(&model, tensor(image.clone()), &goal, Loss::Dlr);
        let gradient = values(gradient);
        // Along the gradient's sign, where the difference is largest: the sum of the gradient's absolute values.
        let expected: f64 = gradient.iter().map(|value| f64::from(value.abs())).sum();
        let h = 1e-4f32;
        let value = |direction: f32| {
            let moved = image.iter().zip(&gradient).map(|(pixel, g)| pixel + direction * h * g.signum()).collect();
            f64::from(values(input_gradient(&model, tensor(moved), &goal, Loss::Dlr).0)[0])
        };
        let found = (value(1.0) - value(-1.0)) / f64::from(2.0 * h);
        // f32 losses of size 1 have an ulp of 1.2e-7, divided by 2e-4: 6e-4 each; and ReLUs that switch within h.
        assert!((found - expected).abs() <= 0.02 * expected + 5e-3, "{goal:?}: {found} instead of {expected}");
    }
}

#[test]
fn a_loss_that_needs_more_classes_is_refused_by_name() {
    let images = || Tensor::<4>::zeros([1, 1, 1, 3], &Device::flex());
    let dlr = Apgd { loss: Loss::Dlr, ..Apgd::STANDARD };
    let toward = Goal::Toward { labels: vec![0], targets: vec![1] };
    let error = dlr.attack(&Pixels(3), images(), &toward, &[Seed(0).input(0)]).unwrap_err().to_string();
    assert!(error.contains("4 classes") && error.contains("margin"), "{error}");
    assert!(dlr.attack(&Pixels(3), images(), &Goal::Untargeted { labels: vec![0] }, &[Seed(0).input(0)]).is_ok());
    let two = Goal::Untargeted { labels: vec![0] };
    assert!(dlr.attack(&Pixels(2), Tensor::zeros([1, 1, 1, 2], &Device::flex()), &two, &[Seed(0).input(0)]).is_err());
}

#[test]
fn descent_by_way_of_a_target_leaves_the_label_for_it_or_for_another_class() {
    let model = Model::random(Architecture::FastMnistCnn, Seed(5), &Device::flex());
    let image = Tensor::<4>::from_data(TensorData::new(crate::formula::unit("way", 784), [1, 1, 28, 28]), &Device::flex());
    let label = crate::attacks_subjects::classes(&model, image.clone())[0];
    let target = (label + 3) % 10;
    for loss in [Loss::CrossEntropy, Loss::Margin, Loss::Dlr] {
        let goal = Goal::Toward { labels: vec![label], targets: vec![target] };
        let attack = Pgd { epsilon: 0.5, step_size: 0.05, steps: 20, loss, ..Pgd::MNIST };
        let end = attack.attack(&model, image.clone(), &goal, &[Seed(0).input(0)]).unwrap().finish();
        let logits = values(end.logits);
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        assert!(logits[target] > logits[label] && largest > logits[label], "{loss:?}: a random net gives way to any class");
    }
}
