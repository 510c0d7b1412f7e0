//! What follows a product: bias, activation and the turn from one row per position to one plane per channel.

use core::array;
use core::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::simd::run;
use crate::Activation;

/// Results of a product: for each position one row of channels.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    /// Floats from one position's row to the next, at least `channels`.
    pub(super) stride: usize,
    /// Positions of one image.
    pub(super) positions: usize,
    pub(super) channels: usize,
}

/// `y[sample][channel][position] = act(rows[sample, position][channel] + bias[channel])`; writes every element of y.
pub(super) fn finish(
    rows: Rows,
    bias: Option<&[f32]>,
    activation: Activation,
    y: &mut [MaybeUninit<f32>],
) {
    let bias = |channel: usize| bias.map_or(0.0, |bias| bias[channel]);
    match activation {
        Activation::None => run(Finish { rows, y, map: |v, c| v + bias(c) }),
        Activation::Relu => run(Finish {
            rows,
            y,
            // Not `max`, which would drop NaN.
            map: |v: f32, c| {
                let v = v + bias(c);
                if v <= 0.0 { 0.0 } else { v }
            },
        }),
        Activation::LeakyRelu(slope) => run(Finish {
            rows,
            y,
            map: |v: f32, c| {
                let v = v + bias(c);
                if v <= 0.0 { v * slope } else { v }
            },
        }),
    }
}

struct Finish<'a, 'y, F> {
    rows: Rows<'a>,
    y: &'y mut [MaybeUninit<f32>],
    map: F,
}

impl<F: Fn(f32, usize) -> f32> WithSimd for Finish<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.rows;
        let image = rows.channels * rows.positions;
        for (sample, y) in self.y.chunks_exact_mut(image).enumerate() {
            let from = &rows.data[sample * rows.positions * rows.stride..];
            turn(from, rows, y, &self.map);
        }
    }
}

/// One image, in blocks of 16 positions by 16 channels.
#[inline(always)]
fn turn(from: &[f32], rows: Rows, y: &mut [MaybeUninit<f32>], map: &impl Fn(f32, usize) -> f32) {
    const BLOCK: usize = 16;
    let whole_positions = rows.positions / BLOCK * BLOCK;
    let whole_channels = rows.channels / BLOCK * BLOCK;
    for position in (0..whole_positions).step_by(BLOCK) {
        for channel in (0..whole_channels).step_by(BLOCK) {
            let block: [&[f32; BLOCK]; BLOCK] = array::from_fn(|p| {
                let start = (position + p) * rows.stride + channel;
                from[start..start + BLOCK].try_into().expect("a block's row")
            });
            for c in 0..BLOCK {
                let start = (channel + c) * rows.positions + position;
                let to = &mut y[start..start + BLOCK];
                for p in 0..BLOCK {
                    to[p].write(map(block[p][c], channel + c));
                }
            }
        }
    }
    for channel in 0..rows.channels {
        let first = if channel < whole_channels { whole_positions } else { 0 };
        let to = &mut y[channel * rows.positions..(channel + 1) * rows.positions];
        for (position, to) in to.iter_mut().enumerate().skip(first) {
            to.write(map(from[position * rows.stride + channel], channel));
        }
    }
}
