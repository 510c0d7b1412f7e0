//! Random numbers that are the same on every machine, one independent stream per image.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of random numbers, keyed by seed, split and index: what it yields does not depend on any other image.
pub(super) struct Stream(ChaCha8Rng);

impl Stream {
    /// `lane` separates the streams of one seed.
    pub(super) fn new(seed: u64, lane: u64) -> Self {
        // The key is spelled out rather than derived by `seed_from_u64`, whose derivation may change between versions of rand.
        let mut key = *b"riposte digits, version 1       ";
        key[24..].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(lane);
        Self(rng)
    }

    /// Uniform in `[low, high)`.
    pub(super) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Nearly normal with mean 0 and variance 1, within 3.5 of 0 (a sum of four uniforms): no transcendental functions, no outliers.
    pub(super) fn normal(&mut self) -> f32 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        (sum - 2.0) * 1.732_050_8
    }

    /// Uniform in `0..n`; the bias of the multiplication is below n / 2^32.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        ((self.0.next_u32() as u64 * n as u64) >> 32) as u32
    }

    fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }
}
