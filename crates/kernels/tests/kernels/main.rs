//! The kernels against the definitions, computed in double precision by loops written here.

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
