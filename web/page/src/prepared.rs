//! The prepared cases of a model: duels that were fought when the site was built, shown at once, and repeated on demand.

use leptos::prelude::*;
use riposte_protocol::{Case, Prepared, Sequence, Step, ends_well, name_of};
use riposte_spec::Choice as _;
use riposte_spec::counter::Counter;
use riposte_spec::outcome::Outcome;
use riposte_spec::setup::Setup;

use crate::acts::show_first_act;
use crate::options::Controls;
use crate::state::{Arena, Load, Origin};
use crate::trace::Phase;
use crate::words::{percent, thousands};

/// Whether the cases are shown: where a visitor has all choices.
pub fn are_shown(arena: Arena) -> bool {
    arena.wiring.controls() == Controls::All && !arena.cases().is_empty()
}

/// The case that stands, its verdict, the button that repeats it, and the other cases with how often each happens.
#[component]
pub fn PreparedCases() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let prepared = Memo::new(move |_| arena.model_entry().prepared);
    let stands = Memo::new(move |_| arena.case_that_stands());
    let sequence = Memo::new(move |_| arena.sequence());
    let panel = move || {
        view! {
            <section class="case" aria-label="Prepared cases">
                {move || stands.get().map(|case| view! { <Shown case/> })}
                {move || prepared.get().map(|prepared| view! { <Kinds prepared/> })}
                {move || sequence.get().map(|sequence| view! { <Steps sequence/> })}
            </section>
        }
    };
    let shown = Memo::new(move |_| are_shown(arena));
    move || shown.get().then_some(panel)
}

#[component]
fn Shown(case: Case) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let look = if ends_well(case.outcome) { "case-verdict good" } else { "case-verdict bad" };
    let verdict = case.verdict(arena.dataset());
    let base = arena.wiring.base();
    let [.., (answers, answer)] = case.captions(arena.dataset());
    let captions = case.captions(arena.dataset());
    // As `cargo xtask` writes it into the page for the time before this code is there.
    let pictures = case.pictures.iter().zip(captions).map(|(path, (what, value))| {
        view! {
            <figure>
                <img src=format!("{base}{path}") alt="" width="112" height="112"/>
                <figcaption>{what} " " <b>{value}</b></figcaption>
            </figure>
        }
    });
    view! {
        <p class=look role="status">{verdict}</p>
        <div class="case-pictures">
            {pictures.collect_view()}
            <figure class="case-answer">
                <span class="case-arrow" aria-hidden="true">"\u{2192}"</span>
                <figcaption>{answers} " " <b>{answer}</b></figcaption>
            </figure>
        </div>
        <Repeat case/>
    }
}

/// The button that fights the duel again, here, and what came of it.
#[component]
fn Repeat(case: Case) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let [attacked, riposted, _] = arena.runs.phases();
    let running = move || {
        arena.runs.pending.get() > 0 || matches!(attacked.get(), Phase::Running(_)) || matches!(riposted.get(), Phase::Running(_))
    };
    let run = move |_| {
        if running() {
            arena.runs.pending.set(0);
            arena.stop_attack();
            arena.wiring.cancel(arena.runs.riposted.run.get_untracked());
        } else {
            arena.repeat_case();
        }
    };
    let told = {
        let case = case.clone();
        move || match (attacked.get(), riposted.get()) {
            (Phase::Running(_), _) => "Attacking: act I shows each step.".to_owned(),
            (_, Phase::Running(_)) => "The defense adapts: act II shows how.".to_owned(),
            (Phase::Done, Phase::Done) => comparison(arena, &case).unwrap_or_default(),
            _ if running() => "It begins as soon as the classifier is here.".to_owned(),
            _ => "Computed when this site was built; your own device has not done it yet.".to_owned(),
        }
    };
    let done = move || attacked.get() == Phase::Done;
    view! {
        <div class="action">
            <button type="button" class="run" class:stop=running disabled=move || !arena.wiring.has_engine() on:click=run>
                {move || match attacked.get() {
                    _ if running() => "Stop",
                    Phase::Done => "Run it again",
                    _ => "Run it yourself",
                }}
            </button>
            <p class="phase" role="status">{told}</p>
            <Show when=done>
                <button type="button" class="plain" on:click=move |event| show_first_act(&event)>"See how, step by step" <span aria-hidden="true">" \u{2193}"</span></button>
            </Show>
        </div>
    }
}

/// What came of it here, beside what was prepared.
fn comparison(arena: Arena, case: &Case) -> Option<String> {
    let end = arena.runs.attacked.end()?;
    let verdict = arena.runs.riposted.verdict.get()?;
    let name = |class: usize| arena.dataset().classes().get(class).copied().unwrap_or_default();
    let [_, attacked, answer] = case.said;
    let (now, then) = ((end.prediction.class, verdict.adapted.class), (attacked.class, answer.class));
    let sure = verdict.adapted.probabilities().get(now.1).copied().unwrap_or_default();
    Some(if now == then {
        format!(
            "You ran it, and it came out the same: attacked \u{201c}{}\u{201d}, answered \u{201c}{}\u{201d} ({}).",
            name(now.0),
            name(now.1),
            percent(sure)
        )
    } else {
        format!(
            "You ran it, and it came out otherwise: attacked \u{201c}{}\u{201d}, answered \u{201c}{}\u{201d}. Devices round differently.",
            name(now.0),
            name(now.1)
        )
    })
}

/// A button for each way to end, with how often it happens.
#[component]
fn Kinds(prepared: Prepared) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let Prepared { odds, cases } = prepared;
    let stands = Memo::new(move |_| arena.case_that_stands().map(|case| case.outcome));
    let lacking: Vec<String> = Outcome::ALL
        .iter()
        .filter(|outcome| cases.iter().all(|case| case.outcome != **outcome))
        .map(|outcome| format!("\u{201c}{}\u{201d} ({})", name_of(*outcome), odds.of(*outcome)))
        .collect();
    let buttons = cases.into_iter().enumerate().map(|(place, case)| {
        let (outcome, count) = (case.outcome, odds.of(case.outcome));
        view! {
            <button
                type="button"
                class="plain"
                aria-pressed=move || (stands.get() == Some(outcome)).to_string()
                on:click=move |_| arena.take_case(place)
            >
                {name_of(outcome)} " " <small>{thousands(count)}</small>
            </button>
        }
    });
    let images = thousands(odds.images);
    let lacking = (!lacking.is_empty()).then(|| {
        format!(
            " No case is shown of {}: none was found that is clear and that the classifier saw rightly before the attack.",
            lacking.join(", ")
        )
    });
    view! {
        <div class="kinds" role="group" aria-label="Prepared cases, by how they end">{buttons.collect_view()}</div>
        <p class="hint">
            {format!("How {images} test images ended, each attacked and defended with preset {}.", odds.preset)} {lacking}
        </p>
    }
}

/// What each step of a sequence is, and what it shows.
const STEPS: [(&str, &str); 3] = [
    ("Undefended", "An ordinary classifier: a change that hardly shows is enough."),
    ("Hardened", "Trained with attacks, it holds against the same change. A stronger one would do."),
    ("Answers back", "Under the stronger attack, it adapts before it answers."),
];

/// From a classifier without a defense to one that answers back, on the same image.
#[component]
fn Steps(sequence: Sequence) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let stands = Memo::new(move |_| arena.step_that_stands());
    let buttons = sequence.steps.into_iter().zip(STEPS).enumerate().map(|(place, (step, (name, _)))| {
        let step = StoredValue::new(step);
        view! {
            <li>
                <button
                    type="button"
                    class="plain"
                    aria-pressed=move || (stands.get() == Some(place)).to_string()
                    on:click=move |_| arena.take_step(step.get_value())
                >
                    {format!("{}. {name}", place + 1)}
                </button>
            </li>
        }
    });
    view! {
        <p class="case-title" id="three">"One image, three classifiers"</p>
        <ol class="kinds" aria-labelledby="three">{buttons.collect_view()}</ol>
        <p class="step-says" role="status">{move || stands.get().map(|place| STEPS[place].1)}</p>
    }
}

impl Arena {
    /// The cases of the model: the prepared ones, then those of the sequence that it is a part of.
    pub fn cases(self) -> Vec<Case> {
        let model = self.model_entry();
        let id = model.card.id;
        let prepared = model.prepared.map_or_else(Vec::new, |prepared| prepared.cases);
        let steps = self.sequence().map_or_else(Vec::new, |sequence| sequence.steps.to_vec());
        let steps = steps.into_iter().filter(|step| step.model == id).map(|step| step.case);
        prepared.into_iter().chain(steps).collect()
    }

    /// The sequence of the dataset.
    pub fn sequence(self) -> Option<Sequence> {
        let dataset = self.dataset();
        self.wiring.with_manifest(|manifest| manifest.sequences.iter().find(|sequence| sequence.dataset == dataset).cloned())
    }

    /// The step of the sequence in whose state the element is.
    fn step_that_stands(self) -> Option<usize> {
        let case = self.case_that_stands()?;
        self.sequence()?.steps.iter().position(|step| step.model == self.model.get() && step.case == case)
    }

    /// Puts a step of a sequence up.
    fn take_step(self, step: Step) {
        if self.model.get_untracked() != step.model {
            // It brings the image, once it is there.
            self.load.set(Load::Waiting);
            self.take_model(step.model);
        }
        if let Some(place) = untrack(|| self.cases().iter().position(|case| *case == step.case)) {
            self.take_case(place);
        }
    }

    /// The prepared case in whose state the element is, if it is in one.
    pub fn case_that_stands(self) -> Option<Case> {
        let case = self.case.get().and_then(|place| self.cases().into_iter().nth(place))?;
        let image =
            self.subject.with(|subject| subject.as_ref().is_none_or(|subject| subject.origin == Origin::Test(case.image)));
        (image && self.is_set_as(&case)).then_some(case)
    }

    fn is_set_as(self, case: &Case) -> bool {
        self.on_attacked.get()
            && self.seed.get() == case.seed
            && self.preset.get() == case.preset
            && self.whole_setup() == case.setup()
    }

    /// The place of the case with this image and the settings as they are.
    pub fn case_of(self, image: Option<u32>) -> Option<usize> {
        self.cases().iter().position(|case| Some(case.image) == image && self.is_set_as(case))
    }

    /// After the visitor took another model: an undefended one begins with a strength that hardly shows.
    pub fn take_up_model(self) {
        if self.case_that_stands().is_some() {
            return;
        }
        let weak = self.cases().into_iter().next().filter(|_| self.model_entry().card.is_undefended());
        if let Some(case) = weak {
            self.set_as(&case);
        }
        self.find_case();
    }

    /// Takes up the case in whose state the element is.
    fn find_case(self) {
        let image = self.subject.with(|subject| match subject.as_ref()?.origin {
            Origin::Test(number) => Some(number),
            Origin::Drawn | Origin::Uploaded(_) => None,
        });
        self.case.set(self.case_of(image));
    }

    /// Puts a case up: its image and its settings. Nothing is computed yet.
    pub fn take_case(self, place: usize) {
        let Some(case) = untrack(|| self.cases().into_iter().nth(place)) else { return };
        self.runs.pending.set(0);
        self.hunt.reset();
        self.set_as(&case);
        self.case.set(Some(place));
        self.subject.set(None);
        // Otherwise it comes with the model.
        if matches!(self.load.get_untracked(), Load::Ready { .. }) {
            self.choose_test_image(Some(case.image));
        }
    }

    /// Takes the settings of a case.
    pub fn set_as(self, case: &Case) {
        self.seed.set(case.seed);
        self.preset.set(case.preset);
        let setup = case.setup();
        self.take(Setup { counter: setup.counter.or(Some(Counter::DUEL)), ..setup });
        self.on_attacked.set(true);
    }

    /// Fights the duel of the case that stands.
    pub fn repeat_case(self) {
        let [_, defends, _] = self.wiring.acts();
        self.attacked_is_void();
        self.runs.pending.set(if defends { 2 } else { 1 });
    }
}
