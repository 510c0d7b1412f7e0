//! Randomness: one seed, one independent ChaCha stream for each purpose and input.
//!
//! Draws are made on the host and uploaded, so that a seed means the same natively and in the browser; and a stream belongs
//! to an input, not to a batch, so that inputs handled together get the draws they would get alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The generator behind every draw.
pub type Stream = ChaCha8Rng;

/// The seed of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

/// What a stream is for. Streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Random starts of the attack on an input.
    Attack = 1,
    /// Random starts of the neighbor search of an input.
    Search = 2,
    /// Samples, augmentation and random starts of the post-training for an input.
    PostTrain = 3,
    /// Initial parameters of a model.
    Init = 4,
    /// Order of the samples of an epoch of base training.
    Shuffle = 5,
    /// Augmentation and random starts of a step of base training.
    Train = 6,
    /// The synthetic images of `data::digits`.
    Digits = 7,
    /// Samples, augmentation and random starts of a copy of a bank.
    Bank = 8,
    /// Which copy of a bank answers an input.
    Pick = 9,
    /// Random starts of Auto-PGD on an input.
    Apgd = 10,
    /// Stripes and windows of the Square attack on an input.
    Square = 11,
    /// Answers of a defense by which an attacker chooses a point.
    Selection = 12,
    /// Answers of a defense by which that point is judged.
    Judgment = 13,
    /// Coordinates and directions of those who can only ask.
    Queries = 14,
}

/// What the draws for one input depend on: the seed of the run and the number of the input in its dataset; not the batch that it
/// is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    /// The seed of the run.
    pub seed: Seed,
    /// The number of the input in its dataset, less than 2^56.
    pub input: u64,
}

impl Draws {
    /// The input's stream of `purpose`.
    pub fn stream(self, purpose: Purpose) -> Stream {
        self.seed.stream(purpose, self.input)
    }

    /// The input's stream of `purpose` in restart number `restart`, 0 to 255: how many restarts there are does not change the
    /// first one.
    pub fn restart(self, purpose: Purpose, restart: usize) -> Stream {
        self.seed.stream(purpose, self.input << 8 | restart as u64 & 0xff)
    }

    /// Other draws for the same input: what a defense takes when it is asked again, for answer number `number` (less than 2^24) of
    /// `purpose`, for an input less than 2^40.
    pub fn again(self, purpose: Purpose, number: u32) -> Self {
        Self { seed: Seed(self.seed.stream(purpose, self.input << 24 | u64::from(number)).next_u64()), ..self }
    }

    /// The input's stream of `purpose` in run number `run` of an attack that makes many, for an input less than 2^48.
    pub fn run(self, purpose: Purpose, run: u16) -> Stream {
        self.seed.stream(purpose, self.input << 16 | u64::from(run))
    }
}

impl Seed {
    /// What the draws for input number `input` of a dataset depend on.
    pub fn input(self, input: u64) -> Draws {
        Draws { seed: self, input }
    }

    /// [`input`](Self::input) of each input of a batch.
    pub fn inputs(self, inputs: impl IntoIterator<Item = u64>) -> Vec<Draws> {
        inputs.into_iter().map(|input| self.input(input)).collect()
    }

    /// The stream of `purpose` for input (epoch, step, ...) number `index`.
    pub fn stream(self, purpose: Purpose, index: u64) -> Stream {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.0.to_le_bytes());
        key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
        let mut stream = ChaCha8Rng::from_seed(key);
        stream.set_stream(index);
        stream
    }
}

/// Uniform in `[0, 1)` with 24 bits, the same on every platform.
pub fn unit(stream: &mut Stream) -> f32 {
    (stream.next_u32() >> 8) as f32 / (1u32 << 24) as f32
}

/// Uniform in `[-bound, bound)`.
pub fn symmetric(stream: &mut Stream, bound: f32) -> f32 {
    (2.0 * unit(stream) - 1.0) * bound
}

/// Uniform integer in `0..bound` without modulo bias (Lemire 2019, with rejection).
///
/// # Panics
/// If `bound` is 0.
pub fn below(stream: &mut Stream, bound: usize) -> usize {
    assert!(bound > 0, "an empty range has no uniform draw");
    let bound = bound as u64;
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(stream.next_u64()) * u128::from(bound);
        if product as u64 >= threshold {
            return (product >> 64) as usize;
        }
    }
}

/// Standard normal (Box-Muller), the same on every platform.
pub fn normal(stream: &mut Stream) -> f32 {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - f64::from(unit(stream))));
    (radius * libm::cos(2.0 * std::f64::consts::PI * f64::from(unit(stream)))) as f32
}
