//! Loops over slices, compiled for the vectors of the processor that runs them.

#![allow(clippy::needless_range_loop, reason = "arrays of vectors stay in registers where loops over their indices are unrolled")]

pub mod activation;
pub mod data_gradient;
pub mod dot;
pub mod elementwise;
pub mod epilogue;
pub mod forward;
pub mod gathered;
pub mod geometry;
pub mod normalization;
pub mod packed;
pub mod pooling;
pub mod product;
pub mod scattered;
pub mod simd;
pub mod turn;
pub mod weight_gradient;
pub mod winograd;
