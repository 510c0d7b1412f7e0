//! The loss.

use burn::backend::TensorMetadata;
use burn::backend::flex::{Flex, FlexTensor};

use super::memory::{is_f32, slice, tensor};
use crate::{LossOps, stock};

impl LossOps for Flex {
    fn cross_entropy(logits: FlexTensor, targets: FlexTensor) -> (FlexTensor, FlexTensor) {
        if !is_f32(&logits) || !is_f32(&targets) {
            return stock::cross_entropy::<Self>(logits, targets);
        }
        let [batch, classes] = logits.shape().dims();
        let (logits, targets) = (logits.to_contiguous(), targets.to_contiguous());
        let [losses, gradient] = cross_entropy(slice(&logits), slice(&targets), classes);
        (tensor(losses, [batch]), tensor(gradient, [batch, classes]))
    }
}

/// Loss and gradient of each sample.
fn cross_entropy(logits: &[f32], targets: &[f32], classes: usize) -> [Vec<f32>; 2] {
    let mut losses = Vec::with_capacity(logits.len() / classes.max(1));
    let mut gradient = Vec::with_capacity(logits.len());
    let rows = logits.chunks_exact(classes).zip(targets.chunks_exact(classes));
    for (logits, targets) in rows {
        // Not `f32::max`, which would drop NaN.
        let highest = logits.iter().fold(f32::NEG_INFINITY, |a, &b| if b <= a { a } else { b });
        let start = gradient.len();
        gradient.extend(logits.iter().map(|logit| (logit - highest).exp()));
        let sum: f32 = gradient[start..].iter().sum();
        let log_sum = sum.ln() + highest;
        let weight: f32 = targets.iter().sum();
        let terms = logits.iter().zip(targets).map(|(logit, target)| target * (log_sum - logit));
        losses.push(terms.sum());
        for (gradient, target) in gradient[start..].iter_mut().zip(targets) {
            *gradient = *gradient / sum * weight - target;
        }
    }
    [losses, gradient]
}
