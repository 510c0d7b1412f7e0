//! The state in the page's address: a link leads to the same run, seed and all.

use std::collections::BTreeMap;
use std::time::Duration;

use leptos::prelude::*;
use riposte_protocol::{Opened, Picture};
use wasm_bindgen::JsValue;

use crate::options::Options;
use crate::settings::codec;
use crate::state::{Arena, Load, Origin, Subject};
use crate::trace::Phase;

/// What a link asks for: the element's attributes, overruled by the address.
#[derive(Clone, Default)]
pub struct Link {
    pub dataset: Option<String>,
    pub model: Option<String>,
    pub image: Option<String>,
    pub seed: Option<u32>,
    /// Acts to run at once.
    pub run: u8,
    pub on_attacked: bool,
    truth: Option<usize>,
    preset: Option<String>,
    /// Settings that differ from the preset's, by the names in [`codec`].
    settings: BTreeMap<String, String>,
}

impl Link {
    pub fn read(options: &Options) -> Self {
        let mut keys = options.hash.as_deref().map(address_keys).unwrap_or_default();
        let mut take = |name: &str| keys.remove(name);
        let mut link = Self {
            dataset: take("data").or_else(|| options.dataset.clone()),
            model: take("model").or_else(|| options.model.clone()),
            image: take("image").or_else(|| options.image.clone()),
            seed: take("seed").and_then(|seed| seed.parse().ok()).or(options.seed),
            run: take("run").and_then(|run| run.parse().ok()).filter(|run| *run <= 3).unwrap_or(options.run),
            on_attacked: take("on").as_deref() != Some("untouched"),
            truth: take("truth").and_then(|truth| truth.parse().ok()),
            preset: take("preset"),
            settings: BTreeMap::new(),
        };
        link.settings = keys;
        for (key, value) in
            [("eps", options.epsilon.map(|eps| eps.to_string())), ("steps", options.steps.map(|steps| steps.to_string()))]
        {
            if let Some(value) = value {
                link.settings.entry(key.to_owned()).or_insert(value);
            }
        }
        link
    }

    /// Takes the settings of the preset, and what differs from them.
    pub fn settle(&self, arena: Arena, opened: &Opened) {
        let wanted = |name: &str| opened.presets.iter().find(|preset| preset.name == name);
        let Some(preset) = self.preset.as_deref().and_then(wanted).or(opened.presets.first()) else { return };
        let (mut attack, mut riposte) = (preset.attack, preset.riposte);
        for (key, value) in &self.settings {
            codec::apply(key, value, &mut attack, &mut riposte);
        }
        arena.preset.set(preset.name.clone());
        arena.attack.set(attack);
        arena.riposte.set(riposte);
    }

    /// Puts the image asked for under attack, or the first test image.
    pub fn settle_image(&self, arena: Arena) {
        let dataset = untrack(|| arena.dataset());
        let image = self.image.as_deref().unwrap_or_default();
        if let Some(pixels) = image.strip_prefix("px:").and_then(from_base64) {
            if pixels.len() == dataset.channels * dataset.height * dataset.width {
                let pixels = pixels.into_iter().map(|byte| f32::from(byte) / 255.0).collect();
                let picture = Picture { channels: dataset.channels, height: dataset.height, width: dataset.width, pixels };
                let truth = self.truth.filter(|truth| *truth < dataset.classes.len());
                return arena.choose(Origin::Drawn, picture, truth, dataset.id);
            }
        }
        arena.choose_test_image(image.strip_prefix("test:").and_then(|number| number.parse().ok()));
    }

    fn write(arena: Arena) -> Option<Vec<(&'static str, String)>> {
        let Load::Ready(opened) = arena.load.get() else { return None };
        let subject = arena.subject.get()?;
        let entry = arena.model_entry();
        let mut keys = vec![("data", entry.dataset), ("model", entry.id)];
        keys.push(("image", image_key(&subject)));
        if let (Some(truth), false) = (subject.truth, matches!(subject.origin, Origin::Test(_))) {
            keys.push(("truth", truth.to_string()));
        }
        let name = arena.preset.get();
        let preset = opened.presets.iter().find(|preset| preset.name == name)?;
        keys.push(("preset", name));
        keys.push(("seed", arena.seed.get().to_string()));
        if !arena.on_attacked.get() {
            keys.push(("on", "untouched".to_owned()));
        }
        keys.extend(codec::differences((&preset.attack, &preset.riposte), (&arena.attack.get(), &arena.riposte.get())));
        let done = [arena.attacked.phase.get(), arena.riposted.phase.get(), arena.countered.phase.get()];
        let run = done.iter().rposition(|phase| *phase == Phase::Done).map_or(0, |act| act + 1);
        let run = run.max(usize::from(arena.pending.get()));
        if run > 0 {
            keys.push(("run", run.to_string()));
        }
        Some(keys)
    }
}

/// Writes the state into the address whenever it changes, beside the keys of other elements.
pub fn keep_link(arena: Arena) {
    let Some(prefix) = arena.options.with_value(|options| options.hash.clone()) else { return };
    Effect::new(move |_| {
        let Some(keys) = Link::write(arena) else { return };
        // The browser lays the page out when its address changes: not within a click's own work.
        let prefix = prefix.clone();
        set_timeout(move || put_keys(&prefix, keys), Duration::ZERO);
    });
}

fn put_keys(prefix: &str, keys: Vec<(&'static str, String)>) {
    let others = raw_address().into_iter().filter(|(key, _)| !is_own(key, prefix)).map(|(key, value)| format!("{key}={value}"));
    let own =
        keys.into_iter().map(|(key, value)| format!("{prefix}{key}={}", String::from(js_sys::encode_uri_component(&value))));
    let address = format!("#{}", others.chain(own).collect::<Vec<_>>().join("&"));
    if window().location().hash().is_ok_and(|now| now == address) {
        return;
    }
    if let Ok(history) = window().history() {
        // Refused only when called hundreds of times a second: the next change writes it.
        _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&address));
    }
}

fn image_key(subject: &Subject) -> String {
    match subject.origin {
        Origin::Test(number) => format!("test:{number}"),
        Origin::Drawn | Origin::Uploaded(_) => {
            let bytes: Vec<u8> = subject.image.pixels.iter().map(|value| (value * 255.0).round() as u8).collect();
            format!("px:{}", to_base64(&bytes))
        }
    }
}

/// This element's keys in the address, without their prefix.
fn address_keys(prefix: &str) -> BTreeMap<String, String> {
    let own = raw_address().into_iter().filter(|(key, _)| is_own(key, prefix));
    own.map(|(key, value)| {
        let value = js_sys::decode_uri_component(&value).map(String::from).unwrap_or_default();
        (key[prefix.len()..].to_owned(), value)
    })
    .collect()
}

fn raw_address() -> Vec<(String, String)> {
    let hash = window().location().hash().unwrap_or_default();
    let pairs = hash.trim_start_matches('#').split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Keys without a prefix belong to the element without an id.
fn is_own(key: &str, prefix: &str) -> bool {
    if prefix.is_empty() { !key.contains('.') } else { key.starts_with(prefix) }
}

/// The alphabet that an address takes as it is.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (place, byte)| bits | u32::from(*byte) << (16 - 8 * place));
        for place in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for (place, letter) in group.iter().enumerate() {
            bits |= (ALPHABET.iter().position(|known| known == letter)? as u32) << (18 - 6 * place);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}
