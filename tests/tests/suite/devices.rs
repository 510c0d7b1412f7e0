//! The GPU device that tests run on.

use std::sync::OnceLock;

use burn::tensor::{Device, DeviceKind, Tensor};
use riposte_harness::Need;

/// A software adapter (Mesa's lavapipe) counts: it is right, only slow.
pub static WGPU: Need = Need::new("a wgpu adapter", "RIPOSTE_REQUIRE_WGPU", || match find() {
    Ok(_) => Ok(()),
    Err(error) => Err(error.clone()),
});

/// wgpu's default adapter. With the feature `cuda`, `RIPOSTE_TEST_CUDA=1` makes it the first CUDA device.
///
/// # Panics
/// If there is none: a test that calls this needs [`WGPU`].
pub fn wgpu() -> Device {
    find().clone().unwrap_or_else(|error| panic!("{error}"))
}

/// The device, if a tensor makes the way there and back.
fn find() -> &'static Result<Device, String> {
    static FOUND: OnceLock<Result<Device, String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        #[cfg(feature = "cuda")]
        if std::env::var_os("RIPOSTE_TEST_CUDA").is_some() {
            return Ok(Device::cuda(0));
        }
        std::panic::catch_unwind(|| {
            let device = Device::wgpu(DeviceKind::DefaultDevice);
            let there = Tensor::<1>::from_floats([1.0, 2.0], &device);
            assert_eq!(there.into_data().try_to_vec::<f32>().unwrap(), [1.0, 2.0]);
            device
        })
        .map_err(|_| "wgpu finds none that works".to_owned())
    })
}
