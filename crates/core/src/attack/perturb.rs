//! Any attack on a batch, away from the labels or to one class.

use std::ops::ControlFlow;

use burn::tensor::{Bool, Tensor, TensorData};
use riposte_spec::attack::{Attack, Pgd};
use riposte_spec::quantize::Quantize;

use super::campaign::{Fate, Progress, campaign};
use super::goal::Goal;
use super::pgd::{Attacked, Attacks};
use super::quantized::{Quantized, check_levels, quantized};
use super::rows::choose;
use super::subject::Subject;
use crate::rng::Draws;
use crate::{Error, Result};

/// An attack, and what it has to end with.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The attack.
    pub attack: Attack,
    /// The class that it leads to; `None`: any but the label.
    pub target: Option<usize>,
    /// Which values the pixels of its images may have.
    pub quantize: Quantize,
}

/// What an attack leaves of a batch.
#[derive(Debug, Clone)]
pub struct Perturbed {
    /// The perturbed images, and the subject's logits on them.
    pub end: Attacked,
    /// What became of each image; `None` of PGD, which looks at none before its end.
    pub fates: Option<Vec<Fate>>,
}

/// Attacks `images` `[batch, channel, height, width]` in `[0, 1]` away from their labels; PGD, with a target, to that class: an image
/// that shows it stays as it is.
///
/// # Errors
/// [`Error::Config`] if a setting is out of its range, numbers differ, another attack than PGD has a target, or a natural image has other
/// levels than the attacked ones are to have; [`Error::Cancelled`] if the observer breaks; [`Error::Device`] if the device fails.
pub async fn perturb<S: Subject>(
    Attempt { attack, target, quantize }: Attempt,
    subject: &S,
    images: Tensor<4>,
    labels: &[usize],
    draws: &[Draws],
    observe: impl AsyncFnMut(Progress) -> ControlFlow<()>,
) -> Result<Perturbed> {
    check_levels(&images, quantize).await?;
    let attack = attack.epsilon().map_or(attack, |epsilon| attack.with_radius(quantize.radius(epsilon)));
    let subject = &Quantized { subject, quantize };
    let (end, fates) = match (attack, target) {
        (Attack::Pgd(pgd), None) => {
            let goal = Goal::Untargeted { labels: labels.to_vec() };
            (descend(pgd, subject, images, &goal, draws, observe).await?, None)
        }
        (Attack::Pgd(pgd), Some(target)) => (lead(pgd, target, subject, images, labels, draws, observe).await?, None),
        (_, Some(_)) => return Err(Error::Config("of the attacks PGD alone leads to a class".to_owned())),
        (strong, None) => {
            let outcome = campaign(strong, subject, images, labels, draws, observe).await?;
            (outcome.end, Some(outcome.fates))
        }
    };
    // The logits are of the rounded images already.
    Ok(Perturbed { end: Attacked { images: quantized(end.images, quantize), ..end }, fates })
}

/// PGD, whose observer can stop it.
async fn descend<S: Subject>(
    pgd: Pgd,
    subject: &S,
    images: Tensor<4>,
    goal: &Goal,
    draws: &[Draws],
    mut observe: impl AsyncFnMut(Progress) -> ControlFlow<()>,
) -> Result<Attacked> {
    let [right, ..] = images.dims();
    let mut path = pgd.attack(subject, images, goal, draws)?;
    for step in path.by_ref() {
        let at = Progress { attack: Attack::Pgd(pgd), index: 0, run: step.restart, step: step.step, right };
        if observe(at).await.is_break() {
            return Err(Error::Cancelled);
        }
    }
    Ok(path.finish())
}

/// PGD to one class. No change leads an image to the class that it shows: it stays as it is.
async fn lead<S: Subject>(
    pgd: Pgd,
    target: usize,
    subject: &S,
    images: Tensor<4>,
    labels: &[usize],
    draws: &[Draws],
    observe: impl AsyncFnMut(Progress) -> ControlFlow<()>,
) -> Result<Attacked> {
    let goal = Goal::Targeted { targets: vec![target; labels.len()] };
    let end = descend(pgd, subject, images.clone(), &goal, draws, observe).await?;
    let stays: Vec<bool> = labels.iter().map(|label| *label == target).collect();
    if !stays.contains(&true) {
        return Ok(end);
    }
    let stays: Tensor<1, Bool> = Tensor::from_data(TensorData::new(stays, [labels.len()]), &images.device());
    let logits = subject.answer(images.clone());
    Ok(Attacked { images: choose(&stays, images, end.images), logits: choose(&stays, logits, end.logits) })
}
