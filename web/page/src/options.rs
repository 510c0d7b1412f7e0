//! What an element is told by its attributes.

use leptos::prelude::{document, window};
use riposte_protocol::DevicePreference;
use riposte_spec::keys::{KEYS, Key};
use serde::Deserialize;
use web_sys::HtmlElement;

use crate::link::{acts, left_out, refusal};

/// Where the files of the site are, from `riposte.js`.
#[derive(Clone, Deserialize)]
pub struct Site {
    /// Address of the site's root, with a slash at its end.
    pub base: String,
    /// Address of the worker's script.
    pub worker: String,
    /// Text of the manifest.
    pub manifest: String,
}

/// The attributes of `<riposte-arena>`.
#[derive(Clone)]
pub struct Options {
    pub dataset: Option<String>,
    pub model: Option<String>,
    /// `test:NUMBER`.
    pub image: Option<String>,
    pub preset: Option<String>,
    pub seed: Option<u32>,
    /// Settings by their names, or what earlier versions called them.
    pub settings: Vec<(String, String)>,
    pub device: DevicePreference,
    /// Acts to show, of 1, 2, 3.
    pub acts: [bool; 3],
    pub controls: Controls,
    /// Acts to run at once: 0 to 3.
    pub run: u8,
    /// Whether the state lives in the page's address; the prefix of its keys.
    pub hash: Option<String>,
    /// What could not be taken, each in a sentence.
    pub notices: Vec<String>,
}

/// How much a visitor can change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Controls {
    All,
    /// The buttons that run the acts, no choices.
    Run,
    /// Nothing but the scrubbers.
    None,
}

/// The attributes that are no settings. `theme` is the style's, `assets`, `from-address` and `ready` are the script's.
const NAMES: [&str; 14] = [
    "assets",
    "dataset",
    "model",
    "image",
    "preset",
    "seed",
    "device",
    "acts",
    "controls",
    "run",
    "hash",
    "theme",
    "from-address",
    "ready",
];

impl Options {
    /// Reads the attributes of the element; of one that says `from-address`, also the page's parameters, for what no attribute says.
    pub fn read(host: &HtmlElement) -> Self {
        let mut given = attributes(host);
        if host.has_attribute("from-address") {
            let new: Vec<_> = parameters().into_iter().filter(|(name, _)| !host.has_attribute(name)).collect();
            given.extend(new);
        }
        given.retain(|(_, value)| !value.is_empty());
        let mut notices = Vec::new();
        let text = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let hash = prefix(host, text("hash").as_deref(), &mut notices);
        let mut one_of = |name: &str, expected: &str, known: &dyn Fn(&str) -> bool| {
            let value = text(name)?;
            if known(&value) {
                return Some(value);
            }
            notices.push(refusal(name, &value, expected));
            None
        };
        let device = one_of("device", "auto, webgpu or cpu", &|value| matches!(value, "auto" | "webgpu" | "cpu"));
        let shown =
            one_of("acts", "some of the acts 1, 2 and 3, such as 12", &|value| value.chars().all(|act| "123".contains(act)));
        let shown = shown.unwrap_or_else(|| "123".to_owned());
        let controls = one_of("controls", "all, run or none", &|value| matches!(value, "all" | "run" | "none"));
        let run = one_of("run", "a number of acts, from 0 to 3", &|value| acts(value).is_some());
        let seed = one_of("seed", "a whole number", &|value| value.parse::<u32>().is_ok());
        one_of("theme", "light or dark", &|value| matches!(value, "light" | "dark"));
        let mut settings = Vec::new();
        for (name, value) in &given {
            if Key::named(name).is_some() {
                settings.push((name.clone(), value.clone()));
            } else {
                notices.extend(misspelt(name));
            }
        }
        Self {
            dataset: text("dataset"),
            model: text("model"),
            image: text("image"),
            preset: text("preset"),
            seed: seed.and_then(|value| value.parse().ok()),
            settings,
            device: match device.as_deref() {
                Some("cpu") => DevicePreference::Cpu,
                Some("webgpu") => DevicePreference::WebGpu,
                _ => DevicePreference::Auto,
            },
            acts: ['1', '2', '3'].map(|act| shown.contains(act)),
            controls: match controls.as_deref() {
                Some("run") => Controls::Run,
                Some("none") => Controls::None,
                _ => Controls::All,
            },
            run: run.as_deref().and_then(acts).unwrap_or(0),
            hash,
            notices,
        }
    }
}

/// Whether a change of this attribute is one of what is shown.
pub fn is_read(attribute: &str) -> bool {
    let style_or_script = matches!(attribute, "theme" | "from-address" | "ready");
    !style_or_script && (NAMES.contains(&attribute) || Key::named(attribute).is_some())
}

fn attributes(host: &HtmlElement) -> Vec<(String, String)> {
    let names = host.get_attribute_names();
    let named = names.iter().filter_map(|name| name.as_string());
    named.filter_map(|name| host.get_attribute(&name).map(|value| (name, value.trim().to_owned()))).collect()
}

/// `?dataset=mnist&epsilon=0.2`
fn parameters() -> Vec<(String, String)> {
    let search = window().location().search().unwrap_or_default();
    let plain = |text: &str| js_sys::decode_uri_component(&text.replace('+', " ")).map(String::from).unwrap_or_default();
    let pairs = search.trim_start_matches('?').split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (plain(name), plain(value).trim().to_owned())).collect()
}

/// Where the element's state is in the address: under its id; without one, the first such element of a page has the plain keys, and
/// each after it a number before them.
fn prefix(host: &HtmlElement, hash: Option<&str>, notices: &mut Vec<String>) -> Option<String> {
    match hash {
        Some("off") => return None,
        None | Some("on") => {}
        Some(other) => notices.push(refusal("hash", other, "on or off")),
    }
    let id = host.id();
    if id.contains(|letter: char| !letter.is_alphanumeric() && !"-_.".contains(letter)) {
        notices.push(left_out(
            "id",
            &id,
            "the state is kept in the address under letters, digits, dots, - and _ alone, so it is not kept",
        ));
        return None;
    }
    if !id.is_empty() {
        return Some(format!("{id}."));
    }
    let all = document().get_elements_by_tag_name(&host.local_name());
    let without_id = (0..all.length())
        .filter_map(|place| all.item(place))
        .filter(|element| element.id().is_empty() && element.get_attribute("hash").as_deref() != Some("off"));
    let place = without_id.take_while(|element| !element.is_same_node(Some(host))).count();
    // An element inside another one's shadow tree is not among them.
    Some(if place == 0 { String::new() } else { format!("{}.", place + 1) })
}

/// A sentence about a name that is nearly an attribute. Names that are like none may be the page's own, or a tracker's.
fn misspelt(name: &str) -> Option<String> {
    let known = NAMES.into_iter().chain(KEYS.iter().map(|key| key.name));
    let (distance, nearest) = known.map(|known| (distance(name, known), known)).min()?;
    ((1..=2).contains(&distance) && name.len() > 3)
        .then(|| format!("There is no setting \u{201c}{name}\u{201d}. Was \u{201c}{nearest}\u{201d} meant?"))
}

/// How many letters must be changed, added or left out to get from one word to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (place, other) in to.chars().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[row.len() - 1]
}
