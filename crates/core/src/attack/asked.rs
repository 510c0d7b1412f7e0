//! What attackers who can only ask have in common.

use burn::tensor::{Device, Tensor, TensorData};
use riposte_spec::class::argmax;

use super::zoo::batch;
use crate::Result;
use crate::classifier::read;

/// What an attacker who could only ask has found.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Answers until the first one that was wrong; `None`: there was none.
    pub first_success: Option<usize>,
    /// Answers in all.
    pub queries: usize,
    /// The wrong answer's point of the smallest change, `[1, channel, height, width]` in `[0, 1]`.
    pub image: Option<Tensor<4>>,
    /// Euclidean length of that change.
    pub distance: f64,
    /// Largest change of a pixel by it.
    pub largest: f64,
}

/// An image on the host.
pub(super) struct Place {
    pub pixels: Vec<f32>,
    pub shape: [usize; 4],
    pub device: Device,
}

/// Somebody who answers, and what was learned from the answers.
pub(super) struct Asking<'a, F> {
    place: &'a Place,
    label: usize,
    limit: usize,
    ask: F,
    pub queries: usize,
    pub successes: usize,
    first_success: Option<usize>,
    best: Option<(f64, Vec<f32>)>,
}

/// What an answer says.
pub(super) struct Seen {
    pub wrong: bool,
    /// The lead of the label in logarithms of probabilities, at least 0.
    lead: f64,
    /// Square of the Euclidean distance to the image.
    square: f64,
}

impl Seen {
    /// The loss of Carlini & Wagner.
    pub fn value(&self, constant: f32) -> f64 {
        self.square + f64::from(constant) * self.lead
    }
}

impl Place {
    pub async fn of(image: Tensor<4>) -> Result<Self> {
        let (shape, device) = (image.dims(), image.device());
        Ok(Self { pixels: read(image).await?, shape, device })
    }

    pub fn tensor(&self, pixels: Vec<f32>) -> Tensor<4> {
        Tensor::from_data(TensorData::new(pixels, self.shape), &self.device)
    }

    /// Square of the Euclidean distance of a point, and the largest change of a pixel.
    fn distances(&self, point: &[f32]) -> [f64; 2] {
        let changes = self.pixels.iter().zip(point).map(|(pixel, moved)| f64::from(*moved) - f64::from(*pixel));
        changes.fold([0.0, 0.0], |[square, largest], change| [square + change * change, f64::max(largest, change.abs())])
    }
}

impl<'a, F: AsyncFnMut(Tensor<4>) -> Result<Vec<Vec<f32>>>> Asking<'a, F> {
    pub fn new(place: &'a Place, label: usize, limit: usize, ask: F) -> Self {
        Self { place, label, limit, ask, queries: 0, successes: 0, first_success: None, best: None }
    }

    /// Whether so many more answers may be asked for.
    pub fn may_ask(&self, count: usize) -> bool {
        self.queries + count <= self.limit
    }

    /// The answers to some points.
    pub async fn ask(&mut self, points: &[Vec<f32>]) -> Result<Vec<Seen>> {
        let answers = (self.ask)(batch(self.place, points)).await?;
        let mut seen = Vec::with_capacity(points.len());
        for (point, logits) in points.iter().zip(answers) {
            self.queries += 1;
            let [square, _] = self.place.distances(point);
            let wrong = argmax(&logits) != self.label;
            if wrong {
                self.successes += 1;
                self.first_success.get_or_insert(self.queries);
                if self.best.as_ref().is_none_or(|(best, _)| square < *best) {
                    self.best = Some((square, point.clone()));
                }
            }
            let log = log_probabilities(&logits);
            let others = log.iter().enumerate().filter(|(class, _)| *class != self.label).map(|(_, log)| *log);
            let lead = log[self.label] - others.fold(f64::NEG_INFINITY, f64::max);
            seen.push(Seen { wrong, lead: lead.max(0.0), square });
        }
        Ok(seen)
    }

    pub fn end(self) -> Asked {
        let Self { place, queries, first_success, best, .. } = self;
        match best {
            None => Asked { first_success, queries, image: None, distance: f64::INFINITY, largest: f64::INFINITY },
            Some((square, point)) => {
                let [_, largest] = place.distances(&point);
                Asked { first_success, queries, image: Some(place.tensor(point)), distance: square.sqrt(), largest }
            }
        }
    }
}

/// In f64: of probabilities near 1, f32 has lost the logarithm.
pub(super) fn log_probabilities(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().fold(f32::NEG_INFINITY, |largest, logit| largest.max(*logit));
    let shifted: Vec<f64> = logits.iter().map(|logit| f64::from(*logit) - f64::from(largest)).collect();
    let total = shifted.iter().map(|value| libm::exp(*value)).sum::<f64>();
    shifted.iter().map(|value| value - libm::log(total)).collect()
}
