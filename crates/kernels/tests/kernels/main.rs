//! The kernels against the definitions, computed in double precision by loops written here.

#[macro_use]
extern crate riposte_harness;

mod convolution;
mod definitions;
#[cfg(feature = "wgpu")]
mod gpu;
mod layers;
#[cfg(feature = "wgpu")]
mod models;
mod random;
mod reference;
mod steps;
mod types;

fn main() -> std::process::ExitCode {
    riposte_harness::run()
}
