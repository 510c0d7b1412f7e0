//! Act 3: the adapted copy under attack.

use leptos::prelude::*;

use super::attack::{AttackWatch, Triptych};
use super::riposte::Answers;
use super::verdict::{Answer, Verdicts};
use super::{Act, RunButton, class_name, headline};
use crate::parts::PhaseLine;
use crate::state::Arena;
use crate::trace::Phase;
use crate::words::duration;

#[component]
pub fn CounterAct() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let trace = arena.runs.countered;
    let second = arena.runs.second;
    // Where the search finds no neighbor nothing is trained: the static classifier answers, and is what this act attacks.
    let no_copy = move || arena.runs.riposted.verdict.with(|verdict| verdict.as_ref().is_some_and(|verdict| !verdict.riposted));
    let who = move || if no_copy() { "The static classifier" } else { "The adapted copy" };
    let ready = move || arena.wiring.has_engine() && arena.runs.riposted.phase.get() == Phase::Done;
    let done = move || {
        let Some((end, class)) = trace.end().zip(arena.class()) else { return String::new() };
        let (name, time) = (class_name(arena, end.prediction.class), duration(trace.seconds.get()));
        if end.prediction.class == class {
            format!("{} held: still \u{201c}{name}\u{201d}. {time}.", who())
        } else {
            format!("{} is fooled{}: it sees \u{201c}{name}\u{201d}. {time}.", who(), if no_copy() { "" } else { " too" })
        }
    };
    let answers = Signal::derive(move || {
        let adapted = arena.runs.riposted.verdict.get().map(|verdict| verdict.adapted);
        let mut answers = Vec::new();
        if let Some(prediction) = adapted {
            let what = if no_copy() { "on the input of act II" } else { "on the input it adapted to" };
            answers.push(Answer { who: who(), what, prediction });
        }
        if let Some(end) = trace.end() {
            answers.push(Answer { who: who(), what: "on the image made against it", prediction: end.prediction });
        }
        answers
    });
    view! {
        <Act
            numeral="III"
            title="Counter-riposte"
            look="counter"
            verdict=Signal::derive(move || headline::of_counter(arena))
            lead="Now the attacker knows the adapted copy. The same attack, from the same untouched image, runs against it."
        >
            <div class="floor">
                <div class="stage wide">
                    <Show when=no_copy>
                        <p class="note"><b>"No copy was trained"</b>" for this input: there was no neighbor, and the static classifier answered. It is what is attacked here."</p>
                    </Show>
                    <p class="note">
                        "This is the "<b>"plain re-attack"</b>": it treats the adapted copy as if it were one more static classifier. The real
                        defense would adapt afresh to the new image, which you can let it do below. An attack that takes
                        this adapting into account (an adaptive attack) is stronger, and is not part of this page yet."
                    </p>
                    <div class="action">
                        <RunButton
                            phase=trace.phase
                            label=Signal::derive(move || if no_copy() { "Attack the classifier" } else { "Attack the copy" })
                            again=Signal::derive(move || if no_copy() { "Attack the classifier again" } else { "Attack the copy again" })
                            ready=Signal::derive(ready)
                            run=move || arena.run_counter()
                            stop=move || arena.wiring.cancel(trace.run.get_untracked())
                        />
                        <PhaseLine phase=trace.phase done=Signal::derive(done)/>
                        {move || (!ready() && trace.phase.get() == Phase::Idle).then(|| view! { <p class="phase">"Let it riposte first."</p> })}
                    </div>
                    <Show when=move || trace.phase.get() != Phase::Idle>
                        <Triptych
                            trace
                            says=Signal::derive(move || ["Untouched, the static classifier saw", if no_copy() { "Attacked, it sees" } else { "Attacked, the copy sees" }])
                        />
                        <AttackWatch trace/>
                        <Show when=move || trace.phase.get() == Phase::Done>
                            <Verdicts answers caption="Before and after."/>
                            <div class="action">
                                <RunButton
                                    phase=second.phase
                                    label="Let it riposte again"
                                    again="Once more"
                                    ready=Signal::derive(move || arena.wiring.has_engine() && trace.phase.get() == Phase::Done)
                                    run=move || arena.run_second_riposte()
                                    stop=move || arena.wiring.cancel(second.run.get_untracked())
                                />
                                <PhaseLine
                                    phase=second.phase
                                    done=Signal::derive(|| "The defense adapted afresh to the new image.".to_owned())
                                />
                            </div>
                            <Answers trace=second/>
                        </Show>
                    </Show>
                </div>
            </div>
        </Act>
    }
}
