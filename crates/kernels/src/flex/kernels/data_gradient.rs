//! The gradient of a convolution's input, in one of three ways.
//!
//! *Gathered*: the transposed convolution is a convolution of the gradient, one for each remainder of the input position
//! modulo the stride; its columns are input channels. *Scattered*: the gradient of every tap of every position, added up
//! where the taps overlap; its columns are taps, so it wastes no vectors on a few input channels, and it reads the weight as
//! it lies, so it also wins when there are too few positions to make packing the weight worth while. *Transformed*: a
//! convolution of the gradient by [`winograd`], where that suits.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::gathered::{Gathered, GatheredScratch};
use super::geometry::Geometry;
use super::scattered::{Scattered, ScatteredScratch};
use super::simd::Lanes;
use super::winograd;
use crate::Activation;

/// The gradient with respect to some of the input's channels, prepared: shared by all threads.
pub enum DataGradient<'a> {
    Gathered(Gathered<'a>),
    Scattered(Scattered<'a>),
    Transformed(winograd::Convolution),
}

impl<'a> DataGradient<'a> {
    /// For these of the input's channels, to be computed for `samples` images.
    pub fn new(geometry: &'a Geometry, weight: &'a [f32], channels: Range<usize>, samples: usize) -> Self {
        if winograd::suits(geometry) && channels.len() == geometry.channels && samples == geometry.batch {
            return Self::Transformed(winograd::Convolution::of_gradient(geometry, weight));
        }
        let wasteful = Lanes::detect().round_up(channels.len()) >= 2 * channels.len();
        let few = samples * geometry.positions() < geometry.out;
        match wasteful || few {
            true => Self::Scattered(Scattered::new(geometry, weight, channels)),
            false => Self::Gathered(Gathered::new(geometry, weight, channels)),
        }
    }

    /// What one thread needs to compute up to `block` images at a time.
    pub fn worker(&self, block: usize) -> Worker<'_> {
        match self {
            Self::Gathered(job) => Worker::Gathered(job, job.scratch(block)),
            Self::Scattered(job) => Worker::Scattered(job, job.scratch(block)),
            Self::Transformed(job) => Worker::Transformed(job, job.scratch(block)),
        }
    }
}

/// One thread's share of a [`DataGradient`].
pub enum Worker<'a> {
    Gathered(&'a Gathered<'a>, GatheredScratch),
    Scattered(&'a Scattered<'a>, ScatteredScratch),
    Transformed(&'a winograd::Convolution, winograd::Scratch),
}

impl Worker<'_> {
    /// Writes every element of `to`, `[sample, channel, height, width]`, from the gradient before the activation,
    /// `[sample, output channel, height', width']`.
    pub fn run(&mut self, gradient: &[f32], to: &mut [MaybeUninit<f32>]) {
        match self {
            Self::Gathered(job, scratch) => job.run(scratch, gradient, to),
            Self::Scattered(job, scratch) => job.run(scratch, gradient, to),
            Self::Transformed(job, scratch) => job.run(scratch, gradient, None, Activation::None, to),
        }
    }
}
