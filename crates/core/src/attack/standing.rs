//! A batch under attack: which images are still right, and the points that fooled the subject on the others.

use burn::tensor::Tensor;
use riposte_spec::attack::{AttackKind, Norm};
use riposte_spec::class::argmax;
use riposte_spec::doubt::Doubt;

use super::campaign::{Fate, Outcome};
use super::goal::Goal;
use super::pgd::Attacked;
use super::rows::{distance, pick};
use super::subject::Subject;
use crate::Result;
use crate::classifier::{read, read_pairs};
use crate::rng::Draws;

/// One rounding of `x + epsilon` in `[0, 2)`.
const ROUNDING: f32 = 1.2e-7;

/// Where the points of an attack may lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ball {
    pub norm: Norm,
    /// `None`: anywhere in the pixel range.
    pub radius: Option<f32>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Standing<'a, S> {
    pub subject: &'a S,
    images: Tensor<4>,
    labels: &'a [usize],
    draws: &'a [Draws],
    /// Of the clean images, a row each.
    clean: Vec<Vec<f32>>,
    points: Attacked,
    /// Largest other logit minus the label's, at the point of each image.
    margins: Vec<f32>,
    fates: Vec<Fate>,
    /// The attack under way.
    attack: AttackKind,
    /// Whether others came before it.
    after_others: bool,
}

/// Images of a batch that are still right.
pub(super) struct Part {
    pub rows: Vec<usize>,
    pub images: Tensor<4>,
    pub draws: Vec<Draws>,
    labels: Vec<usize>,
}

impl Part {
    /// Away from the labels.
    pub fn away(&self) -> Goal {
        Goal::Untargeted { labels: self.labels.clone() }
    }

    /// Away from the labels by way of the targets.
    pub fn toward(&self, targets: Vec<usize>) -> Goal {
        Goal::Toward { labels: self.labels.clone(), targets }
    }
}

impl<'a, S: Subject> Standing<'a, S> {
    pub async fn new(
        subject: &'a S,
        images: Tensor<4>,
        labels: &'a [usize],
        draws: &'a [Draws],
        doubts: Vec<Vec<Doubt>>,
    ) -> Result<Self> {
        let logits = subject.answer(images.clone());
        let clean: Vec<Vec<f32>> = read(logits.clone()).await?.chunks_exact(subject.class_count()).map(<[f32]>::to_vec).collect();
        let fate = |((row, label), doubts): ((&Vec<f32>, &usize), Vec<Doubt>)| Fate {
            right: argmax(row) == *label,
            fooled_by: None,
            doubts,
        };
        Ok(Self {
            subject,
            points: Attacked { images: images.clone(), logits },
            images,
            labels,
            draws,
            margins: clean.iter().zip(labels).map(|(row, label)| margin(row, *label)).collect(),
            fates: clean.iter().zip(labels).zip(doubts).map(fate).collect(),
            clean,
            attack: AttackKind::None,
            after_others: false,
        })
    }

    /// Says which attack is under way, and whether others came before it.
    pub fn begin(&mut self, attack: AttackKind, after_others: bool) {
        (self.attack, self.after_others) = (attack, after_others);
    }

    /// How many images are still right.
    pub fn count(&self) -> usize {
        self.fates.iter().filter(|fate| fate.right).count()
    }

    /// The images that are still right; `None` if there are none.
    pub fn part(&self) -> Option<Part> {
        let rows: Vec<usize> = (0..self.fates.len()).filter(|row| self.fates[*row].right).collect();
        (!rows.is_empty()).then(|| Part {
            images: pick(self.images.clone(), &rows),
            labels: rows.iter().map(|row| self.labels[*row]).collect(),
            draws: rows.iter().map(|row| self.draws[*row]).collect(),
            rows,
        })
    }

    /// The wrong class of each image of a part that is number `rank` (from 0) by the logits of the clean image.
    pub fn targets(&self, part: &Part, rank: usize) -> Vec<usize> {
        let target = |row: &usize| {
            let logits = &self.clean[*row];
            let mut others: Vec<usize> = (0..logits.len()).filter(|class| *class != self.labels[*row]).collect();
            others.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
            others[rank]
        };
        part.rows.iter().map(target).collect()
    }

    /// Raises a doubt about an image.
    pub fn doubt(&mut self, row: usize, doubt: Doubt) {
        let doubts = &mut self.fates[row].doubts;
        if !doubts.contains(&doubt) {
            doubts.push(doubt);
        }
    }

    /// Raises a doubt about all images.
    pub fn doubt_all(&mut self, doubt: Doubt) {
        (0..self.fates.len()).for_each(|row| self.doubt(row, doubt));
    }

    /// Takes in the points that an attack on a part ended with. The subject is asked again at each of them, as it is stored: an
    /// image counts as fooled if it is fooled there, in the ball. Of other points the one with the largest margin is kept.
    pub async fn take(&mut self, part: &Part, end: Attacked, ball: Ball) -> Result<()> {
        let again = self.subject.answer(end.images.clone());
        let far = distance(ball.norm, part.images.clone(), end.images.clone());
        let [far, again_values] = one(read_pairs(vec![(far, again.clone())]).await?);
        let claims = read(end.logits).await?;
        let (batch, classes) = (self.fates.len(), self.subject.class_count());
        let mut source: Vec<usize> = (0..batch).collect();
        for (index, (row, label)) in part.rows.iter().copied().zip(&part.labels).enumerate() {
            let (again, claim) = (&again_values[index * classes..][..classes], &claims[index * classes..][..classes]);
            if ball.radius.is_some_and(|radius| far[index] > radius + ROUNDING) {
                continue;
            }
            let fooled = argmax(again) != *label;
            if argmax(claim) != *label && !fooled {
                self.doubt(row, Doubt::Unconfirmed);
            }
            if fooled {
                self.fates[row].right = false;
                self.fates[row].fooled_by = Some(self.attack);
                if self.attack == AttackKind::Square && self.after_others {
                    self.doubt(row, Doubt::SquareWins);
                }
            }
            if fooled || margin(again, *label) > self.margins[row] {
                self.margins[row] = margin(again, *label);
                source[row] = batch + index;
            }
        }
        let images = Tensor::cat(vec![self.points.images.clone(), end.images], 0);
        let logits = Tensor::cat(vec![self.points.logits.clone(), again], 0);
        self.points = Attacked { images: pick(images, &source), logits: pick(logits, &source) };
        Ok(())
    }

    pub fn end(self) -> Outcome {
        Outcome { end: self.points, fates: self.fates }
    }
}

fn one<T>(pairs: Vec<T>) -> T {
    pairs.into_iter().next().expect("one pair was asked for")
}

/// Largest other logit minus that of the label.
fn margin(logits: &[f32], label: usize) -> f32 {
    let others = logits.iter().enumerate().filter(|(class, _)| *class != label);
    others.map(|(_, logit)| *logit).fold(f32::NEG_INFINITY, f32::max) - logits[label]
}
