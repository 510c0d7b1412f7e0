//! Choosing the image under attack.

mod draw;
mod gallery;
mod photo;
mod upload;

use leptos::prelude::*;

use crate::state::{Arena, Subject};
use draw::{Draw, Stroke};
use gallery::Gallery;
use upload::Upload;

#[derive(Clone, Copy, PartialEq)]
enum Tab {
    Pick,
    Draw,
    Upload,
}

/// Pick a test image, draw one, or upload one.
#[component]
pub fn Chooser() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let tab = RwSignal::new(Tab::Pick);
    // What is drawn stays on the paper while another tab is open.
    let paper = StoredValue::new(Vec::<Stroke>::new());
    // Drawing makes gray strokes: it is offered where pictures are gray.
    let gray = Memo::new(move |_| arena.dataset().image_shape()[0] == 1);
    let button = move |own: Tab, name: &'static str| {
        view! {
            <button
                type="button"
                role="tab"
                aria-selected=move || (tab.get() == own).to_string()
                tabindex=move || if tab.get() == own { 0 } else { -1 }
                on:click=move |_| tab.set(own)
                on:keydown=move |event| {
                    let tabs: &[Tab] = if gray.get_untracked() { &[Tab::Pick, Tab::Draw, Tab::Upload] } else { &[Tab::Pick, Tab::Upload] };
                    let place = tabs.iter().position(|known| *known == tab.get_untracked()).unwrap_or(0);
                    let next = match event.key().as_str() {
                        "ArrowRight" => (place + 1) % tabs.len(),
                        "ArrowLeft" => (place + tabs.len() - 1) % tabs.len(),
                        _ => return,
                    };
                    event.prevent_default();
                    tab.set(tabs[next]);
                    focus_sibling(&event, next);
                }
            >
                {name}
            </button>
        }
    };
    view! {
        <div class="chooser">
            <div class="tabs" role="tablist" aria-label="Where the image comes from">
                {button(Tab::Pick, "Pick")}
                {move || gray.get().then(|| button(Tab::Draw, "Draw"))}
                {button(Tab::Upload, "Upload")}
            </div>
            <div role="tabpanel" class="panel">
                {move || match tab.get() {
                    Tab::Pick => view! { <Gallery/> }.into_any(),
                    Tab::Draw => view! { <Draw strokes=paper/> }.into_any(),
                    Tab::Upload => view! { <Upload/> }.into_any(),
                }}
            </div>
            <TakeBack/>
            <Truth/>
        </div>
    }
}

/// The way back to the visitor's own picture while another image is under attack.
#[component]
fn TakeBack() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let waiting = Memo::new(move |_| {
        let own = arena.own.get().filter(|own| arena.fits(own))?;
        (arena.subject.with(|subject| subject.as_ref() != Some(&own))).then_some(own)
    });
    let take = move |_| {
        if let Some(own) = waiting.get_untracked() {
            arena.choose(own);
        }
    };
    view! {
        <Show when=move || waiting.with(Option::is_some)>
            <p class="take-back">
                <span>"A test image is under attack, not your own."</span>
                <button type="button" class="plain" on:click=take>"Back to your own picture"</button>
            </p>
        </Show>
    }
}

/// For a visitor's own picture: what it shows, if they say.
#[component]
fn Truth() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let own = Memo::new(move |_| arena.subject.with(|subject| subject.as_ref().is_some_and(Subject::is_own)));
    let options = move || {
        let unknown = ("none".to_owned(), "I will not say".to_owned());
        std::iter::once(unknown)
            .chain(arena.dataset().classes().iter().enumerate().map(|(index, name)| (index.to_string(), (*name).to_owned())))
            .collect::<Vec<_>>()
    };
    let value = move || {
        arena
            .subject
            .with(|subject| subject.as_ref().and_then(|subject| subject.truth))
            .map_or_else(|| "none".to_owned(), |truth| truth.to_string())
    };
    let set = move |value: String| {
        if let Some(subject) = arena.subject.get_untracked() {
            arena.choose(Subject { truth: value.parse().ok(), ..subject });
        }
    };
    view! {
        <Show when=move || own.get()>
            <crate::parts::Choice
                label="What it shows (optional)"
                hint="The right answer. Unsaid, it is what the classifier sees in the untouched picture."
                options=Signal::derive(options)
                value=Signal::derive(value)
                set=set
            />
        </Show>
    }
}

/// Moves the focus to another child of the element's parent.
fn focus_sibling(event: &web_sys::KeyboardEvent, index: usize) {
    use wasm_bindgen::JsCast;
    let parent =
        event.current_target().and_then(|target| target.dyn_into::<web_sys::Element>().ok()).and_then(|own| own.parent_element());
    let sibling = parent
        .and_then(|parent| parent.children().item(index as u32))
        .and_then(|child| child.dyn_into::<web_sys::HtmlElement>().ok());
    if let Some(sibling) = sibling {
        _ = sibling.focus();
    }
}
