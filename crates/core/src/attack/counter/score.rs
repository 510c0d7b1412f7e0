//! How good a point is for an attacker: by what the defense answers there.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte_spec::class::{argmax, softmax};
use riposte_spec::counter::CounterKind;

use super::{Attacker, Event};
use crate::Result;
use crate::classifier::read;
use crate::defense::Defense;
use crate::post_train::Progress;
use crate::rng::{Draws, Purpose};

/// A point and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Who found it.
    pub kind: CounterKind,
    /// `[1, channel, height, width]`
    pub image: Tensor<4>,
    pub score: Score,
    /// The round, or the place among the points that were looked at closely.
    pub round: usize,
}

/// What some answers say of a point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score {
    /// How many were wrong, and how many there were.
    pub fooled: [usize; 2],
    /// Mean over the answers of the largest other logit minus the label's, over the spread of the logits.
    pub margin: f32,
    /// y' and y'' in the first; `None` where the defense looks for no neighbor.
    pub pair: Option<[usize; 2]>,
    /// The class that is the first.
    pub answer: usize,
    /// Mean over the answers of the label's probability.
    pub truth: f32,
}

/// What some answers say of a point, and what else comes with them.
#[derive(Debug)]
pub(super) struct Scored<C> {
    pub score: Score,
    /// Those that adapted to give the answers.
    pub copies: Vec<C>,
    /// Of the first answer, `[1, class]`.
    pub logits: Tensor<2>,
}

impl Score {
    /// Whether all answers were wrong.
    pub fn has_fallen(&self) -> bool {
        self.fooled[0] == self.fooled[1]
    }

    /// Both as one.
    pub fn with(self, other: Self) -> Self {
        let [mine, others] = [self.fooled[1] as f32, other.fooled[1] as f32];
        let mean = |a: f32, b: f32| (a * mine + b * others) / (mine + others);
        Self {
            fooled: [self.fooled[0] + other.fooled[0], self.fooled[1] + other.fooled[1]],
            margin: mean(self.margin, other.margin),
            truth: mean(self.truth, other.truth),
            ..self
        }
    }

    /// Whether the attacker prefers it.
    pub fn is_worse_than(&self, other: &Self) -> bool {
        self.badness(other) == Ordering::Greater
    }

    /// By the share of wrong answers, then by the margin.
    pub fn badness(&self, other: &Self) -> Ordering {
        // Shares without a division.
        let shares = (self.fooled[0] * other.fooled[1]).cmp(&(other.fooled[0] * self.fooled[1]));
        shares.then(self.margin.total_cmp(&other.margin))
    }
}

impl<D: Defense, O: AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>> Attacker<'_, D, O> {
    /// The best of some points `[1, channel, height, width]`: one answer to each, then as many as the settings say to each of the
    /// best `finalists`.
    pub(super) async fn best_of(&mut self, kind: CounterKind, points: Vec<Tensor<4>>, finalists: usize) -> Result<Found> {
        let mut candidates = Vec::with_capacity(points.len());
        let points: Vec<Tensor<4>> = points.into_iter().map(|point| self.rounded(point)).collect();
        if points.len() > finalists {
            for image in points {
                let score = self.score(image.clone(), 1).await?.score;
                candidates.push(Found { kind, image, score, round: 0 });
            }
            candidates.sort_by(|a, b| b.score.badness(&a.score));
        } else {
            let unknown = Score { fooled: [0, 1], margin: 0.0, pair: None, answer: 0, truth: 0.0 };
            candidates.extend(points.into_iter().map(|image| Found { kind, image, score: unknown, round: 0 }));
        }
        let mut best: Option<Found> = None;
        for (index, Found { image, .. }) in candidates.into_iter().take(finalists).enumerate() {
            let score = self.score(image.clone(), self.attack.settings.adaptations).await?.score;
            self.tell_of_round(kind, index, 1, &image, &score).await?;
            let found = Found { kind, image, score, round: index };
            self.pool.push(found.clone());
            if best.as_ref().is_none_or(|best| score.is_worse_than(&best.score)) {
                best = Some(found);
            }
        }
        Ok(best.expect("there is at least one point"))
    }

    /// What `count` new answers say of an image `[1, channel, height, width]`, as its pixels may be.
    pub(super) async fn score(&mut self, image: Tensor<4>, count: usize) -> Result<Scored<D::Model>> {
        let draws: Vec<Draws> = (0..count).map(|_| self.next_draws(Purpose::Selection)).collect();
        self.cost.answers += count;
        self.answers(image, &draws).await
    }

    /// The same of answers with the given draws. Where the answer does not depend on them, it is asked for once.
    pub(super) async fn answers(&mut self, image: Tensor<4>, draws: &[Draws]) -> Result<Scored<D::Model>> {
        let (defense, label, count) = (self.attack.defense, self.subjected.label, draws.len());
        let image = self.rounded(image);
        let prepared = defense.prepare(image.clone().repeat_dim(0, count), draws).await?;
        let (mut fooled, mut margins, mut first, mut copies) = (0, Vec::with_capacity(count), None, Vec::new());
        let mut truths = Vec::with_capacity(count);
        for (prepared, draws) in prepared.into_iter().zip(draws) {
            let settled = defense.is_settled(&prepared);
            let observe = &mut self.observe;
            let answer = defense
                .respond(prepared, *draws, async |progress: Progress<'_, D::Model>| observe(Event::Answering(progress)).await)
                .await?;
            let logits = read(answer.logits.clone()).await?;
            let class = argmax(&logits);
            fooled += usize::from(class != label);
            margins.push(normalized_margin(&logits, label));
            truths.push(softmax(&logits)[label]);
            if first.is_none() {
                let pair = answer.neighbors.map(|neighbors| [neighbors.original[0], neighbors.neighbor[0]]);
                first = Some((pair, class, answer.logits));
            }
            copies.extend(answer.adapted);
            if settled {
                fooled *= count;
                break;
            }
        }
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        let (pair, answer, logits) = first.expect("there is at least one answer");
        let (margin, truth) = (mean(&margins), mean(&truths));
        Ok(Scored { score: Score { fooled: [fooled, count], margin, pair, answer, truth }, copies, logits })
    }
}

/// Largest other logit minus the label's, over the distance of the largest logit to the third: comparable between models.
fn normalized_margin(logits: &[f32], label: usize) -> f32 {
    let others = logits.iter().enumerate().filter(|(class, _)| *class != label).map(|(_, logit)| *logit);
    let margin = others.fold(f32::NEG_INFINITY, f32::max) - logits[label];
    let mut sorted = logits.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    match sorted.get(2) {
        Some(third) => margin / (sorted[0] - third + 1e-12),
        None => margin,
    }
}
