//! A visitor's own picture, made into one like the test images, and shown as the classifier sees it.

use leptos::prelude::*;
use riposte_data::photo::{Ink as Found, Photo};
use riposte_protocol::Picture;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{DragEvent, File};

use super::photo::{digit, middle, read};
use crate::hash::follow_record;
use crate::parts::{Ink, PictureCanvas};
use crate::state::{Arena, Origin, Subject};

/// A file field that also takes a dropped file.
#[component]
pub fn Upload() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let trouble = RwSignal::new(None::<String>);
    let busy = RwSignal::new(false);
    let light_ground = RwSignal::new(false);
    let photo = StoredValue::new(None::<(Photo, String)>);
    // Where the ink of a digit was found.
    let found = RwSignal::new(None::<Picture>);
    let gray = Memo::new(move |_| arena.dataset().image_shape()[0] == 1);
    let show = move || {
        let set = untrack(|| arena.dataset());
        trouble.set(None);
        photo.with_value(|photo| {
            let Some((photo, name)) = photo else { return };
            let image = if set.image_shape()[0] == 1 {
                let Some((ink, image)) = digit(photo, light_ground.get_untracked(), set) else {
                    return trouble
                        .set(Some(format!("There is no digit to be seen in \u{201c}{name}\u{201d}: nothing in it stands out from its ground as ink does.")));
                };
                found.set(Some(picture(ink)));
                image
            } else {
                middle(photo, set)
            };
            arena.choose(Subject { dataset: set, origin: Origin::Uploaded(name.clone()), image, truth: None });
        });
    };
    let take = move |file: File| {
        if file.name().to_lowercase().ends_with(".json") {
            return spawn_local(async move {
                let text = JsFuture::from(file.text()).await.ok().and_then(|text| text.as_string()).unwrap_or_default();
                _ = trouble.try_set(follow_record(arena, &text).err().map(str::to_owned));
            });
        }
        busy.set(true);
        trouble.set(None);
        spawn_local(async move {
            let read = read(&file).await;
            if busy.try_set(false).is_some() {
                return;
            }
            match read {
                Ok(seen) => {
                    light_ground.set(seen.is_on_light_ground());
                    photo.set_value(Some((seen, file.name())));
                    show();
                }
                Err(sentence) => trouble.set(Some(sentence)),
            }
        });
    };
    let drop_file = move |event: DragEvent| {
        event.prevent_default();
        if let Some(file) = event.data_transfer().and_then(|data| data.files()).and_then(|files| files.get(0)) {
            take(file);
        }
    };
    let has_photo = move || photo.with_value(Option::is_some);
    let shown = move || {
        arena.subject.with(|subject| {
            subject.as_ref().filter(|subject| matches!(subject.origin, Origin::Uploaded(_))).map(|subject| subject.image.clone())
        })
    };
    view! {
        <div class="upload">
            <label class="drop" on:dragover=|event: DragEvent| event.prevent_default() on:drop=drop_file>
                <input
                    type="file"
                    accept="image/*,.json"
                    on:change:target=move |event| {
                        if let Some(file) = event.target().files().and_then(|files| files.get(0)) {
                            take(file);
                        }
                        // So that the same file can be taken again.
                        event.target().set_value("");
                    }
                />
                <span>{move || if busy.get() { "Reading the picture\u{2026}" } else { "Choose a picture, or drop one here" }}</span>
                <span class="hint">"It stays on your device. A record that was saved (JSON) goes here, too: the link in it begins the same run."</span>
            </label>
            {move || trouble.get().map(|sentence| view! { <p class="trouble" role="alert">{sentence}</p> })}
            {move || shown().map(|image| view! {
                <div class="seen">
                    <Show when=move || gray.get() && found.with(Option::is_some)>
                        <PictureCanvas
                            picture=found
                            ink=Signal::stored(Ink::Image)
                            label=Signal::stored("The ink that was found in your picture".to_owned())
                        />
                    </Show>
                    <PictureCanvas
                        picture=Signal::stored(Some(image))
                        ink=Signal::stored(Ink::Image)
                        label=Signal::stored("Your picture as the classifier sees it".to_owned())
                    />
                    <div>
                        <p class="hint">{move || if gray.get() {
                            "The ink that was found, and what the classifier sees: fitted into a box and centered, as MNIST\u{2019}s makers did with their scans."
                        } else {
                            "As the classifier sees it: the middle square, resized."
                        }}</p>
                        <label class="tick" hidden=move || !gray.get() || !has_photo()>
                            <input type="checkbox" prop:checked=move || light_ground.get() on:change:target=move |event| {
                                light_ground.set(event.target().checked());
                                show();
                            }/>
                            "Dark ink on light paper"
                        </label>
                    </div>
                </div>
            })}
        </div>
    }
}

/// Ink as a picture, light on dark.
fn picture(ink: Found) -> Picture {
    Picture { channels: 1, height: ink.height, width: ink.width, pixels: ink.strength }
}
