//! The GPU device that tests run on.

use std::sync::OnceLock;

use burn::tensor::Device;
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

fn find() -> &'static Result<Device, String> {
    static FOUND: OnceLock<Result<Device, String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        #[cfg(feature = "cuda")]
        if std::env::var_os("RIPOSTE_TEST_CUDA").is_some() {
            return Ok(Device::cuda(0));
        }
        Device::wgpu_options().init().map_err(|error| error.to_string())
    })
}
