//! Words of the field, explained where they stand.

use std::sync::atomic::{AtomicUsize, Ordering};

use leptos::prelude::*;

/// Each word as texts have it, and what it means, for someone who comes new.
const TERMS: [(&str, &str); 7] = [
    ("classifier", "A program that has learned from examples to name what an image shows: here a small neural network."),
    ("pixel", "A dot of the image. A gray one is a number from 0, black, to 1, white; a colored one has three."),
    (
        "gradient",
        "For every pixel, how the answer would change if that pixel became a little lighter. To follow it is to take the change that hurts most.",
    ),
    (
        "class",
        "One of the ten answers that the classifier can give. The one that is easiest to mistake for its answer is called the neighbor class: the defense changes the image on purpose until the answer flips, and sees to what.",
    ),
    (
        "trains",
        "Shows the network examples and moves its weights a little each time, so that it errs less on them. Here that takes seconds, not days.",
    ),
    ("copy", "The same network once more. It trains on and may forget all other images; the original stays as it is."),
    ("adapts", "Trains a copy of itself for this one image before it answers, on the two classes that the image may be of."),
];

/// Numbers of tooltips: two elements of a page have their own.
static SHOWN: AtomicUsize = AtomicUsize::new(0);

/// A text in which each word of the field is explained once, while the pointer or the focus is on it.
#[component]
pub fn Explained(text: &'static str) -> impl IntoView {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut left: Vec<&(&str, &str)> = TERMS.iter().collect();
    while let Some((place, at)) = next(rest, &left) {
        let (word, meaning) = *left.remove(place);
        pieces.push(rest[..at].into_any());
        pieces.push(view! { <Term word meaning/> }.into_any());
        rest = &rest[at + word.len()..];
    }
    pieces.push(rest.into_any());
    pieces
}

/// Which of the terms comes next in a text, and where.
fn next(text: &str, terms: &[&(&str, &str)]) -> Option<(usize, usize)> {
    let found = |word: &str| {
        text.match_indices(word).map(|(at, _)| at).find(|&at| {
            let alone = |character: Option<char>| !character.is_some_and(char::is_alphabetic);
            alone(text[..at].chars().next_back()) && alone(text[at + word.len()..].chars().next())
        })
    };
    terms.iter().enumerate().filter_map(|(place, (word, _))| Some((place, found(word)?))).min_by_key(|(_, at)| *at)
}

#[component]
fn Term(word: &'static str, meaning: &'static str) -> impl IntoView {
    let id = format!("term-{}", SHOWN.fetch_add(1, Ordering::Relaxed));
    let open = RwSignal::new(false);
    let (show, hide) = (move || open.set(true), move || open.set(false));
    view! {
        <span on:mouseenter=move |_| show() on:mouseleave=move |_| hide()>
            <button
                type="button"
                class="term"
                aria-describedby=id.clone()
                on:focus=move |_| show()
                on:blur=move |_| hide()
                on:click=move |_| show()
                on:keydown=move |event| if event.key() == "Escape" { hide() }
            >
                {word}
            </button>
            <span class="meaning" role="tooltip" id=id hidden=move || !open.get()>{meaning}</span>
        </span>
    }
}
