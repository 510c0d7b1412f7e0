//! The page: attack an image, watch the classifier adapt to it, attack again.
//!
//! It computes nothing itself: a worker holds the models (`client` speaks to it), `state` holds what one `<riposte-arena>`
//! element knows, `runs` are what a visitor can start, `order` is what follows from what, `acts` show it all. `riposte.js`
//! defines the element and calls `mount`.

mod acts;
mod app;
mod choose;
mod client;
mod hash;
mod hunt;
mod link;
mod options;
mod order;
mod parts;
mod prepared;
mod record;
mod runs;
mod settings;
mod share;
mod state;
mod sweep;
mod trace;
mod wiring;
mod words;

use std::cell::OnceCell;
use std::rc::Rc;

use leptos::mount::{UnmountHandle, mount_to};
use leptos::prelude::*;
use riposte_protocol::Manifest;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::HtmlElement;

use crate::app::App;
use crate::link::Link;
use crate::options::{Options, Site};
use crate::state::Arena;
use crate::wiring::Wiring;

/// A page shown in an element; dropping it (`free()` in JavaScript) takes it down.
#[wasm_bindgen]
pub struct Mounted {
    _handle: Box<dyn std::any::Any>,
    arena: Arena,
}

#[wasm_bindgen]
impl Mounted {
    /// Whether an attribute of this name says what is shown: when it changes, the element begins anew.
    pub fn reads(&self, attribute: &str) -> bool {
        options::is_read(attribute)
    }

    /// Whether the page's address asks for something else than what is shown. An anchor asks for nothing.
    #[wasm_bindgen(js_name = addressAsksOtherwise)]
    pub fn address_asks_otherwise(&self) -> bool {
        hash::asks_otherwise(self.arena)
    }

    /// Puts the state back into the address after an anchor has taken its place.
    #[wasm_bindgen(js_name = keepAddress)]
    pub fn keep_address(&self) {
        hash::restore(self.arena);
    }
}

/// Shows the page of the custom element `host` inside `root`. `site` holds the addresses `base`, `worker` and the text of the
/// manifest.
#[wasm_bindgen]
pub fn mount(host: HtmlElement, root: HtmlElement, site: JsValue) -> Result<Mounted, JsError> {
    let site: Site = serde_wasm_bindgen::from_value(site)?;
    // The browser's own parser: a second one would have to be downloaded.
    let parsed = js_sys::JSON::parse(&site.manifest).map_err(|_| JsError::new("the manifest is not JSON"))?;
    let mut manifest: Manifest = serde_wasm_bindgen::from_value(parsed)?;
    manifest.sort_models();
    let options = Options::read(&host);
    let keys = options.hash.as_deref().map(hash::own_keys).unwrap_or_default();
    let link = Link::read(&options, keys);
    let shown = Rc::new(OnceCell::new());
    let told = Rc::clone(&shown);
    let handle: UnmountHandle<_> = mount_to(root.unchecked_into(), move || {
        let arena = Arena::new(Wiring::new(host, site, manifest, options), &link);
        order::keep(arena, link);
        hash::keep_link(arena);
        share::announce_results(arena);
        provide_context(arena);
        _ = told.set(arena);
        view! { <App/> }
    });
    let arena = *shown.get().ok_or_else(|| JsError::new("the page was not mounted"))?;
    Ok(Mounted { _handle: Box::new(handle), arena })
}
