//! The prepared cases of a model: duels that were fought when the site was built, shown at once, and repeated on demand.

use leptos::prelude::*;
use riposte_protocol::{Case, FELL, Odds, Prepared, Sequence, Step, name_of};
use riposte_spec::Choice as _;
use riposte_spec::counter::{Counter, Course};
use riposte_spec::dataset::DatasetId;
use riposte_spec::outcome::Outcome;
use riposte_spec::setup::Setup;

use crate::acts::show_first_act;
use crate::options::Controls;
use crate::state::{Arena, Load, Origin};
use crate::trace::Phase;
use crate::words::{percent, short, strength, thousands};

/// Whether the cases are shown: where a visitor has all choices.
pub fn are_shown(arena: Arena) -> bool {
    // They tell what the defense answered.
    let defends = arena.wiring.acts()[1];
    defends && arena.wiring.controls() == Controls::All && !arena.cases().is_empty()
}

/// The case that stands, its verdict, the button that repeats it, and the other cases with how often each happens.
#[component]
pub fn PreparedCases() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let prepared = Memo::new(move |_| arena.prepared());
    let stands = Memo::new(move |_| Some((arena.case_that_stands()?, arena.stands_alone())));
    let sequence = Memo::new(move |_| arena.sequence());
    let panel = move || {
        view! {
            <section class="case" aria-label="Prepared cases">
                {move || stands.get().map(|(case, alone)| view! { <Shown case alone/> })}
                {move || prepared.get().map(|(model, prepared)| view! { <Kinds model prepared/> })}
                {move || sequence.get().map(|sequence| view! { <Steps sequence/> })}
            </section>
        }
    };
    let shown = Memo::new(move |_| are_shown(arena));
    move || shown.get().then_some(panel)
}

#[component]
fn Shown(
    case: Case,
    /// Whether it is about the classifier alone, without the defense.
    alone: bool,
) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let dataset = arena.dataset();
    let (good, verdict) = match alone {
        true => (!case.is_fooled(), case.verdict_alone(dataset)),
        false => (case.ends_well(), case.verdict(dataset)),
    };
    let look = if good { "case-verdict good" } else { "case-verdict bad" };
    let base = arena.wiring.base();
    let (answers, answer) = case.answer(dataset);
    // As `cargo xtask` writes it into the page for the time before this code is there.
    let pictures = case.pictures.iter().zip(case.captions(dataset)).map(|(path, (what, value))| {
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
            {(!alone).then(|| view! {
                <figure class="case-answer">
                    <span class="case-arrow" aria-hidden="true">"\u{2192}"</span>
                    <figcaption>{answers} " " <b>{answer}</b></figcaption>
                </figure>
            })}
        </div>
        <Repeat case alone/>
    }
}

/// The button that fights the duel again, here, and what came of it.
#[component]
fn Repeat(case: Case, alone: bool) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let phases = arena.runs.phases();
    let [attacked, riposted, countered] = phases;
    let counters = case.course.is_some();
    let running = move || arena.runs.pending.get() > 0 || phases.iter().any(|phase| matches!(phase.get(), Phase::Running(_)));
    let run = move |_| {
        if running() {
            arena.runs.pending.set(0);
            arena.stop_attack();
            arena.wiring.cancel(arena.runs.riposted.run.get_untracked());
            arena.wiring.cancel(arena.runs.countered.run.get_untracked());
        } else {
            arena.repeat_case(alone);
        }
    };
    let told = {
        let case = case.clone();
        move || match (attacked.get(), riposted.get(), countered.get()) {
            (Phase::Running(_), ..) => {
                at_it(&progress(arena.runs.attacked.steps.with(Vec::len), arena.attack_steps(), "step"), "I", "attacks")
            }
            (_, Phase::Running(_), _) => {
                let (done, of) = (arena.runs.riposted.iterations.with(Vec::len), arena.riposte.get().iterations);
                at_it(&progress(done, of, "iteration"), "II", "defends")
            }
            (.., Phase::Running(_)) => {
                let rounds = arena.runs.countered.points.with(Vec::len);
                at_it(&progress(rounds, arena.counter.get().rounds, "round"), "III", "lets attacker and defense take turns")
            }
            (.., Phase::Done) if counters => outlook(arena, &case).unwrap_or_default(),
            (Phase::Done, ..) if alone => comparison_alone(arena, &case).unwrap_or_default(),
            (Phase::Done, Phase::Done, _) if !counters => comparison(arena, &case).unwrap_or_default(),
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
            // Its counts change many times a second: a screen reader hears of the acts instead.
            <p class="phase" aria-live=move || if running() { "off" } else { "polite" }>{told}</p>
            <Show when=done>
                <button type="button" class="plain" on:click=move |event| show_first_act(&event)>"See how, step by step" <span aria-hidden="true">" \u{2193}"</span></button>
            </Show>
        </div>
    }
}

/// `step 3 of 40`; nothing before the first.
fn progress(done: usize, of: usize, what: &str) -> String {
    // The untouched image, before the first step, counts for none.
    let done = done.min(of);
    if done == 0 { String::new() } else { format!(", {what} {done} of {of}") }
}

fn at_it(progress: &str, act: &str, does: &str) -> String {
    format!("Your own device is at it: it {does}{progress}. Act {act} shows each step.")
}

/// What came of the attack on the defense here, beside what was prepared.
fn outlook(arena: Arena, case: &Case) -> Option<String> {
    let (ending, course) = arena.runs.countered.end()?;
    let then = case.course.as_ref()?;
    let answer = |course: &Course| course.verdict().map(|verdict| verdict.answer);
    Some(if ending == then.ending(case.label) && answer(&course) == answer(then) {
        format!("You ran it, and it came out the same, in {} rounds.", course.rounds.len())
    } else {
        "You ran it, and it came out otherwise: devices round differently. Act III shows each round.".to_owned()
    })
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

/// What came of the attack alone here, beside what was prepared.
fn comparison_alone(arena: Arena, case: &Case) -> Option<String> {
    let end = arena.runs.attacked.end()?.prediction;
    let name = arena.dataset().classes().get(end.class).copied().unwrap_or_default();
    let sure = end.probabilities().get(end.class).copied().unwrap_or_default();
    Some(if end.class == case.said[1].class {
        format!("You ran it, and it came out the same: attacked, it says \u{201c}{name}\u{201d} ({}).", percent(sure))
    } else {
        format!("You ran it, and it came out otherwise: attacked, it says \u{201c}{name}\u{201d}. Devices round differently.")
    })
}

/// How often each way to end happens, in a sentence.
fn counted(odds: &Odds, dataset: DatasetId, classifier: &str) -> String {
    let [saved, failed, alone, spoiled] =
        [Outcome::Answered, Outcome::Failed, Outcome::NoNeighbor, Outcome::Spoiled].map(|outcome| odds.of(outcome));
    let epsilon = strength(&odds.preset.preset().attack, dataset);
    format!(
        "Of {} test images, attacked with {epsilon}, {} fool {classifier}: the defense puts {} right again, and spoils {} of the others. (Measured with preset {}.)",
        thousands(odds.images),
        thousands(saved + failed + alone),
        thousands(saved),
        thousands(spoiled),
        odds.preset
    )
}

/// A button for each way to end, and how often it happens.
#[component]
fn Kinds(
    /// Whose cases they are.
    model: String,
    prepared: Prepared,
) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let Prepared { odds, cases, fell } = prepared;
    let classifier = if model == arena.model.get_untracked() { "the classifier" } else { "the hardened classifier" };
    let model = StoredValue::new(model);
    let take = move |case: Case| arena.take_step(Step { model: model.get_value(), case });
    let cases_preset = cases.first().map(|case| case.preset);
    let case_that_stands = Memo::new(move |_| arena.case_that_stands().filter(|_| !arena.stands_alone()));
    let stands = move || case_that_stands.get().filter(|case| case.course.is_none()).map(|case| case.outcome);
    let fell = fell.map(|case| {
        let case = StoredValue::new(case);
        view! {
            <button
                type="button"
                class="plain"
                aria-pressed=move || case_that_stands.with(|case| case.as_ref().is_some_and(|case| case.course.is_some())).to_string()
                on:click=move |_| take(case.get_value())
            >
                {FELL}
            </button>
        }
    });
    let lacking: Vec<String> = Outcome::ALL
        .iter()
        .filter(|outcome| cases.iter().all(|case| case.outcome != **outcome))
        .map(|outcome| format!("\u{201c}{}\u{201d} ({})", name_of(*outcome), odds.of(*outcome)))
        .collect();
    let buttons = cases.into_iter().map(|case| {
        let (outcome, case) = (case.outcome, StoredValue::new(case));
        view! {
            <button
                type="button"
                class="plain"
                aria-pressed=move || (stands() == Some(outcome)).to_string()
                on:click=move |_| take(case.get_value())
            >
                {name_of(outcome)}
            </button>
        }
    });
    let others = cases_preset.filter(|preset| *preset != odds.preset).map(|preset| format!(" The cases here are with {preset}."));
    let lacking = (!lacking.is_empty()).then(|| {
        format!(
            " No case is shown of {}: none was found that is clear and that the classifier saw rightly before the attack.",
            lacking.join(", ")
        )
    });
    view! {
        <p class="case-title" id="kinds">"How else it can end"</p>
        <div class="kinds" role="group" aria-label="Prepared cases, by how they end">{buttons.collect_view()} {fell}</div>
        <p class="hint">{counted(&odds, arena.dataset(), classifier)} {others} {lacking}</p>
    }
}

/// What the steps of a sequence are.
const STEPS: [&str; 3] = ["Undefended", "Hardened", "Answers back"];

/// What each of them shows.
fn step_words(sequence: &Sequence) -> [String; 3] {
    let [weak, _, strong] = sequence.steps.each_ref().map(|step| step.case.setup().pgd().map_or(0.0, |attack| attack.epsilon));
    let times = strong / weak.max(f32::EPSILON);
    [
        "An ordinary classifier: a change that hardly shows is enough.".to_owned(),
        "Trained with attacks, it holds against the same change.".to_owned(),
        format!(
            "A change {} times as strong fools it all the same. Now it adapts before it answers.",
            if times < 10.0 { short((times * 10.0).round() / 10.0) } else { format!("{times:.0}") }
        ),
    ]
}

/// From a classifier without a defense to one that answers back, on the same image.
#[component]
fn Steps(sequence: Sequence) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let stands = Memo::new(move |_| arena.step_that_stands());
    let words = step_words(&sequence);
    let buttons = sequence.steps.into_iter().zip(STEPS).enumerate().map(|(place, (step, name))| {
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
        <p class="case-title" id="three">"One image, three steps"</p>
        <ol class="kinds" aria-labelledby="three">{buttons.collect_view()}</ol>
        <p class="step-says" role="status">{move || stands.get().map(|place| words[place].clone())}</p>
    }
}

/// As the element has it: without the attack on the defense that a duel begins with.
fn case_setup(case: &Case) -> Setup {
    let setup = case.setup();
    Setup { counter: setup.counter.filter(|counter| *counter != Counter::DUEL), ..setup }
}

impl Arena {
    /// The cases of the model: the prepared ones, then those of the sequence that it is a part of.
    pub fn cases(self) -> Vec<Case> {
        let model = self.model_entry();
        let id = model.card.id;
        let prepared = model.prepared.map_or_else(Vec::new, |prepared| prepared.cases.into_iter().chain(prepared.fell).collect());
        let steps = self.sequence().map_or_else(Vec::new, |sequence| sequence.steps.to_vec());
        let steps = steps.into_iter().filter(|step| step.model == id).map(|step| step.case);
        prepared.into_iter().chain(steps).collect()
    }

    /// The prepared cases that are offered, and the model whose they are: those of the model; of an undefended one, which has none, those
    /// of the model that its sequence leads to.
    fn prepared(self) -> Option<(String, Prepared)> {
        let own = self.model_entry();
        let entry = match own.prepared.is_some() || !own.card.is_undefended() {
            true => own,
            false => self.wiring.entry_of(&self.sequence()?.steps.last()?.model)?,
        };
        Some((entry.card.id, entry.prepared?))
    }

    /// Whether the case that stands is a step of the sequence that shows the classifier without the defense.
    fn stands_alone(self) -> bool {
        self.step_that_stands().is_some_and(|place| place + 1 < STEPS.len())
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
            && self.whole_setup() == case_setup(case)
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

    /// Fights the duel of the case that stands; of the classifier `alone`, its attack.
    fn repeat_case(self, alone: bool) {
        let [_, defends, counters] = self.wiring.acts();
        let defends = defends && !alone;
        let counters = counters && !alone && untrack(|| self.case_that_stands()).is_some_and(|case| case.course.is_some());
        self.attacked_is_void();
        self.runs.pending.set(if counters {
            3
        } else if defends {
            2
        } else {
            1
        });
    }
}
