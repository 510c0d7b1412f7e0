//! Choosing the device.

use burn::tensor::Device;
use js_sys::{Function, Object, Promise, Reflect};
use riposte_protocol::{DeviceKind, DeviceNotice, DevicePreference};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::worker::scope;

/// The device that computes, and what to say of it: WebGPU on a real GPU, else the processor. A browser without a GPU can offer WebGPU
/// in software, which computes the same far more slowly than the processor does: it is taken only when it is asked for by name.
pub async fn choose(preference: DevicePreference) -> (Device, DeviceNotice) {
    let asked = preference == DevicePreference::WebGpu;
    let reason = match preference {
        DevicePreference::Cpu => None,
        DevicePreference::Auto | DevicePreference::WebGpu => match adapter().await {
            Ok(adapter) if adapter.software && !asked => {
                let name = if adapter.name.is_empty() { String::new() } else { format!(" ({})", adapter.name) };
                Some(format!("This browser offers WebGPU in software alone{name}, which is slower."))
            }
            Ok(adapter) => match Device::wgpu_options().init_async().await {
                Ok(device) => return (device, DeviceNotice { kind: DeviceKind::WebGpu, name: adapter.name, reason: None }),
                Err(error) => Some(format!("WebGPU could not be started: {error}.")),
            },
            Err(reason) => Some(reason.to_owned()),
        },
    };
    let notice = DeviceNotice { kind: DeviceKind::Cpu, name: "WebAssembly SIMD, one thread".to_owned(), reason };
    (Device::flex(), notice)
}

/// What the browser says of its GPU.
struct Adapter {
    name: String,
    software: bool,
}

/// Asks the browser for an adapter, as Burn will; on trouble a sentence for the visitor.
async fn adapter() -> Result<Adapter, &'static str> {
    const NONE: &str = "This browser has no WebGPU.";
    const REFUSED: &str = "This browser has WebGPU but offers no graphics adapter.";
    let gpu = property(&scope().navigator(), "gpu").filter(JsValue::is_object).ok_or(NONE)?;
    let request: Function = property(&gpu, "requestAdapter").and_then(|value| value.dyn_into().ok()).ok_or(NONE)?;
    let options = Object::new();
    Reflect::set(&options, &"powerPreference".into(), &"high-performance".into()).map_err(|_| REFUSED)?;
    let asked: Promise = request.call1(&gpu, &options).ok().and_then(|value| value.dyn_into().ok()).ok_or(REFUSED)?;
    let adapter = JsFuture::from(asked).await.ok().filter(JsValue::is_object).ok_or(REFUSED)?;
    let info = property(&adapter, "info").unwrap_or(JsValue::UNDEFINED);
    let word = |name| property(&info, name).and_then(|value| value.as_string()).filter(|word| !word.is_empty());
    let names = [word("vendor"), word("architecture"), word("description")];
    let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    // Older browsers say it of the adapter, newer ones of its information.
    let software = [&info, &adapter].into_iter().any(|of| property(of, "isFallbackAdapter").is_some_and(|it| it.is_truthy()));
    let software = software || name.to_lowercase().contains("swiftshader");
    Ok(Adapter { name, software })
}

fn property(of: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(of, &name.into()).ok().filter(|value| !value.is_undefined() && !value.is_null())
}
