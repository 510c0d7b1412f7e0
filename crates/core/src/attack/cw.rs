//! The attacks of Carlini & Wagner 2017 ("Towards evaluating the robustness of neural networks", sections V-B to VI-C): they
//! minimize the perturbation and a penalty for the right class together, by Adam on pixels that tanh keeps in their range.

mod bound;
mod constant;
mod descent;

use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use super::goal::{Goal, Loss, Objective};
use super::norm::{Norm, distance};
use super::pgd::{Attacked, Step};
use super::rows::{choose, each};
use super::subject::{Slope, Subject};
use crate::{Error, Result};
use bound::Bound;
use constant::Constant;
use descent::Descent;

/// Settings of a Carlini-Wagner attack. It does not draw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cw {
    /// What is minimized: L2 by a search over the constant, L-infinity by a bound that falls.
    pub norm: Norm,
    /// Values of the constant tried for an image (L2), or of the constant and the bound together (L-infinity).
    pub rounds: usize,
    /// Steps of Adam in a round.
    pub steps: usize,
    /// Adam's, above 0.
    pub learning_rate: f32,
    /// The first value of c, the weight of the penalty, above 0.
    pub constant: f32,
    /// κ: by how much another logit should exceed the label's, at least 0.
    pub confidence: f32,
}

impl Cw {
    /// The authors' L2 attack.
    pub const L2: Self =
        Self { norm: Norm::L2, rounds: 9, steps: 10_000, learning_rate: 1e-2, constant: 1e-3, confidence: 0.0 };
    /// The authors' L-infinity attack. In 75 rounds the constant can reach its last value and the bound 1/256.
    pub const L_INFINITY: Self =
        Self { norm: Norm::LInfinity, rounds: 75, steps: 1000, learning_rate: 5e-3, constant: 1e-5, confidence: 0.0 };

    /// A run on `images` `[batch, channel, height, width]` in `[0, 1]` of the given labels.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting is out of its range or the numbers of images and labels differ.
    pub fn attack<'a, S: Subject>(self, subject: &'a S, images: Tensor<4>, labels: &[usize]) -> Result<CwRun<'a, S>> {
        self.check()?;
        let [batch, ..] = images.dims();
        let goal = Goal::Untargeted { labels: labels.to_vec() };
        goal.check(batch, subject.class_count(), Loss::Margin)?;
        let device = images.device();
        let descent = Descent::new(images.clone(), self.learning_rate);
        Ok(CwRun {
            settings: self,
            subject,
            objective: Objective::new(&goal, Loss::Margin, subject.class_count(), &device),
            center: descent.points(),
            descent,
            search: match self.norm {
                Norm::L2 => Search::Constant(Constant::new(self, batch, &device)),
                Norm::LInfinity => Search::Bound(Bound::new(self, batch, &device)),
            },
            best: Attacked { logits: Tensor::zeros([batch, subject.class_count()], &device), images: images.clone() },
            distance: Tensor::full([batch], FAR, &device),
            images,
            step: 0,
        })
    }

    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn check(&self) -> Result<()> {
        let positive = [("learning rate", self.learning_rate), ("constant", self.constant)];
        if let Some((what, value)) = positive.into_iter().find(|(_, value)| !(*value > 0.0 && value.is_finite())) {
            return Err(Error::Config(format!("the {what} must be above 0, not {value}")));
        }
        if !(self.confidence >= 0.0 && self.confidence.is_finite()) {
            return Err(Error::Config(format!("the confidence must be at least 0, not {}", self.confidence)));
        }
        if self.steps == 0 || self.rounds == 0 {
            return Err(Error::Config("the attack needs at least one round of one step".to_owned()));
        }
        Ok(())
    }
}

/// More than any distance of two images.
const FAR: f32 = 1e10;

/// A run under way: `rounds * steps` items at most, each a point of the descent. Every image goes from round to round at its own
/// pace and rests at the end.
#[derive(Debug)]
pub struct CwRun<'a, S> {
    settings: Cw,
    subject: &'a S,
    objective: Objective,
    images: Tensor<4>,
    /// The images as the descent has them: drawn in from 0 and 1 by less than a millionth.
    center: Tensor<4>,
    descent: Descent,
    search: Search,
    best: Attacked,
    /// Of the best points, `[batch]`.
    distance: Tensor<1>,
    step: usize,
}

/// What changes from round to round.
#[derive(Debug)]
enum Search {
    Constant(Constant),
    Bound(Bound),
}

/// What is seen at the points of a step.
#[derive(Debug)]
struct Seen {
    points: Tensor<4>,
    /// The penalty, `[batch]`: 0 where another logit exceeds the label's by the confidence.
    penalty: Tensor<1>,
    /// Of the penalty.
    gradient: Tensor<4>,
    /// Whether the point fools the subject with the confidence asked for, `[batch]`.
    fooled: Tensor<1, Bool>,
}

/// What a search makes of it.
struct Verdict {
    /// The gradient to descend.
    gradient: Tensor<4>,
    /// Which images begin a new round after the step, `[batch]`.
    restart: Tensor<1, Bool>,
    /// Images of the mask `[batch]` begin it at these points, the others where they began the last one.
    from: Option<(Tensor<4>, Tensor<1, Bool>)>,
}

impl<S: Subject> CwRun<'_, S> {
    /// The nearest points found that fool the subject, and which images have one, `[batch]`; the others stay as they were.
    pub fn end(self) -> (Attacked, Tensor<1, Bool>) {
        let found = self.distance.lower_elem(FAR);
        let clean = self.subject.answer(self.images.clone());
        let logits = choose(&found, self.best.logits, clean);
        (Attacked { images: choose(&found, self.best.images, self.images), logits }, found)
    }

    /// Which images have been through all rounds, `[batch]`.
    pub fn finished(&self) -> Tensor<1, Bool> {
        match &self.search {
            Search::Constant(search) => search.finished(),
            Search::Bound(search) => search.finished(),
        }
    }
}

impl<S: Subject> Iterator for CwRun<'_, S> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let Cw { norm, rounds, steps, confidence, .. } = self.settings;
        if self.step == rounds * steps {
            return None;
        }
        let points = self.descent.points();
        let penalty = |logits| (self.objective.value(logits).neg() + confidence).clamp_min(0.0);
        let Slope { logits, value, gradient } = self.subject.slope(points.clone(), &penalty);
        let fooled = self.objective.succeeded(logits.clone()).greater_elem(0.5);
        let fooled = fooled.bool_and(value.clone().lower_equal_elem(0.0));
        let active = self.finished().bool_not();
        let far = distance(norm, self.images.clone(), points.clone());
        let nearer = fooled.clone().bool_and(active).bool_and(far.clone().lower(self.distance.clone()));
        self.distance = choose(&nearer, far, self.distance.clone());
        self.best = Attacked {
            images: choose(&nearer, points.clone(), self.best.images.clone()),
            logits: choose(&nearer, logits.clone(), self.best.logits.clone()),
        };
        let seen = Seen { points: points.clone(), penalty: value, gradient, fooled };
        let verdict = match &mut self.search {
            Search::Constant(search) => search.judge(&self.center, seen, self.descent.steps()),
            Search::Bound(search) => search.judge(&self.center, seen, self.descent.steps()),
        };
        self.descent.step(verdict.gradient);
        self.descent.restart(&verdict.restart, verdict.from);
        let step = self.step;
        self.step += 1;
        Some(Step { restart: 0, step, images: points, logits })
    }
}
