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
