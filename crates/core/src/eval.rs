//! Evaluation: what a classifier and its riposte say of each input, and the figures that follow from it.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::attack::{Goal, Pgd};
use crate::classifier::{argmax, predictions, read};
use crate::rng::Seed;
use crate::{Classifier, Result};

/// What is known of one input: one line of a results file. Fields that were not computed are `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Number in the test set.
    pub input: u64,
    /// The ground truth.
    pub label: usize,
    /// The base model's class of the natural image.
    pub natural: usize,
    /// The base model's class of the attacked image.
    pub attacked: Option<usize>,
    /// Largest absolute change that the attack made to a pixel.
    pub perturbation: Option<f32>,
    /// Whether a logit was not a number, of the base model or of the adapted one.
    pub nan: bool,
    /// The defense on the natural image.
    pub riposte_natural: Option<Defended>,
    /// The defense on the attacked image.
    pub riposte_attacked: Option<Defended>,
}

/// What the defense did with an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defended {
    /// y'
    pub original: usize,
    /// y''; equal to y' where there is no neighbor.
    pub neighbour: usize,
    /// The answer of the adapted model, or the base model's where there is no neighbor.
    pub answer: usize,
}

/// A batch under attack.
#[derive(Debug, Clone)]
pub struct AttackedBatch {
    /// `[batch, channel, height, width]`
    pub images: Tensor<4>,
    /// One for each image, without the defense's part.
    pub records: Vec<Record>,
}

/// Classifies and, with an attack, attacks `images` `[batch, channel, height, width]`; `inputs` are their numbers.
///
/// # Errors
/// As [`Pgd::attack`], and [`Error::Device`](crate::Error::Device).
pub async fn attack_batch<C: Classifier>(
    classifier: &C,
    images: Tensor<4>,
    labels: &[usize],
    inputs: &[u64],
    attack: Option<Pgd>,
    seed: Seed,
) -> Result<AttackedBatch> {
    let natural_logits = read(classifier.forward(images.clone())).await?;
    let classes = classifier.classes();
    let mut records: Vec<Record> = natural_logits
        .chunks_exact(classes)
        .zip(labels.iter().zip(inputs))
        .map(|(row, (label, input))| Record {
            input: *input,
            label: *label,
            natural: argmax(row),
            attacked: None,
            perturbation: None,
            nan: row.iter().any(|logit| logit.is_nan()),
            riposte_natural: None,
            riposte_attacked: None,
        })
        .collect();
    let Some(attack) = attack else {
        return Ok(AttackedBatch { images, records });
    };
    let goal = Goal::Untargeted { labels: labels.to_vec() };
    let end = attack.attack(classifier, images.clone(), &goal, seed, inputs)?.finish();
    let distance = (end.images.clone() - images).abs().flatten::<2>(1, 3).max_dim(1).flatten::<1>(0, 1);
    let distances = read(distance).await?;
    let logits = read(end.logits).await?;
    for ((record, row), distance) in records.iter_mut().zip(logits.chunks_exact(classes)).zip(distances) {
        record.attacked = Some(argmax(row));
        record.perturbation = Some(distance);
        record.nan |= row.iter().any(|logit| logit.is_nan());
    }
    Ok(AttackedBatch { images: end.images, records })
}

/// The defense's part of a record, from its logits `[1, class]`; the second value says whether one was not a number.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn defended(original: usize, neighbour: usize, logits: Tensor<2>) -> Result<(Defended, bool)> {
    let values = read(logits).await?;
    let nan = values.iter().any(|logit| logit.is_nan());
    Ok((Defended { original, neighbour, answer: argmax(&values) }, nan))
}

/// Number of images of `images` that `classifier` gives their label: natural accuracy without records.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn count_correct<C: Classifier>(classifier: &C, images: Tensor<4>, labels: &[usize]) -> Result<usize> {
    let predicted = predictions(classifier.forward(images)).await?;
    Ok(predicted.iter().zip(labels).filter(|(predicted, label)| predicted == label).count())
}

/// The figures of a run. Counts are over `images`; `None` where nothing was computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub images: usize,
    /// The base model is right on the natural image.
    pub natural_correct: usize,
    /// The base model is right on the attacked image.
    pub robust_correct: Option<usize>,
    /// The riposte is right on the natural image.
    pub riposte_natural_correct: Option<usize>,
    /// The riposte is right on the attacked image.
    pub riposte_robust_correct: Option<usize>,
    /// The label is y' or y'' of the attacked image (Table 4); of the natural one when there is no attack.
    pub neighbour_correct: Option<usize>,
    /// A neighbor was found for the attacked image, so that the model adapted; for the natural one without an attack.
    pub riposted: Option<usize>,
    pub max_perturbation: Option<f32>,
    /// Inputs with a logit that was not a number.
    pub nan_count: usize,
}

impl Summary {
    /// Computes the figures from the lines.
    pub fn of(records: &[Record]) -> Self {
        let main = |record: &Record| if record.attacked.is_some() { record.riposte_attacked } else { record.riposte_natural };
        Self {
            images: records.len(),
            natural_correct: records.iter().filter(|r| r.natural == r.label).count(),
            robust_correct: count(records, |r| r.attacked.map(|class| class == r.label)),
            riposte_natural_correct: count(records, |r| r.riposte_natural.map(|d| d.answer == r.label)),
            riposte_robust_correct: count(records, |r| r.riposte_attacked.map(|d| d.answer == r.label)),
            neighbour_correct: count(records, |r| main(r).map(|d| d.original == r.label || d.neighbour == r.label)),
            riposted: count(records, |r| main(r).map(|d| d.original != d.neighbour)),
            max_perturbation: records.iter().filter_map(|r| r.perturbation).reduce(f32::max),
            nan_count: records.iter().filter(|r| r.nan).count(),
        }
    }
}

/// How many records satisfy `test`; `None` if it says nothing of any.
fn count(records: &[Record], test: impl Fn(&Record) -> Option<bool>) -> Option<usize> {
    let verdicts: Vec<bool> = records.iter().filter_map(test).collect();
    (!verdicts.is_empty()).then(|| verdicts.iter().filter(|verdict| **verdict).count())
}

/// The 95 % Wilson score interval of a proportion (Wilson 1927); `[0, 1]` for no trials.
pub fn wilson_interval(successes: usize, trials: usize) -> [f64; 2] {
    if trials == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let center = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * libm::sqrt(p * (1.0 - p) / n + Z * Z / (4.0 * n * n));
    [(center - half).max(0.0), (center + half).min(1.0)]
}

/// The gain in accuracy of a second verdict over a first one on the same inputs, with its 95 % interval for paired
/// proportions (Agresti & Min 2005): `[gain, low, high]`.
///
/// `won` inputs were wrong before and right after, `lost` right before and wrong after.
pub fn paired_gain(won: usize, lost: usize, trials: usize) -> [f64; 3] {
    if trials == 0 {
        return [0.0, -1.0, 1.0];
    }
    // Agresti and Min add half a pair to each of the four cells.
    let (b, c, n) = (won as f64 + 0.5, lost as f64 + 0.5, trials as f64 + 2.0);
    let center = (b - c) / n;
    let half = Z * libm::sqrt(b + c - (b - c) * (b - c) / n) / n;
    [(won as f64 - lost as f64) / trials as f64, (center - half).max(-1.0), (center + half).min(1.0)]
}

/// 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;
