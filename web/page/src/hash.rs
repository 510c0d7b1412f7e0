//! The state in the page's address: a link leads to the same run, seed and all.

use std::collections::BTreeMap;
use std::time::Duration;

use leptos::prelude::*;
use riposte_spec::{Choice as _, keys};
use wasm_bindgen::JsValue;

use crate::link::ImageKey;
use crate::state::{Arena, Origin, Subject};
use crate::trace::Phase;

/// Writes the state into the address whenever it changes, beside the keys of other elements.
pub fn keep_link(arena: Arena) {
    let Some(prefix) = arena.wiring.prefix() else { return };
    Effect::new(move |_| {
        let Some(keys) = state(arena) else { return };
        // The browser lays the page out when its address changes: not within a click's own work.
        let prefix = prefix.clone();
        set_timeout(move || put_keys(&prefix, keys), Duration::ZERO);
    });
}

/// Puts the state back after a jump to a heading has taken its place in the address.
pub fn restore(arena: Arena) {
    if let (Some(prefix), Some(keys)) = (arena.wiring.prefix(), untrack(|| state(arena))) {
        put_keys(&prefix, keys);
    }
}

/// Leads where the link of a record led: the element begins anew there. Otherwise it says why not.
pub fn follow_record(arena: Arena, text: &str) -> Result<(), &'static str> {
    let prefix = arena.wiring.prefix().ok_or("This experiment keeps its state to itself: load the record on the main page.")?;
    let record = js_sys::JSON::parse(text).map_err(|_| "The file is not JSON.")?;
    let link = js_sys::Reflect::get(&record, &"link".into()).ok().and_then(|link| link.as_string());
    let link = link.ok_or("The file is no record of a duel, or one of a model that no page has.")?;
    let keys = link.split_once('#').map_or("", |(_, keys)| keys);
    // The element that wrote it may have had a name of its own.
    let of_writer = keys.split('&').find_map(|pair| pair.split_once("dataset=")).map(|(before, _)| before);
    let of_writer = of_writer.ok_or("The link in the record leads to no run.")?;
    // The link is what is followed: it has to be that of the record.
    for name in ["dataset", "model", "seed"] {
        let said = js_sys::Reflect::get(&record, &name.into()).ok();
        let said = said.and_then(|said| said.as_string().or_else(|| said.as_f64().map(|number| number.to_string())));
        let key = format!("{of_writer}{name}=");
        if let (Some(said), Some(led)) = (said, keys.split('&').find_map(|pair| pair.strip_prefix(&key)))
            && said != led
        {
            return Err("The record was changed: its link leads to another run than it tells of.");
        }
    }
    let own = keys.split('&').filter_map(|pair| pair.strip_prefix(of_writer)).filter(|pair| pair.contains('='));
    let others = raw_address().into_iter().filter(|(key, _)| !is_own(key, &prefix)).map(|(key, value)| format!("{key}={value}"));
    let address = others.chain(own.map(|pair| format!("{prefix}{pair}"))).collect::<Vec<_>>().join("&");
    if window().location().hash().is_ok_and(|here| here.trim_start_matches('#') == address) {
        return Err("The page shows this run already.");
    }
    window().location().set_hash(&address).map_err(|_| "The browser refused the address.")
}

/// Whether the address asks for something else than what is shown: a link was followed, or the visitor went back or typed.
pub fn asks_otherwise(arena: Arena) -> bool {
    let Some(prefix) = arena.wiring.prefix() else { return false };
    let asked = own_keys(&prefix);
    let shown = untrack(|| state(arena));
    !asked.is_empty()
        && shown.is_none_or(|shown| asked != shown.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The address that leads to this run: this page's own where it holds the state, else the site's main page.
pub fn link_to(arena: Arena) -> Option<String> {
    let keys = untrack(|| state(arena))?;
    Some(match arena.wiring.prefix() {
        Some(prefix) => format!("{}{}", page(), fragment(&prefix, keys)),
        None => format!("{}{}", arena.wiring.base(), fragment("", keys)),
    })
}

/// This element's keys in the address, without their prefix.
pub fn own_keys(prefix: &str) -> BTreeMap<String, String> {
    let own = raw_address().into_iter().filter(|(key, _)| is_own(key, prefix));
    own.map(|(key, value)| {
        let value = js_sys::decode_uri_component(&value).map(String::from).unwrap_or_default();
        (key[prefix.len()..].to_owned(), value)
    })
    .collect()
}

/// What holds the state, under the words of the command line where that has them.
fn state(arena: Arena) -> Option<Vec<(&'static str, String)>> {
    let subject = arena.subject.get()?;
    let (dataset, preset) = (arena.dataset().name().to_owned(), arena.preset.get());
    let mut keys = vec![("dataset", dataset), ("model", arena.model.get()), ("image", image_key(&subject).write())];
    if let (Some(truth), true) = (subject.truth, subject.is_own()) {
        keys.push(("label", truth.to_string()));
    }
    keys.push(("preset", preset.name().to_owned()));
    keys.push(("seed", arena.seed.get().to_string()));
    if !arena.on_attacked.get() {
        keys.push(("on", "untouched".to_owned()));
    }
    keys.extend(keys::differences(&arena.base(), &arena.whole_setup()));
    let done = arena.runs.phases().map(|phase| phase.get());
    let run = done.iter().rposition(|phase| *phase == Phase::Done).map_or(0, |act| act + 1);
    let run = run.max(usize::from(arena.runs.pending.get()));
    if run > 0 {
        keys.push(("run", run.to_string()));
    }
    Some(keys)
}

fn put_keys(prefix: &str, keys: Vec<(&'static str, String)>) {
    let address = fragment(prefix, keys);
    if window().location().hash().is_ok_and(|now| now == address) {
        return;
    }
    if let Ok(history) = window().history() {
        // Refused only when called hundreds of times a second: the next change writes it.
        _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&address));
    }
}

/// The keys as the end of an address, after those of other elements.
fn fragment(prefix: &str, keys: Vec<(&'static str, String)>) -> String {
    let others = raw_address().into_iter().filter(|(key, _)| !is_own(key, prefix)).map(|(key, value)| format!("{key}={value}"));
    let own =
        keys.into_iter().map(|(key, value)| format!("{prefix}{key}={}", String::from(js_sys::encode_uri_component(&value))));
    format!("#{}", others.chain(own).collect::<Vec<_>>().join("&"))
}

fn image_key(subject: &Subject) -> ImageKey {
    match subject.origin {
        Origin::Test(number) => ImageKey::Test(number),
        Origin::Drawn | Origin::Uploaded(_) => {
            ImageKey::Pixels(subject.image.pixels.iter().map(|value| (value * 255.0).round() as u8).collect())
        }
    }
}

/// The page's address without its fragment.
fn page() -> String {
    let address = window().location().href().unwrap_or_default();
    address.split_once('#').map_or(address.clone(), |(page, _)| page.to_owned())
}

fn raw_address() -> Vec<(String, String)> {
    let hash = window().location().hash().unwrap_or_default();
    let pairs = hash.trim_start_matches('#').split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// No setting has a dot in its name: what has one more is of an element whose id begins with this one's.
fn is_own(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|name| !name.contains('.'))
}
