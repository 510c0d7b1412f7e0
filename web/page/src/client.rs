//! The one engine of a page, shared by all its elements.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::{Function, Promise, Reflect};
use leptos::prelude::*;
use riposte_protocol::{DeviceKind, DeviceNotice, DevicePreference, Event, Request, RunId};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, BlobPropertyBag, MessageEvent, Url, Worker, WorkerOptions, WorkerType};

/// What the engine is at.
#[derive(Clone, PartialEq)]
pub enum Engine {
    /// Its code is on its way.
    Starting,
    /// It computes on this device.
    Ready(DeviceNotice),
    /// It is lost; [`Client::restart`] starts another. `had_gpu`: it computed on WebGPU, so the processor is a way on.
    Lost { message: String, had_gpu: bool },
}

/// A file on its way.
#[derive(Clone, PartialEq)]
pub struct Download {
    pub what: String,
    pub received: u64,
    pub total: u64,
}

type Listener = Rc<dyn Fn(&Event)>;

/// Speaks to the worker.
pub struct Client {
    script: String,
    device: Cell<DevicePreference>,
    worker: RefCell<Option<Live>>,
    listeners: RefCell<HashMap<RunId, Listener>>,
    next: Cell<RunId>,
    /// Counts the workers so far: what one of them kept is gone with it.
    generation: ArcRwSignal<u32>,
    engine: ArcRwSignal<Engine>,
    download: ArcRwSignal<Option<Download>>,
}

/// A running worker, with requests that wait for its code.
struct Live {
    worker: Worker,
    /// Of the worker, and of the lock that it holds.
    name: String,
    waiting: Option<Vec<Request>>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(web_sys::Event)>,
}

thread_local! {
    static CLIENTS: RefCell<HashMap<String, Rc<Client>>> = RefCell::default();
}

impl Client {
    /// The engine of this page, started by the first element that asks. The first one's wish for a device counts.
    pub fn shared(script: &str, device: DevicePreference) -> Rc<Self> {
        CLIENTS.with_borrow_mut(|clients| {
            let client = clients.entry(script.to_owned()).or_insert_with(|| {
                let client = Rc::new(Self {
                    script: script.to_owned(),
                    device: Cell::new(device),
                    worker: RefCell::default(),
                    listeners: RefCell::default(),
                    next: Cell::new(1),
                    generation: ArcRwSignal::new(0),
                    engine: ArcRwSignal::new(Engine::Starting),
                    download: ArcRwSignal::new(None),
                });
                client.start();
                client
            });
            Rc::clone(client)
        })
    }

    /// The device that the first element asked for, or the visitor since.
    pub fn preference(&self) -> DevicePreference {
        self.device.get()
    }

    pub fn engine(&self) -> ArcRwSignal<Engine> {
        self.engine.clone()
    }

    /// The device, once it is known.
    pub fn device(&self) -> Option<DeviceNotice> {
        match self.engine.get_untracked() {
            Engine::Ready(device) => Some(device),
            Engine::Starting | Engine::Lost { .. } => None,
        }
    }

    pub fn download(&self) -> ArcRwSignal<Option<Download>> {
        self.download.clone()
    }

    pub fn generation(&self) -> ArcRwSignal<u32> {
        self.generation.clone()
    }

    /// Sends a request about a new run; `listen` hears its events, the last one included.
    pub fn run(&self, request: impl FnOnce(RunId) -> Request, listen: impl Fn(&Event) + 'static) -> RunId {
        let run = self.next.replace(self.next.get() + 1);
        self.listeners.borrow_mut().insert(run, Rc::new(listen));
        self.send(request(run));
        run
    }

    /// Sends a request that has no events of its own.
    pub fn send(&self, request: Request) {
        let mut live = self.worker.borrow_mut();
        match live.as_mut() {
            Some(Live { waiting: Some(waiting), .. }) => waiting.push(request),
            Some(Live { worker, .. }) => post(worker, &request),
            None => {}
        }
    }

    /// Ends the worker, if there is one, and starts another, on another device if one is named. What the old one kept is gone.
    pub fn restart(self: &Rc<Self>, device: Option<DevicePreference>) {
        self.device.set(device.unwrap_or(self.device.get()));
        self.stop("The engine was started anew.");
        self.start();
    }

    fn start(self: &Rc<Self>) {
        self.engine.set(Engine::Starting);
        let name = format!("riposte-engine-{}", js_sys::Math::random());
        let worker = match worker(&self.script, &name) {
            Ok(worker) => worker,
            Err(error) => return self.lose(&format!("This browser did not start the engine: {}", text_of(&error))),
        };
        let client = Rc::downgrade(self);
        let on_message = Closure::<dyn FnMut(_)>::new(move |message: MessageEvent| {
            let Some(client) = client.upgrade() else { return };
            match serde_wasm_bindgen::from_value(message.data()) {
                Ok(event) => client.hear(&event),
                Err(error) => {
                    client.lose(&format!("The engine and the page are of different versions ({error}). Reload the page."))
                }
            }
        });
        let client = Rc::downgrade(self);
        let on_error = Closure::<dyn FnMut(_)>::new(move |_: web_sys::Event| {
            if let Some(client) = client.upgrade() {
                client.lose("The engine's code could not be loaded or stopped unexpectedly.");
            }
        });
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        let waiting = Some(vec![Request::Start { device: self.device.get() }]);
        *self.worker.borrow_mut() = Some(Live { worker, name, waiting, _on_message: on_message, _on_error: on_error });
        self.generation.update(|generation| *generation += 1);
    }

    /// Hears of the end of the worker that is there by the lock that it holds: a browser that ends one, for want of memory say, tells
    /// nobody. Where there are no locks, a worker that was ended is as one that is busy.
    fn watch(self: &Rc<Self>) {
        let Some(name) = self.worker.borrow().as_ref().map(|live| live.name.clone()) else { return };
        let Ok(free) = when_free(&name) else { return };
        let client = Rc::downgrade(self);
        spawn_local(async move {
            // A page without an origin is refused: it has no locks.
            let (Ok(_), Some(client)) = (JsFuture::from(free).await, client.upgrade()) else { return };
            // One that the page itself has ended is of no interest.
            let is_there = client.worker.borrow().as_ref().is_some_and(|live| live.name == name);
            if is_there {
                client.lose("The browser ended the engine, as it does where memory is short.");
            }
        });
    }

    fn hear(self: &Rc<Self>, event: &Event) {
        match event {
            Event::Booted => {
                self.watch();
                if let Some(live) = self.worker.borrow_mut().as_mut() {
                    for request in live.waiting.take().unwrap_or_default() {
                        post(&live.worker, &request);
                    }
                }
            }
            Event::Download { what, received, total } => {
                let under_way = received < total;
                self.download.set(under_way.then(|| Download { what: what.clone(), received: *received, total: *total }));
            }
            Event::Device(notice) => self.engine.set(Engine::Ready(notice.clone())),
            Event::Crashed { message } => self.lose(message),
            event => {
                let Some(run) = event.run() else { return };
                // The listener may start a run of its own: no borrow while it runs.
                let listener = match event.is_last() {
                    true => self.listeners.borrow_mut().remove(&run),
                    false => self.listeners.borrow().get(&run).cloned(),
                };
                if let Some(listener) = listener {
                    listener(event);
                }
            }
        }
    }

    fn lose(&self, message: &str) {
        // One loss has several signs: the first says why.
        if matches!(self.engine.get_untracked(), Engine::Lost { .. }) {
            return;
        }
        let had_gpu = matches!(self.engine.get_untracked(), Engine::Ready(device) if device.kind == DeviceKind::WebGpu);
        self.engine.set(Engine::Lost { message: message.to_owned(), had_gpu });
        self.stop(message);
    }

    /// Ends the worker and every run with it.
    fn stop(&self, message: &str) {
        if let Some(live) = self.worker.borrow_mut().take() {
            live.worker.terminate();
        }
        self.download.set(None);
        let listeners = std::mem::take(&mut *self.listeners.borrow_mut());
        for (run, listener) in listeners {
            listener(&Event::Failed { run, message: message.to_owned(), retry: true });
        }
    }
}

fn post(worker: &Worker, request: &Request) {
    // Plain data: neither step can fail.
    let message = serde_wasm_bindgen::to_value(request).expect("a request is plain data");
    worker.post_message(&message).expect("plain data can be posted");
}

fn text_of(error: &JsValue) -> String {
    error.dyn_ref::<js_sys::Error>().map_or_else(|| format!("{error:?}"), |error| String::from(error.message()))
}

/// Settles when the lock of a name is free.
fn when_free(name: &str) -> Result<Promise, JsValue> {
    let locks = Reflect::get(&window().navigator(), &"locks".into())?;
    let request: Function = Reflect::get(&locks, &"request".into())?.dyn_into()?;
    request.call2(&locks, &name.into(), &Closure::once_into_js(|| ()))?.dyn_into()
}

/// Starts the worker of a script. Browsers start none of another origin's, as everything is to a frame with `sandbox`; but one of the
/// page's own may import that script, where its server lets others read it.
fn worker(script: &str, name: &str) -> Result<Worker, JsValue> {
    let options = WorkerOptions::new();
    options.set_name(name);
    // A page that carries its files has made this script itself, and it is no module: see `cargo xtask dist --single-file`.
    if script.starts_with("blob:") {
        return Worker::new_with_options(script, &options);
    }
    options.set_type(WorkerType::Module);
    Worker::new_with_options(script, &options).or_else(|_| {
        let kind = BlobPropertyBag::new();
        kind.set_type("text/javascript");
        // Not a module itself: a frame without an origin may start no module from a blob. What fails in it must be an error of the worker.
        let import = format!("import({script:?}).catch((error) => setTimeout(() => {{ throw error; }}));");
        let blob = Blob::new_with_str_sequence_and_options(&js_sys::Array::of1(&import.into()), &kind)?;
        let options = WorkerOptions::new();
        options.set_name(name);
        Worker::new_with_options(&Url::create_object_url_with_blob(&blob)?, &options)
    })
}
