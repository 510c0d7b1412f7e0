//! The worker's surroundings: posting, the clock, giving way.

use js_sys::{Function, Promise};
use riposte_protocol::Event;
use serde::Serialize;
use serde_wasm_bindgen::Serializer;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, MessageChannel};

/// The worker itself.
pub fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Tells the page.
pub fn post(event: &Event) {
    // Plain data: neither step can fail.
    let message = event.serialize(&Serializer::new()).expect("an event is plain data");
    scope().post_message(&message).expect("plain data can be posted");
}

/// Seconds since the worker started.
pub fn now() -> f64 {
    scope().performance().map_or(0.0, |performance| performance.now() / 1e3)
}

/// Lets waiting messages in: what came before this call is heard before it returns. A timer would wait 4 ms each time.
pub async fn give_way() {
    let Ok(channel) = MessageChannel::new() else { return };
    let heard = Promise::new(&mut |resolve, _| channel.port1().set_onmessage(Some(&resolve)));
    if channel.port2().post_message(&JsValue::NULL).is_ok() {
        // It never rejects.
        _ = JsFuture::from(heard).await;
    }
    channel.port1().close();
}

/// Seconds between looks at a run: often enough for the eye and for whoever wants to stop it.
const LOOK: f64 = 0.1;

/// Says when to look at a run that goes on: each look waits for the device, and drawing what is seen takes a processor's time.
pub struct Pace {
    looked: f64,
    /// Steps since then.
    steps: usize,
    /// Steps to the next look.
    wanted: usize,
}

impl Pace {
    pub fn new() -> Self {
        Self { looked: now(), steps: 0, wanted: 1 }
    }

    /// Counts a step, and says whether to look after it.
    pub fn step(&mut self) -> bool {
        self.steps += 1;
        self.steps >= self.wanted
    }

    /// To be called after each look, when the device has done all steps up to it.
    pub fn looked(&mut self) {
        let seconds = (now() - self.looked).max(1e-6);
        // The first looks say little: a shader is compiled when it is first used.
        let most = 4 * self.steps.max(1);
        self.wanted = ((self.steps as f64 * LOOK / seconds) as usize).clamp(1, most);
        (self.looked, self.steps) = (now(), 0);
    }
}

/// Closed until it is opened, once.
pub struct Gate {
    promise: Promise,
    resolve: Function,
}

impl Default for Gate {
    fn default() -> Self {
        let mut kept = None;
        let promise = Promise::new(&mut |resolve, _| kept = Some(resolve));
        Self { promise, resolve: kept.expect("a promise calls its executor at once") }
    }
}

impl Gate {
    pub fn open(&self) {
        // Nothing is thrown by resolving a promise.
        _ = self.resolve.call0(&JsValue::UNDEFINED);
    }

    /// Waits until it is open.
    pub async fn passed(&self) {
        // It never rejects.
        _ = JsFuture::from(self.promise.clone()).await;
    }
}
