//! Taking a run away: its images, its record, the command that repeats it, its link; and telling the embedding page.

use std::time::Duration;

use leptos::html;
use leptos::prelude::*;
use riposte_protocol::Picture;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, BlobPropertyBag, CustomEvent, CustomEventInit, HtmlAnchorElement, Url};

use crate::hash::link_to;
use crate::parts::{Ink, png_of};
use crate::record::{command, indented, record};
use crate::state::Arena;
use crate::trace::Phase;

/// Edge of an image's pixel in a downloaded PNG.
const PNG_SCALE: usize = 16;

/// Between two downloads: some browsers keep only the last of several that one click starts at once.
const BETWEEN: Duration = Duration::from_millis(400);

/// How long a file is kept for its download.
const KEPT: Duration = Duration::from_secs(60);

/// What is said after a button was pressed.
#[derive(Clone, PartialEq)]
pub enum Copied {
    Nothing,
    Done(&'static str),
    /// The browser did not let the page write to the clipboard: the text itself.
    ByHand(String),
}

/// Buttons that save and copy.
#[component]
pub fn Downloads() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let said = RwSignal::new(Copied::Nothing);
    let save_images = move |_| {
        save_in_turn(untrack(|| images(arena)).into_iter());
        said.set(Copied::Done("The images are being saved."));
    };
    let save_record = move |_| {
        let text = untrack(|| record(arena, None)).and_then(|record| indented(&record));
        if let Some(text) = text {
            said.set(save_text(&text, "riposte-run.json", "The record was saved."));
        }
    };
    let copy_link = move |_| {
        if let Some(link) = link_to(arena) {
            copied(link, "The link was copied.", said);
        }
    };
    let command = move || untrack(|| command(arena));
    let copy_command = move |_| {
        if let Some(command) = command() {
            copied(command, "The command was copied.", said);
        }
    };
    view! {
        <Show when=move || arena.runs.attacked.phase.get() == Phase::Done>
            <div class="share">
                <button type="button" class="plain" on:click=save_images>"Save images"</button>
                <button type="button" class="plain" on:click=save_record>"Save record (JSON)"</button>
                <button type="button" class="plain" on:click=copy_link>"Copy link"</button>
                <Show when=move || command().is_some()>
                    <button type="button" class="plain" on:click=copy_command>"Copy command"</button>
                </Show>
                {move || said.get().view()}
            </div>
        </Show>
    }
}

impl Copied {
    /// The words, for everyone and for screen readers.
    pub fn view(self) -> impl IntoView {
        let words = match self {
            Self::Nothing => "",
            Self::Done(words) => words,
            Self::ByHand(_) => "This browser does not let the page write to the clipboard. Copy it from here:",
        };
        let text = match self {
            Self::ByHand(text) => Some(view! { <ByHand text/> }),
            Self::Nothing | Self::Done(_) => None,
        };
        view! { <span role="status">{words}</span> {text} }
    }
}

/// Puts a text into the clipboard, and says what came of it.
pub fn copied(text: String, done: &'static str, said: RwSignal<Copied>) {
    wasm_bindgen_futures::spawn_local(async move {
        let words = if is_copied(&text).await { Copied::Done(done) } else { Copied::ByHand(text) };
        _ = said.try_set(words);
    });
}

/// Offers a JSON text as a download, and says so.
pub fn save_text(text: &str, name: &str, done: &'static str) -> Copied {
    match save(&JsValue::from_str(text), "application/json", name) {
        Ok(()) => Copied::Done(done),
        Err(_) => Copied::ByHand(text.to_owned()),
    }
}

/// A text to copy by hand, selected already.
#[component]
fn ByHand(text: String) -> impl IntoView {
    let field = NodeRef::<html::Textarea>::new();
    Effect::new(move |_| {
        if let Some(field) = field.get() {
            _ = field.focus();
            field.select();
        }
    });
    view! { <textarea class="by-hand" node_ref=field readonly rows="2" aria-label="To copy by hand">{text}</textarea> }
}

/// Whether a text is in the clipboard now. A page without a secure address has none, and a frame only by its page's leave.
async fn is_copied(text: &str) -> bool {
    let navigator = window().navigator();
    if js_sys::Reflect::get(&navigator, &"clipboard".into()).is_ok_and(|clipboard| clipboard.is_object()) {
        wasm_bindgen_futures::JsFuture::from(navigator.clipboard().write_text(text)).await.is_ok()
    } else {
        false
    }
}

/// Tells the embedding page, as a `riposte` event of the element, whenever an act is done.
pub fn announce_results(arena: Arena) {
    for (act, phase) in arena.runs.phases().into_iter().enumerate() {
        Effect::new(move |_| {
            if phase.get() != Phase::Done {
                return;
            }
            let Some(detail) = untrack(|| record(arena, Some(act + 1))) else { return };
            let init = CustomEventInit::new();
            init.set_detail(&detail);
            init.set_bubbles(true);
            init.set_composed(true);
            if let Ok(event) = CustomEvent::new_with_event_init_dict("riposte", &init) {
                arena.wiring.with_host(|host| _ = host.dispatch_event(&event));
            }
        });
    }
}

fn images(arena: Arena) -> Vec<(&'static str, Picture, Ink)> {
    let Some(original) = arena.subject.get().map(|subject| subject.image) else { return Vec::new() };
    let scale = arena.attack.with(|attack| attack.epsilon);
    let mut images = Vec::new();
    if let Some(end) = arena.runs.attacked.end() {
        images.push(("change", end.image.minus(&original), Ink::Change { scale }));
        images.push(("attacked", end.image, Ink::Image));
    }
    if let Some(found) = arena.runs.riposted.found.get() {
        images.push(("neighbor", found.image, Ink::Image));
    }
    if let Some(place) = arena.runs.countered.standing() {
        let point = arena.runs.countered.points.with(|points| points.get(place).cloned());
        images.extend(point.map(|point| ("counter", point, Ink::Image)));
    }
    images.insert(0, ("original", original, Ink::Image));
    images
}

/// Offers the first of some images as a download, and the others after a while.
fn save_in_turn(mut images: std::vec::IntoIter<(&'static str, Picture, Ink)>) {
    if let Some((name, picture, ink)) = images.next() {
        let bytes = js_sys::Uint8Array::from(&png_of(&picture, ink, PNG_SCALE)[..]);
        _ = save(&bytes.into(), "image/png", &format!("riposte-{name}.png"));
        set_timeout(move || save_in_turn(images), BETWEEN);
    }
}

/// Offers text or bytes as a download.
fn save(content: &JsValue, kind: &str, name: &str) -> Result<(), JsValue> {
    let options = BlobPropertyBag::new();
    options.set_type(kind);
    let blob = Blob::new_with_blob_sequence_and_options(&js_sys::Array::of1(content), &options)?;
    let address = Url::create_object_url_with_blob(&blob)?;
    let link: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
    link.set_href(&address);
    link.set_download(name);
    link.click();
    // A browser may begin to read it after the click.
    set_timeout(move || _ = Url::revoke_object_url(&address), KEPT);
    Ok(())
}
