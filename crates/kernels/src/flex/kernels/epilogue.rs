//! What follows a product: bias, activation and the turn from one row per position to one plane per channel.

use core::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::product::Layout;
use super::simd::{Lanes, load, run, store};
use super::turn::turned;
use crate::Activation;

/// Results of a product: for each position one row of channels.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub data: &'a [f32],
    pub layout: Layout,
    pub channels: usize,
    /// The row of each position of the first image.
    pub positions: Positions<'a>,
}

/// Which row belongs to which position.
#[derive(Clone, Copy)]
pub enum Positions<'a> {
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
pub fn finish(rows: Rows, bias: Option<&[f32]>, activation: Activation, y: &mut [MaybeUninit<f32>]) {
    assert!(bias.is_none_or(|bias| bias.len() >= rows.channels));
    match activation {
        Activation::None => run(Finish { rows, bias, y, act: Identity }),
        Activation::Relu => run(Finish { rows, bias, y, act: Relu }),
        Activation::LeakyRelu(slope) => run(Finish { rows, bias, y, act: LeakyRelu(slope) }),
    }
}

/// An activation as a type, so that its test is outside of the loops.
trait Act: Copy {
    fn apply<S: Simd>(self, simd: S, values: S::f32s) -> S::f32s;
}

#[derive(Clone, Copy)]
struct Identity;

#[derive(Clone, Copy)]
struct Relu;

#[derive(Clone, Copy)]
struct LeakyRelu(f32);

impl Act for Identity {
    #[inline(always)]
    fn apply<S: Simd>(self, _: S, values: S::f32s) -> S::f32s {
        values
    }
}

impl Act for Relu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, values: S::f32s) -> S::f32s {
        // Not `max`, which would drop NaN.
        let zero = simd.splat_f32s(0.0);
        simd.select_f32s(simd.less_than_or_equal_f32s(values, zero), zero, values)
    }
}

impl Act for LeakyRelu {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, values: S::f32s) -> S::f32s {
        let off = simd.mul_f32s(values, simd.splat_f32s(self.0));
        simd.select_f32s(simd.less_than_or_equal_f32s(values, simd.splat_f32s(0.0)), off, values)
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
    fn with_simd<S: Simd>(self, simd: S) {
        let image = self.rows.channels * self.rows.positions.count();
        for (sample, y) in self.y.chunks_exact_mut(image).enumerate() {
            match S::F32_LANES {
                16 => turn::<S, A, 16>(simd, sample, self.rows, self.bias, self.act, y),
                8 => turn::<S, A, 8>(simd, sample, self.rows, self.bias, self.act, y),
                4 => turn::<S, A, 4>(simd, sample, self.rows, self.bias, self.act, y),
                _ => turn::<S, A, 1>(simd, sample, self.rows, self.bias, self.act, y),
            }
        }
    }
}

/// One image, in squares of positions by channels.
#[inline(always)]
fn turn<S: Simd, A: Act, const LANES: usize>(
    simd: S,
    sample: usize,
    rows: Rows,
    bias: Option<&[f32]>,
    act: A,
    y: &mut [MaybeUninit<f32>],
) {
    let lanes = Lanes::of::<S>();
    let positions = rows.positions.count();
    let width = lanes.round_up(rows.channels);
    for position in (0..positions).step_by(LANES) {
        let count = LANES.min(positions - position);
        let mut row = [0; LANES];
        for p in 0..LANES {
            row[p] = rows.positions.row(sample, position + p.min(count - 1));
        }
        let last_row = row.iter().fold(0, |last: usize, row| last.max(*row));
        for channel in (0..rows.channels).step_by(LANES) {
            let (start, stride) = rows.layout.panel(channel / lanes.panel(), width, lanes);
            let start = start + channel % lanes.panel();
            let channels = LANES.min(rows.channels - channel);
            let bias = match bias {
                Some(bias) => simd.partial_load_f32s(&bias[channel..channel + channels]),
                None => simd.splat_f32s(0.0),
            };
            if count == LANES && channels == LANES && start + last_row * stride + LANES <= rows.data.len() {
                let to = &mut y[channel * positions + position..(channel + LANES - 1) * positions + position + LANES];
                let mut block = [bias; LANES];
                // Nothing but moves and sums here: with anything that is not unrolled the block would live in memory.
                for p in 0..LANES {
                    // SAFETY: the condition: no row is further than the last.
                    let sums = unsafe { load::<S>(rows.data.as_ptr().add(start + row[p] * stride)) };
                    block[p] = act.apply(simd, simd.add_f32s(sums, bias));
                }
                let block = turned::<S, LANES>(block);
                for c in 0..LANES {
                    // SAFETY: the slice ends where the last of these vectors does.
                    unsafe { store::<S>(to.as_mut_ptr().add(c * positions).cast(), block[c]) };
                }
                continue;
            }
            for p in 0..count {
                let from = &rows.data[start + row[p] * stride..];
                let sums = match from.first_chunk::<LANES>() {
                    // SAFETY: these are as many floats as a vector has.
                    Some(whole) => unsafe { load::<S>(whole.as_ptr()) },
                    None => simd.partial_load_f32s(&from[..channels]),
                };
                let mut values = [0.0; LANES];
                // SAFETY: as above.
                unsafe { store::<S>(values.as_mut_ptr(), act.apply(simd, simd.add_f32s(sums, bias))) };
                for (c, value) in values[..channels].iter().enumerate() {
                    y[(channel + c) * positions + position + p].write(*value);
                }
            }
        }
    }
}
