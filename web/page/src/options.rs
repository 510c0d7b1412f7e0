//! What an element is told by its attributes.

use riposte_protocol::DevicePreference;
use serde::Deserialize;
use web_sys::HtmlElement;

use crate::words::parse_number;

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
    pub epsilon: Option<f32>,
    pub steps: Option<usize>,
    pub seed: Option<u32>,
    pub device: DevicePreference,
    /// Acts to show, of 1, 2, 3.
    pub acts: [bool; 3],
    pub controls: Controls,
    /// Acts to run at once: 0 to 3.
    pub run: u8,
    /// Whether the state lives in the page's address; the prefix of its keys.
    pub hash: Option<String>,
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

impl Options {
    pub fn read(host: &HtmlElement) -> Self {
        let text = |name: &str| host.get_attribute(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let acts = text("acts").unwrap_or_else(|| "123".to_owned());
        let id = host.id();
        Self {
            dataset: text("dataset"),
            model: text("model"),
            image: text("image"),
            epsilon: text("epsilon").and_then(|value| parse_number(&value)),
            steps: text("steps").and_then(|value| value.parse().ok()),
            seed: text("seed").and_then(|value| value.parse().ok()),
            device: match text("device").as_deref() {
                Some("cpu") => DevicePreference::Cpu,
                Some("webgpu") => DevicePreference::WebGpu,
                _ => DevicePreference::Auto,
            },
            acts: ['1', '2', '3'].map(|act| acts.contains(act)),
            controls: match text("controls").as_deref() {
                Some("run") => Controls::Run,
                Some("none") => Controls::None,
                _ => Controls::All,
            },
            run: text("run").and_then(|value| value.parse().ok()).unwrap_or(0).min(3),
            hash: match text("hash").as_deref() {
                Some("off") => None,
                _ if id.is_empty() => Some(String::new()),
                _ => Some(format!("{id}.")),
            },
        }
    }
}
