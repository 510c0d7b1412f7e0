//! Choosing the device.

use burn::tensor::Device;
use riposte_protocol::{DeviceKind, DeviceNotice, DevicePreference};

/// The device that computes, and what to say of it.
pub async fn choose(preference: DevicePreference) -> (Device, DeviceNotice) {
    let reason = match preference {
        DevicePreference::WebGpu => Some("WebGPU was asked for, but this build of the page does not have it.".to_owned()),
        DevicePreference::Auto | DevicePreference::Cpu => None,
    };
    let notice = DeviceNotice { kind: DeviceKind::Cpu, name: "WebAssembly SIMD, one thread".to_owned(), reason };
    (Device::flex(), notice)
}
