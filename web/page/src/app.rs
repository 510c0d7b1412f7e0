//! The element's content.

use leptos::prelude::*;
use riposte_protocol::ModelEntry;
use riposte_spec::Choice as _;
use riposte_spec::card::{Accuracy, ModelCard};
use web_sys::DragEvent;

use crate::acts::{AttackAct, CounterAct, RiposteAct, Story, Twenty, hand_on_focus};
use crate::options::Controls;
use crate::parts::{Choice, DeviceLine};
use crate::prepared::PreparedCases;
use crate::state::Arena;
use crate::words::{about, megabytes};

/// A file that misses its box does not take the visitor from the page.
fn keep_files(event: DragEvent) {
    let carried = event.data_transfer().map(|data| data.types());
    if carried.is_some_and(|types| types.includes(&"Files".into(), 0)) {
        event.prevent_default();
    }
}

#[component]
pub fn App() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let [first, second, third] = arena.wiring.acts();
    view! {
        <div class="arena" on:dragover=keep_files on:drop=keep_files>
            <PreparedCases/>
            <Bench/>
            {first.then(|| view! { <AttackAct/> })}
            {second.then(|| view! { <RiposteAct/> })}
            {third.then(|| view! { <CounterAct/> })}
            <Story/>
            <Twenty/>
        </div>
    }
}

/// The images, the model and the device.
#[component]
fn Bench() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let controls = arena.wiring.controls() == Controls::All;
    let offered = arena.wiring.with_manifest(|manifest| {
        manifest.datasets.iter().map(|set| (set.id.name().to_owned(), set.id.title().to_owned())).collect::<Vec<_>>()
    });
    let choose_dataset = move |word: String| {
        let model = arena.wiring.with_manifest(|manifest| {
            manifest.models.iter().find(|model| model.card.dataset.name() == word).map(|model| model.card.id.clone())
        });
        if let Some(model) = model {
            arena.take_model(model);
        }
    };
    let models = Memo::new(move |_| {
        let set = arena.dataset();
        arena.wiring.with_manifest(|manifest| {
            manifest.models.iter().filter(|model| model.card.dataset == set).cloned().collect::<Vec<_>>()
        })
    });
    let model_options = move || {
        models
            .get()
            .into_iter()
            .map(|model| (model.card.id.clone(), format!("{}: {}", model.card.name, megabytes(model.weights.bytes))))
            .collect::<Vec<_>>()
    };
    let chosen = move || arena.offer.get().unwrap_or_else(|| arena.model.get());
    let about = move || {
        let model = arena.model_entry();
        view! { <p class="about">{arena.dataset().description()} " " {accuracies(&model.card)}</p> }
    };
    view! {
        <header class="bench">
            {controls.then(|| view! {
                <div class="choices">
                    <Choice
                        label="Images"
                        options=Signal::stored(offered.clone())
                        value=Signal::derive(move || arena.dataset().name().to_owned())
                        set=choose_dataset
                    />
                    <Show
                        when=move || { models.with(|models| models.len() > 1) }
                        fallback=move || view! {
                            <div class="field">
                                <span class="name">"Classifier"</span>
                                <span class="fixed">{move || arena.model_entry().card.name}</span>
                            </div>
                        }
                    >
                        <Choice
                            label="Classifier"
                            options=Signal::derive(model_options)
                            value=Signal::derive(chosen)
                            set=move |id| arena.choose_model(&id)
                        />
                    </Show>
                </div>
                <Offered/>
            })}
            <DeviceLine/>
            <Notices/>
            {controls.then_some(about)}
        </header>
    }
}

/// What a link or an attribute asked for and did not get.
#[component]
fn Notices() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let sentences = move || arena.notices.get().into_iter().map(|sentence| view! { <p>{sentence}</p> }).collect_view();
    view! {
        <div class="notices" role="status">
            <Show when=move || arena.notices.with(|notices| !notices.is_empty())>
                {sentences}
                <button type="button" class="small" on:click=move |event| {
                    hand_on_focus(&event, ".bench", "select");
                    arena.notices.set(Vec::new());
                }>"All right"</button>
            </Show>
        </div>
    }
}

/// What a larger classifier costs, said before it is fetched.
#[component]
fn Offered() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let offered = Memo::new(move |_| arena.offer.get().and_then(|offer| arena.wiring.entry_of(&offer)));
    let time = move || {
        let (iterations, batch) = arena.riposte.with(|riposte| (riposte.iterations, riposte.batch_size));
        let riposte = arena.riposte.get();
        let seconds = arena.post_training_seconds(&riposte)?;
        let work = |entry: ModelEntry| riposte.adaptation_work(entry.card.architecture) as f64;
        Some(format!(
            "A riposte of {iterations} \u{00d7} {batch} images will take {} on this device, where this one takes {}: estimated from its speed.",
            about(seconds * work(offered.get()?) / work(arena.model_entry())),
            about(seconds),
        ))
    };
    let panel = move || {
        let entry = offered.get()?;
        let id = entry.card.id.clone();
        Some(view! {
            <div class="offer">
                <p>
                    <b>{entry.card.name.clone()}</b> {format!(" is a download of {}, once. ", megabytes(entry.weights.bytes))}
                    {accuracies(&entry.card)} " "
                    {move || time().unwrap_or_else(|| "How long a riposte takes is being measured.".to_owned())}
                </p>
                <div class="action">
                    <button type="button" class="plain strong" on:click=move |_| arena.take_model(id.clone())>
                        {format!("Download {}", megabytes(entry.weights.bytes))}
                    </button>
                    <button type="button" class="plain" on:click=move |event| {
                        hand_on_focus(&event, ".bench", "select");
                        arena.offer.set(None);
                    }>"Stay with the small one"</button>
                </div>
            </div>
        })
    };
    view! { <div class="offers" role="status">{panel}</div> }
}

/// What a model card has measured, in words: "Right on 98.2 % of the test images, and on 91.9 % when each is attacked."
fn accuracies(card: &ModelCard) -> Option<String> {
    let [natural, attacked, ..] = card.accuracies.as_slice() else { return None };
    let share = |measured: &Accuracy| 100.0 * measured.correct as f64 / measured.images as f64;
    let (natural, attacked) = (share(natural), share(attacked));
    Some(format!("The classifier is right on {natural:.1} % of the test images, and on {attacked:.1} % when each is attacked."))
}
