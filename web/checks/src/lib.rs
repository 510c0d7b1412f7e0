//! The kernels on WebGPU against float64, and with the feature `stock` against the clock beside Burn's own operations.
//!
//! Not part of the site: `tests/browser/kernels.test.js` and `tests/bench/browser/stock.mjs` load it in a page of their own.

mod convolutions;
#[path = "../../../crates/kernels/tests/kernels/definitions.rs"]
mod definitions;
#[path = "../../../crates/kernels/tests/kernels/models.rs"]
mod networks;
mod others;
#[allow(dead_code, reason = "shared with the native tests")]
#[path = "../../../crates/kernels/tests/kernels/random.rs"]
mod random;
#[path = "../../../crates/kernels/tests/kernels/gpu/reference.rs"]
mod reference;
#[cfg(feature = "stock")]
mod speed;

use burn::tensor::{Device, Tensor};
use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(message: &str);
}

unsafe extern "C" {
    /// See the engine's.
    fn __wasm_call_ctors();
}

#[wasm_bindgen(start)]
fn start() {
    // Sound: nothing else runs yet, and nobody else calls it.
    unsafe { __wasm_call_ctors() };
    // A panic is else a trap without a word.
    std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
}

/// The device, with what the page asks of it.
#[wasm_bindgen]
pub struct Checks(Device);

#[wasm_bindgen]
impl Checks {
    pub async fn open() -> Result<Self, String> {
        let device = Device::wgpu_options().init_async().await.map_err(|error| error.to_string())?;
        Ok(Self(device))
    }

    /// The names of the checks.
    pub fn names(&self) -> Vec<String> {
        let layers = convolutions::all().into_iter().map(|layer| layer.name());
        layers.chain(others::NAMES.iter().map(|name| (*name).to_owned())).collect()
    }

    /// Runs a check by its place among them: an array of `{ what, error, below }`, of which each error must be below its bound.
    pub async fn run(&self, place: usize) -> Result<Array, JsValue> {
        let device = self.0.clone().autodiff();
        let layers = convolutions::all();
        let found = match layers.get(place) {
            Some(layer) => layer.check(&device).await,
            None => others::check(place - layers.len(), &device).await,
        };
        found.into_iter().map(Finding::into_object).collect()
    }
}

/// How far a result is from what it should be.
struct Finding {
    what: &'static str,
    error: f64,
    below: f64,
}

impl Finding {
    /// The largest difference, relative to the largest expected value.
    fn relative(what: &'static str, found: Vec<f32>, expected: &[f64], below: f64) -> Self {
        // A missing result is as wrong as can be.
        let error = if found.len() == expected.len() { random::relative_error(found, expected) } else { f64::INFINITY };
        Self { what, error, below }
    }

    /// How many of some statements are false.
    fn wrong(what: &'static str, right: impl IntoIterator<Item = bool>) -> Self {
        Self { what, error: right.into_iter().filter(|right| !right).count() as f64, below: 1.0 }
    }

    fn into_object(self) -> Result<JsValue, JsValue> {
        let object = Object::new();
        Reflect::set(&object, &"what".into(), &self.what.into())?;
        Reflect::set(&object, &"error".into(), &self.error.into())?;
        Reflect::set(&object, &"below".into(), &self.below.into())?;
        Ok(object.into())
    }
}

/// Read back; empty where the device failed, which no expectation is.
async fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    match tensor.into_data_async().await {
        Ok(data) => data.try_into_vec().unwrap_or_default(),
        Err(problem) => {
            error(&problem.to_string());
            Vec::new()
        }
    }
}

fn noise(seed: u64, count: usize) -> Vec<f32> {
    random::Random::new(seed).numbers(count)
}
