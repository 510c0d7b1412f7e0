//! What can be seen of a subject before any attack that makes an attack's verdict doubtful (the checks of AutoAttack).

use burn::tensor::Tensor;
use riposte_spec::class::argmax;
use riposte_spec::doubt::Doubt;

use super::subject::Subject;
use crate::Result;
use crate::classifier::read;

/// Passes over the same images.
const PASSES: usize = 5;
/// Answers may differ by so much, in L2, as a share of their lengths.
const DIFFERENCE: f32 = 1e-4;
/// How far from a probability a probability may be.
const PROBABILITY: f32 = 1e-5;

/// The doubts about each of `images` `[batch, channel, height, width]` of the given labels.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub(super) async fn look<S: Subject>(subject: &S, images: Tensor<4>, labels: &[usize]) -> Result<Vec<Vec<Doubt>>> {
    let classes = subject.class_count();
    let mut passes = Vec::with_capacity(PASSES);
    for _ in 0..PASSES {
        passes.push(read(subject.answer(images.clone())).await?);
    }
    let of_image = |(row, label): (usize, &usize)| {
        let answers: Vec<&[f32]> = passes.iter().map(|pass| &pass[row * classes..][..classes]).collect();
        let doubts = [
            (Doubt::Random, are_random(&answers, *label)),
            (Doubt::Probabilities, are_probabilities(answers[0])),
            (Doubt::Adapts, subject.adapts()),
        ];
        doubts.into_iter().filter(|(_, raised)| *raised).map(|(doubt, _)| doubt).collect()
    };
    Ok(labels.iter().enumerate().map(of_image).collect())
}

/// Whether the answers to one image differ, or only some of them are right.
fn are_random(answers: &[&[f32]], label: usize) -> bool {
    let right = |answer: &&[f32]| argmax(answer) == label;
    let unit = |answer: &[f32]| {
        let length = answer.iter().map(|logit| logit * logit).sum::<f32>().sqrt() + 1e-10;
        answer.iter().map(|logit| logit / length).collect::<Vec<f32>>()
    };
    let units: Vec<Vec<f32>> = answers.iter().map(|answer| unit(answer)).collect();
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
    let far = |a: &Vec<f32>| units.iter().any(|b| distance(a, b) > DIFFERENCE);
    answers.iter().any(right) != answers.iter().all(right) || units.iter().any(far)
}

fn are_probabilities(answer: &[f32]) -> bool {
    let in_range = answer.iter().all(|value| *value > -PROBABILITY && *value < 1.0 + PROBABILITY);
    in_range && (answer.iter().sum::<f32>() - 1.0).abs() < PROBABILITY
}
