//! What follows a product: bias, activation and the turn from one row per position to one plane per channel.

use core::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::simd::run;
use crate::Activation;

/// Results of a product: for each position one row of channels.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    /// Floats from one row to the next, at least `channels`.
    pub(super) stride: usize,
    pub(super) channels: usize,
    /// The row of each position of the first image.
    pub(super) positions: Positions<'a>,
}

/// Which row belongs to which position.
#[derive(Clone, Copy)]
pub(super) enum Positions<'a> {
    /// This many, in order, image after image.
    InOrder(usize),
    /// For each, its row in the first image and how many rows further it is in the next.
    Listed(&'a [[u32; 2]]),
}

impl Positions<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        match self {
            Self::InOrder(count) => *count,
            Self::Listed(rows) => rows.len(),
        }
    }

    #[inline(always)]
    fn row(&self, sample: usize, position: usize) -> usize {
        match self {
            Self::InOrder(count) => sample * count + position,
            Self::Listed(rows) => rows[position][0] as usize + sample * rows[position][1] as usize,
        }
    }
}

/// `y[sample][channel][position] = act(rows[sample, position][channel] + bias[channel])`; writes every element of y.
pub(super) fn finish(rows: Rows, bias: Option<&[f32]>, activation: Activation, y: &mut [MaybeUninit<f32>]) {
    assert!(bias.is_none_or(|bias| bias.len() >= rows.channels) && rows.channels <= rows.stride);
    match activation {
        Activation::None => run(Finish { rows, bias, y, act: Identity }),
        Activation::Relu => run(Finish { rows, bias, y, act: Relu }),
        Activation::LeakyRelu(slope) => run(Finish { rows, bias, y, act: LeakyRelu(slope) }),
    }
}

/// An activation as a type, so that its test is outside of the loops.
trait Act: Copy {
    fn apply(self, value: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Identity;

#[derive(Clone, Copy)]
struct Relu;

#[derive(Clone, Copy)]
struct LeakyRelu(f32);

impl Act for Identity {
    #[inline(always)]
    fn apply(self, value: f32) -> f32 {
        value
    }
}

impl Act for Relu {
    #[inline(always)]
    fn apply(self, value: f32) -> f32 {
        // Not `max`, which would drop NaN.
        if value <= 0.0 { 0.0 } else { value }
    }
}

impl Act for LeakyRelu {
    #[inline(always)]
    fn apply(self, value: f32) -> f32 {
        if value <= 0.0 { value * self.0 } else { value }
    }
}

struct Finish<'a, 'y, A> {
    rows: Rows<'a>,
    bias: Option<&'a [f32]>,
    y: &'y mut [MaybeUninit<f32>],
    act: A,
}

impl<A: Act> WithSimd for Finish<'_, '_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let image = self.rows.channels * self.rows.positions.count();
        for (sample, y) in self.y.chunks_exact_mut(image).enumerate() {
            turn(sample, self.rows, self.bias, self.act, y);
        }
    }
}

/// One image, in blocks of 16 positions by 16 channels.
#[inline(always)]
fn turn<A: Act>(sample: usize, rows: Rows, bias: Option<&[f32]>, act: A, y: &mut [MaybeUninit<f32>]) {
    const BLOCK: usize = 16;
    let positions = rows.positions.count();
    let whole_positions = positions / BLOCK * BLOCK;
    let whole_channels = rows.channels / BLOCK * BLOCK;
    let bias_of = |channel: usize| bias.map_or(0.0, |bias| bias[channel]);
    for position in (0..whole_positions).step_by(BLOCK) {
        let mut starts = [0; BLOCK];
        for p in 0..BLOCK {
            starts[p] = rows.positions.row(sample, position + p) * rows.stride;
        }
        for channel in (0..whole_channels).step_by(BLOCK) {
            let mut block = [[0.0; BLOCK]; BLOCK];
            for p in 0..BLOCK {
                block[p].copy_from_slice(&rows.data[starts[p] + channel..starts[p] + channel + BLOCK]);
            }
            for c in 0..BLOCK {
                let bias = bias_of(channel + c);
                let start = (channel + c) * positions + position;
                let to = &mut y[start..start + BLOCK];
                for p in 0..BLOCK {
                    to[p].write(act.apply(block[p][c] + bias));
                }
            }
        }
    }
    for channel in 0..rows.channels {
        let first = if channel < whole_channels { whole_positions } else { 0 };
        let bias = bias_of(channel);
        let to = &mut y[channel * positions..(channel + 1) * positions];
        for position in first..positions {
            let value = rows.data[rows.positions.row(sample, position) * rows.stride + channel];
            to[position].write(act.apply(value + bias));
        }
    }
}
