//! The engine: the riposte core in a dedicated worker.
//!
//! The page sends a [`Request`], the engine answers with [`Event`]s. Runs take turns: each gives way to the event loop after every
//! step, so a request to stop one is heard within a step, and two elements of a page can run side by side.

mod convert;
mod device;
mod images;
mod memory;
mod models;
mod run;
mod store;
mod trouble;
mod worker;

use std::rc::Rc;

use riposte_protocol::{Event, Request};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::MessageEvent;

use crate::run::Engine;

unsafe extern "C" {
    /// Made by the linker: runs the constructors of statics, some thousand of them in the shader compiler. Unless somebody calls it,
    /// the linker takes each export for a program of its own and runs them all on every call from JavaScript and to it: four fifths of
    /// an attack's time on WebGPU.
    fn __wasm_call_ctors();
}

/// Called once, when the worker has loaded this module.
#[wasm_bindgen(start)]
pub fn start() {
    // Sound: nothing else runs yet, and nobody else calls it.
    unsafe { __wasm_call_ctors() };
    std::panic::set_hook(Box::new(|info| {
        let message = format!("The engine stopped because of a mistake in it ({info}).");
        worker::post(&Event::Crashed { message });
    }));
    let engine = Rc::new(Engine::default());
    let hear = Closure::<dyn FnMut(MessageEvent)>::new(move |message: MessageEvent| {
        match serde_wasm_bindgen::from_value::<Request>(message.data()) {
            Ok(request) => spawn_local(Rc::clone(&engine).answer(request)),
            Err(error) => {
                let message = format!("The page and the engine are of different versions ({error}). Reload the page.");
                worker::post(&Event::Crashed { message });
            }
        }
    });
    worker::scope().set_onmessage(Some(hear.as_ref().unchecked_ref()));
    // For the life of the worker.
    hear.forget();
    worker::post(&Event::Booted);
}
