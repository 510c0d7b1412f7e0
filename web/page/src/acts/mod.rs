//! The three acts.

mod attack;
mod boundary;
mod counter;
mod headline;
mod riposte;
mod twenty;
mod verdict;

pub use attack::AttackAct;
pub use counter::CounterAct;
pub use headline::Story;
pub use riposte::RiposteAct;
pub use twenty::Twenty;

use headline::{Headline, Sentence};
use leptos::prelude::*;
use riposte_protocol::StepData;
use riposte_spec::class::Prediction;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

use crate::options::Controls;
use crate::parts::{Explained, Series};
use crate::state::{Arena, Load};
use crate::trace::Phase;

/// An act's heading, its lead and what it shows.
#[component]
fn Act(
    /// I, II, III.
    numeral: &'static str,
    title: &'static str,
    /// What happens, in a sentence or two.
    lead: &'static str,
    /// `attack`, `riposte`, `counter`: its color.
    look: &'static str,
    /// How it ended, in a sentence.
    #[prop(into)]
    verdict: Signal<Sentence>,
    children: Children,
) -> impl IntoView {
    let id = format!("act-{look}");
    // Two elements of a page have acts of the same title.
    let name = expect_context::<Arena>().wiring.name();
    let label = name.map(|name| format!("{title}: {name}"));
    let labelled_by = label.is_none().then(|| id.clone());
    view! {
        <section class=format!("act {look}") aria-label=label aria-labelledby=labelled_by>
            <header>
                <span class="numeral" aria-hidden="true">{numeral}</span>
                <h2 id=id>{title}</h2>
                <p class="lead"><Explained text=lead/></p>
                <div class="told" role="status"><Headline says=verdict/></div>
            </header>
            {children()}
        </section>
    }
}

/// The button of an act: runs it, or stops it while it runs.
#[component]
fn RunButton(
    phase: RwSignal<Phase>,
    #[prop(into)] label: Signal<&'static str>,
    /// Said instead of the label when it was done: a run that did not come to its end begins again as it was.
    #[prop(into)]
    again: Signal<&'static str>,
    /// Whether it can run now.
    #[prop(into)]
    ready: Signal<bool>,
    /// Whether it is at work between two runs, too.
    #[prop(into, default = Signal::stored(false))]
    busy: Signal<bool>,
    run: impl Fn() + 'static,
    stop: impl Fn() + 'static,
) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let hidden = is_hidden(arena);
    let running = move || busy.get() || matches!(phase.get(), Phase::Running(_));
    view! {
        <button
            type="button"
            class="run"
            class:stop=running
            hidden=hidden
            disabled=move || !running() && !ready.get()
            on:click=move |_| if running() { stop() } else { run() }
        >
            {move || match phase.get() {
                _ if running() => "Stop",
                Phase::Idle | Phase::Running(_) | Phase::Cancelled | Phase::Failed { .. } => label.get(),
                Phase::Done => again.get(),
            }}
        </button>
    }
}

/// The way from an act that is done to the button of the next one.
#[component]
fn Onward(
    phase: RwSignal<Phase>,
    label: &'static str,
    /// The next act: its place of three, and its look.
    to: (usize, &'static str),
) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let offered = !is_hidden(arena) && arena.wiring.acts()[to.0];
    let go = move |event: web_sys::MouseEvent| {
        hand_on_focus(&event, ".arena", &format!(".act.{} .run", to.1));
        if let Some(act) = in_part(&event, ".arena", &format!(".act.{}", to.1)) {
            act.scroll_into_view();
        }
    };
    view! {
        <Show when=move || offered && phase.get() == Phase::Done>
            <button type="button" class="plain onward" on:click=go>{label} <span aria-hidden="true">" \u{2193}"</span></button>
        </Show>
    }
}

/// Brings act I of the element into sight in which a button was pressed.
pub fn show_first_act(event: &web_sys::MouseEvent) {
    if let Some(act) = in_part(event, ".arena", ".act") {
        act.scroll_into_view();
    }
}

/// Takes the focus from a button that goes with its click to the first `to` of the part `within` that it is in.
pub fn hand_on_focus(event: &web_sys::MouseEvent, within: &str, to: &str) {
    if let Some(heir) = in_part(event, within, to).and_then(|heir| heir.dyn_into::<HtmlElement>().ok()) {
        _ = heir.focus();
    }
}

/// The first `what` of the part `within` that the button under a click is in.
fn in_part(event: &web_sys::MouseEvent, within: &str, what: &str) -> Option<Element> {
    let button = event.target()?.dyn_into::<Element>().ok()?;
    button.closest(within).ok()??.query_selector(what).ok()?
}

/// Whether a model and an image are there to work with.
fn is_set(arena: Arena) -> bool {
    arena.wiring.has_engine() && matches!(arena.load.get(), Load::Ready { .. }) && arena.natural.with(Option::is_some)
}

/// Whether the buttons that run the acts are.
fn is_hidden(arena: Arena) -> bool {
    arena.wiring.controls() == Controls::None
}

fn all_controls(arena: Arena) -> bool {
    arena.wiring.controls() == Controls::All
}

/// The name of a class.
fn class_name(arena: Arena, class: usize) -> String {
    arena.dataset().classes().get(class).map_or_else(|| class.to_string(), |name| (*name).to_owned())
}

/// The race of an attack: the class it leaves against the best other one.
fn attack_race(arena: Arena, steps: &[StepData]) -> Vec<Series> {
    let Some(class) = arena.class() else { return Vec::new() };
    let Some(rival) = rival(arena) else { return Vec::new() };
    let line = |class: usize, look: &'static str| Series {
        name: format!("\u{201c}{}\u{201d}", class_name(arena, class)),
        look,
        values: steps.iter().map(|step| step.prediction.probabilities().get(class).copied().unwrap_or(0.0)).collect(),
    };
    vec![line(class, "first"), line(rival, "second")]
}

/// The class that the attack leads to: the one that it was given, else the one that is best but the image's own.
fn rival(arena: Arena) -> Option<usize> {
    let class = arena.class()?;
    let best = || arena.runs.attacked.steps.with(|steps| steps.last().map(|last| best_but(&last.prediction, class)));
    arena.target.get().or_else(best)
}

/// The look of a class, one through all acts: `first` is what the image shows, `second` what the attack makes of it, `third` any other.
fn look_of(arena: Arena, class: usize) -> &'static str {
    if arena.class() == Some(class) {
        "first"
    } else if rival(arena).is_none_or(|rival| rival == class) {
        "second"
    } else {
        "third"
    }
}

fn best_but(prediction: &Prediction, class: usize) -> usize {
    let others = (0..prediction.logits.len()).filter(|other| *other != class);
    others.max_by(|&a, &b| prediction.logits[a].total_cmp(&prediction.logits[b])).unwrap_or(class)
}
