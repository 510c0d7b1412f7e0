//! The page: attack an image, watch the classifier adapt to it, attack again.
//!
//! It computes nothing itself: a worker holds the models ([`client`] speaks to it), [`state`] holds what one `<riposte-arena>`
//! element knows, [`acts`] show it. `riposte.js` defines the element and calls [`mount`].

mod acts;
mod app;
mod choose;
mod client;
mod hash;
mod options;
mod parts;
mod settings;
mod share;
mod state;
mod trace;
mod words;

use leptos::mount::{UnmountHandle, mount_to};
use leptos::prelude::*;
use riposte_protocol::Manifest;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::HtmlElement;

use crate::app::App;
use crate::options::Site;
use crate::state::Arena;

/// A page shown in an element; dropping it (`free()` in JavaScript) takes it down.
#[wasm_bindgen]
pub struct Mounted {
    _handle: Box<dyn std::any::Any>,
}

/// Shows the page of the custom element `host` inside `root`. `site` holds the addresses `base`, `worker` and the text of the
/// manifest.
#[wasm_bindgen]
pub fn mount(host: HtmlElement, root: HtmlElement, site: JsValue) -> Result<Mounted, JsError> {
    let site: Site = serde_wasm_bindgen::from_value(site)?;
    let mut manifest: Manifest = serde_json::from_str(&site.manifest)?;
    // The first model of a dataset is the one it opens with: the one that takes least to fetch.
    manifest.models.sort_by_key(|model| model.weights.bytes);
    let options = options::Options::read(&host);
    let handle: UnmountHandle<_> = mount_to(root.unchecked_into(), move || {
        let arena = Arena::new(host, site, manifest, options);
        provide_context(arena);
        view! { <App/> }
    });
    Ok(Mounted { _handle: Box::new(handle) })
}
