//! Attacks whose images survive a file of 8 bits.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor};
use riposte::attack::counter::{CounterAttack, Event, Subjected};
use riposte::attack::{
    Apgd, Attack, Attacks, Attempt, Auto, Cw, Fab, Goal, Pgd, Quantize, Quantized, Slope, Square, Stop, Subject, Value, perturb,
    quantized,
};
use riposte::data::digits::{self, Split};
use riposte::defense::Static;
use riposte::models::Model;
use riposte::rng::Seed;
use riposte::spec::Choice;
use riposte::spec::attack::AttackKind;
use riposte::spec::class::argmax;
use riposte::spec::counter::{Counter, CounterKind};
use riposte::{Error, ToTensor, zoo};

use crate::attacks_subjects::values;

const QUANTIZE: Quantize = Quantize::Eight;

/// Of one pixel: class 1 where it is above so many levels of 255.
struct Above(f32);

impl Above {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let [batch, ..] = images.dims();
        let lead = images.reshape([batch, 1]) * 255.0 - self.0;
        Tensor::cat(vec![lead.clone().neg(), lead], 1)
    }
}

impl Subject for Above {
    fn class_count(&self) -> usize {
        2
    }

    fn answer(&self, images: Tensor<4>) -> Tensor<2> {
        self.logits(images)
    }

    fn slope(&self, images: Tensor<4>, value: Value<'_>) -> Slope {
        let point = images.autodiff().require_grad();
        let logits = self.logits(point.clone());
        let value = value(logits.clone());
        let gradient = point.grad(&value.backward()).expect("the logits depend on the image");
        Slope { logits: logits.inner(), value: value.inner(), gradient }
    }
}

/// Where an attack by steps of so many levels, within so many levels, leads a pixel of level 100.
fn led(subject: &Above, [step, within]: [f32; 2], quantize: Quantize) -> (f32, usize) {
    let pgd = Pgd { epsilon: within / 255.0, step_size: step / 255.0, steps: 60, stop: Stop::AtSuccess, ..Pgd::MNIST };
    let image = Tensor::<4>::full([1, 1, 1, 1], 100.0 / 255.0, &Device::flex());
    let attempt = Attempt { attack: Attack::Pgd(pgd), target: None, quantize };
    let observe = async |_| ControlFlow::Continue(());
    let end = pollster::block_on(perturb(attempt, subject, image, &[0], &[Seed(0).input(0)], observe)).unwrap().end;
    (values(end.images)[0] * 255.0, argmax(&values(end.logits)))
}

#[test]
fn an_attack_that_stops_at_success_goes_on_until_the_rounded_image_succeeds() {
    // Steps of 0.4 levels: 110.4 is above 110.3, and rounds to 110, which is not; the next point, 110.8, rounds to 111.
    let subject = Above(110.3);
    let (level, class) = led(&subject, [0.4, 20.0], Quantize::None);
    assert!((level - 110.4).abs() < 1e-3 && class == 1, "{level}");
    assert_eq!(led(&subject, [0.4, 20.0], QUANTIZE), (111.0, 1));
}

#[test]
fn rounding_leads_nowhere_out_of_the_ball() {
    // A ball of 10.8 levels holds 110.8, which would round out of it to 111.
    let subject = Above(110.6);
    let (level, class) = led(&subject, [1.0, 10.8], Quantize::None);
    assert!((level - 110.8).abs() < 1e-3 && class == 1, "{level}");
    assert_eq!(led(&subject, [1.0, 10.8], QUANTIZE), (110.0, 0));
    // One of 11 levels holds 111.
    assert_eq!(led(&subject, [1.0, 11.0], QUANTIZE), (111.0, 1));
}

fn model_and_digits(count: usize) -> (Model, Tensor<4>, Vec<usize>) {
    let device = Device::flex();
    let digits = digits::generate(Seed(0), Split::Test, 0..count as u32);
    let labels = (0..count).map(|index| digits.label(index)).collect();
    (zoo::load("digits-robust", &device).unwrap(), digits.images().to_tensor(0..count, &device), labels)
}

/// Every attack with few steps, in a ball that holds no whole number of levels.
fn attacks(epsilon: f32) -> Vec<Attack> {
    let kinds = AttackKind::ALL.iter().filter_map(|kind| Attack::standard(*kind, epsilon));
    kinds
        .map(|attack| match attack {
            Attack::Pgd(pgd) if !pgd.is_fgsm() => Attack::Pgd(Pgd { steps: 10, step_size: 0.05, ..pgd }),
            Attack::Apgd(apgd) => Attack::Apgd(Apgd { steps: 8, targets: apgd.targets.min(2), ..apgd }),
            Attack::Fab(fab) => Attack::Fab(Fab { steps: 6, targets: 2, ..fab }),
            Attack::Square(square) => Attack::Square(Square { queries: 40, ..square }),
            Attack::Auto(auto) => Attack::Auto(Auto { steps: 4, targets: 2, queries: 20, ..auto }),
            Attack::Cw(cw) => Attack::Cw(Cw { rounds: 3, steps: 60, ..cw }),
            other => other,
        })
        .collect()
}

#[test]
fn whatever_the_attack_its_images_have_the_levels_of_a_file_and_the_verdict_is_theirs() {
    let (model, images, labels) = model_and_digits(6);
    let before = values(images.clone());
    let (mut moved, mut fooled) = (0, 0);
    for attack in attacks(0.299) {
        let attempt = Attempt { attack, target: None, quantize: QUANTIZE };
        let observe = async |_| ControlFlow::Continue(());
        let ended =
            pollster::block_on(perturb(attempt, &model, images.clone(), &labels, &Seed(0).inputs(0..6), observe)).unwrap();
        let (points, kind) = (values(ended.end.images.clone()), attack.kind());
        for (point, natural) in points.iter().zip(&before) {
            let level = (point * 255.0).round();
            assert_eq!(*point, level / 255.0, "{kind}");
            // A ball of 0.299 holds 76 levels on each side.
            assert!(attack.epsilon().is_none() || (level - natural * 255.0).abs() < 76.001, "{kind}: {natural} became {point}");
        }
        moved += usize::from(points != before);
        // The logits are those of the images as they are, and so is what became of them.
        let here = values(model.answer(ended.end.images));
        let told = values(ended.end.logits);
        assert!(here.iter().zip(&told).all(|(here, told)| (here - told).abs() < 1e-4), "{kind}");
        let wrong: Vec<bool> = here.chunks(10).zip(&labels).map(|(row, label)| argmax(row) != *label).collect();
        if let Some(fates) = ended.fates {
            assert_eq!(fates.iter().map(|fate| !fate.right).collect::<Vec<_>>(), wrong, "{kind}");
        }
        fooled += wrong.iter().filter(|wrong| **wrong).count();
    }
    assert!(moved >= 6 && fooled >= 4, "{moved} attacks moved, {fooled} images fooled");
}

#[test]
fn a_targeted_attack_leads_the_rounded_image_to_its_class() {
    let (model, images, labels) = model_and_digits(6);
    let pgd = Pgd { epsilon: 0.5, step_size: 0.03, steps: 40, stop: Stop::AtSuccess, ..Pgd::MNIST };
    let attempt = Attempt { attack: Attack::Pgd(pgd), target: Some(8), quantize: QUANTIZE };
    let observe = async |_| ControlFlow::Continue(());
    let end = pollster::block_on(perturb(attempt, &model, images, &labels, &Seed(0).inputs(0..6), observe)).unwrap().end;
    assert_eq!(values(quantized(end.images.clone(), QUANTIZE)), values(end.images.clone()));
    let reached = values(model.answer(end.images)).chunks(10).filter(|row| argmax(row) == 8).count();
    assert!(reached >= 4, "{reached} of 6");
}

#[test]
fn natural_images_with_other_levels_are_refused() {
    let (model, images, labels) = model_and_digits(2);
    let attempt = Attempt { attack: Attack::Pgd(Pgd { steps: 1, ..Pgd::MNIST }), target: None, quantize: QUANTIZE };
    let observe = async |_| ControlFlow::Continue(());
    let between = (images.clone() + 0.001).clamp(0.0, 1.0);
    let outcome = pollster::block_on(perturb(attempt, &model, between, &labels, &Seed(0).inputs(0..2), observe));
    assert!(matches!(&outcome, Err(Error::Config(why)) if why.contains("1/255")), "{outcome:?}");
    // As read from a file of floats.
    let nearly = images.clone() * (1.0 - 1e-7);
    assert!(pollster::block_on(perturb(attempt, &model, nearly, &labels, &Seed(0).inputs(0..2), observe)).is_ok());
    // Without it they are attacked as they are.
    let free = Attempt { quantize: Quantize::None, ..attempt };
    assert!(pollster::block_on(perturb(free, &model, images + 0.0, &labels, &Seed(0).inputs(0..2), observe)).is_ok());
}

#[test]
fn the_points_of_an_attack_on_the_defense_have_the_levels_of_a_file() {
    let (model, images, labels) = model_and_digits(1);
    let defense = Static(&model);
    for kind in [CounterKind::Transfer, CounterKind::FixedPoint, CounterKind::Trajectory, CounterKind::Square, CounterKind::RayS]
    {
        let settings = Counter { kind, steps: 4, rounds: 2, queries: 30, adaptations: 1, finalists: 2, judges: 1 };
        let attack = CounterAttack { model: &model, defense: &defense, settings, epsilon: 0.299, quantize: QUANTIZE };
        let subjected =
            Subjected { image: images.clone(), label: labels[0], draws: Seed(0).input(0), attacked: Some(images.clone()) };
        let mut points = Vec::new();
        let observe = async |event: Event<'_, Model>| {
            if let Event::Round { image, .. } | Event::Judged { image, .. } | Event::Ended { image, .. } = event {
                points.push(values(image.clone()));
            }
            ControlFlow::Continue(())
        };
        let ended = pollster::block_on(attack.run(&subjected, observe)).unwrap();
        points.extend(ended.image.map(values));
        assert!(points.len() > 1, "{kind}");
        let natural = values(images.clone());
        for (point, natural) in points.iter().flat_map(|point| point.iter().zip(&natural)) {
            let level = (point * 255.0).round();
            assert!(*point == level / 255.0 && (level - natural * 255.0).abs() < 76.001, "{kind}: {natural} became {point}");
        }
    }
}

#[test]
fn a_subject_that_is_met_as_a_file_holds_its_images_says_so_at_every_point() {
    let (model, images, _) = model_and_digits(2);
    let subject = Quantized { subject: &model, quantize: QUANTIZE };
    let between = (images + 0.0017).clamp(0.0, 1.0);
    let rounded = quantized(between.clone(), QUANTIZE);
    assert_eq!(values(subject.answer(between.clone())), values(model.answer(rounded.clone())));
    let value = |logits: Tensor<2>| logits.sum_dim(1).flatten(0, 1);
    let (here, there) = (subject.slope(between.clone(), &value), model.slope(rounded, &value));
    assert_eq!((values(here.logits), values(here.gradient)), (values(there.logits), values(there.gradient)));
    // What is rounded is what is attacked: the steps of the attack itself are not.
    let goal = Goal::Untargeted { labels: vec![0, 0] };
    let pgd = Pgd { steps: 3, step_size: 0.001, ..Pgd::MNIST };
    let last = pgd.attack(&subject, between, &goal, &Seed(0).inputs(0..2)).unwrap().finish();
    assert_eq!(last.images.dims(), [2, 1, 28, 28]);
}
