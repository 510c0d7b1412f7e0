//! Evaluation: what a classifier and its riposte say of each input, and the figures that follow from it.

use burn::tensor::{Bool, Tensor, TensorData};
use riposte_spec::class::argmax;
pub use riposte_spec::record::{Defended, Record};
use riposte_spec::setup::Setup;
pub use riposte_spec::summary::{Gain, Summary, paired_gain, wilson_interval};

use crate::attack::{Attacks, Goal};
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

/// Classifies and, with an attack, attacks `images` `[batch, channel, height, width]`; `inputs` are their numbers.
///
/// # Errors
/// As [`Attacks::attack`], and [`Error::Device`](crate::Error::Device).
pub async fn attack_batch<C: Classifier>(
    classifier: &C,
    images: Tensor<4>,
    labels: &[usize],
    inputs: &[u64],
    setup: &Setup,
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
    let Some(attack) = setup.attack else {
        return Ok(AttackedBatch { images, records });
    };
    let goal = match setup.target {
        Some(target) => Goal::Targeted { targets: vec![target; labels.len()] },
        None => Goal::Untargeted { labels: labels.to_vec() },
    };
    let end = attack.attack(classifier, images.clone(), &goal, seed, inputs)?.finish();
    // No change leads an image to the class that it shows: it stays as it is.
    let stays: Vec<bool> = labels.iter().map(|label| setup.target == Some(*label)).collect();
    let attacked = match stays.contains(&true) {
        true => {
            let mask: Tensor<4, Bool> =
                Tensor::from_data(TensorData::new(stays.clone(), [labels.len(), 1, 1, 1]), &images.device());
            end.images.mask_where(mask.expand(images.dims()), images.clone())
        }
        false => end.images,
    };
    let distance = (attacked.clone() - images).abs().flatten::<2>(1, 3).max_dim(1).flatten::<1>(0, 1);
    let distances = read(distance).await?;
    let logits = read(end.logits).await?;
    for (((record, row), distance), stays) in records.iter_mut().zip(logits.chunks_exact(classes)).zip(distances).zip(stays) {
        record.attacked = Some(if stays { record.natural } else { argmax(row) });
        record.perturbation = Some(distance);
        record.nan |= row.iter().any(|logit| logit.is_nan());
    }
    Ok(AttackedBatch { images: attacked, records })
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
