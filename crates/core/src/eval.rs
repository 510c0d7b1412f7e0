//! Evaluation: what a classifier and its riposte say of each input, and the figures that follow from it.

use std::ops::ControlFlow;

use burn::tensor::{Bool, Tensor, TensorData};
use riposte_spec::attack::{Attack, Norm, Pgd};
use riposte_spec::class::argmax;
pub use riposte_spec::record::{Defended, Record};
use riposte_spec::setup::Setup;
pub use riposte_spec::summary::{Gain, Summary, paired_gain, wilson_interval};

use crate::attack::{Attacked, Attacks, Goal, Progress, campaign, choose, distance};
use crate::classifier::{predictions, read};
use crate::rng::Seed;
use crate::{Classifier, Result};

/// A batch under attack.
#[derive(Debug, Clone)]
pub struct AttackedBatch {
    /// `[batch, channel, height, width]`
    pub images: Tensor<4>,
    /// One for each image, without the defense's part.
    pub records: Vec<Record>,
}

/// Classifies and, with an attack, attacks `images` `[batch, channel, height, width]`; `inputs` are their numbers. The observer is told
/// of the steps of strong attacks, which take long.
///
/// # Errors
/// As [`Attacks::attack`]; [`Error::Cancelled`](crate::Error::Cancelled) if the observer breaks;
/// [`Error::Device`](crate::Error::Device).
pub async fn attack_batch<C: Classifier>(
    classifier: &C,
    images: Tensor<4>,
    labels: &[usize],
    inputs: &[u64],
    setup: &Setup,
    seed: Seed,
    observe: impl AsyncFnMut(Progress) -> ControlFlow<()>,
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
            fooled_by: None,
            doubts: Vec::new(),
            nan: row.iter().any(|logit| logit.is_nan()),
            riposte_natural: None,
            riposte_attacked: None,
        })
        .collect();
    let end = match setup.attack {
        None => return Ok(AttackedBatch { images, records }),
        Some(Attack::Pgd(pgd)) => match setup.target {
            None => {
                let goal = Goal::Untargeted { labels: labels.to_vec() };
                pgd.attack(classifier, images.clone(), &goal, seed, inputs)?.finish()
            }
            Some(target) => toward(pgd, classifier, images.clone(), labels, target, seed, inputs)?,
        },
        Some(attack) => {
            let outcome = campaign(attack, classifier, images.clone(), labels, seed, inputs, observe).await?;
            for (record, fate) in records.iter_mut().zip(outcome.fates) {
                (record.fooled_by, record.doubts) = (fate.fooled_by, fate.doubts);
            }
            outcome.end
        }
    };
    let distances = read(distance(Norm::LInfinity, images, end.images.clone())).await?;
    let logits = read(end.logits).await?;
    for ((record, row), distance) in records.iter_mut().zip(logits.chunks_exact(classes)).zip(distances) {
        record.attacked = Some(argmax(row));
        record.perturbation = Some(distance);
        record.nan |= row.iter().any(|logit| logit.is_nan());
    }
    Ok(AttackedBatch { images: end.images, records })
}

/// PGD to one class. No change leads an image to the class that it shows: it stays as it is.
fn toward<C: Classifier>(
    pgd: Pgd,
    classifier: &C,
    images: Tensor<4>,
    labels: &[usize],
    target: usize,
    seed: Seed,
    inputs: &[u64],
) -> Result<Attacked> {
    let goal = Goal::Targeted { targets: vec![target; labels.len()] };
    let end = pgd.attack(classifier, images.clone(), &goal, seed, inputs)?.finish();
    let stays: Vec<bool> = labels.iter().map(|label| *label == target).collect();
    if !stays.contains(&true) {
        return Ok(end);
    }
    let stays: Tensor<1, Bool> = Tensor::from_data(TensorData::new(stays, [labels.len()]), &images.device());
    let logits = classifier.forward(images.clone());
    Ok(Attacked { images: choose(&stays, images, end.images), logits: choose(&stays, logits, end.logits) })
}

/// The defense's part of a record, from its logits `[1, class]`; the second value says whether one was not a number.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn defended(original: usize, neighbor: usize, logits: Tensor<2>) -> Result<(Defended, bool)> {
    let values = read(logits).await?;
    let nan = values.iter().any(|logit| logit.is_nan());
    Ok((Defended { original, neighbor, answer: argmax(&values) }, nan))
}

/// Number of images of `images` that `classifier` gives their label: natural accuracy without records.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub async fn count_correct<C: Classifier>(classifier: &C, images: Tensor<4>, labels: &[usize]) -> Result<usize> {
    let predicted = predictions(classifier.forward(images)).await?;
    Ok(predicted.iter().zip(labels).filter(|(predicted, label)| predicted == label).count())
}
