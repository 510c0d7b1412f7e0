//! The loss: one unit per sample.

use cubecl::prelude::*;

/// Cross-entropy and its gradient: see [`LossOps::cross_entropy`](crate::LossOps::cross_entropy).
#[cube(launch_unchecked)]
pub fn cross_entropy(logits: &[f32], targets: &[f32], loss: &mut [f32], gradient: &mut [f32], samples: u32, classes: u32) {
    let sample = ABSOLUTE_POS as u32;
    if sample < samples {
        let start = sample * classes;
        let mut highest = logits[start as usize];
        let mut total = targets[start as usize];
        for class in 1..classes {
            let logit = logits[(start + class) as usize];
            highest = select(logit > highest, logit, highest);
            total += targets[(start + class) as usize];
        }
        let mut partition = 0.0f32;
        for class in 0..classes {
            partition += (logits[(start + class) as usize] - highest).exp();
        }
        let log_partition = partition.ln();
        let mut sum = 0.0f32;
        for class in 0..classes {
            let index = (start + class) as usize;
            let shifted = logits[index] - highest;
            sum -= targets[index] * (shifted - log_partition);
            gradient[index] = shifted.exp() / partition * total - targets[index];
        }
        loss[sample as usize] = sum;
    }
}
