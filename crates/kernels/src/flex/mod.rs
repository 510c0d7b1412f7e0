//! The CPU: Burn's flex backend with this crate's products in place of its convolutions.
//!
//! The modules here take tensors and split work over threads, and [`kernels`] holds the loops, compiled for the widest vectors there
//! are.

mod convolution;
mod kernels;
mod layer;
mod linear;
mod loss;
mod memory;
mod normalization;
mod pooling;
mod steps;
mod threads;
