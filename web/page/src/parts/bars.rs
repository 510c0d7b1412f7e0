//! What a classifier says, as bars.

use leptos::prelude::*;
use riposte_spec::class::Prediction;

use crate::words::percent;

/// One bar for each class: how probable the classifier finds it, with a tick where it stood before.
#[component]
pub fn Bars(
    #[prop(into)] classes: Signal<&'static [&'static str]>,
    #[prop(into)] now: Signal<Option<Prediction>>,
    #[prop(into)] before: Signal<Option<Prediction>>,
    /// The right answer, marked.
    #[prop(into)]
    truth: Signal<Option<usize>>,
    /// What the mark says.
    #[prop(into)]
    truth_means: Signal<&'static str>,
    #[prop(into)] label: Signal<String>,
) -> impl IntoView {
    let now_probabilities = Memo::new(move |_| now.with(|now| now.as_ref().map(Prediction::probabilities)));
    let before_probabilities = Memo::new(move |_| before.with(|before| before.as_ref().map(Prediction::probabilities)));
    let said = Memo::new(move |_| now.with(|now| now.as_ref().map(|now| now.class)));
    let row = move |class: usize, name: &'static str| {
        let probability = move || now_probabilities.with(|all| all.as_ref().and_then(|all| all.get(class).copied()));
        let earlier = move || before_probabilities.with(|all| all.as_ref().and_then(|all| all.get(class).copied()));
        view! {
            <li class:said=move || said.get() == Some(class) class:truth=move || truth.get() == Some(class)>
                <span class="class">
                    {name} <span class="visually-hidden">{move || (truth.get() == Some(class)).then(|| format!(", {}", truth_means.get()))}</span>
                </span>
                <span class="track" aria-hidden="true">
                    <span class="bar" style:width=move || format!("{:.2}%", 100.0 * probability().unwrap_or(0.0))></span>
                    {move || earlier().filter(|earlier| *earlier > 0.005).map(|earlier| view! { <span class="tick" style:left=format!("{:.2}%", 100.0 * earlier)></span> })}
                </span>
                <span class="value">{move || probability().map_or_else(|| "\u{2013}".to_owned(), percent)}</span>
            </li>
        }
    };
    // All bars start where the longest name ends.
    let names = move || format!("{}ch", classes.get().iter().map(|name| name.len()).max().unwrap_or(1));
    let compared = move || before.with(Option::is_some);
    view! {
        <div>
            <ol class="bars" style=("--names", names) aria-label=move || label.get()>
                {move || classes.get().iter().enumerate().map(|(class, name)| row(class, name)).collect_view()}
            </ol>
            <p class="hint key" aria-hidden="true">
                {move || truth.get().map(|_| view! { <span><b class="truth-mark">"\u{2713}"</b>" "{truth_means}</span> })}
                {move || compared().then(|| view! { <span><i class="tick-mark"></i>" before the attack"</span> })}
            </p>
        </div>
    }
}
