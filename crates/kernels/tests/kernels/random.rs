//! Reproducible numbers, and tensors of them.

use burn::tensor::{Device, FloatDType, Tensor, TensorData, f16};

/// A linear congruential generator: the tests need variety, not quality.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// In [-1, 1).
    pub fn number(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.number()).collect()
    }

    /// In 0..bound.
    pub fn index(&mut self, bound: usize) -> usize {
        ((self.number() + 1.0) / 2.0 * bound as f32) as usize % bound
    }
}

pub fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// A tensor of `dtype`, and its values.
pub fn stored<const D: usize>(values: Vec<f32>, shape: [usize; D], dtype: FloatDType, device: &Device) -> (Tensor<D>, Vec<f32>) {
    let values = match dtype {
        FloatDType::F16 => values.into_iter().map(|value| f16::from_f32(value).to_f32()).collect(),
        _ => values,
    };
    (tensor(&values, shape, device).cast(dtype), values)
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("f32")
}

/// Runs on a rayon pool of this many threads; a browser has one.
#[cfg(not(target_family = "wasm"))]
pub fn on_threads<R: Send>(threads: usize, body: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a thread pool").install(body)
}

/// The largest difference, relative to the largest expected value.
pub fn relative_error(actual: impl IntoIterator<Item = f32>, expected: &[f64]) -> f64 {
    let scale = expected.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    let pairs = actual.into_iter().zip(expected);
    let error = pairs.map(|(a, e)| (f64::from(a) - e).abs()).fold(0.0, |a: f64, b| {
        // `f64::max` would drop NaN.
        if a.is_nan() || b <= a { a } else { b }
    });
    error / scale.max(f64::MIN_POSITIVE)
}
