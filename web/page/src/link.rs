//! What a link asks for: the element's attributes, overruled by the page's address.

use std::collections::BTreeMap;

use riposte_spec::keys::Key;

use crate::options::Options;

/// An image that a link names.
#[derive(Clone, PartialEq)]
pub enum ImageKey {
    /// `test:7`: a test image, by its number in the official set.
    Test(u32),
    /// `px:...`: a visitor's own, as its pixels.
    Pixels(Vec<u8>),
}

#[derive(Clone, Default)]
pub struct Link {
    pub dataset: Option<String>,
    pub model: Option<String>,
    pub image: Option<ImageKey>,
    pub seed: Option<u32>,
    /// Acts to run at once.
    pub run: u8,
    /// Act 2 answers the untouched image.
    pub on_untouched: bool,
    /// The class of a visitor's own image.
    pub truth: Option<usize>,
    pub preset: Option<String>,
    /// Settings that differ from the preset's, by their names.
    pub settings: BTreeMap<String, String>,
    /// What could not be taken, each in a sentence.
    pub notices: Vec<String>,
}

impl Link {
    /// Reads the attributes, and the keys of the address that belong to this element.
    pub fn read(options: &Options, mut keys: BTreeMap<String, String>) -> Self {
        let mut notices = options.notices.clone();
        let mut take = |name: &str| keys.remove(name);
        let mut link = Self {
            // `data` and `truth` are what earlier links say.
            dataset: take("dataset").or_else(|| take("data")).or_else(|| options.dataset.clone()),
            model: take("model").or_else(|| options.model.clone()),
            truth: read(take("label").or_else(|| take("truth")), "label", "the number of a class", &mut notices, |text| {
                text.parse().ok()
            }),
            preset: take("preset").or_else(|| options.preset.clone()),
            ..Self::default()
        };
        let image = take("image").or_else(|| options.image.clone());
        link.image = read(image, "image", "an image: test:7 is the test image of number 7", &mut notices, ImageKey::read);
        link.seed =
            read(take("seed"), "seed", &format!("a whole number from 0 to {}", u32::MAX), &mut notices, |text| text.parse().ok())
                .or(options.seed);
        link.run = read(take("run"), "run", "a number of acts, from 0 to 3", &mut notices, acts).unwrap_or(options.run);
        let on = read(take("on"), "on", "attacked or untouched", &mut notices, |text| match text {
            "attacked" => Some(false),
            "untouched" => Some(true),
            _ => None,
        });
        link.on_untouched = on.unwrap_or(false);
        // An address overrules an attribute by whatever name.
        let same = |name: &str, other: &str| Key::named(name).map(|key| key.name) == Key::named(other).map(|key| key.name);
        let attributes = options.settings.iter().filter(|(name, _)| !keys.keys().any(|key| same(key, name)));
        link.settings = attributes.cloned().chain(keys.clone()).collect();
        link.notices = notices;
        link
    }
}

/// A number of acts to run.
pub fn acts(text: &str) -> Option<u8> {
    text.parse().ok().filter(|acts| *acts <= 3)
}

/// A value that can be wrong: then there is a sentence, and everything else stays.
fn read<T>(
    text: Option<String>,
    name: &str,
    expected: &str,
    notices: &mut Vec<String>,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let text = text?;
    let value = parse(&text);
    if value.is_none() {
        notices.push(refusal(name, &text, expected));
    }
    value
}

/// Says that a value was left out, as it is not what was expected.
pub fn refusal(name: &str, value: &str, expected: &str) -> String {
    left_out(name, value, &format!("it is not {expected}"))
}

/// Says that a value was left out, and why.
pub fn left_out(name: &str, value: &str, why: &str) -> String {
    let mut shown: String = value.chars().take(40).collect();
    if shown.len() < value.len() {
        shown.push('\u{2026}');
    }
    format!("{name} = \u{201c}{shown}\u{201d} was left out: {why}.")
}

impl ImageKey {
    fn read(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("test", number) => number.parse().ok().map(Self::Test),
            ("px", pixels) => from_base64(pixels).map(Self::Pixels),
            _ => None,
        }
    }

    pub fn write(&self) -> String {
        match self {
            Self::Test(number) => format!("test:{number}"),
            Self::Pixels(bytes) => format!("px:{}", to_base64(bytes)),
        }
    }
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
