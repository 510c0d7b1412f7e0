//! What follows a product: bias, activation and the turn from one row per position to one plane per channel.

use core::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::product::Layout;
use super::simd::{Lanes, run};
use crate::Activation;

/// Results of a product: for each position one row of channels.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    pub(super) layout: Layout,
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
    assert!(bias.is_none_or(|bias| bias.len() >= rows.channels));
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
            match S::F32_LANES {
                16 => turn::<S, A, 16>(sample, self.rows, self.bias, self.act, y),
                8 => turn::<S, A, 8>(sample, self.rows, self.bias, self.act, y),
                4 => turn::<S, A, 4>(sample, self.rows, self.bias, self.act, y),
                _ => turn::<S, A, 1>(sample, self.rows, self.bias, self.act, y),
            }
        }
    }
}

/// One image, in blocks of 16 positions by one vector of channels.
#[inline(always)]
fn turn<S: Simd, A: Act, const LANES: usize>(
    sample: usize,
    rows: Rows,
    bias: Option<&[f32]>,
    act: A,
    y: &mut [MaybeUninit<f32>],
) {
    const BLOCK: usize = 16;
    let lanes = Lanes::of::<S>();
    let positions = rows.positions.count();
    let width = lanes.round_up(rows.channels);
    for position in (0..positions).step_by(BLOCK) {
        let count = BLOCK.min(positions - position);
        let mut row = [0; BLOCK];
        for p in 0..count {
            row[p] = rows.positions.row(sample, position + p);
        }
        for channel in (0..rows.channels).step_by(LANES) {
            let (start, stride) = rows.layout.panel(channel / lanes.panel(), width, lanes);
            let start = start + channel % lanes.panel();
            let channels = LANES.min(rows.channels - channel);
            let mut block = [[0.0; LANES]; BLOCK];
            for p in 0..count {
                let from = &rows.data[start + row[p] * stride..];
                match from.first_chunk::<LANES>() {
                    Some(whole) => block[p] = *whole,
                    None => (0..channels).for_each(|c| block[p][c] = from[c]),
                }
            }
            for c in 0..channels {
                let bias = bias.map_or(0.0, |bias| bias[channel + c]);
                let at = (channel + c) * positions + position;
                let mut turned = [0.0; BLOCK];
                for p in 0..BLOCK {
                    turned[p] = act.apply(block[p][c] + bias);
                }
                let to = &mut y[at..at + count];
                if count == BLOCK {
                    *to.first_chunk_mut().expect("a whole block") = turned.map(MaybeUninit::new);
                } else {
                    // One by one: a copy of any length would be a call, and for whole blocks too.
                    to.iter_mut().zip(turned).for_each(|(to, value)| _ = to.write(value));
                }
            }
        }
    }
}
