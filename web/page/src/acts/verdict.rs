//! Answers side by side with the truth.

use leptos::prelude::*;
use riposte_spec::class::Prediction;

use super::class_name;
use crate::state::{Arena, Subject};
use crate::words::percent;

/// A row of the table: who answers, and what.
#[derive(Clone)]
pub struct Answer {
    pub who: &'static str,
    pub what: &'static str,
    pub prediction: Prediction,
}

/// A table of answers, each right or wrong where the truth is known.
#[component]
pub fn Verdicts(#[prop(into)] answers: Signal<Vec<Answer>>, caption: &'static str) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let row = move |answer: Answer| {
        let truth = arena.class();
        let [agrees, differs] = words(arena);
        let right = truth.map(|truth| truth == answer.prediction.class);
        let probability = answer.prediction.probabilities().get(answer.prediction.class).copied().unwrap_or(0.0);
        view! {
            <tr class:right=right == Some(true) class:wrong=right == Some(false)>
                <th scope="row">{answer.who} <small>{answer.what}</small></th>
                <td class="answer">{class_name(arena, answer.prediction.class)}</td>
                <td class="value">{percent(probability)}</td>
                <td class="mark">
                    {match right {
                        Some(true) => view! { <span class="sign" aria-hidden="true">"\u{2713}"</span> {agrees} }.into_any(),
                        Some(false) => view! { <span class="sign" aria-hidden="true">"\u{2717}"</span> {differs} }.into_any(),
                        None => ().into_any(),
                    }}
                </td>
            </tr>
        }
    };
    let truth = move || {
        let stated = is_stated(arena);
        arena.class().map(|class| {
            let name = class_name(arena, class);
            if stated {
                format!("The truth: {name}")
            } else {
                format!("Untouched, it was seen as {name}; the truth was not said")
            }
        })
    };
    view! {
        <table class="verdict">
            <caption>{caption} <span class="truth">{truth}</span></caption>
            <thead class="visually-hidden">
                <tr><th scope="col">"Classifier"</th><th scope="col">"Answer"</th><th scope="col">"Probability"</th><th scope="col">"Verdict"</th></tr>
            </thead>
            <tbody>{move || answers.get().into_iter().map(row).collect_view()}</tbody>
        </table>
    }
}

/// Whether somebody said what the image shows.
fn is_stated(arena: Arena) -> bool {
    arena.subject.with(|subject| subject.as_ref().and_then(|subject: &Subject| subject.truth)).is_some()
}

/// What an answer is that agrees, and one that does not: without a truth only with the answer before the attack can it be compared.
pub fn words(arena: Arena) -> [&'static str; 2] {
    if is_stated(arena) { ["right", "wrong"] } else { ["as before", "another"] }
}
