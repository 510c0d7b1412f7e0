//! Act 1: a small change fools the static classifier.

use leptos::prelude::*;
use riposte_protocol::Picture;
use riposte_spec::attack::{Norm, Pgd, Start};

use super::{Act, Onward, RunButton, all_controls, attack_race, class_name, hand_on_focus, headline, is_hidden, is_set, look_of};
use crate::choose::Chooser;
use crate::hunt::Chase;
use crate::parts::{Bars, Figure, Ink, PhaseLine, Plot, Scrubber};
use crate::prepared;
use crate::settings::{AttackControls, MoreAttackControls};
use crate::share::Downloads;
use crate::state::{Arena, Origin};
use crate::trace::{AttackTrace, Phase};
use crate::words::{duration, percent, pixel_units, short};

#[component]
pub fn AttackAct() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let trace = arena.runs.attacked;
    let done = move || {
        let Some((end, class)) = trace.end().zip(arena.class()) else { return String::new() };
        let time = duration(trace.seconds.get());
        let name = class_name(arena, end.prediction.class);
        let steps = arena.steps_taken(end.index);
        let steps = if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") };
        let target = arena.target.get().filter(|target| *target != end.prediction.class);
        if end.index == 0 && arena.is_mistaken_untouched() {
            return format!(
                "Nothing to attack: the classifier sees \u{201c}{name}\u{201d} in the untouched image.{}",
                tally(arena.hunt.chase.get())
            );
        }
        match target.map(|target| class_name(arena, target)) {
            Some(target) if end.prediction.class == class => {
                format!("The classifier held: still \u{201c}{name}\u{201d}, not \u{201c}{target}\u{201d}, after {steps}, {time}.")
            }
            None if end.prediction.class == class => {
                format!("The classifier held: still \u{201c}{name}\u{201d} after {steps}, {time}.")
            }
            Some(target) => {
                format!(
                    "Fooled, but not as wanted: the classifier now sees \u{201c}{name}\u{201d}, not \u{201c}{target}\u{201d}. {steps}, {time}."
                )
            }
            None => {
                format!(
                    "Fooled: the classifier now sees \u{201c}{name}\u{201d}. {steps}, {time}.{}",
                    tally(arena.hunt.chase.get())
                )
            }
        }
    };
    let hunting = Signal::derive(move || arena.hunt.is_on());
    let others = move || {
        let (end, class) = trace.end().zip(arena.class())?;
        Some(if end.prediction.class == class { "Try others until one falls" } else { "Find another one that falls" })
    };
    // Where a weak attack failed, one as strong as usual is at hand.
    let stronger = move || {
        let (end, class) = trace.end().zip(arena.class())?;
        let Pgd { norm, epsilon: usual, .. } = arena.base().attack;
        let weak = arena.attack.with(|attack| attack.norm == norm && attack.epsilon < usual);
        let offered = end.prediction.class == class && weak && all_controls(arena);
        offered.then(|| {
            let label = format!("Attack at strength {}", pixel_units(usual, arena.dataset()));
            view! { <button type="button" class="plain" on:click=move |event| {
                hand_on_focus(&event, ".action", ".run");
                arena.run_stronger(usual);
            }>{label}</button> }
        })
    };
    let tried = move || match arena.hunt.chase.get() {
        Chase::On(held) => Some(format!("Attacking one test image after the other. {held} held so far.")),
        Chase::Off | Chase::Found(_) => None,
    };
    // Only a random start makes another run of the same attack.
    let draws = move || arena.attack.with(|attack| attack.start != Start::Zero);
    let again = Signal::derive(move || if draws() { "Attack with another seed" } else { "Attack again" });
    let run = move || {
        if untrack(draws) && trace.phase.get_untracked() == Phase::Done { arena.run_anew(1) } else { arena.run_attack() }
    };
    view! {
        <Act
            numeral="I"
            title="Attack"
            look="attack"
            verdict=Signal::derive(move || headline::of_attack(arena))
            lead="Every pixel may change a little. The attack follows the classifier\u{2019}s own gradient to the change that hurts it most."
        >
            <div class="floor">
                <div class="stage">
                    <div class="action">
                        <RunButton
                            phase=trace.phase
                            label="Attack"
                            again
                            ready=Signal::derive(move || is_set(arena))
                            busy=hunting
                            run
                            stop=move || arena.stop_attack()
                        />
                        <Show when=move || !hunting.get() fallback=move || view! { <p class="phase" role="status">{tried}</p> }>
                            <PhaseLine phase=trace.phase done=Signal::derive(done)/>
                        </Show>
                        <Show when=move || !hunting.get() && others().is_some() && arena.wiring.has_engine() && !is_hidden(arena)>
                            <button type="button" class="plain" on:click=move |event| {
                                hand_on_focus(&event, ".action", ".run");
                                arena.start_hunt();
                            }>{others}</button>
                        </Show>
                        {stronger}
                        <Onward phase=trace.phase label="See the defense" to=(1, "riposte")/>
                    </div>
                    {move || (!prepared::are_shown(arena)).then(|| view! { <Odds/> })}
                    <Triptych trace/>
                    <AttackWatch trace/>
                    <Downloads/>
                </div>
                <Show when=move || all_controls(arena)><div class="subject"><Chooser/></div></Show>
                <Show when=move || all_controls(arena)>
                    <div class="setup">
                        <AttackControls/>
                        <details class="more">
                            <summary>"All settings"</summary>
                            <MoreAttackControls/>
                        </details>
                    </div>
                </Show>
            </div>
        </Act>
    }
}

fn tally(chase: Chase) -> String {
    match chase {
        Chase::Found(0) | Chase::Off | Chase::On(_) => String::new(),
        Chase::Found(1) => " One image tried before it held.".to_owned(),
        Chase::Found(held) => format!(" {held} images tried before it held."),
    }
}

/// How often the riposte saves an image and how often it does harm, as the model's card has it; and that the first image was chosen.
#[component]
fn Odds() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let words = move || {
        let opening = arena.model_entry().card.opening?;
        let number = arena.subject.with(|subject| match subject.as_ref().map(|subject| &subject.origin) {
            Some(Origin::Test(number)) => Some(u64::from(*number)),
            _ => None,
        });
        let chosen = number == Some(opening.image) && arena.preset.get() == opening.preset;
        let first = if chosen { "This image was chosen because the riposte saves it. " } else { "" };
        // The counts are those of the preset as it is: a lighter training, another strength have others.
        let differs = if arena.setup() == opening.preset.preset().setup() { "" } else { "; some settings are others here" };
        Some(format!("{first}{} (Measured with preset {}{differs}.)", opening.counts.sentence(), opening.preset))
    };
    view! { <p class="odds">{words}</p> }
}

/// Original, change, result.
#[component]
pub fn Triptych(trace: AttackTrace) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let original = Signal::derive(move || arena.subject.with(|subject| subject.as_ref().map(|subject| subject.image.clone())));
    let shown = Memo::new(move |_| trace.shown());
    let result = Signal::derive(move || shown.with(|shown| shown.as_ref().map(|step| step.image.clone())));
    let change = Signal::derive(move || Some(result.get()?.minus(&original.get()?)));
    let largest = move || change.with(|change| change.as_ref().map_or(0.0, Picture::max_abs));
    // What a pixel may change by; a length in L2 says nothing of that.
    let most = move || match arena.attack.with(|attack| (attack.norm, attack.epsilon)) {
        (Norm::LInfinity, epsilon) => epsilon,
        (Norm::L2, _) => largest(),
    };
    // Without a strength yet, or with none, there is nothing to magnify.
    let as_it_is = RwSignal::new(false);
    let magnified = move || match most() {
        _ if as_it_is.get() => "The change, as strong as it is".to_owned(),
        most if most > 0.0 => format!("The change, magnified \u{00d7}{}", short((1.0 / most * 10.0).round() / 10.0)),
        _ => "The change".to_owned(),
    };
    let said = move |class: usize, probability: f32| {
        view! {
            <b class=format!("seen-as {}", look_of(arena, class))>{class_name(arena, class)}</b> <span class="value">{percent(probability)}</span>
        }
    };
    let of_original = move || {
        arena.natural.get().map(|natural| said(natural.class, natural.probabilities().get(natural.class).copied().unwrap_or(0.0)))
    };
    let of_result = move || {
        shown.get().map(|step| {
            said(step.prediction.class, step.prediction.probabilities().get(step.prediction.class).copied().unwrap_or(0.0))
        })
    };
    // In the midst of the steps, the answer shown is not yet the last one.
    let caption = move || match (trace.playhead.at.get(), trace.playhead.count.get()) {
        (at, count) if at + 1 < count => format!("After step {at} of {} it is seen as", count - 1),
        _ => "The attacked image is seen as".to_owned(),
    };
    let units = move |value: f32| pixel_units(value, arena.dataset());
    let one_channel = move || arena.dataset().image_shape()[0] == 1;
    view! {
        <div class="triptych">
            <Figure picture=original symbol="x" label="The untouched image">
                <span class="what">"The image is seen as"</span>
                <span class="says">{of_original}</span>
            </Figure>
            <span class="operator" aria-hidden="true">"+"</span>
            <Figure
                picture=change
                ink=Signal::derive(move || Ink::Change { scale: if as_it_is.get() { 1.0 } else { most().max(1e-6) } })
                symbol="\u{03b4}"
                label=Signal::derive(move || format!("{}. Its largest value is {}.", magnified(), units(largest())))
            >
                <span class="what">{magnified}</span>
                <button type="button" class="small" aria-pressed=move || as_it_is.get().to_string() on:click=move |_| as_it_is.update(|on| *on = !*on)>
                    "As strong as it is"
                </button>
                <span class="legend">
                    <Show when=one_channel fallback=|| view! { <span>"gray: no change"</span> }>
                        <span><i class="swatch darker"></i>"darker"</span>
                        <span><i class="swatch lighter"></i>"lighter"</span>
                    </Show>
                    <span class="value">{move || change.with(Option::is_some).then(|| format!("\u{2264} {}", units(largest())))}</span>
                </span>
            </Figure>
            <span class="operator" aria-hidden="true">"="</span>
            <Figure picture=result symbol="x\u{2032}" label="The attacked image">
                <span class="what">{caption}</span>
                <span class="says">{of_result}</span>
            </Figure>
        </div>
    }
}

/// Probabilities and their course, step by step.
#[component]
pub fn AttackWatch(trace: AttackTrace) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let at = trace.playhead.at;
    let now = Memo::new(move |_| trace.shown().map(|step| step.prediction).or_else(|| arena.natural.get()));
    let before = Memo::new(move |_| trace.steps.with(|steps| steps.first().map(|step| step.prediction.clone())));
    let total = Signal::derive(move || arena.attack_steps());
    let race = Memo::new(move |_| trace.steps.with(|steps| attack_race(arena, steps)));
    let summary = move || {
        let words: Vec<String> = race.with(|race| {
            race.iter()
                .filter_map(|line| {
                    Some(format!("{} from {} to {}", line.name, percent(*line.values.first()?), percent(*line.values.last()?)))
                })
                .collect()
        });
        words.join("; ")
    };
    let truth_means = move || match arena.subject.with(|subject| subject.as_ref().and_then(|subject| subject.truth)) {
        Some(_) => "the right answer",
        None => "the answer without an attack",
    };
    view! {
        <div class="watch">
            <Bars
                classes=Signal::derive(move || arena.dataset().classes())
                now=now
                before=before
                truth=Signal::derive(move || arena.class())
                truth_means=Signal::derive(truth_means)
                label="Probability of each class"
            />
            <div class="course">
                <Plot
                    title="Probability, step by step"
                    series=race
                    total=Signal::derive(move || total.get() + 1)
                    at=at
                    bounds=(0.0, 1.0)
                    summary=Signal::derive(summary)
                />
                <Scrubber playhead=trace.playhead unit="Step" total/>
            </div>
        </div>
    }
}
