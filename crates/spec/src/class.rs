//! From a row of logits to a class.
//!
//! One rule for ties and for what is not a number: the first of the largest values wins, and a NaN never does unless all are.

use serde::{Deserialize, Serialize};

/// Index of the largest value; the first one when several are equal. Never a NaN unless all are; 0 for no values.
pub fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] || (row[best].is_nan() && !value.is_nan()) {
            best = index;
        }
    }
    best
}

/// Probabilities of a row of logits, which sum to one. All are NaN if a logit is, or is infinite.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|logit| (logit - highest).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// What a classifier says of one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The class, by [`argmax`].
    pub class: usize,
    /// One for each class.
    pub logits: Vec<f32>,
}

impl Prediction {
    /// What `logits` say.
    pub fn new(logits: Vec<f32>) -> Self {
        Self { class: argmax(&logits), logits }
    }

    /// [`softmax`] of the logits.
    pub fn probabilities(&self) -> Vec<f32> {
        softmax(&self.logits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_logits_is_the_class_and_a_nan_is_none() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(argmax(&[0.0, -0.0]), 0);
        assert_eq!(argmax(&[f32::NAN, 1.0, 2.0, f32::NAN]), 2);
        assert_eq!(argmax(&[f32::NAN, f32::NEG_INFINITY]), 1);
        assert_eq!(argmax(&[f32::NAN, f32::NAN]), 0);
        assert_eq!(argmax(&[]), 0);
    }

    #[test]
    fn probabilities_sum_to_one_for_any_finite_logits() {
        let probabilities = softmax(&[1000.0, 999.0, -1000.0]);
        // Three roundings of f32.
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(argmax(&probabilities), 0);
        assert_eq!(Prediction::new(vec![0.0, 1.0]).class, 1);
    }
}
