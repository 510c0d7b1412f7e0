//! The strong attacks against their algorithms, step by step, on subjects whose answers are known.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use riposte::Error;
use riposte::attack::{
    Apgd, Attack, Attacks, Auto, Colors, Cw, DeepFool, Fab, Goal, Loss, Norm, Outcome, Pgd, Progress, Square, Subject, campaign,
    checkpoints, distance, project,
};
use riposte::models::{Architecture, Model};
use riposte::rng::{Draws, Seed};
use riposte::spec::attack::AttackKind;
use riposte::spec::doubt::Doubt;

use crate::attacks_subjects::{Formula, Kind, classes, images, values};
use crate::devices::{WGPU, wgpu};

/// One rounding of `x + epsilon` in `[0, 2)`.
const ROUNDING: f32 = 1.2e-7;

/// Every attack in few steps, at a radius.
fn all(epsilon: f32) -> [Attack; 9] {
    let few = Auto { epsilon, steps: 12, targets: 3, queries: 60 }.parts();
    let [ce, targeted, fab, Attack::Square(square)] = few else { panic!("Square comes last") };
    [
        ce,
        targeted,
        fab,
        Attack::Square(square),
        Attack::Square(Square { colors: Colors::Changing, restarts: 2, ..square }),
        Attack::Cw(Cw { rounds: 3, steps: 20, constant: 1.0, ..Cw::L2 }),
        Attack::Cw(Cw { rounds: 5, steps: 20, constant: 1.0, ..Cw::L_INFINITY }),
        Attack::DeepFool(DeepFool { steps: 5, ..DeepFool::STANDARD }),
        Attack::Pgd(Pgd { epsilon, step_size: epsilon / 4.0, steps: 6, loss: Loss::Dlr, ..Pgd::MNIST }),
    ]
}

async fn on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn draws(seed: u64, inputs: &[u64]) -> Vec<Draws> {
    Seed(seed).inputs(inputs.iter().copied())
}

fn run<S: Subject>(attack: Attack, subject: &S, images: Tensor<4>, labels: &[usize], inputs: &[u64]) -> Outcome {
    pollster::block_on(campaign(attack, subject, images, labels, &draws(7, inputs), on)).unwrap()
}

fn right(outcome: &Outcome) -> Vec<bool> {
    outcome.fates.iter().map(|fate| fate.right).collect()
}

#[test]
fn the_step_size_is_reconsidered_where_the_paper_does() {
    assert_eq!(checkpoints(100).collect::<Vec<_>>(), [22, 41, 57, 70, 80, 87, 93, 99]);
    assert_eq!(checkpoints(10).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

/// The algorithm for one image, with plain numbers and the subject's own gradients.
#[test]
fn apgd_walks_as_its_algorithm_says() {
    let subject = Formula::new(Kind::Waves, "walk", 10, 36);
    let natural = images("walk", 4, [6, 6]);
    let labels = classes(&subject, natural.clone());
    let apgd = Apgd { epsilon: 0.2, ..Apgd::STANDARD };
    let (mut halvings, mut crossings) = (0, 0);
    for loss in [Loss::CrossEntropy, Loss::Margin, Loss::Dlr] {
        let goal = Goal::Untargeted { labels: labels.clone() };
        let attack = Apgd { loss, ..apgd };
        let path = attack.attack(&subject, natural.clone(), &goal, &draws(1, &[3, 1, 4, 1])).unwrap();
        let path: Vec<(Vec<f32>, Vec<f32>)> = path.map(|step| (values(step.images), values(step.logits))).collect();
        assert_eq!(path.len(), 101);
        for (row, label) in labels.iter().enumerate() {
            let part = |step: usize| path[step].0[row * 36..][..36].to_vec();
            let x0 = values(natural.clone().narrow(0, row, 1));
            let goal = Goal::Untargeted { labels: vec![*label] };
            let look = |x: &[f32]| {
                let point = Tensor::from_data(TensorData::new(x.to_vec(), [1, 1, 6, 6]), &Device::flex());
                let (value, gradient) = riposte::attack::input_gradient(&subject, point, &goal, loss);
                (values(value)[0], values(gradient))
            };
            let clip = |value: f32, center: f32| value.max(center - 0.2).min(center + 0.2).clamp(0.0, 1.0);
            let (mut x, mut before) = (part(0), part(0));
            let (mut value, mut gradient) = look(&x);
            let (mut best, mut best_value, mut best_gradient) = (x.clone(), value, gradient.clone());
            let (mut eta, mut history, mut last_best, mut halved, mut last_check) = (0.4f32, vec![0.0], value, true, 0);
            for k in 0..100 {
                let alpha = if k == 0 { 1.0 } else { 0.75 };
                let next: Vec<f32> = (0..36)
                    .map(|i| {
                        let sign = if gradient[i] == 0.0 { 0.0 } else { gradient[i].signum() };
                        let u = clip(x[i] + eta * sign, x0[i]);
                        clip(x[i] + (u - x[i]) * alpha + (x[i] - before[i]) * (1.0 - alpha), x0[i])
                    })
                    .collect();
                (before, x) = (x, next);
                assert_eq!(x, part(k + 1), "{loss:?} row {row} step {}", k + 1);
                (value, gradient) = look(&x);
                history.push(value);
                crossings += usize::from(value > 0.0 && history[k] <= 0.0 && loss == Loss::Dlr);
                if value > best_value {
                    (best, best_value, best_gradient) = (x.clone(), value, gradient.clone());
                }
                if checkpoints(100).any(|at| at == k + 1) {
                    let window = k + 1 - last_check;
                    let rises = (last_check..=k).filter(|at| history[at + 1] > history[*at]).count();
                    let halve = rises as f32 <= 0.75 * window as f32 || !halved && last_best >= best_value;
                    if halve {
                        (x, gradient, eta) = (best.clone(), best_gradient.clone(), eta / 2.0);
                        halvings += 1;
                    }
                    (halved, last_best, last_check) = (halve, best_value, k + 1);
                }
            }
        }
    }
    assert!(halvings > 20 && crossings > 0, "{halvings} halvings, {crossings} crossings: the rules were hardly tried");
}

#[test]
fn points_stay_inside_the_ball_and_the_pixel_range() {
    let model = Model::random(Architecture::FastMnistCnn, Seed(2), &Device::flex());
    let natural = images("ball", 3, [28, 28]);
    let labels = classes(&model, natural.clone());
    for epsilon in [0.0, 0.01, 0.3] {
        for attack in all(epsilon) {
            let outcome = run(attack, &model, natural.clone(), &labels, &[0, 1, 2]);
            let bounded = attack.epsilon().is_some();
            let far = values(distance(Norm::LInfinity, natural.clone(), outcome.end.images.clone()));
            let limit = if bounded { epsilon + ROUNDING } else { 1.0 };
            assert!(far.iter().all(|far| *far <= limit), "{attack:?}: {far:?}");
            assert!(values(outcome.end.images.clone()).iter().all(|pixel| (0.0..=1.0).contains(pixel)), "{attack:?}");
            // What counts is what the subject says of the points that are handed back.
            let answers = classes(&model, outcome.end.images);
            for ((answer, label), fate) in answers.iter().zip(&labels).zip(&outcome.fates) {
                assert_eq!(answer == label, fate.right, "{attack:?}");
                assert_eq!(fate.fooled_by, (!fate.right).then(|| attack.kind()), "{attack:?}");
                assert!(!fate.doubts.contains(&Doubt::Unconfirmed), "{attack:?}");
            }
        }
    }
    let goal = Goal::Untargeted { labels: labels.clone() };
    let walk = Apgd { epsilon: 0.1, steps: 30, ..Apgd::STANDARD };
    for step in walk.attack(&model, natural.clone(), &goal, &draws(0, &[0, 1, 2])).unwrap() {
        let far = values(distance(Norm::LInfinity, natural.clone(), step.images));
        assert!(far.iter().all(|far| *far <= 0.1 + ROUNDING), "step {}: {far:?}", step.step);
    }
}

#[test]
fn images_attacked_together_end_where_they_end_alone_to_the_last_bit() {
    let subject = Formula::new(Kind::Waves, "together", 5, 49);
    let natural = images("together", 6, [7, 7]);
    let labels = classes(&subject, natural.clone());
    let inputs = [8, 2, 5, 11, 3, 0];
    let mut fooling = 0;
    for attack in all(0.15) {
        let together = run(attack, &subject, natural.clone(), &labels, &inputs);
        let (points, fates) = (values(together.end.images), together.fates);
        for row in 0..6 {
            let image = natural.clone().narrow(0, row, 1);
            let alone = run(attack, &subject, image, &labels[row..=row], &inputs[row..=row]);
            assert_eq!(alone.fates, fates[row..=row], "{attack:?}");
            assert_eq!(values(alone.end.images), points[row * 49..][..49], "{attack:?}");
        }
        fooling += usize::from(fates.iter().any(|fate| !fate.right));
    }
    assert!(fooling >= 5, "{fooling} attacks of 9 fool an image");
}

#[test]
fn a_seed_repeats_and_another_draws_otherwise() {
    let subject = Formula::new(Kind::Waves, "seed", 5, 49);
    let natural = images("seed", 2, [7, 7]);
    let labels = classes(&subject, natural.clone());
    for attack in [Attack::Apgd(Apgd { steps: 3, ..Apgd::STANDARD }), Attack::Square(Square { queries: 3, ..Square::STANDARD })] {
        let end = |seed: u64| {
            let draws = draws(seed, &[0, 1]);
            let run = campaign(attack, &subject, natural.clone(), &labels, &draws, on);
            values(pollster::block_on(run).unwrap().end.images)
        };
        assert_eq!(end(1), end(1));
        assert_ne!(end(1), end(2), "{attack:?}");
    }
}

/// The change of least largest entry by forty bisections in f64.
fn by_bisection(point: &[f32], weights: &[f32], amount: f32) -> Vec<f64> {
    let direction = |weight: f32| if weight == 0.0 { 0.0 } else { f64::from(weight.signum() * amount.signum()) };
    let room = |point: f32, weight: f32| if direction(weight) > 0.0 { 1.0 - f64::from(point) } else { f64::from(point) };
    let reached =
        |lambda: f64| -> f64 { point.iter().zip(weights).map(|(x, w)| f64::from(w.abs()) * lambda.min(room(*x, *w))).sum() };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if reached(middle) < f64::from(amount.abs()) { low = middle } else { high = middle }
    }
    point.iter().zip(weights).map(|(x, w)| direction(*w) * high.min(room(*x, *w))).collect()
}

#[test]
fn the_box_projection_equals_forty_bisections() {
    let pixels = 200;
    // Uniform points, half of them at the ends as in MNIST; weights of one size, of many sizes, and many zeros.
    for (points, weights) in
        [("uniform", "even"), ("ends", "even"), ("ends", "uneven"), ("uniform", "uneven"), ("ends", "sparse")]
    {
        for trial in 0..40 {
            let name = format!("{points} {weights} {trial}");
            let mut x = crate::formula::unit(&format!("{name} points"), pixels);
            let mut w = crate::formula::symmetric(&format!("{name} weights"), pixels, 1.0);
            for index in 0..pixels {
                if points == "ends" && index % 4 != 0 {
                    x[index] = if index % 8 < 6 { 0.0 } else { 1.0 };
                }
                match weights {
                    "uneven" => w[index] *= 10f32.powi(-((index % 7) as i32)),
                    "sparse" if index % 3 != 0 => w[index] = 0.0,
                    _ => {}
                }
            }
            // From next to nothing to more than there is.
            let all: f32 = w.iter().map(|weight| weight.abs()).sum();
            let amount = all * [1e-6, 1e-3, 0.05, 0.2, -0.4, -0.01, 0.7, 2.0][trial % 8];
            let tensor = |values: &[f32]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [1, pixels]), &Device::flex());
            let amounts = Tensor::<2>::from_data(TensorData::new(vec![amount], [1, 1]), &Device::flex());
            let found = values(project(tensor(&x), tensor(&w), amounts));
            for (index, (found, expected)) in found.iter().zip(by_bisection(&x, &w, amount)).enumerate() {
                // Sums of 200 f32: a relative 1e-5 of what is reached, on a slope that six sevenths of the weights may have left.
                assert!((f64::from(*found) - expected).abs() < 2e-5, "{name}, pixel {index}: {found} instead of {expected}");
                assert!((0.0..=1.0).contains(&(x[index] + found)), "{name}: outside the pixel range");
            }
        }
    }
}

/// On a linear subject the nearest boundary is known: |f| / |w|_2, and |f| / |w|_1 in the L-infinity norm.
#[test]
fn the_nearest_boundary_of_a_linear_subject_is_found() {
    let subject = Formula::new(Kind::Linear, "plane", 4, 64);
    // Around the middle of the pixel range, so that no pixel meets its end.
    let natural = images("plane", 5, [8, 8]) * 0.1 + 0.45;
    let labels = classes(&subject, natural.clone());
    let (w, z) = (values(subject.weights.clone()), values(subject.answer(natural.clone())));
    let nearest = |row: usize, norm: Norm| {
        let label = labels[row];
        let boundary = |class: usize| {
            let difference = (0..64).map(|i| f64::from(w[class * 64 + i] - w[label * 64 + i]));
            let length = match norm {
                Norm::L2 => difference.map(|d| d * d).sum::<f64>().sqrt(),
                Norm::LInfinity => difference.map(f64::abs).sum(),
            };
            f64::from(z[row * 4 + label] - z[row * 4 + class]) / length
        };
        (0..4).filter(|class| *class != label).map(boundary).fold(f64::MAX, f64::min)
    };
    // DeepFool goes 2 % and 1e-4 too far; FAB comes back to the boundary by tenths of what it goes too far; Carlini and Wagner's
    // L2 attack ends where Adam's steps of 0.01 do, and the L-infinity one within a fall of the bound by a tenth.
    for (attack, norm, within) in [
        (Attack::DeepFool(DeepFool::STANDARD), Norm::L2, 0.025),
        (Attack::DeepFool(DeepFool { norm: Norm::LInfinity, ..DeepFool::STANDARD }), Norm::LInfinity, 0.05),
        (Attack::Fab(Fab { epsilon: 1.0, targets: 3, ..Fab::STANDARD }), Norm::LInfinity, 0.01),
        (Attack::Cw(Cw { steps: 500, ..Cw::L2 }), Norm::L2, 0.03),
        (Attack::Cw(Cw { steps: 200, constant: 0.1, ..Cw::L_INFINITY }), Norm::LInfinity, 0.15),
    ] {
        // FAB counts an image as fooled by its first target, which need not be the nearest boundary.
        let runs: Vec<Outcome> = match attack {
            Attack::Fab(fab) => (0..3).map(|rank| towards(fab, &subject, natural.clone(), &labels, rank)).collect(),
            _ => vec![run(attack, &subject, natural.clone(), &labels, &[0, 1, 2, 3, 4])],
        };
        for row in 0..5 {
            let far = runs.iter().map(|run| values(distance(norm, natural.clone(), run.end.images.clone()))[row]);
            let (far, nearest) = (f64::from(far.fold(f32::MAX, f32::min)), nearest(row, norm));
            assert!((far - nearest).abs() <= within * nearest + 2e-4, "{attack:?} row {row}: {far}, nearest {nearest}");
        }
    }
}

/// FAB towards the wrong class of one rank alone.
fn towards(fab: Fab, subject: &Formula, natural: Tensor<4>, labels: &[usize], rank: usize) -> Outcome {
    let logits = values(subject.answer(natural.clone()));
    let target = |(row, label): (usize, &usize)| {
        let z = &logits[row * 4..][..4];
        let mut others: Vec<usize> = (0..4).filter(|class| class != label).collect();
        others.sort_by(|a, b| z[*b].total_cmp(&z[*a]));
        others[rank]
    };
    let targets: Vec<usize> = labels.iter().enumerate().map(target).collect();
    let goal = Goal::Toward { labels: labels.to_vec(), targets };
    let mut path = fab.attack(subject, natural, &goal, &draws(0, &[])).unwrap();
    for _ in path.by_ref() {}
    let (end, fooled) = path.end();
    assert!(values(fooled.float()).iter().all(|fooled| *fooled == 1.0), "every boundary of a linear subject can be reached");
    Outcome { end, fates: Vec::new() }
}

#[test]
fn square_never_loses_what_it_has_and_rests_on_what_it_has_fooled() {
    let subject = Formula::new(Kind::Waves, "square", 6, 100);
    let natural = images("square", 4, [10, 10]);
    let labels = classes(&subject, natural.clone());
    for colors in [Colors::Random, Colors::Changing] {
        let square = Square { epsilon: 0.08, queries: 200, colors, ..Square::STANDARD };
        let goal = Goal::Untargeted { labels: labels.clone() };
        let mut last: Option<(Vec<f32>, Vec<f32>)> = None;
        let mut moves = 0;
        for step in square.attack(&subject, natural.clone(), &goal, &draws(4, &[0, 1, 2, 3])).unwrap() {
            let (points, logits) = (values(step.images), values(step.logits));
            // Every pixel is on a face of the box, or at the end of the pixel range before it.
            let center = values(natural.clone());
            for (point, center) in points.iter().zip(&center) {
                let on_face = [center - 0.08, center + 0.08].map(|face: f32| (point - face.clamp(0.0, 1.0)).abs() <= ROUNDING);
                assert!(on_face.contains(&true), "{point} around {center}");
            }
            let margins: Vec<f32> = (0..4).map(|row| margin(&logits[row * 6..][..6], labels[row])).collect();
            if let Some((before, margins_before)) = last {
                for row in 0..4 {
                    let moved = before[row * 100..][..100] != points[row * 100..][..100];
                    moves += usize::from(moved);
                    assert!(!moved || margins_before[row] <= 0.0 && margins[row] > margins_before[row], "step {}", step.step);
                }
            }
            last = Some((points, margins));
        }
        assert!(moves > 20, "{moves} moves");
    }
}

fn margin(logits: &[f32], label: usize) -> f32 {
    let others = (0..logits.len()).filter(|class| *class != label).map(|class| logits[class]);
    others.fold(f32::MIN, f32::max) - logits[label]
}

#[test]
fn windows_that_change_something_fool_with_fewer_queries() {
    let subject = Formula::new(Kind::Linear, "queries", 3, 400);
    let natural = images("queries", 8, [20, 20]) * 0.5 + 0.25;
    let labels = classes(&subject, natural.clone());
    let reached = |colors| {
        let square = Square { epsilon: 0.02, queries: 400, colors, ..Square::STANDARD };
        let goal = Goal::Untargeted { labels: labels.clone() };
        let inputs = [0, 1, 2, 3, 4, 5, 6, 7];
        let step = square.attack(&subject, natural.clone(), &goal, &draws(4, &inputs)).unwrap().last().unwrap();
        let logits = values(step.logits);
        (0..8).map(|row| margin(&logits[row * 3..][..3], labels[row])).sum::<f32>()
    };
    assert!(reached(Colors::Changing) > reached(Colors::Random));
}

#[test]
fn an_attack_without_gradients_uncovers_a_subject_that_hides_them() {
    let natural = images("flat", 6, [8, 8]);
    let open = Formula::new(Kind::Linear, "flat", 5, 64);
    let flat = Formula { kind: Kind::Flat, ..Formula::new(Kind::Linear, "flat", 5, 64) };
    let labels = classes(&open, natural.clone());
    let auto = Attack::Auto(Auto { epsilon: 0.3, steps: 20, targets: 4, queries: 1000 });
    let outcome = run(auto, &flat, natural.clone(), &labels, &[0, 1, 2, 3, 4, 5]);
    // Without gradients nothing but a random start can succeed: five draws an image.
    let by_square: Vec<_> = outcome.fates.iter().filter(|fate| fate.fooled_by == Some(AttackKind::Square)).collect();
    assert!(by_square.len() >= 2 && !right(&outcome).contains(&true), "{:?}", outcome.fates);
    for fate in by_square {
        assert_eq!(fate.doubts, [Doubt::ZeroGradients, Doubt::SquareWins]);
    }
    let outcome = run(auto, &open, natural, &labels, &[0, 1, 2, 3, 4, 5]);
    assert!(outcome.fates.iter().all(|fate| fate.fooled_by == Some(AttackKind::Apgd) && fate.doubts.is_empty()));
}

#[test]
fn doubts_about_a_subject_are_raised() {
    let natural = images("doubts", 4, [8, 8]);
    let doubts = |kind, classes: usize| {
        let subject = Formula::new(kind, "doubts", classes, 64);
        let labels = crate::attacks_subjects::classes(&Formula::new(Kind::Linear, "doubts", classes, 64), natural.clone());
        let auto = Attack::Auto(Auto { epsilon: 0.001, steps: 2, targets: 2, queries: 1 });
        let outcome = run(auto, &subject, natural.clone(), &labels, &[0, 1, 2, 3]);
        assert!(outcome.fates.iter().all(|fate| kind == Kind::Restless || fate.doubts == outcome.fates[0].doubts));
        outcome.fates[0].doubts.clone()
    };
    assert_eq!(doubts(Kind::Linear, 5), []);
    assert_eq!(doubts(Kind::Probabilities, 5), [Doubt::Probabilities]);
    assert_eq!(doubts(Kind::Adapted, 5), [Doubt::Adapts]);
    assert_eq!(doubts(Kind::Linear, 3), [Doubt::FewClasses]);
    assert_eq!(doubts(Kind::Linear, 2), [Doubt::FewClasses]);
    assert!(doubts(Kind::Restless, 5).contains(&Doubt::Random));
}

#[test]
fn each_attack_of_the_ensemble_meets_only_what_the_ones_before_it_left_right() {
    let model = Model::random(Architecture::FastMnistCnn, Seed(11), &Device::flex());
    let natural = images("left", 8, [28, 28]);
    let mut labels = classes(&model, natural.clone());
    labels[3] = (labels[3] + 1) % 10;
    let auto = Attack::Auto(Auto { epsilon: 0.01, steps: 5, targets: 2, queries: 20 });
    let mut seen = Vec::new();
    let observe = async |progress: Progress| {
        seen.push((progress.attack.kind(), progress.right));
        ControlFlow::Continue(())
    };
    let inputs = [0, 1, 2, 3, 4, 5, 6, 7];
    let outcome = pollster::block_on(campaign(auto, &model, natural.clone(), &labels, &draws(0, &inputs), observe)).unwrap();
    assert_eq!((outcome.fates[3].right, outcome.fates[3].fooled_by), (false, None), "it was wrong as it was");
    let untouched = values(distance(Norm::LInfinity, natural, outcome.end.images.clone()));
    assert_eq!(untouched[3], 0.0);
    let mut left = 7;
    for kind in [AttackKind::Apgd, AttackKind::ApgdTargeted, AttackKind::Fab, AttackKind::Square] {
        let fooled = outcome.fates.iter().filter(|fate| fate.fooled_by == Some(kind)).count();
        let met: Vec<usize> = seen.iter().filter(|(attack, _)| *attack == kind).map(|(_, right)| *right).collect();
        assert!(met.first().is_none_or(|first| *first == left), "{kind}: {met:?}");
        assert!(met.iter().all(|right| (left - fooled..=left).contains(right)), "{kind}: {met:?}");
        left -= fooled;
    }
    assert_eq!(left, right(&outcome).into_iter().filter(|right| *right).count());
}

#[test]
fn an_observer_that_breaks_cancels_at_the_next_step() {
    let subject = Formula::new(Kind::Waves, "cancel", 5, 49);
    let natural = images("cancel", 2, [7, 7]);
    let labels = classes(&subject, natural.clone());
    for attack in all(0.1) {
        let mut steps = 0;
        let observe = async |_| {
            steps += 1;
            if steps == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let draws = draws(0, &[0, 1]);
        let run = campaign(attack, &subject, natural.clone(), &labels, &draws, observe);
        assert!(matches!(pollster::block_on(run), Err(Error::Cancelled)), "{attack:?}");
        assert_eq!(steps, 4);
    }
}

#[test(needs(WGPU))]
fn a_gpu_device_gives_what_the_cpu_gives() {
    let weights = pollster::block_on(Model::random(Architecture::FastMnistCnn, Seed(6), &Device::flex()).weights()).unwrap();
    let natural = crate::formula::unit("devices", 4 * 784);
    let mut ends = Vec::new();
    for device in [Device::flex(), wgpu()] {
        let model = Model::from_weights(Architecture::FastMnistCnn, &weights, &device).unwrap();
        let natural = Tensor::<4>::from_data(TensorData::new(natural.clone(), [4, 1, 28, 28]), &device);
        let labels = classes(&model, natural.clone());
        for attack in all(0.01) {
            let outcome = run(attack, &model, natural.clone(), &labels, &[0, 1, 2, 3]);
            let margins: Vec<f32> =
                values(outcome.end.logits).chunks_exact(10).zip(&labels).map(|(z, y)| margin(z, *y)).collect();
            ends.push((attack, margins));
        }
    }
    let (cpu, others) = ends.split_at(9);
    for (attack, margins) in others {
        let (_, expected) = cpu.iter().find(|(same, _)| same == attack).unwrap();
        for (found, expected) in margins.iter().zip(expected) {
            // A gradient entry of size 1e-9 may change its sign, and a step of the path with it; the margins are of size 0.1.
            assert!((found - expected).abs() < 0.02, "{attack:?}: {found} instead of {expected}");
        }
    }
}
