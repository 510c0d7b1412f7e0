//! What follows from what: a model brings its settings, an image is classified, a change undoes what was built on it.

use leptos::prelude::*;
use riposte_protocol::{Event, Picture, Request};
use riposte_spec::Choice as _;
use riposte_spec::attack::{Attack, Start};
use riposte_spec::counter::{Counter, CounterKind};
use riposte_spec::keys::{Heading, Key};
use riposte_spec::preset::PresetName;
use riposte_spec::setup::Setup;

use crate::hunt::Chase;
use crate::link::{ImageKey, Link, left_out, refusal};
use crate::state::{Arena, Load, Origin, Subject, samples_worth};
use crate::trace::Phase;

/// Keeps an element in order for its whole life. The first model takes its settings and its image from the link.
pub fn keep(arena: Arena, link: Link) {
    open_models(arena);
    settle_models(arena, link);
    classify_images(arena);
    hunt(arena);
    drop_what_is_void(arena);
    time_the_defense(arena);
    run_pending_acts(arena);
}

fn open_models(arena: Arena) {
    let generation = arena.wiring.with_client(|client| client.generation());
    Effect::new(move |_| {
        arena.model.track();
        generation.track();
        if !untrack(|| arena.subject.get().is_some_and(|subject| arena.fits(&subject))) {
            arena.subject.set(None);
        }
        arena.open(false);
    });
    Effect::new(move |before: Option<String>| {
        let model = arena.model.get();
        arena.hunt.reset();
        arena.runs.seconds_per_sample.set(None);
        // The cases are the model's own. What an element begins with is settled with its link.
        if before.is_some_and(|before| before != model) {
            untrack(|| arena.take_up_model());
        }
        model
    });
}

/// The first model takes its settings and its image from the link; one of another dataset brings its own.
fn settle_models(arena: Arena, link: Link) {
    settle(arena, &link);
    let settled_for = StoredValue::new(untrack(|| arena.dataset()));
    Effect::new(move |_| {
        let dataset = arena.dataset();
        if settled_for.get_value() != dataset {
            settled_for.set_value(dataset);
            settle(arena, &Link::default());
        }
    });
    let link = StoredValue::new(Some(link));
    Effect::new(move |_| {
        let Load::Ready { .. } = arena.load.get() else { return };
        let first = link.try_update_value(Option::take).flatten();
        if arena.subject.with_untracked(Option::is_none) {
            settle_image(arena, first.unwrap_or_default());
        } else {
            arena.subject.update(|_| {});
        }
    });
}

/// Takes the settings of the preset, and what differs from them.
fn settle(arena: Arena, link: &Link) {
    let dataset = untrack(|| arena.dataset());
    let mut notices = Vec::new();
    let wanted = link.preset.as_ref().and_then(|word| {
        let found = PresetName::named(word).ok().filter(|preset| dataset.presets().contains(preset));
        if found.is_none() {
            let known: Vec<&str> = dataset.presets().iter().map(|preset| preset.name()).collect();
            notices.push(refusal("preset", word, &format!("one of {}", known.join(", "))));
        }
        found
    });
    let opening = untrack(|| arena.model_entry().card.opening);
    let case = untrack(|| arena.cases()).into_iter().next();
    if let (Some(case), false) = (case, asks_for_settings(link)) {
        arena.case.set(Some(0));
        return arena.set_as(&case);
    }
    // A first answer should not take minutes: a large model opens with the light form, which is said beside the choice.
    let own = opening.as_ref().map_or(dataset.recommended(), |opening| opening.preset);
    let heavy = untrack(|| arena.model_entry()).card.architecture.is_heavy();
    let name = wanted.unwrap_or(if heavy { own.light() } else { own });
    let preset = name.preset().for_duel();
    let given = || link.settings.iter().filter_map(|(name, value)| Some((Key::named(name)?, value)));
    // Act III always has an attacker: what is said of it needs no name of one.
    let is_of_attacker = |(key, _): (&Key, &String)| key.heading == Heading::Counter;
    let attacker = (given().any(is_of_attacker) && !given().any(|(key, _)| key.name == "counter"))
        .then(|| ("counter", Counter::DUEL.kind.name()));
    let settings = link.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).chain(attacker);
    let (setup, refused) = preset.with_link(settings);
    notices.extend(refused.into_iter().map(|refused| left_out(refused.name, refused.value, &refused.why.to_string())));
    if setup.pgd().is_none() || setup.riposte.is_none() {
        notices.push("This page always attacks, by PGD, and always defends: what the link says of that was left out.".to_owned());
    }
    if given().any(|(key, value)| key.name == "counter" && value == "none") {
        notices.push(left_out("counter", "none", "act III always has an attacker; acts = \u{201c}12\u{201d} leaves it out"));
    }
    let banked = setup.counter_kind() == CounterKind::Bank;
    if banked {
        notices.push(left_out("counter", "bank", "that attacker climbs on a bank of copies, which this page does not have"));
    }
    if let Some(target) = setup.target.filter(|target| *target >= dataset.classes().len()) {
        notices.push(refusal("target", &target.to_string(), &format!("a class, from 0 to {}", dataset.classes().len() - 1)));
    }
    let target = setup.target.filter(|target| *target < dataset.classes().len());
    if let (None, Some(opening)) = (link.seed, opening) {
        arena.seed.set(opening.seed as u32);
    }
    arena.preset.set(name);
    arena.take(Setup {
        attack: Some(Attack::Pgd(setup.pgd().unwrap_or(preset.attack))),
        target,
        quantize: setup.quantize,
        riposte: setup.riposte.or(Some(preset.post_train)),
        counter: setup.counter.filter(|_| !banked).or(Some(Counter::DUEL)),
    });
    arena.notices.update(|all| all.append(&mut notices));
    let image = match link.image {
        Some(ImageKey::Test(number)) => Some(number),
        Some(ImageKey::Pixels(_)) | None => None,
    };
    untrack(|| arena.case.set(arena.case_of(image)));
}

/// Whether a link asks for more than images and a model.
fn asks_for_settings(link: &Link) -> bool {
    let own = link.image.is_some() || link.preset.is_some() || link.seed.is_some() || !link.settings.is_empty();
    own || link.on_untouched
}

/// Puts the image asked for under attack, or the one that the model opens with.
fn settle_image(arena: Arena, link: Link) {
    if let Some(case) = untrack(|| arena.case_that_stands()) {
        return arena.choose_test_image(Some(case.image));
    }
    let dataset = untrack(|| arena.dataset());
    let ([channels, height, width], classes) = (dataset.image_shape(), dataset.classes().len());
    let refuse = |sentence: String| arena.notices.update(|all| all.push(sentence));
    match link.image {
        Some(ImageKey::Pixels(bytes)) if bytes.len() == channels * height * width => {
            let pixels = bytes.into_iter().map(|byte| f32::from(byte) / 255.0).collect();
            let image = Picture { channels, height, width, pixels };
            if let Some(truth) = link.truth.filter(|truth| *truth >= classes) {
                refuse(refusal("label", &truth.to_string(), &format!("a class, from 0 to {}", classes - 1)));
            }
            let truth = link.truth.filter(|truth| *truth < classes);
            arena.choose(Subject { dataset, origin: Origin::Drawn, image, truth });
        }
        Some(ImageKey::Pixels(bytes)) => {
            let (has, wants) = (bytes.len(), channels * height * width);
            refuse(format!(
                "The image of the link has {has} values, where one of {} has {wants}. The first test image is shown.",
                dataset.title()
            ));
            arena.choose_test_image(None);
        }
        Some(ImageKey::Test(number)) => arena.choose_test_image(Some(number)),
        None => {
            let opening = untrack(|| arena.model_entry().card.opening).map(|opening| opening.image as u32);
            arena.choose_test_image(opening);
        }
    }
}

fn classify_images(arena: Arena) {
    Effect::new(move |_| {
        let subject = arena.subject.get();
        arena.attacked_is_void();
        arena.natural.set(None);
        let Some(subject) = subject else { return };
        let model = arena.model.get_untracked();
        let image = subject.image.clone();
        arena.wiring.run(
            move |run| Request::Classify { run, model, image },
            move |event| {
                let current = arena.subject.try_with_untracked(|now| now.as_ref() == Some(&subject));
                if let (Event::Classified { prediction, .. }, Some(true)) = (event, current) {
                    arena.natural.set(Some(prediction.clone()));
                }
            },
        );
    });
}

fn hunt(arena: Arena) {
    Effect::new(move |_| {
        let Chase::On(held) = arena.hunt.chase.get() else { return };
        let attacked = arena.runs.attacked;
        let phase = attacked.phase.get();
        let Some((natural, class)) = arena.natural.get().zip(arena.class()) else { return };
        match phase {
            // An image that is mistaken untouched is no prey, nor one of the class that the attack leads to.
            Phase::Idle if natural.class != class || arena.target.get_untracked() == Some(class) => arena.go_on_hunting(),
            Phase::Idle => arena.run_attack(),
            Phase::Running(_) => {}
            Phase::Done if attacked.end().is_some_and(|end| end.prediction.class == class) => {
                let images = match arena.load.get_untracked() {
                    // Of each class.
                    Load::Ready { test_images } => test_images * arena.dataset().classes().len(),
                    _ => 0,
                };
                if held + 1 >= images {
                    arena.hunt.chase.set(Chase::Off);
                    let vain = format!("{} test images were tried, and none falls to this attack.", held + 1);
                    return arena.notices.update(|all| all.push(vain));
                }
                arena.hunt.chase.set(Chase::On(held + 1));
                arena.go_on_hunting();
            }
            Phase::Done => arena.hunt.chase.set(Chase::Found(held)),
            Phase::Cancelled | Phase::Failed { .. } => arena.hunt.chase.set(Chase::Off),
        }
    });
}

fn drop_what_is_void(arena: Arena) {
    // An image cannot be mistaken for what it shows.
    Effect::new(move |_| {
        let (class, classes) = (arena.class(), arena.dataset().classes().len());
        let Some(target) = arena.target.get().filter(|target| Some(*target) == class || *target >= classes) else { return };
        if target < classes && untrack(|| arena.hunt.is_on()) {
            return;
        }
        arena.target.set(None);
        if Some(target) == class {
            let sentence = left_out("target", &target.to_string(), "the image is of that class already");
            arena.notices.update(|all| all.push(sentence));
        }
    });
    Effect::new(move |_| {
        arena.attack.track();
        arena.target.track();
        arena.quantize.track();
        arena.attacked_is_void();
    });
    Effect::new(move |_| {
        arena.attack.track();
        arena.target.track();
        arena.quantize.track();
        arena.riposte.track();
        arena.seed.track();
        arena.model.track();
        arena.sweep_is_void();
    });
    // An attack that starts at the image itself draws nothing: another seed leads to the same.
    Effect::new(move |_| {
        arena.seed.track();
        if arena.attack.with_untracked(|attack| attack.start == Start::Zero) {
            arena.forget_ripostes();
        } else {
            arena.attacked_is_void();
        }
    });
    Effect::new(move |_| {
        arena.on_attacked.track();
        arena.forget_riposte();
    });
    Effect::new(move |_| {
        arena.riposte.track();
        arena.forget_ripostes();
    });
    Effect::new(move |_| {
        arena.counter.track();
        arena.forget_counter();
    });
}

/// What the defense will take is said before it runs: measured once there was an attack, so that nobody waits for it.
fn time_the_defense(arena: Arena) {
    let known = arena.runs.seconds_per_sample;
    Effect::new(move |_| {
        let unknown = known.with_untracked(Option::is_none);
        if arena.runs.attacked.phase.get() == Phase::Done && unknown && untrack(|| arena.is_slow()) {
            arena.time_post_training();
        }
    });
    Effect::new(move |_| {
        let measured = arena.runs.riposted.verdict.with(|verdict| verdict.as_ref().map(|verdict| verdict.work));
        let worth = untrack(|| samples_worth(&arena.riposte.get(), arena.model_entry().card.architecture));
        // Of a light form the search is most.
        if let Some(work) = measured.filter(|work| work.samples > 0 && worth > 1000.0) {
            known.set(Some(work.seconds / worth));
        }
    });
}

/// Runs the acts that a link or an attribute asks for, each when the one before is done.
fn run_pending_acts(arena: Arena) {
    let pending = arena.runs.pending;
    Effect::new(move |_| {
        let wanted = pending.get();
        let ready = matches!(arena.load.get(), Load::Ready { .. }) && arena.natural.with(Option::is_some);
        if wanted == 0 || !ready {
            return;
        }
        let phases = arena.runs.phases().map(|phase| phase.get());
        // Whatever goes wrong or is stopped ends the chain.
        let broken = phases.iter().any(|phase| matches!(phase, Phase::Cancelled | Phase::Failed { .. }));
        let next = phases.iter().position(|phase| *phase == Phase::Idle).unwrap_or(3);
        let shown = arena.wiring.acts().iter().rposition(|shown| *shown).map_or(0, |act| act as u8 + 1);
        let wanted = wanted.min(shown);
        // An attack that leads to a certain class has no third act.
        let wanted = if arena.target.with(Option::is_some) { wanted.min(2) } else { wanted };
        let running = phases.iter().any(|phase| matches!(phase, Phase::Running(_)));
        if broken || next >= usize::from(wanted) {
            pending.set(0);
        } else if !running {
            match next {
                0 => arena.run_attack(),
                1 => arena.run_riposte(),
                _ => arena.run_counter(),
            }
        }
    });
}
