//! The element's content.

use leptos::prelude::*;

use crate::acts::{AttackAct, CounterAct, RiposteAct};
use crate::options::Controls;
use crate::parts::{Choice, DeviceLine};
use crate::state::{Arena, Load};
use crate::trace::Phase;

#[component]
pub fn App() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let [first, second, third] = arena.options.with_value(|options| options.acts);
    view! {
        <div class="arena">
            <Bench/>
            {first.then(|| view! { <AttackAct/> })}
            {second.then(|| view! { <RiposteAct/> })}
            {third.then(|| view! { <CounterAct/> })}
        </div>
    }
}

/// The images, the model and the device.
#[component]
fn Bench() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let controls = arena.options.with_value(|options| options.controls == Controls::All);
    let offered = arena
        .manifest
        .with_value(|manifest| manifest.datasets.iter().map(|set| (set.id.clone(), set.name.clone())).collect::<Vec<_>>());
    let choose_dataset = move |id: String| {
        let model = arena
            .manifest
            .with_value(|manifest| manifest.models.iter().find(|model| model.dataset == id).map(|model| model.id.clone()));
        if let Some(model) = model {
            arena.model.set(model);
        }
    };
    let models = move || {
        let set = arena.dataset().id;
        arena.manifest.with_value(|manifest| {
            manifest
                .models
                .iter()
                .filter(|model| model.dataset == set)
                .map(|model| (model.id.clone(), card_text(&model.card, "name").unwrap_or_else(|| model.id.clone())))
                .collect::<Vec<_>>()
        })
    };
    let about = move || {
        let accuracies = accuracies(&arena.model_entry().card);
        view! { <p class="about">{arena.dataset().about} " " {accuracies}</p> }
    };
    view! {
        <header class="bench">
            {controls.then(|| view! {
                <div class="choices">
                    <Choice
                        label="Images"
                        options=Signal::stored(offered.clone())
                        value=Signal::derive(move || arena.dataset().id)
                        set=choose_dataset
                    />
                    <Choice label="Classifier" options=Signal::derive(models) value=arena.model set=move |id| arena.model.set(id)/>
                </div>
            })}
            <DeviceLine/>
            {controls.then(|| about)}
        </header>
    }
}

/// A text field of a model card.
fn card_text(card: &str, field: &str) -> Option<String> {
    let card: serde_json::Value = serde_json::from_str(card).ok()?;
    card[field].as_str().map(str::to_owned)
}

/// What a model card has measured, in words: "Right on 98.2 % of the test images, and on 91.9 % when each is attacked."
fn accuracies(card: &str) -> Option<String> {
    let card: serde_json::Value = serde_json::from_str(card).ok()?;
    let share = |index: usize| {
        let measured = &card["accuracies"][index];
        Some(100.0 * measured["correct"].as_f64()? / measured["images"].as_f64()?)
    };
    let (natural, attacked) = (share(0)?, share(1)?);
    Some(format!("The classifier is right on {natural:.1} % of the test images, and on {attacked:.1} % when each is attacked."))
}

/// Runs the acts that a link or an attribute asks for, each when the one before is done.
pub fn run_pending_acts(arena: Arena) {
    Effect::new(move |_| {
        let wanted = arena.pending.get();
        let ready = matches!(arena.load.get(), Load::Ready(_)) && arena.natural.with(Option::is_some);
        if wanted == 0 || !ready {
            return;
        }
        let phases = [arena.attacked.phase, arena.riposted.phase, arena.countered.phase].map(|phase| phase.get());
        // Whatever goes wrong or is stopped ends the chain.
        let broken = phases.iter().any(|phase| matches!(phase, Phase::Cancelled | Phase::Failed { .. }));
        let next = phases.iter().position(|phase| *phase == Phase::Idle).unwrap_or(3);
        let running = phases.iter().any(|phase| matches!(phase, Phase::Running(_)));
        if broken || next >= usize::from(wanted) {
            arena.pending.set(0);
        } else if !running {
            match next {
                0 => arena.run_attack(),
                1 => arena.run_riposte(),
                _ => arena.run_counter(),
            }
        }
    });
}
