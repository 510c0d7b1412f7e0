//! What runs on the device: `#[cube]` functions, which the modules above launch.

#![allow(clippy::too_many_arguments, reason = "a kernel's arguments are what it is launched with")]
#![allow(clippy::collapsible_if, reason = "what is known at compile time and what is not cannot share a condition")]

pub mod activation;
pub mod block;
pub mod data_gradient;
pub mod direct;
pub mod epilogue;
pub mod forward;
pub mod geometry;
pub mod loss;
pub mod normalization;
pub mod phase;
pub mod pooling;
pub mod product;
pub mod splits;
pub mod steps;
pub mod thin;
pub mod tile;
pub mod weight_gradient;
