//! Act 2: the classifier adapts itself to the one image, and answers.

use leptos::prelude::*;
use riposte_protocol::Work;

use super::boundary::Boundary;
use super::verdict::{Answer, Verdicts};
use super::{Act, Onward, RunButton, all_controls, class_name, headline, is_set, look_of};
use crate::parts::{Choice, Figure, Ink, PhaseLine, PictureCanvas, Plot, Scrubber, Series};
use crate::settings::{AmountControl, RiposteControls};
use crate::state::Arena;
use crate::trace::{Found, Phase, RiposteTrace};
use crate::words::{about, duration, flops, thousands};

#[component]
pub fn RiposteAct() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let trace = arena.runs.riposted;
    let done = move || {
        trace.verdict.get().zip(trace.found.get()).map_or_else(String::new, |(verdict, found)| summary(arena, &verdict, &found))
    };
    let input_choice = move |value: String| arena.on_attacked.set(value == "attacked");
    let inputs = vec![
        ("attacked".to_owned(), "the attacked image".to_owned()),
        ("untouched".to_owned(), "the untouched image".to_owned()),
    ];
    // Without act I on the page, this one brings its attack.
    let [first, ..] = arena.wiring.acts();
    let missing = move || {
        let waits = first && arena.riposte_input().is_none() && trace.phase.get() == Phase::Idle;
        waits.then(|| view! { <p class="phase">"Attack an image first, or let it answer the untouched one."</p> })
    };
    // What takes long is said beside the button that starts it, with the way to take less.
    let lighter = move || {
        let less = arena.preset.get().light();
        let (now, then) =
            (arena.post_training_seconds(&arena.riposte.get())?, arena.post_training_seconds(&less.preset().post_train)?);
        let offered = all_controls(arena) && trace.phase.get() == Phase::Idle && now > LONG && then < now / 2.0;
        offered.then(|| {
            view! {
                <p class="phase">{format!("On this device it takes {}.", about(now))}</p>
                <button type="button" class="plain" on:click=move |_| arena.take_form(less)>
                    {format!("Train less: {}", about(then))}
                </button>
            }
        })
    };
    view! {
        <Act
            numeral="II"
            title="Riposte"
            look="riposte"
            verdict=Signal::derive(move || headline::of_riposte(arena))
            lead="The classifier cannot know whether it was attacked. It finds the class that is easiest to mistake for its answer, trains a copy of itself on images of just these two, and lets the copy answer. An attacked image often still lies close to what it shows: whoever has just practiced telling these two apart may see it again."
        >
            <div class="floor">
                <div class="stage">
                    <div class="action">
                        <RunButton
                            phase=trace.phase
                            label="Riposte"
                            again="Riposte with another seed"
                            ready=Signal::derive(move || is_set(arena) && (!first || arena.riposte_input().is_some()))
                            run=move || match trace.phase.get_untracked() {
                                Phase::Done => arena.run_anew(2),
                                _ if untrack(|| arena.riposte_input()).is_none() => arena.runs.pending.set(2),
                                _ => arena.run_riposte(),
                            }
                            stop=move || arena.wiring.cancel(trace.run.get_untracked())
                        />
                        <PhaseLine phase=trace.phase done=Signal::derive(done)/>
                        {missing}
                        {lighter}
                        <Onward phase=trace.phase label="Attack the defense" to=(2, "counter")/>
                    </div>
                    <Show when=move || trace.phase.get() != Phase::Idle>
                        <Neighbors trace/>
                        <Race trace/>
                        <Answers trace/>
                        <Boundary/>
                    </Show>
                </div>
                <Show when=move || all_controls(arena)>
                    <div class="setup">
                        <Choice
                            label="It answers"
                            hint="A defense must not spoil what was right: try both."
                            options=Signal::stored(inputs.clone())
                            value=Signal::derive(move || if arena.on_attacked.get() { "attacked" } else { "untouched" }.to_owned())
                            set=input_choice
                        />
                        <AmountControl/>
                        <details class="more">
                            <summary>"Settings of the defense"</summary>
                            <RiposteControls/>
                        </details>
                    </div>
                </Show>
            </div>
        </Act>
    }
}

/// Seconds that a visitor may not want to wait.
const LONG: f64 = 20.0;

fn summary(arena: Arena, verdict: &riposte_protocol::Verdict, found: &Found) -> String {
    let (before, after) = (class_name(arena, verdict.base.class), class_name(arena, verdict.adapted.class));
    if !verdict.riposted {
        let idle = headline::why_idle(found);
        return format!(
            "Nothing was trained, as {idle}: the static classifier\u{2019}s answer stands, \u{201c}{before}\u{201d}."
        );
    }
    let time = duration(verdict.work.seconds);
    if verdict.base.class == verdict.adapted.class {
        format!("The copy agrees with the static classifier: \u{201c}{after}\u{201d}. {time}.")
    } else {
        format!("The copy changes the answer from \u{201c}{before}\u{201d} to \u{201c}{after}\u{201d}. {time}.")
    }
}

/// Whether it has answered without a copy that adapted.
fn left_out(trace: RiposteTrace) -> bool {
    trace.verdict.with(|verdict| verdict.as_ref().is_some_and(|verdict| !verdict.riposted))
}

/// The two classes, x'', and the samples drawn of each.
#[component]
fn Neighbors(trace: RiposteTrace) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let input = Signal::derive(move || trace.input.get());
    let image = Signal::derive(move || trace.found.with(|found| found.as_ref().map(|found| found.image.clone())));
    let number = move |neighbor: bool| {
        trace.found.with(|found| found.as_ref().map(|found| if neighbor { found.neighbor.class } else { found.original.class }))
    };
    let class = move |neighbor: bool| number(neighbor).map(|class| class_name(arena, class));
    let look = move |neighbor: bool| format!("seen-as {}", number(neighbor).map_or("", |class| look_of(arena, class)));
    let strip_look = move |neighbor: bool| format!("strip {}", number(neighbor).map_or("", |class| look_of(arena, class)));
    let same = move || trace.found.with(|found| found.as_ref().is_some_and(|found| found.original.class == found.neighbor.class));
    // As many places as a minibatch has samples to show; only what is in them changes from step to step.
    let shown = Memo::new(move |_| trace.iterations.with(|all| all.first().map_or(0, |first| first.samples.len() / 2)));
    let strip = move |second: bool| {
        let half = shown.get();
        let sample = move |place: usize| {
            let at = trace.playhead.at.get();
            trace.iterations.with(|all| Some(all.get(at).or(all.last())?.samples.get(place)?.image.clone()))
        };
        (0..half)
            .map(|place| {
                let place = if second { half + place } else { place };
                view! {
                    <PictureCanvas
                        picture=Memo::new(move |_| sample(place))
                        ink=Signal::stored(Ink::Image)
                        label=Signal::stored(String::new())
                    />
                }
            })
            .collect::<Vec<_>>()
    };
    let perturbed = move || trace.iterations.with(|all| all.first().is_some_and(|first| first.perturbed));
    view! {
        <div class="neighbors">
            <Figure picture=input symbol="x\u{2032}" label="The input">
                <span class="what">"The input is seen as"</span>
                <span class="says"><b class=move || look(false)>{move || class(false)}</b> <i class="math">"y\u{2032}"</i></span>
            </Figure>
            <span class="operator" aria-hidden="true">"\u{2192}"</span>
            <Figure picture=image symbol="x\u{2033}" label="Its neighbor">
                <span class="what">"Pushed on, seen as"</span>
                <span class="says"><b class=move || look(true)>{move || class(true)}</b> <i class="math">"y\u{2033}"</i></span>
            </Figure>
            <div class="samples">
                <p class="what">
                    {move || if same() {
                        "No other class is within reach of the search: the defense does not act on this input."
                    } else if left_out(trace) {
                        "The class that the input is seen as is too far ahead: the defense does not act on this input."
                    } else if perturbed() {
                        "Some of the training images drawn of both classes, changed as the copy trains on them"
                    } else {
                        "Some of the training images drawn of both classes"
                    }}
                </p>
                <div class=move || strip_look(false) role="img" aria-label=move || class(false).map(|name| format!("Training images of class {name}"))>{move || strip(false)}</div>
                <div class=move || strip_look(true) role="img" aria-label=move || class(true).map(|name| format!("Training images of class {name}"))>{move || strip(true)}</div>
            </div>
        </div>
    }
}

/// The logits of both classes and the loss, over the iterations.
#[component]
fn Race(trace: RiposteTrace) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let total = Signal::derive(move || arena.riposte.with(|riposte| riposte.iterations));
    let at = trace.playhead.at;
    let classes =
        Memo::new(move |_| trace.found.with(|found| found.as_ref().map(|found| (found.original.class, found.neighbor.class))));
    let race = Memo::new(move |_| {
        let Some((original, neighbor)) = classes.get() else { return Vec::new() };
        let line = |symbol: &str, class: usize| Series {
            name: format!("{symbol} \u{201c}{}\u{201d}", class_name(arena, class)),
            look: look_of(arena, class),
            values: trace
                .iterations
                .with(|all| all.iter().map(|one| one.logits.get(class).copied().unwrap_or(f32::NAN)).collect()),
        };
        vec![line("y\u{2032}", original), line("y\u{2033}", neighbor)]
    });
    let loss = Memo::new(move |_| {
        vec![Series {
            name: "loss".to_owned(),
            look: "loss",
            values: trace.iterations.with(|all| all.iter().map(|one| one.loss).collect()),
        }]
    });
    let race_words = move || {
        race.with(|race| {
            let [first, second] = race.as_slice() else { return String::new() };
            // Before the first iteration y' leads: it is what the classifier says.
            let ahead: Vec<bool> = first.values.iter().zip(&second.values).map(|(first, second)| second > first).collect();
            let begin = (0..ahead.len()).rev().find(|&step| ahead[step] && (step == 0 || !ahead[step - 1]));
            match (begin, ahead.last()) {
                (Some(step), Some(true)) => format!("The neighbor class y\u{2033} overtakes in iteration {}.", step + 1),
                (Some(_), _) => "The neighbor class y\u{2033} leads for a while, and falls back.".to_owned(),
                (None, _) => "The lead does not change.".to_owned(),
            }
        })
    };
    let loss_words = move || {
        loss.with(|loss| {
            let values = &loss[0].values;
            match (values.first(), values.last()) {
                (Some(first), Some(last)) => format!("From {first:.3} to {last:.3}."),
                _ => String::new(),
            }
        })
    };
    let wanted = move || classes.get().is_none_or(|(original, neighbor)| original != neighbor) && !left_out(trace);
    view! {
        <Show when=wanted>
            <div class="race">
                <Plot
                    title="How strongly the copy leans to each of the two classes (logits)"
                    series=race
                    total
                    at
                    first=1
                    summary=Signal::derive(race_words)
                />
                <Plot title="How wrong it still is on the images it trains on (loss)" series=loss total at first=1 summary=Signal::derive(loss_words)/>
                <Scrubber playhead=trace.playhead unit="Iteration" first=1 total/>
                <p class="note">{move || (trace.phase.get() == Phase::Done).then(race_words)}</p>
            </div>
        </Show>
    }
}

/// Both answers, and what they took.
#[component]
fn Answers(trace: RiposteTrace) -> impl IntoView {
    let answers = Signal::derive(move || {
        trace.verdict.get().map_or_else(Vec::new, |verdict| {
            let what = if verdict.riposted { "trained on this one input" } else { "did not act" };
            vec![
                Answer { who: "The static classifier", what: "as it was", prediction: verdict.base },
                Answer { who: "The adapted copy", what, prediction: verdict.adapted },
            ]
        })
    });
    let work = move || trace.verdict.get().map(|verdict| work_words(&verdict.work));
    view! {
        <Show when=move || trace.verdict.with(Option::is_some)>
            <Verdicts answers caption="The verdict."/>
            <p class="work">{work}</p>
        </Show>
    }
}

fn work_words(work: &Work) -> String {
    if work.iterations == 0 {
        return format!("{} of work: the search alone.", duration(work.seconds));
    }
    let speed = work.samples as f64 / work.seconds.max(1e-9);
    format!(
        "{} over {} training images in {}: {}, {} images a second.",
        if work.iterations == 1 { "1 iteration".to_owned() } else { format!("{} iterations", work.iterations) },
        thousands(work.samples),
        duration(work.seconds),
        flops(work.flops),
        thousands(speed.round() as usize),
    )
}
