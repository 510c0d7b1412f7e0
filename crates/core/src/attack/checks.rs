//! What makes an evaluation by strong attacks doubtful, found by looking at the subject (the checks of AutoAttack).

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::subject::Subject;
use crate::Result;
use crate::classifier::{argmax, read};

/// A reason to doubt a robust accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// Answers to the same images differ from pass to pass: single answers tell little, gradients have to be averaged.
    Random {
        /// Largest L2 distance of two answers to an image, as a share of their lengths.
        difference: f32,
    },
    /// The answers are probabilities, not logits: losses on them have vanishing gradients.
    Probabilities,
    /// Gradients that are exactly zero at the start of a run: the attack had nowhere to go.
    ZeroGradients {
        /// So many runs on an image.
        runs: usize,
    },
    /// The attack without gradients fooled images that all attacks with gradients had left right, by more than 0.2 % of all.
    SquareWins {
        /// So many.
        images: usize,
    },
    /// The answer comes from a model that has adapted to the image: attacks on a model as it is find too little.
    Adapts,
    /// Too few classes for the losses asked for: the margin took their place, or fewer targets.
    FewClasses {
        /// So many.
        classes: usize,
    },
}

/// Passes over the same images.
const PASSES: usize = 5;
/// Answers may differ by so much, as a share of their lengths.
const DIFFERENCE: f32 = 1e-4;
/// How far from a probability a probability may be.
const PROBABILITY: f32 = 1e-5;
/// Share of all images that the Square attack may add to the others'.
const SQUARE_SHARE: f64 = 0.002;

/// What can be seen before any attack, on `images` `[batch, channel, height, width]`.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn look<S: Subject>(subject: &S, images: Tensor<4>, labels: &[usize]) -> Result<Vec<Flag>> {
    let mut passes = Vec::with_capacity(PASSES);
    for _ in 0..PASSES {
        passes.push(read(subject.answer(images.clone())).await?);
    }
    let classes = subject.class_count();
    let random = difference(&passes, labels, classes).map(|difference| Flag::Random { difference });
    let probabilities = are_probabilities(&passes[0], classes).then_some(Flag::Probabilities);
    let adapts = subject.adapts().then_some(Flag::Adapts);
    Ok([random, probabilities, adapts].into_iter().flatten().collect())
}

/// The flag of the Square attack that fooled `images` of `all` after the others.
pub(super) fn square_wins(images: usize, all: usize) -> Option<Flag> {
    (images as f64 > SQUARE_SHARE * all as f64).then_some(Flag::SquareWins { images })
}

/// The largest difference of two passes, if it is too large or the number of right answers differs.
fn difference(passes: &[Vec<f32>], labels: &[usize], classes: usize) -> Option<f32> {
    let unit = |row: &[f32]| {
        let length = row.iter().map(|logit| logit * logit).sum::<f32>().sqrt() + 1e-10;
        row.iter().map(|logit| logit / length).collect::<Vec<f32>>()
    };
    let of_rows = |a: &[f32], b: &[f32]| {
        unit(a).iter().zip(unit(b)).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
    };
    let of_passes = |a: &Vec<f32>, b: &Vec<f32>| {
        a.chunks_exact(classes).zip(b.chunks_exact(classes)).map(|(a, b)| of_rows(a, b)).fold(0.0, f32::max)
    };
    let pairs = (0..passes.len()).flat_map(|first| (first + 1..passes.len()).map(move |second| (first, second)));
    let largest = pairs.map(|(first, second)| of_passes(&passes[first], &passes[second])).fold(0.0, f32::max);
    let right = |pass: &Vec<f32>| pass.chunks_exact(classes).zip(labels).filter(|(row, label)| argmax(row) == **label).count();
    let steady = passes.windows(2).all(|pair| right(&pair[0]) == right(&pair[1]));
    (!steady || largest > DIFFERENCE).then_some(largest)
}

fn are_probabilities(logits: &[f32], classes: usize) -> bool {
    let in_range = logits.iter().all(|logit| *logit > -PROBABILITY && *logit < 1.0 + PROBABILITY);
    in_range && logits.chunks_exact(classes).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < PROBABILITY)
}
