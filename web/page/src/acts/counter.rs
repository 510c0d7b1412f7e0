//! Act 3: the defense under attack by someone who knows that it adapts.

use leptos::prelude::*;
use riposte_protocol::Picture;
use riposte_spec::counter::{Judgment, Round};

use super::{Act, RunButton, all_controls, class_name, headline, is_set, look_of};
use crate::parts::{Figure, PhaseLine};
use crate::settings::CounterControls;
use crate::state::Arena;
use crate::trace::{CounterTrace, Phase, Turn};
use crate::words::{about, duration, percent};

#[component]
pub fn CounterAct() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let trace = arena.runs.countered;
    let is_attacked = move || arena.runs.attacked.phase.get() == Phase::Done;
    let is_targeted = move || arena.target.get().is_some();
    // Without act I on the page, this one brings its attack.
    let [first, ..] = arena.wiring.acts();
    let ready = move || is_set(arena) && (!first || is_attacked()) && !is_targeted();
    let missing = move || match trace.phase.get() {
        Phase::Idle if first && !is_attacked() => Some("Attack the image first: that is act I.".to_owned()),
        Phase::Idle if is_targeted() => {
            Some("This attacker takes any wrong answer: let act I make it see \u{201c}any other class\u{201d}, too.".to_owned())
        }
        Phase::Idle => arena.counter_seconds().map(|seconds| format!("On this device it takes {} at most.", about(seconds))),
        Phase::Running(_) | Phase::Done | Phase::Cancelled | Phase::Failed { .. } => None,
    };
    view! {
        <Act
            numeral="III"
            title="Counter-riposte"
            look="counter"
            verdict=Signal::derive(move || headline::of_counter(arena))
            lead="You know that it adapts. So attack the classifier and every copy that you have seen, let the defense adapt anew to what you found, and attack that copy, too."
        >
            <div class="floor">
                <div class="stage">
                    <div class="action">
                        <RunButton
                            phase=trace.phase
                            label="Attack the defense"
                            again="Attack the defense again"
                            ready=Signal::derive(ready)
                            run=move || if untrack(is_attacked) { arena.run_counter() } else { arena.runs.pending.set(3) }
                            stop=move || arena.wiring.cancel(trace.run.get_untracked())
                        />
                        <PhaseLine phase=trace.phase done=Signal::derive(move || format!("It took {}.", duration(trace.seconds.get())))/>
                        {move || missing().map(|words| view! { <p class="phase">{words}</p> })}
                    </div>
                    // It changes many times a second: a screen reader hears of the rounds instead.
                    <p class="turn" aria-live="off">{move || turn(trace)}</p>
                    <Rounds trace/>
                    <Judgments trace/>
                </div>
                <Show when=move || all_controls(arena)>
                    <div class="setup"><CounterControls/></div>
                </Show>
            </div>
        </Act>
    }
}

/// Who is at work now, and how far.
fn turn(trace: CounterTrace) -> String {
    let Phase::Running(_) = trace.phase.get() else { return String::new() };
    let (rounds, judgments) =
        trace.course.with(|course| course.as_ref().map_or((0, 0), |course| (course.rounds.len(), course.judgments.len())));
    let after = match (judgments, rounds) {
        (0, _) => "A control first, the untouched image".to_owned(),
        (_, 0) => "The first picture".to_owned(),
        (_, rounds) => format!("After {rounds} picture{}", if rounds == 1 { "" } else { "s" }),
    };
    match trace.turn.get() {
        Some(Turn::Climbing(step, of)) => format!("{after}: the attacker climbs, step {step} of {of}."),
        Some(Turn::Adapting(iteration, of)) => format!("{after}: the defense adapts, iteration {iteration} of {of}."),
        None => format!("{after}."),
    }
}

/// The points of the attacker side by side, each with what the defense says of it.
#[component]
fn Rounds(trace: CounterTrace) -> impl IntoView {
    let rounds =
        Memo::new(move |_| trace.course.with(|course| course.as_ref().map_or_else(Vec::new, |course| course.rounds.clone())));
    let one = move |place: usize, round: Round| {
        let picture = trace.points.with_untracked(|points| points.get(place).cloned());
        view! { <Point place round picture trace/> }
    };
    let shown = move || rounds.get().into_iter().enumerate().map(|(place, round)| one(place, round)).collect_view();
    view! {
        <Show when=move || rounds.with(|rounds| !rounds.is_empty())>
            <ol class="rounds" aria-label="The attacker's pictures">{shown}</ol>
        </Show>
    }
}

#[component]
fn Point(place: usize, round: Round, picture: Option<Picture>, trace: CounterTrace) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let name = move |class: usize| class_name(arena, class);
    let look = move |class: usize| format!("seen-as {}", look_of(arena, class));
    let label = arena.class();
    let [original, neighbor] = round.pair;
    let right = label == Some(round.answer);
    let verdict = super::verdict::words(arena)[usize::from(!right)];
    let pair = if original == neighbor {
        view! { <span>"seen as "<b class=look(original)>{name(original)}</b>", no neighbor"</span> }.into_any()
    } else {
        view! {
            <span>
                "trains on "<b class=look(original)>{name(original)}</b>" and "<b class=look(neighbor)>{name(neighbor)}</b>
            </span>
        }
        .into_any()
    };
    let models = round.against();
    let [wrong, answers] = round.fooled;
    let share = (answers > 1).then(|| format!(" ({wrong} of {answers} wrong)"));
    let truth = label.map(|label| {
        view! {
            <span class="track" aria-hidden="true"><span class="bar" style:width=format!("{:.1}%", 100.0 * round.truth)></span></span>
            <span class="value">{percent(round.truth)} " for \u{201c}" {name(label)} "\u{201d}"</span>
        }
    });
    view! {
        <li class:right=right class:wrong=!right class:stands=move || trace.standing() == Some(place)>
            <Figure picture=Signal::stored(picture) symbol="x\u{2032}" label=format!("The attacker's picture: {}", round.title())>
                <span class="what">{round.title()} ", " {models}</span>
            </Figure>
            <p>
                {pair} ", says " <b>"\u{201c}" {name(round.answer)} "\u{201d}"</b> {share} " "
                <span class="mark"><span class="sign" aria-hidden="true">{if right { "\u{2713}" } else { "\u{2717}" }}</span> " " {verdict}</span>
            </p>
            <p class="truth-of">{truth}</p>
        </li>
    }
}

/// How often the defense is right by draws that the attacker never saw.
#[component]
fn Judgments(trace: CounterTrace) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let row = move |judgment: Judgment| {
        let what = match judgment.kind {
            None => "The untouched image".to_owned(),
            Some(kind) if kind.goes_in_rounds() => format!("The picture of round {}", judgment.round + 1),
            Some(_) => "The attacker\u{2019}s picture".to_owned(),
        };
        let judged = judgment.judged;
        let right = judged.is_mostly_right();
        view! {
            <tr class:right=right class:wrong=!right>
                <th scope="row">{what}</th>
                <td class="answer">{class_name(arena, judgment.answer)}</td>
                <td class="value">{format!("{} of {} right", judged.right, judged.of)}</td>
            </tr>
        }
    };
    let judgments = move || trace.course.with(|course| course.as_ref().map_or_else(Vec::new, |course| course.judgments.clone()));
    view! {
        <Show when=move || trace.phase.get() == Phase::Done>
            <table class="verdict">
                <caption>"Asked anew, with other random draws. " <span class="truth">"The attacker never saw these answers."</span></caption>
                <thead class="visually-hidden">
                    <tr><th scope="col">"Input"</th><th scope="col">"First answer"</th><th scope="col">"Right answers"</th></tr>
                </thead>
                <tbody>{move || judgments().into_iter().map(row).collect_view()}</tbody>
            </table>
        </Show>
    }
}
