//! A batch under attack: which images are still right, and the points that fooled the others.

use burn::tensor::Tensor;

use super::norm::{Norm, distance};
use super::pgd::Attacked;
use super::rows::pick;
use super::subject::Subject;
use crate::Result;
use crate::classifier::{argmax, read, read_pairs};

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
    inputs: &'a [u64],
    /// Of the clean images, a row each.
    clean: Vec<Vec<f32>>,
    points: Attacked,
    /// Largest other logit minus the label's, at the point of each image.
    margins: Vec<f32>,
    right: Vec<bool>,
    /// Points that an attack claimed and the subject, asked again, did not confirm.
    pub unconfirmed: usize,
}

/// Images of a batch that are still right.
pub(super) struct Part {
    pub rows: Vec<usize>,
    pub images: Tensor<4>,
    pub labels: Vec<usize>,
    pub inputs: Vec<u64>,
}

impl<'a, S: Subject> Standing<'a, S> {
    pub async fn new(subject: &'a S, images: Tensor<4>, labels: &'a [usize], inputs: &'a [u64]) -> Result<Self> {
        let logits = subject.answer(images.clone());
        let clean: Vec<Vec<f32>> =
            read(logits.clone()).await?.chunks_exact(subject.class_count()).map(<[f32]>::to_vec).collect();
        Ok(Self {
            subject,
            points: Attacked { images: images.clone(), logits },
            images,
            labels,
            inputs,
            margins: clean.iter().zip(labels).map(|(row, label)| margin(row, *label)).collect(),
            right: clean.iter().zip(labels).map(|(row, label)| argmax(row) == *label).collect(),
            clean,
            unconfirmed: 0,
        })
    }

    /// How many images are still right.
    pub fn count(&self) -> usize {
        self.right.iter().filter(|right| **right).count()
    }

    /// The images that are still right; `None` if there are none.
    pub fn part(&self) -> Option<Part> {
        let rows: Vec<usize> = (0..self.right.len()).filter(|row| self.right[*row]).collect();
        (!rows.is_empty()).then(|| Part {
            images: pick(self.images.clone(), &rows),
            labels: rows.iter().map(|row| self.labels[*row]).collect(),
            inputs: rows.iter().map(|row| self.inputs[*row]).collect(),
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

    /// Takes in the points that an attack on a part ended with. The subject is asked again at each of them, as it is stored: an
    /// image counts as fooled if it is fooled there, in the ball. Of other points the one with the largest margin is kept.
    pub async fn take(&mut self, part: &Part, end: Attacked, ball: Ball) -> Result<()> {
        let again = self.subject.answer(end.images.clone());
        let far = distance(ball.norm, part.images.clone(), end.images.clone());
        let [again_values, far] = one(read_pairs(vec![(again.clone(), far)]).await?);
        let claimed = read(end.logits).await?;
        let classes = self.subject.class_count();
        let mut source: Vec<usize> = (0..self.right.len()).collect();
        let answers = again_values.chunks_exact(classes).zip(claimed.chunks_exact(classes)).zip(far);
        for (index, ((again, claimed), far)) in answers.enumerate() {
            let (row, label) = (part.rows[index], part.labels[index]);
            if ball.radius.is_some_and(|radius| far > radius + ROUNDING) {
                continue;
            }
            let fooled = argmax(again) != label;
            self.unconfirmed += usize::from(argmax(claimed) != label && !fooled);
            if fooled || margin(again, label) > self.margins[row] {
                self.margins[row] = margin(again, label);
                self.right[row] = !fooled;
                source[row] = self.right.len() + index;
            }
        }
        let images = Tensor::cat(vec![self.points.images.clone(), end.images], 0);
        let logits = Tensor::cat(vec![self.points.logits.clone(), again], 0);
        self.points = Attacked { images: pick(images, &source), logits: pick(logits, &source) };
        Ok(())
    }

    /// The clean images, the points, and which images are still right.
    pub fn end(self) -> (Tensor<4>, Attacked, Vec<bool>) {
        (self.images, self.points, self.right)
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
