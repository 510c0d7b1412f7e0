//! The attacks on a defense, on defenses whose answers are known.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use riposte::attack::counter::{Committee, CounterAttack, Event, Look, Rule, Searched, Subjected};
use riposte::attack::{Goal, Norm, Pgd, Quantize, Start, Subject, distance, input_gradient};
use riposte::bank::{Bank, Banked, Pair, Pick};
use riposte::classifier::predictions;
use riposte::data::digits::{self, Split};
use riposte::data::pool::ClassPools;
use riposte::defense::{Answer, Defense, Gradients, Static, Transform, Transformed};
use riposte::models::{Architecture, Model};
use riposte::neighbor::{NeighborSearch, Neighbors, SearchMethod, Searches};
use riposte::post_train::{PostTrain, PostTraining, Progress};
use riposte::presets::Preset;
use riposte::rng::{Draws, Purpose, Seed};
use riposte::spec::Choice;
use riposte::spec::attack::Loss;
use riposte::spec::counter::{Cost, Counter, CounterKind, Countered, Judgment};
use riposte::{Classifier, Error, Result};

use crate::attacks_subjects::values;

/// One rounding of `x + epsilon` in `[0, 2)`.
const ROUNDING: f32 = 1.2e-7;
const EPSILON: f32 = 0.3;
const FEW: Counter =
    Counter { kind: CounterKind::All, steps: 15, rounds: 3, adaptations: 2, queries: 150, finalists: 1, judges: 3 };

fn model(seed: u64) -> Model {
    Model::random(Architecture::FastMnistCnn, Seed(seed), &Device::flex())
}

/// An image, with the class that the model gives it as its label.
fn subjected(model: &Model, number: usize) -> Subjected {
    let pixels = crate::formula::unit("counter", 784 * (number + 1))[784 * number..].to_vec();
    let image = Tensor::<4>::from_data(TensorData::new(pixels, [1, 1, 28, 28]), &Device::flex());
    let label = pollster::block_on(predictions(model.forward(image.clone()))).unwrap()[0];
    Subjected { image, label, draws: Seed(3).input(number as u64), attacked: None }
}

fn run<D: Defense<Model = Model>>(
    model: &Model,
    defense: &D,
    settings: Counter,
    subjected: &Subjected,
    observe: impl AsyncFnMut(Event<'_, Model>) -> ControlFlow<()>,
) -> Result<Countered> {
    let ended = pollster::block_on(
        CounterAttack { model, defense, settings, epsilon: EPSILON, quantize: Quantize::None }.run(subjected, observe),
    )?;
    // Whoever found points hands out the last.
    assert_eq!(ended.image.is_some(), !ended.countered.points.is_empty());
    Ok(ended.countered)
}

async fn on(_: Event<'_, Model>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// "Adapts" to another model, whatever the input.
struct Other<'a> {
    base: &'a Model,
    other: Model,
}

impl Defense for Other<'_> {
    type Model = Model;
    type Prepared = Tensor<4>;

    fn gradients(&self) -> Gradients {
        Gradients::Detached
    }

    fn is_random(&self) -> bool {
        true
    }

    async fn prepare(&self, images: Tensor<4>, _: &[Draws]) -> Result<Vec<Tensor<4>>> {
        let [batch, ..] = images.dims();
        Ok(images.chunk(batch, 0))
    }

    async fn respond(
        &self,
        image: Tensor<4>,
        _: Draws,
        _: impl AsyncFnMut(Progress<'_, Model>) -> ControlFlow<()>,
    ) -> Result<Answer<Model>> {
        assert_eq!(self.base.classes(), self.other.classes());
        Ok(Answer { logits: self.other.forward(image), adapted: Some(self.other.clone()), neighbors: None })
    }
}

/// Knows the label and says it wherever it finds a neighbor; else the base model answers.
struct Oracle<'a> {
    base: &'a Model,
    search: NeighborSearch,
    label: usize,
}

impl Defense for Oracle<'_> {
    type Model = Model;
    type Prepared = Neighbors;

    fn gradients(&self) -> Gradients {
        Gradients::Detached
    }

    fn is_random(&self) -> bool {
        false
    }

    fn search(&self) -> Option<NeighborSearch> {
        Some(self.search)
    }

    async fn prepare(&self, images: Tensor<4>, draws: &[Draws]) -> Result<Vec<Neighbors>> {
        let neighbors = self.search.search(self.base, images, draws).await?;
        Ok((0..draws.len()).map(|index| neighbors.at(index)).collect())
    }

    async fn respond(
        &self,
        neighbors: Neighbors,
        _: Draws,
        _: impl AsyncFnMut(Progress<'_, Model>) -> ControlFlow<()>,
    ) -> Result<Answer<Model>> {
        let logits = if neighbors.original == neighbors.neighbor {
            neighbors.logits.clone()
        } else {
            let mut row = [0.0; 10];
            row[self.label] = 1.0;
            Tensor::from_floats([row], &Device::flex())
        };
        Ok(Answer { logits, adapted: None, neighbors: Some(neighbors) })
    }
}

#[test]
fn a_committee_is_the_mean_of_its_members_or_the_one_that_resists_most() {
    let members = [model(0), model(1), model(2)];
    let images =
        subjected(&members[0], 0).image.repeat_dim(0, 2) * Tensor::<4>::from_floats([[[[1.0]]], [[[0.4]]]], &Device::flex());
    let goal = Goal::Untargeted { labels: vec![3, 5] };
    let alone: Vec<[Vec<f32>; 2]> = members
        .iter()
        .map(|member| {
            let (value, gradient) = input_gradient(member, images.clone(), &goal, Loss::Dlr);
            [values(value), values(gradient)]
        })
        .collect();
    for rule in [Rule::Average, Rule::Minimum] {
        let committee = Committee { members: members.iter().collect(), rule };
        let (value, gradient) = input_gradient(&committee, images.clone(), &goal, Loss::Dlr);
        let (value, gradient) = (values(value), values(gradient));
        for row in 0..2 {
            let lowest = (0..3).min_by(|a, b| alone[*a][0][row].total_cmp(&alone[*b][0][row])).unwrap();
            let expected = |part: usize, index: usize| match rule {
                Rule::Average => alone.iter().map(|member| member[part][index]).sum::<f32>() / 3.0,
                Rule::Minimum => alone[lowest][part][index],
            };
            // Sums of three in another order.
            assert!((value[row] - expected(0, row)).abs() < 1e-6, "{rule:?}");
            let pixels = row * 784..(row + 1) * 784;
            assert!(pixels.into_iter().all(|pixel| (gradient[pixel] - expected(1, pixel)).abs() < 1e-6), "{rule:?}");
        }
    }
}

#[test]
fn a_searched_model_answers_at_the_worst_point_of_the_path() {
    let model = model(4);
    let Subjected { image, label, draws, .. } = subjected(&model, 1);
    let search = Pgd { epsilon: 0.05, step_size: 0.02, steps: 6, ..Pgd::MNIST };
    let goal = Goal::Untargeted { labels: vec![label] };
    let subject = |look| Searched { model: &model, search, leaves: vec![label], draws: vec![draws], look };
    let value = |subject: &dyn Fn() -> (Tensor<1>, Tensor<4>)| values(subject().0)[0];
    let plain = value(&|| input_gradient(&model, image.clone(), &goal, Loss::Margin));
    // Who leaves a class raises its margin: the image itself is the worst point of the path, and the ends' worst is no better.
    for look in [Look::Path, Look::Ends] {
        let searched = value(&|| input_gradient(&subject(look), image.clone(), &goal, Loss::Margin));
        assert!(searched <= plain + 1e-6, "{look:?}: {searched} {plain}");
    }
    // Toward the same class the worst point is where the search has gone.
    let stay = Goal::Targeted { targets: vec![label] };
    let plain = value(&|| input_gradient(&model, image.clone(), &stay, Loss::Margin));
    let searched = value(&|| input_gradient(&subject(Look::Path), image.clone(), &stay, Loss::Margin));
    assert!(searched < plain - 1e-4, "{searched} {plain}");
    let end = values(subject(Look::Ends).answer(image.clone()));
    assert_ne!(end, values(model.forward(image)));
}

#[test]
fn a_defense_that_swaps_the_model_falls_as_that_model_does() {
    let (base, other) = (model(0), model(1));
    let mut fell = 0;
    for number in 0..4 {
        let subject = subjected(&base, number);
        let defense = Other { base: &base, other: other.clone() };
        for kind in [CounterKind::FixedPoint, CounterKind::GmsaMinimum, CounterKind::GmsaAverage] {
            let mut copies = Vec::new();
            let observe = async |event: Event<'_, Model>| {
                if let Event::Round { round, image } = event {
                    assert!(values(distance(Norm::LInfinity, subject.image.clone(), image.clone()))[0] <= EPSILON + ROUNDING);
                    copies.push(round.copies);
                }
                ControlFlow::Continue(())
            };
            let countered = run(&base, &defense, Counter { kind, ..FEW }, &subject, observe).unwrap();
            // The base alone; then the base and two copies more each round, or the last two copies alone.
            let expected = if kind == CounterKind::FixedPoint { [1, 2, 2] } else { [1, 3, 5] };
            assert_eq!(copies, expected[..copies.len()], "{kind}");
            // A random model's classes lie close together: the attacker, who climbs on the model itself, wins.
            assert_eq!(countered.points.len(), 1);
            fell += usize::from(countered.points[0].judged.right == 0);
        }
    }
    assert_eq!(fell, 12);
}

#[test]
fn an_attacker_who_only_asks_or_follows_the_copies_fools_a_swapped_model() {
    let (base, other) = (model(0), model(1));
    for kind in [CounterKind::Trajectory, CounterKind::Square, CounterKind::RayS] {
        let mut fell = 0;
        for number in 0..4 {
            let subject = subjected(&base, number);
            let defense = Other { base: &base, other: other.clone() };
            let mut known = Vec::new();
            let observe = async |event: Event<'_, Model>| {
                if let Event::Round { round, image } = event {
                    let change = values(distance(Norm::LInfinity, subject.image.clone(), image.clone()))[0];
                    assert!(change <= EPSILON + ROUNDING, "{kind}: {change}");
                    known.push(round.copies);
                }
                ControlFlow::Continue(())
            };
            let countered = run(&base, &defense, Counter { kind, ..FEW }, &subject, observe).unwrap();
            let (point, cost) = (countered.points[0], countered.cost);
            match kind {
                // First the base, then the copies of the two answers at the point before; 15 steps have three rounds.
                CounterKind::Trajectory => {
                    assert!(cost.answers == 2 * known.len() && known[0] == 1 && known[1..].iter().all(|copies| *copies == 2));
                }
                _ => assert!(cost.steps == 0 && cost.answers <= 150 + 2 * 2, "{cost:?}"),
            }
            fell += usize::from(point.judged.right == 0);
        }
        assert_eq!(fell, 4, "{kind}");
    }
    let defense = Other { base: &base, other };
    for kind in [CounterKind::Square, CounterKind::RayS] {
        let silent = run(&base, &defense, Counter { kind, queries: 0, ..FEW }, &subjected(&base, 0), on).unwrap();
        assert!(silent.points.is_empty() && silent.tried.is_empty(), "without questions there is no attack");
    }
}

/// A bank whose copies are the base with a head that another class pulls: known copies, and a search that finds neighbors.
fn bank_of(base: &Model) -> Bank<Model> {
    let settings = PostTrain { iterations: 3, batch_size: 8, perturbation: Preset::M_MNIST.fast, ..Preset::M_MNIST.post_train };
    let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..200));
    let mut bank = Bank::new(base.clone(), settings).unwrap();
    for pair in Pair::all(10) {
        let copies = [0, 1].map(|draw| pollster::block_on(bank.make(&pools, pair, draw, Seed(5), silent)).unwrap());
        bank.insert(pair, copies.to_vec());
    }
    bank
}

async fn silent(_: Progress<'_, Model>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn who_knows_the_bank_fools_its_copies_without_asking_in_between() {
    let base = model(0);
    let bank = bank_of(&base);
    let search = NeighborSearch {
        attack: Pgd { epsilon: 0.05, step_size: 0.02, steps: 4, start: Start::Zero, ..Pgd::MNIST },
        method: SearchMethod::Untargeted,
    };
    let defense = Banked { bank: &bank, search, pick: Pick::Drawn };
    let mut fell = 0;
    for number in 0..4 {
        let subject = subjected(&base, number);
        let countered = run(&base, &defense, Counter { kind: CounterKind::Bank, ..FEW }, &subject, on).unwrap();
        // Six pairs in two orders: one answer to each point, and two more to each of three.
        assert_eq!(countered.cost, Cost { answers: 12 + 3 * 2, steps: 12 * 16 });
        fell += usize::from(countered.points[0].judged.right == 0);
    }
    assert_eq!(fell, 4);
    let adapting = Static(&base);
    let nothing = run(&base, &adapting, Counter { kind: CounterKind::Bank, ..FEW }, &subjected(&base, 0), on).unwrap();
    assert!(nothing.points.is_empty(), "without copies that are known there is nothing to climb on");
}

#[test]
fn suppression_finds_where_the_search_meets_nothing() {
    let base = model(5);
    let search = NeighborSearch {
        attack: Pgd { epsilon: 0.01, step_size: 0.004, steps: 4, start: Start::Zero, ..Pgd::MNIST },
        method: SearchMethod::Untargeted,
    };
    let mut fell = 0;
    for number in 0..4 {
        let mut subject = subjected(&base, number);
        let defense = Oracle { base: &base, search, label: subject.label };
        // A point just past the boundary has a neighbor, the label's class: the defense is right there.
        subject.attacked = Some(just_past(&base, &subject));
        let control = run(&base, &defense, Counter { kind: CounterKind::Attack, ..FEW }, &subject, on).unwrap();
        assert_eq!(control.points[0].judged.right, 3, "{control:?}");
        let countered = run(&base, &defense, Counter { kind: CounterKind::Suppression, ..FEW }, &subject, on).unwrap();
        let judged = countered.points[0].judged;
        assert_eq!((countered.natural.right, countered.natural.of), (3, 3));
        if judged.right == 0 {
            fell += 1;
            assert!(judged.original == judged.neighbor && judged.original != subject.label, "{judged:?}");
        }
    }
    assert_eq!(fell, 4);
}

/// Just past the boundary, to a thousandth of the way, on the line from the image to where PGD leads.
fn just_past(model: &Model, subject: &Subjected) -> Tensor<4> {
    use riposte::attack::Attacks;
    let goal = Goal::Untargeted { labels: vec![subject.label] };
    let attack = Pgd { epsilon: EPSILON, step_size: 0.03, steps: 20, ..Pgd::MNIST };
    let end = attack.attack(model, subject.image.clone(), &goal, &[subject.draws]).unwrap().finish().images;
    let at = |share: f32| subject.image.clone() + (end.clone() - subject.image.clone()) * share;
    let class = |image: Tensor<4>| pollster::block_on(predictions(model.forward(image))).unwrap()[0];
    let steps = (1..=1000).map(|share| at(share as f32 / 1000.0));
    steps.into_iter().find(|image| class(image.clone()) != subject.label).expect("PGD fools a random model")
}

#[test]
fn a_defense_that_never_adapts_is_judged_by_one_answer_and_falls_as_the_model() {
    let model = model(6);
    let subject = subjected(&model, 2);
    let mut rounds = 0;
    let observe = async |event: Event<'_, Model>| {
        rounds += usize::from(matches!(event, Event::Round { .. }));
        ControlFlow::Continue(())
    };
    let countered = run(&model, &Static(&model), FEW, &subject, observe).unwrap();
    assert!(rounds > 0);
    assert_eq!((countered.natural.right, countered.natural.original), (3, subject.label));
    // Nothing was attacked before, so that the first point is a strong attack's; it fools the model, and the others are left out.
    let kinds: Vec<CounterKind> = countered.points.iter().map(|point| point.kind).collect();
    assert_eq!(kinds, [CounterKind::Transfer]);
    assert_eq!((countered.points[0].fooled, countered.points[0].judged.right), ([2, 2], 0));
}

#[test]
fn a_post_training_that_does_not_move_is_attacked_as_the_model_itself() {
    let model = model(7);
    let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..200));
    // A step of 1e-30 changes no parameter of the size of these.
    let settings = PostTrain { iterations: 1, batch_size: 8, learning_rate: 1e-30, ..Preset::M_MNIST.post_train };
    let adapting = PostTraining { model: &model, pools: &pools, settings };
    for kind in [CounterKind::GmsaAverage, CounterKind::GmsaMinimum, CounterKind::FixedPoint] {
        let subject = subjected(&model, 3);
        let settings = Counter { kind, rounds: 1, ..FEW };
        let mut ends = Vec::new();
        let mut keep = |event: Event<'_, Model>| {
            if let Event::Round { image, .. } = event {
                ends.push(values(image.clone()));
            }
        };
        let still = run(&model, &Static(&model), settings, &subject, async |event| {
            keep(event);
            ControlFlow::Continue(())
        });
        let moved = run(&model, &adapting, settings, &subject, async |event| {
            keep(event);
            ControlFlow::Continue(())
        });
        assert_eq!(ends[0], ends[1], "{kind}");
        assert_eq!(still.unwrap().points[0].judged.right, moved.unwrap().points[0].judged.right, "{kind}");
    }
}

#[test]
fn the_attacker_chooses_among_its_best_points_by_answers_it_had_not_seen() {
    let base = model(0);
    let subject = subjected(&base, 0);
    // It adapts to itself, and nothing within this radius changes a class: no point falls, and there is a choice.
    let (defense, epsilon) = (Other { base: &base, other: base.clone() }, 1e-6);
    let of = |finalists, watch: &mut Vec<(CounterKind, usize)>| {
        let settings = Counter { kind: CounterKind::GmsaAverage, finalists, ..FEW };
        let observe = async |event: Event<'_, Model>| {
            if let Event::Judged { judgment: Judgment { kind: Some(kind), round, .. }, .. } = event {
                watch.push((kind, round));
            }
            ControlFlow::Continue(())
        };
        let attack = CounterAttack { model: &base, defense: &defense, settings, epsilon, quantize: Quantize::None };
        pollster::block_on(attack.run(&subject, observe)).unwrap().countered
    };
    let (mut at_once, mut among_two) = (Vec::new(), Vec::new());
    let (lucky, sure) = (of(1, &mut at_once), of(2, &mut among_two));
    assert_eq!((lucky.chosen, &lucky.points, at_once.len()), (None, &sure.points, 1));
    let chosen = sure.chosen.unwrap();
    assert_eq!((chosen.kind, chosen.fooled), (CounterKind::GmsaAverage, [0, 4]));
    assert_eq!(sure.cost.answers, lucky.cost.answers + 2 * 4);
    assert_eq!((among_two.len(), among_two[0]), (2, at_once[0]));
    // Copies that never change answer the best point as before, and what is judged stays so.
    assert_eq!((among_two[1], chosen.judged), (at_once[0], sure.points[0].judged));
}

#[test]
fn a_defense_without_copies_gives_the_model_space_attacks_no_hold_and_an_ascent_on_its_own_slope_one() {
    let base = model(0);
    let defense = Transformed { model: &base, transform: Transform::Median { side: 2 } };
    let tried = |kind| run(&base, &defense, Counter { kind, ..FEW }, &subjected(&base, 0), on).unwrap().tried;
    for kind in [CounterKind::GmsaAverage, CounterKind::GmsaMinimum, CounterKind::FixedPoint] {
        assert_eq!(tried(kind), [], "{kind}");
    }
    assert_eq!(tried(CounterKind::Trajectory), [CounterKind::Trajectory]);
}

#[test]
fn beside_a_defense_without_a_search_stands_what_the_base_model_says_of_the_point() {
    let (base, other) = (model(0), model(1));
    let mut differing = 0;
    for image in 0..4 {
        let subject = subjected(&base, image);
        let [said, answered] =
            [&base, &other].map(|model| pollster::block_on(predictions(model.forward(subject.image.clone()))).unwrap()[0]);
        let defense = Other { base: &base, other: other.clone() };
        let natural = run(&base, &defense, Counter { kind: CounterKind::Attack, ..FEW }, &subject, on).unwrap().natural;
        assert_eq!((natural.original, natural.neighbor), (said, said));
        differing += usize::from(said != answered);
    }
    assert!(differing > 0, "the defense never said anything else");
}

#[test]
fn attackers_and_judges_draw_differently_and_nothing_repeats() {
    let draws = Seed(9).input(4);
    let mut seeds: Vec<u64> = [Purpose::Selection, Purpose::Judgment]
        .into_iter()
        .flat_map(|purpose| (0..200).map(move |number| draws.again(purpose, number).seed.0))
        .collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 400);
}

#[test]
fn an_attack_on_a_defense_stops_when_told() {
    let base = model(0);
    let defense = Other { base: &base, other: model(1) };
    for kind in CounterKind::SINGLE {
        let mut subject = subjected(&base, 0);
        subject.attacked = Some(subject.image.clone());
        let mut events = 0;
        let observe = async |_: Event<'_, Model>| {
            events += 1;
            if events == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let result = run(&base, &defense, Counter { kind, ..FEW }, &subject, observe);
        // What searches nothing gives these no hold, and no event after the judgment of the image itself.
        let none = [CounterKind::Suppression, CounterKind::Decoy, CounterKind::Bank].contains(&kind);
        match result {
            Err(Error::Cancelled) => assert!(!none, "{kind}"),
            Ok(countered) => assert!(none && countered.points.is_empty(), "{kind}"),
            Err(error) => panic!("{kind}: {error}"),
        }
        assert!(CounterKind::ALL.contains(&kind));
    }
}
