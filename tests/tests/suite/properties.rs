//! Properties of the method that hold for every input and setting, on the CPU with random nets and images, and finite
//! differences.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use riposte::attack::{Attacks, Goal, Loss, Norm, Pgd, Start, Stop, input_gradient};
use riposte::classifier::{predictions, read};
use riposte::data::digits::{self, Split};
use riposte::data::pool::ClassPools;
use riposte::defense::Defense;
use riposte::models::{Architecture, Model, PreActForm};
use riposte::neighbor::{NeighborSearch, SearchMethod};
use riposte::post_train::{BatchNormMode, Direction, Perturbation, PostTrain, PostTraining, TrainingData};
use riposte::presets::Preset;
use riposte::rng::Seed;
use riposte::spec::Choice;
use riposte::{Classifier, Error, ToTensor};

const TINY: Architecture = Architecture::PreActResNet { width: 4, blocks: 1, form: PreActForm::Fast };

fn attack_settings() -> impl Strategy<Value = Pgd> {
    let words = (
        prop::sample::select(Norm::ALL),
        prop::sample::select(Start::ALL),
        prop::sample::select(Stop::ALL),
        prop::sample::select(Loss::ALL),
    );
    (0.0f32..0.5, 0.0f32..0.2, 0usize..5, 1usize..3, words).prop_map(
        |(epsilon, step_size, steps, restarts, (norm, start, stop, loss))| Pgd {
            norm,
            epsilon,
            step_size,
            steps,
            restarts,
            start,
            stop,
            loss,
        },
    )
}

fn goals(batch: usize) -> impl Strategy<Value = Goal> {
    let classes = prop::collection::vec(0usize..10, batch);
    (classes, any::<bool>()).prop_map(|(classes, targeted)| match targeted {
        true => Goal::Targeted { targets: classes },
        false => Goal::Untargeted { labels: classes },
    })
}

proptest! {
    // Each case trains or attacks a net; 24 of them take seconds.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn perturbation_stays_inside_the_epsilon_ball_and_the_pixel_range(attack in attack_settings(), goal in goals(3), seed in any::<u64>()) {
        let (model, images) = subject(seed, 3);
        let end = attack.attack(&model, images.clone(), &goal, &Seed(seed).inputs(0..3)).unwrap().finish();
        let (before, after) = (read_now(images), read_now(end.images));
        if attack.norm == Norm::L2 {
            for (before, after) in before.chunks(before.len() / 3).zip(after.chunks(after.len() / 3)) {
                let length = before.iter().zip(after).map(|(a, b)| f64::from(b - a).powi(2)).sum::<f64>().sqrt();
                // Roundings of the pixels, 6e-8 of up to 3072 of them, and of the length that they are divided by.
                prop_assert!(length <= f64::from(attack.epsilon) * (1.0 + 1e-5) + 4e-6, "{length}");
            }
        }
        for (before, after) in before.into_iter().zip(after) {
            // One rounding of `x + epsilon` in [0, 2): at most 1.2e-7.
            prop_assert!((after - before).abs() <= attack.epsilon + 1.2e-7, "{before} -> {after}");
            prop_assert!((0.0..=1.0).contains(&after));
        }
    }

    #[test]
    fn an_epsilon_of_zero_changes_nothing(attack in attack_settings(), goal in goals(2), seed in any::<u64>()) {
        let (model, images) = subject(seed, 2);
        let attack = Pgd { epsilon: 0.0, ..attack };
        let end = attack.attack(&model, images.clone(), &goal, &Seed(seed).inputs(0..2)).unwrap().finish();
        prop_assert_eq!(read_now(images), read_now(end.images));
    }

    #[test]
    fn more_restarts_never_help_the_defender(attack in attack_settings(), goal in goals(4), seed in any::<u64>()) {
        let (model, images) = subject(seed, 4);
        let attack = Pgd { start: Start::Uniform, ..attack };
        let successes = |restarts| {
            let attack = Pgd { restarts, ..attack };
            let end = attack.attack(&model, images.clone(), &goal, &Seed(seed).inputs(5..9)).unwrap().finish();
            succeeded(&goal, &pollster::block_on(predictions(end.logits)).unwrap())
        };
        for (one, three) in successes(1).into_iter().zip(successes(3)) {
            prop_assert!(three || !one, "a restart was lost");
        }
    }

    #[test]
    fn inputs_attacked_together_end_where_they_end_alone(attack in attack_settings(), goal in goals(3), seed in any::<u64>()) {
        let (model, images) = subject(seed, 3);
        let numbers = [11, 3, 7];
        let together = read_now(attack.attack(&model, images.clone(), &goal, &Seed(seed).inputs(numbers)).unwrap().finish().images);
        for (row, number) in numbers.into_iter().enumerate() {
            let image = images.clone().narrow(0, row, 1);
            let goal = one_of(&goal, row);
            let alone = read_now(attack.attack(&model, image, &goal, &[Seed(seed).input(number)]).unwrap().finish().images);
            let differ = alone.iter().zip(&together[row * 784..]).filter(|(a, b)| (**a - **b).abs() > 1e-5).count();
            // Matrix products sum in another order in another batch: a gradient entry of size 1e-9 may change its sign.
            prop_assert!(differ <= 8, "{differ} of 784 pixels differ");
        }
    }

    #[test]
    fn a_masked_stop_equals_leaving_early_one_by_one(seed in any::<u64>(), label in 0usize..10) {
        let (model, images) = subject(seed, 1);
        let attack = Pgd { epsilon: 0.3, step_size: 0.05, steps: 6, stop: Stop::AtSuccess, ..Pgd::MNIST };
        let goal = Goal::Untargeted { labels: vec![label] };
        let masked = read_now(attack.attack(&model, images.clone(), &goal, &[Seed(0).input(0)]).unwrap().finish().images);
        let walk = Pgd { stop: Stop::Never, ..attack };
        let mut last = Vec::new();
        for step in walk.attack(&model, images, &goal, &[Seed(0).input(0)]).unwrap() {
            last = read_now(step.images);
            if pollster::block_on(predictions(step.logits)).unwrap()[0] != label {
                break;
            }
        }
        prop_assert_eq!(masked, last);
    }
}

#[test]
fn input_gradients_equal_finite_differences() {
    for architecture in [Architecture::FastMnistCnn, Architecture::MadryMnistCnn, Architecture::TradesMnistCnn, TINY] {
        let model = Model::random(architecture, Seed(3), &Device::flex());
        let [channels, height, width] = architecture.image_shape();
        let pixels = channels * height * width;
        let image = crate::formula::unit("finite differences", pixels);
        let tensor =
            |values: Vec<f32>| Tensor::<4>::from_data(TensorData::new(values, [1, channels, height, width]), &Device::flex());
        for goal in [Goal::Untargeted { labels: vec![4] }, Goal::Targeted { targets: vec![7] }] {
            for &loss in Loss::ALL {
                let (_, gradient) = input_gradient(&model, tensor(image.clone()), &goal, loss);
                let gradient = read_now(gradient);
                // Along the gradient's sign, where the difference is largest: the sum of the gradient's absolute values.
                let expected: f64 = gradient.iter().map(|value| f64::from(value.abs())).sum();
                let h = 1e-3f32;
                let value = |direction: f32| {
                    let moved = image.iter().zip(&gradient).map(|(pixel, g)| pixel + direction * h * g.signum()).collect();
                    f64::from(read_now(input_gradient(&model, tensor(moved), &goal, loss).0)[0])
                };
                let found = (value(1.0) - value(-1.0)) / f64::from(2.0 * h);
                // f32 losses of size 2 have an ulp of 2.4e-7, divided by 2e-3: 1e-4; and ReLUs that switch within h.
                assert!(
                    (found - expected).abs() <= 0.02 * expected + 1e-3,
                    "{architecture} {goal:?} {loss:?}: {found} instead of {expected}"
                );
            }
        }
    }
}

#[test]
fn post_training_leaves_the_base_model_untouched_and_repeats_for_a_seed() {
    let variants = [
        Perturbation::Fixed(Direction::Both),
        Perturbation::Fast { epsilon: 0.1, step_size: 0.12 },
        Perturbation::Pgd { epsilon: 0.1, step_size: 0.03, steps: 2 },
        Perturbation::Normal,
    ];
    let (model, input, pools) = riposte_subject();
    let before = pollster::block_on(model.weights()).unwrap();
    for perturbation in variants {
        for data in [TrainingData::OriginalAndNeighbor, TrainingData::OriginalAndRandom, TrainingData::WholeSet] {
            let settings = PostTrain { perturbation, data, ..small_defense() };
            let defense = PostTraining { model: &model, pools: &pools, settings };
            let answer = |seed: u64| {
                let run = defense.answer(input.clone(), Seed(seed).input(9), async |_| ControlFlow::Continue(()));
                let riposte = pollster::block_on(run).unwrap();
                assert!(riposte.adapted.is_some(), "the random net has a neighbor in this ball");
                read_now(riposte.logits)
            };
            let (first, again, other) = (answer(1), answer(1), answer(2));
            assert_eq!(first, again, "{perturbation:?} {data:?}");
            assert_ne!(first, other, "{perturbation:?} {data:?}");
            assert_eq!(before, pollster::block_on(model.weights()).unwrap());
        }
    }
}

#[test]
fn batch_statistics_of_the_base_model_stay_while_a_copy_adapts() {
    let device = Device::flex();
    let base = Model::random(TINY, Seed(1), &device);
    let before = pollster::block_on(base.weights()).unwrap();
    let config = PostTrain { batch_norm: BatchNormMode::BatchStatistics, learning_rate: 0.05, ..small_defense() };
    let mut adaptation = riposte::post_train::Adaptation::new(&base, config);
    let batch = Tensor::from_data(TensorData::new(crate::formula::unit("batch", 4 * 3072), [4, 3, 32, 32]), &device);
    let fixed = Tensor::zeros([1, 3, 32, 32], &device);
    adaptation.step(batch, &[1, 1, 2, 2], fixed, None);
    assert_eq!(before, pollster::block_on(base.weights()).unwrap());
    let after = pollster::block_on(adaptation.model().weights()).unwrap();
    for key in ["bn.running_mean", "bn.running_var", "bn.weight", "conv1.weight"] {
        assert_ne!(before.0[key], after.0[key], "{key} of the copy moved");
    }
}

#[test]
fn an_input_without_a_neighbor_is_answered_by_the_base_model() {
    let (model, input, pools) = riposte_subject();
    let attack = Pgd { epsilon: 0.0, ..Pgd::MNIST };
    let settings = PostTrain { search: NeighborSearch { attack, method: SearchMethod::Untargeted }, ..small_defense() };
    let defense = PostTraining { model: &model, pools: &pools, settings };
    let run = defense.answer(input.clone(), Seed(0).input(0), async |_| ControlFlow::Continue(()));
    let riposte = pollster::block_on(run).unwrap();
    assert!(riposte.adapted.is_none());
    assert_eq!(read_now(riposte.logits), read_now(model.forward(input)));
}

#[test]
fn an_observer_that_breaks_cancels_within_one_step() {
    let (model, input, pools) = riposte_subject();
    let mut seen = 0;
    let defense = PostTraining { model: &model, pools: &pools, settings: small_defense() };
    let run = defense.answer(input, Seed(0).input(0), async |progress| match progress {
        riposte::post_train::Progress::Searched(_) => ControlFlow::Continue(()),
        riposte::post_train::Progress::Adapted(iteration) => {
            seen = iteration.index + 1;
            if iteration.index == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    });
    assert!(matches!(pollster::block_on(run), Err(Error::Cancelled)));
    assert_eq!(seen, 2);
}

#[test]
fn a_state_dict_survives_a_file_in_both_precisions() {
    use riposte::weights::{Precision, StateDict};
    for architecture in [Architecture::FastMnistCnn, TINY] {
        let weights = pollster::block_on(Model::random(architecture, Seed(5), &Device::flex()).weights()).unwrap();
        assert_eq!(StateDict::from_safetensors(&weights.to_safetensors(Precision::F32)).unwrap(), weights);
        let half = StateDict::from_safetensors(&weights.to_safetensors(Precision::F16)).unwrap();
        for (key, parameter) in &weights.0 {
            assert_eq!(half.0[key].shape, parameter.shape);
            for (a, b) in half.0[key].values.iter().zip(&parameter.values) {
                // Half precision keeps 11 bits; below 6e-8 it is zero.
                assert!((a - b).abs() <= b.abs() / 2048.0 + 6e-8, "{key}: {a} instead of {b}");
            }
        }
    }
}

#[test]
fn weights_that_do_not_fit_name_the_parameter_and_both_shapes() {
    let device = Device::flex();
    let weights = pollster::block_on(Model::random(Architecture::FastMnistCnn, Seed(0), &device).weights()).unwrap();
    let load = |weights: &riposte::weights::StateDict| {
        Model::from_weights(Architecture::FastMnistCnn, weights, &device).unwrap_err().to_string()
    };

    let mut missing = weights.clone();
    missing.0.remove("5.bias");
    let message = load(&missing);
    assert!(message.contains("`5.bias`") && message.contains("[100]") && message.contains("missing"), "{message}");

    let mut reshaped = weights.clone();
    reshaped.0.get_mut("2.weight").unwrap().shape = vec![16, 32, 4, 4];
    let message = load(&reshaped);
    assert!(
        message.contains("`2.weight`") && message.contains("[32, 16, 4, 4]") && message.contains("[16, 32, 4, 4]"),
        "{message}"
    );

    let mut extra = weights;
    extra.0.insert("9.weight".to_owned(), riposte::weights::Parameter { shape: vec![1], values: vec![0.0] });
    let message = load(&extra);
    assert!(message.contains("9.weight"), "{message}");
}

fn small_defense() -> PostTrain {
    let attack = Pgd { epsilon: 0.5, step_size: 0.1, steps: 10, stop: Stop::AtSuccess, ..Pgd::MNIST };
    PostTrain {
        search: NeighborSearch { attack, method: SearchMethod::Untargeted },
        iterations: 3,
        batch_size: 8,
        learning_rate: 0.01,
        ..Preset::M_MNIST.post_train
    }
}

/// A random net, an input and pools.
fn riposte_subject() -> (Model, Tensor<4>, ClassPools) {
    let device = Device::flex();
    let test = digits::generate(Seed(0), Split::Test, 0..1);
    let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..200));
    (Model::random(Architecture::FastMnistCnn, Seed(0), &device), test.images().to_tensor([0], &device), pools)
}

/// A random net and random images.
fn subject(seed: u64, batch: usize) -> (Model, Tensor<4>) {
    let device = Device::flex();
    let images = crate::formula::unit(&format!("images {seed}"), batch * 784);
    let images = Tensor::from_data(TensorData::new(images, [batch, 1, 28, 28]), &device);
    (Model::random(Architecture::FastMnistCnn, Seed(seed), &device), images)
}

fn one_of(goal: &Goal, row: usize) -> Goal {
    match goal {
        Goal::Untargeted { labels } => Goal::Untargeted { labels: vec![labels[row]] },
        Goal::Targeted { targets } => Goal::Targeted { targets: vec![targets[row]] },
        Goal::Toward { labels, targets } => Goal::Toward { labels: vec![labels[row]], targets: vec![targets[row]] },
    }
}

fn succeeded(goal: &Goal, predictions: &[usize]) -> Vec<bool> {
    let targeted = matches!(goal, Goal::Targeted { .. });
    predictions.iter().zip(goal.classes()).map(|(predicted, class)| (predicted == class) == targeted).collect()
}

fn read_now<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    pollster::block_on(read(tensor)).unwrap()
}
