//! Test images, a column for each class.

use leptos::prelude::*;
use riposte_protocol::{Event, Request, Sample};

use crate::parts::{Ink, PictureCanvas};
use crate::state::{Arena, Load, Origin, Subject};

/// Images of each class on one sheet.
const PER_CLASS: usize = 4;

/// A contact sheet with pages. Arrow keys walk over it.
#[component]
pub fn Gallery() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let samples = RwSignal::new(Vec::<Sample>::new());
    let sheet = RwSignal::new(0usize);
    let sheets = Memo::new(move |_| match arena.load.get() {
        Load::Ready { test_images } => test_images.div_ceil(PER_CLASS),
        Load::Waiting | Load::Failed { .. } => 0,
    });
    Effect::new(move |_| {
        if sheets.get() == 0 {
            return samples.set(Vec::new());
        }
        let (model, skip) = (arena.model.get_untracked(), sheet.get() * PER_CLASS);
        arena.wiring.with_client(|client| {
            client.run(
                move |run| Request::Gallery { run, model, skip, count: PER_CLASS },
                move |event| {
                    if let Event::Gallery { samples: found, .. } = event {
                        _ = samples.try_set(found.clone());
                    }
                },
            );
        });
    });
    let classes = Memo::new(move |_| arena.dataset().classes());
    let chosen = Memo::new(move |_| {
        arena.subject.with(|subject| match subject.as_ref().map(|subject| &subject.origin) {
            Some(Origin::Test(number)) => Some(*number),
            _ => None,
        })
    });
    // One thumbnail takes the tab stop: the chosen one, or the first.
    let stop = move || {
        let chosen = chosen.get();
        samples.with(|samples| {
            let place = samples.iter().position(|sample| Some(sample.number) == chosen).unwrap_or(0);
            samples.get(place).map(|sample| sample.number)
        })
    };
    let thumbnail = move |place: usize, sample: Sample| {
        let (number, label) = (sample.number, sample.label);
        let subject = Subject::test(sample.clone(), arena.dataset());
        let name = classes.get().get(label).copied().unwrap_or_default();
        let choose = move || arena.choose(subject.clone());
        view! {
            <button
                type="button"
                class="thumbnail"
                class:chosen=move || chosen.get() == Some(number)
                aria-pressed=move || (chosen.get() == Some(number)).to_string()
                tabindex=move || if stop() == Some(number) { 0 } else { -1 }
                aria-label=format!("{name}, test image {number}")
                title=format!("{name}, test image {number}")
                on:click=move |_| choose()
                on:keydown=move |event| {
                    let (columns, count) = (classes.get_untracked().len(), samples.with_untracked(Vec::len));
                    let next = match event.key().as_str() {
                        "ArrowRight" => place + 1,
                        "ArrowLeft" => place.wrapping_sub(1),
                        "ArrowDown" => place + columns,
                        "ArrowUp" => place.wrapping_sub(columns),
                        _ => return,
                    };
                    event.prevent_default();
                    if next < count {
                        super::focus_sibling(&event, next);
                    }
                }
            >
                <PictureCanvas picture=Signal::stored(Some(sample.image)) ink=Signal::stored(Ink::Image) label=Signal::stored(String::new())/>
            </button>
        }
    };
    // Row by row: the first image of every class, then the second.
    let rows = move || {
        let mut found = samples.get();
        found.sort_by_key(|sample| sample.label);
        let mut seen = vec![0usize; classes.get().len()];
        let mut placed: Vec<(usize, Sample)> = found
            .into_iter()
            .map(|sample| {
                let row = seen[sample.label];
                seen[sample.label] += 1;
                (row, sample)
            })
            .collect();
        placed.sort_by_key(|(row, sample)| (*row, sample.label));
        placed.into_iter().enumerate().map(|(place, (_, sample))| thumbnail(place, sample)).collect_view()
    };
    let turn = move |by: usize| sheet.update(|sheet| *sheet = (*sheet + by) % sheets.get_untracked().max(1));
    view! {
        <div class="gallery">
            <div class="heads" class:words=move || classes.get().iter().any(|name| name.len() > 2) aria-hidden="true">
                {move || classes.get().iter().map(|name| view! { <span>{*name}</span> }).collect_view()}
            </div>
            <div class="sheet" role="group" aria-label="Test images by class">{rows}</div>
            <div class="pages">
                <button type="button" class="plain" hidden=move || sheets.get() < 2 on:click=move |_| turn(sheets.get_untracked() - 1)>
                    "\u{2190} Back"
                </button>
                <span>{move || if sheets.get() == 0 { "The images come with the model.".to_owned() } else { format!("Sheet {} of {}", sheet.get() + 1, sheets.get()) }}</span>
                <button type="button" class="plain" hidden=move || sheets.get() < 2 on:click=move |_| turn(1)>"More \u{2192}"</button>
            </div>
        </div>
    }
}
