//! The devices that a test runs on: the CPU, and a GPU device through wgpu where there is an adapter.

use burn::tensor::{Device, DeviceKind, Tensor};

/// Names and devices. A software adapter (Mesa's lavapipe) counts: it is right, only slow. Without any adapter the wgpu half
/// is left out, and says so; `RIPOSTE_REQUIRE_WGPU=1` makes that a failure.
pub fn devices() -> Vec<(&'static str, Device)> {
    let mut devices = vec![("cpu", Device::flex())];
    match wgpu() {
        Some(device) => devices.push(("wgpu", device)),
        None if std::env::var_os("RIPOSTE_REQUIRE_WGPU").is_some() => {
            panic!("RIPOSTE_REQUIRE_WGPU is set and there is no adapter")
        }
        None => println!("no adapter: wgpu is not tested"),
    }
    devices
}

/// wgpu's default adapter, if a tensor makes the way there and back. With the feature `cuda`, `RIPOSTE_TEST_CUDA=1` makes it the
/// first CUDA device.
pub fn wgpu() -> Option<Device> {
    #[cfg(feature = "cuda")]
    if std::env::var_os("RIPOSTE_TEST_CUDA").is_some() {
        return Some(Device::cuda(0));
    }
    std::panic::catch_unwind(|| {
        let device = Device::wgpu(DeviceKind::DefaultDevice);
        let there = Tensor::<1>::from_floats([1.0, 2.0], &device);
        assert_eq!(there.into_data().try_to_vec::<f32>().unwrap(), [1.0, 2.0]);
        device
    })
    .ok()
}
