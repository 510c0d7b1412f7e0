//! Walking through the steps of a run.

use leptos::prelude::*;

use crate::trace::Playhead;

/// A slider over the steps, with a button that plays them.
#[component]
pub fn Scrubber(
    playhead: Playhead,
    /// What a step is called: `Step`, `Iteration`.
    unit: &'static str,
    /// Number of the first step.
    #[prop(default = 0)]
    first: usize,
    /// Number of steps that the run will have.
    #[prop(into)]
    total: Signal<usize>,
) -> impl IntoView {
    let last = move || playhead.count.get().saturating_sub(1);
    let place = move || format!("{unit} {} of {}", playhead.at.get() + first, total.get());
    let toggle = move |_| {
        if playhead.playing.get_untracked() && playhead.at.get_untracked() < last() {
            playhead.halt();
        } else {
            if playhead.at.get_untracked() >= last() {
                playhead.seek(0);
            }
            playhead.play();
        }
    };
    let moving = move || playhead.playing.get() && playhead.at.get() < last();
    view! {
        <div class="scrubber">
            <button
                type="button"
                class="play"
                disabled=move || playhead.count.get() < 2
                aria-label=move || if moving() { "Pause" } else { "Play the steps" }
                on:click=toggle
            >
                {move || if moving() { view! { <i class="pause-mark"></i> }.into_any() } else { view! { <i class="play-mark"></i> }.into_any() }}
            </button>
            <button
                type="button"
                class="small"
                disabled=move || playhead.count.get() < 2
                aria-pressed=move || playhead.slow.get().to_string()
                on:click=move |_| playhead.toggle_slow()
            >
                "Slow"
            </button>
            <input
                type="range"
                min="0"
                max=last
                disabled=move || playhead.count.get() < 2
                prop:value=move || playhead.at.get()
                aria-label=format!("{unit} shown")
                aria-valuetext=place
                on:input:target=move |event| {
                    if let Ok(step) = event.target().value().parse() {
                        playhead.seek(step);
                    }
                }
            />
            // It changes many times a second: a screen reader hears it from the slider, when it is asked for.
            <output aria-live="off">{place}</output>
        </div>
    }
}
