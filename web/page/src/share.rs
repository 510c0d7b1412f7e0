//! Taking a run away: its images, its record, the command that repeats it, its link; and telling the embedding page.

use std::time::Duration;

use js_sys::{JSON, Object};
use leptos::html;
use leptos::prelude::*;
use riposte_protocol::{Picture, Work};
use riposte_spec::duel::{Duel, Opinion};
use riposte_spec::keys;
use riposte_spec::outcome::Outcome;
use serde::Serialize;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, BlobPropertyBag, CustomEvent, CustomEventInit, HtmlAnchorElement, Url};

use crate::hash::link_to;
use crate::parts::{Ink, png_of};
use crate::state::{Arena, Origin};
use crate::trace::{AttackTrace, Phase};

/// Edge of an image's pixel in a downloaded PNG.
const PNG_SCALE: u32 = 16;

/// Between two downloads: some browsers keep only the last of several that one click starts at once.
const BETWEEN: Duration = Duration::from_millis(400);

/// What is said after a button was pressed.
#[derive(Clone, PartialEq)]
enum Said {
    Nothing,
    Done(&'static str),
    /// The browser did not let the page write to the clipboard: the text itself.
    ByHand(String),
}

/// Buttons that save and copy.
#[component]
pub fn Downloads() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let said = RwSignal::new(Said::Nothing);
    let save_images = move |_| {
        let images = untrack(|| images(arena));
        for (place, (name, picture, ink)) in images.into_iter().enumerate() {
            let keep = move || {
                if let Some(address) = png_of(&picture, ink, PNG_SCALE) {
                    save(&address, &format!("riposte-{name}.png"));
                }
            };
            set_timeout(keep, BETWEEN * place as u32);
        }
        said.set(Said::Done("The images are being saved."));
    };
    let save_record = move |_| {
        let text = untrack(|| record(arena, None)).and_then(|record| indented(&record));
        let Some(text) = text else { return };
        let options = BlobPropertyBag::new();
        options.set_type("application/json");
        let parts = js_sys::Array::of1(&JsValue::from_str(&text));
        let address =
            Blob::new_with_str_sequence_and_options(&parts, &options).and_then(|blob| Url::create_object_url_with_blob(&blob));
        if let Ok(address) = address {
            save(&address, "riposte-run.json");
            _ = Url::revoke_object_url(&address);
            said.set(Said::Done("The record was saved."));
        }
    };
    let copy = move |text: String, done: &'static str| {
        wasm_bindgen_futures::spawn_local(async move {
            let words = if copied(&text).await { Said::Done(done) } else { Said::ByHand(text) };
            _ = said.try_set(words);
        });
    };
    let copy_link = move |_| {
        if let Some(link) = link_to(arena) {
            copy(link, "The link was copied.");
        }
    };
    let command = move || untrack(|| command(arena));
    let copy_command = move |_| {
        if let Some(command) = command() {
            copy(command, "The command was copied.");
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
                <span role="status">{move || match said.get() {
                    Said::Nothing => "",
                    Said::Done(words) => words,
                    Said::ByHand(_) => "This browser does not let the page write to the clipboard. Copy it from here:",
                }}</span>
                {move || match said.get() {
                    Said::ByHand(text) => Some(view! { <ByHand text/> }),
                    Said::Nothing | Said::Done(_) => None,
                }}
            </div>
        </Show>
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
async fn copied(text: &str) -> bool {
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
    if let Some(end) = arena.runs.countered.end() {
        images.push(("re-attacked", end.image, Ink::Image));
    }
    images.insert(0, ("original", original, Ink::Image));
    images
}

/// What a record has beside the duel.
#[derive(Serialize)]
struct OfThePage {
    /// The act that is done, where that is what the record is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<usize>,
    /// What act 2 answers: the attacked image or the untouched one.
    on: &'static str,
    /// The base model's logits at the attack's start and after each of its steps.
    steps: Vec<Vec<f32>>,
    /// The images themselves.
    images: Images,
    /// What the defense did.
    work: Option<Work>,
    /// Act 3.
    counter: Option<Counter>,
}

#[derive(Serialize)]
struct Images {
    natural: Option<Pixels>,
    attacked: Option<Pixels>,
    neighbor: Option<Pixels>,
}

#[derive(Serialize)]
struct Pixels {
    /// Channels, height, width.
    shape: [usize; 3],
    /// In [0, 1], channel by channel, row by row.
    values: Vec<f32>,
}

/// The plain re-attack: on the adapted copy as it stands, from the untouched image.
#[derive(Serialize)]
struct Counter {
    /// The copy on the image made against it.
    attacked: Option<Opinion>,
    steps: Vec<Vec<f32>>,
    image: Option<Pixels>,
    /// What the defense answers that image, adapting afresh.
    answer: Option<Opinion>,
}

/// What is saved and announced, as an object: the duel in the words of `riposte duel --json`, and what only a page has.
fn record(arena: Arena, act: Option<usize>) -> Option<Object> {
    let (duel, rest) = pieces(arena, act);
    // The browser's own parser makes objects of text, and one of two.
    let object = |text: serde_json::Result<String>| JSON::parse(&text.ok()?).ok()?.dyn_into::<Object>().ok();
    Some(Object::assign(&object(serde_json::to_string(&duel))?, &object(serde_json::to_string(&rest))?))
}

fn indented(record: &Object) -> Option<String> {
    JSON::stringify_with_replacer_and_space(record, &JsValue::NULL, &JsValue::from(2)).ok().map(String::from)
}

fn pieces(arena: Arena, act: Option<usize>) -> (Duel, OfThePage) {
    let (subject, riposted, attacked) = (arena.subject.get(), arena.runs.riposted, arena.runs.attacked);
    let (label, natural) = (subject.as_ref().and_then(|subject| subject.truth), arena.natural.get());
    let (end, verdict) = (attacked.end(), riposted.verdict.get());
    let found = riposted.found.get().filter(|_| verdict.is_some());
    let original_image = subject.as_ref().map(|subject| &subject.image);
    let outcome =
        label.zip(found.as_ref()).zip(verdict.as_ref()).filter(|_| arena.on_attacked.get()).map(|((label, found), verdict)| {
            Outcome::of(label, found.original.class, found.neighbor.class, verdict.adapted.class)
        });
    let iterations = riposted.iterations.get();
    let race = found.iter().map(|found| found.original.logits.clone()).chain(iterations.iter().map(|one| one.logits.clone()));
    let class = arena.class();
    let fooled_after = end.as_ref().filter(|end| Some(end.prediction.class) != class).and_then(|_| {
        attacked.steps.with(|steps| steps.iter().find(|step| Some(step.prediction.class) != class).map(|step| step.index))
    });
    let duel = Duel {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        date: Some(String::from(js_sys::Date::new_0().to_iso_string())),
        device: arena.wiring.with_client(|client| client.device_words()),
        command: command(arena),
        link: link_to(arena),
        dataset: arena.dataset(),
        classes: arena.dataset().classes().iter().map(|name| (*name).to_owned()).collect(),
        index: subject.as_ref().and_then(|subject| match subject.origin {
            Origin::Test(number) => Some(number.into()),
            Origin::Drawn | Origin::Uploaded(_) => None,
        }),
        label,
        model: arena.model.get(),
        weights_sha256: arena.model_entry().weights.sha256,
        preset: arena.preset.get(),
        seed: arena.seed.get().into(),
        attack: arena.attack.get(),
        target: arena.target.get(),
        riposte: arena.riposte.get(),
        outcome,
        natural: natural.as_ref().map(Opinion::from),
        attacked: end.as_ref().map(|end| Opinion::from(&end.prediction)),
        perturbation: end.as_ref().zip(original_image).map(|(end, image)| end.image.minus(image).max_abs()),
        fooled_after,
        original: found.as_ref().map(|found| found.original.class),
        neighbor: found.as_ref().map(|found| found.neighbor.class),
        riposted: verdict.as_ref().map(|verdict| verdict.riposted),
        answer: verdict.as_ref().map(|verdict| Opinion::from(&verdict.adapted)),
        race: if iterations.is_empty() { Vec::new() } else { race.collect() },
        losses: iterations.iter().map(|one| one.loss).collect(),
        seconds: attacked.seconds.get() + verdict.as_ref().map_or(0.0, |verdict| verdict.work.seconds),
    };
    let rest = OfThePage {
        act,
        on: if arena.on_attacked.get() { "attacked" } else { "untouched" },
        steps: logits(attacked),
        images: Images {
            natural: original_image.map(pixels),
            attacked: end.as_ref().map(|end| pixels(&end.image)),
            neighbor: found.as_ref().map(|found| pixels(&found.image)),
        },
        work: verdict.map(|verdict| verdict.work),
        counter: arena.runs.countered.end().map(|end| Counter {
            attacked: Some(Opinion::from(&end.prediction)),
            steps: logits(arena.runs.countered),
            image: Some(pixels(&end.image)),
            answer: arena.runs.second.verdict.get().map(|verdict| Opinion::from(&verdict.adapted)),
        }),
    };
    (duel, rest)
}

fn logits(trace: AttackTrace) -> Vec<Vec<f32>> {
    trace.steps.with(|steps| steps.iter().map(|step| step.prediction.logits.clone()).collect())
}

fn pixels(picture: &Picture) -> Pixels {
    Pixels { shape: [picture.channels, picture.height, picture.width], values: picture.pixels.clone() }
}

/// The native command that repeats the run; none for a picture that only this page has.
fn command(arena: Arena) -> Option<String> {
    let Origin::Test(number) = arena.subject.get()?.origin else { return None };
    let (dataset, model, preset) = (arena.dataset(), arena.model.get(), arena.preset.get());
    let (seed, samples) = (arena.seed.get(), arena.dataset_entry().training_images);
    let mut command = format!(
        "riposte duel --dataset {dataset} --model {model} --index {number} --preset {preset} --seed {seed} --post-samples {samples}"
    );
    for (name, value) in keys::differences(&preset.preset(), &arena.setup()) {
        command.push_str(&format!(" --{name} {value}"));
    }
    Some(command)
}

/// Offers an address as a download.
fn save(address: &str, name: &str) {
    if let Some(link) = document().create_element("a").ok().and_then(|link| link.dyn_into::<HtmlAnchorElement>().ok()) {
        link.set_href(address);
        link.set_download(name);
        link.click();
    }
}
