//! What an element is wired to for its whole life: its host, the site, the engine.

use std::rc::Rc;

use leptos::prelude::*;
use riposte_protocol::{DatasetEntry, DevicePreference, Event, Manifest, ModelEntry, Request, RunId};
use riposte_spec::dataset::DatasetId;
use web_sys::HtmlElement;

use crate::client::{Client, Engine};
use crate::options::{Controls, Options, Site};

#[derive(Clone, Copy)]
pub struct Wiring {
    host: StoredValue<HtmlElement, LocalStorage>,
    site: StoredValue<Site>,
    manifest: StoredValue<Manifest>,
    options: StoredValue<Options>,
    client: StoredValue<Rc<Client>, LocalStorage>,
}

impl Wiring {
    pub fn new(host: HtmlElement, site: Site, manifest: Manifest, mut options: Options) -> Self {
        let client = Client::shared(&site.worker, options.device);
        if options.device != DevicePreference::default() && options.device != client.preference() {
            options
                .notices
                .push("The device was chosen by the first element of this page: this one computes there, too.".to_owned());
        }
        Self {
            host: StoredValue::new_local(host),
            site: StoredValue::new(site),
            manifest: StoredValue::new(manifest),
            options: StoredValue::new(options),
            client: StoredValue::new_local(client),
        }
    }

    /// The custom element itself.
    pub fn with_host<T>(self, see: impl FnOnce(&HtmlElement) -> T) -> T {
        self.host.with_value(see)
    }

    /// What tells this element from others of its page, if anything does: its label, its id, its number.
    pub fn name(self) -> Option<String> {
        let label = self.with_host(|host| host.get_attribute("aria-label").or(Some(host.id()))).filter(|label| !label.is_empty());
        label.or_else(|| self.prefix().map(|prefix| prefix.trim_end_matches('.').to_owned())).filter(|name| !name.is_empty())
    }

    /// Address of the site's root, with a slash at its end.
    pub fn base(self) -> String {
        self.site.with_value(|site| site.base.clone())
    }

    pub fn with_manifest<T>(self, see: impl FnOnce(&Manifest) -> T) -> T {
        self.manifest.with_value(see)
    }

    pub fn entry_of(self, model: &str) -> Option<ModelEntry> {
        self.with_manifest(|manifest| manifest.models.iter().find(|entry| entry.card.id == model).cloned())
    }

    pub fn dataset_of(self, id: DatasetId) -> Option<DatasetEntry> {
        self.with_manifest(|manifest| manifest.datasets.iter().find(|set| set.id == id).cloned())
    }

    pub fn controls(self) -> Controls {
        self.options.with_value(|options| options.controls)
    }

    /// Whether each of the three acts is shown.
    pub fn acts(self) -> [bool; 3] {
        self.options.with_value(|options| options.acts)
    }

    /// The prefix of this element's keys in the page's address; none where its state is kept out of it.
    pub fn prefix(self) -> Option<String> {
        self.options.with_value(|options| options.hash.clone())
    }

    pub fn with_client<T>(self, see: impl FnOnce(&Rc<Client>) -> T) -> T {
        self.client.with_value(see)
    }

    /// Whether an engine is there to answer.
    pub fn has_engine(self) -> bool {
        self.with_client(|client| !matches!(client.engine().get(), Engine::Lost { .. }))
    }

    /// Sends a request about a new run; `listen` hears its events, the last one included.
    pub fn run(self, request: impl FnOnce(RunId) -> Request, listen: impl Fn(&Event) + 'static) -> RunId {
        self.with_client(|client| client.run(request, listen))
    }

    pub fn cancel(self, run: Option<RunId>) {
        if let Some(run) = run {
            self.with_client(|client| client.send(Request::Cancel { run }));
        }
    }

    /// Lets the engine drop the copy that a run adapted.
    pub fn forget(self, run: RunId) {
        self.with_client(|client| client.send(Request::Forget { adapted: run }));
    }
}
