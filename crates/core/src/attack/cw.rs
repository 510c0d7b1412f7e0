//! The attacks of Carlini & Wagner 2017 ("Towards evaluating the robustness of neural networks", sections V-B to VI-C): they
//! minimize the perturbation and a penalty for the right class together, by Adam on pixels that tanh keeps in their range.

mod bound;
mod constant;
mod descent;

use burn::tensor::{Bool, Tensor};
use riposte_spec::attack::{Cw, Loss, Norm};

use super::goal::{Goal, Objective};
use super::pgd::{Attacked, Attacks, Step};
use super::rows::{choose, distance, each};
use super::subject::{Slope, Subject};
use crate::Result;
use crate::rng::Draws;
use bound::Bound;
use constant::Constant;
use descent::Descent;

impl Attacks for Cw {
    type Run<'a, S: Subject + 'a> = CwRun<'a, S>;

    /// All rounds. It does not draw.
    fn attack<'a, S: Subject>(self, subject: &'a S, images: Tensor<4>, goal: &Goal, _: &[Draws]) -> Result<CwRun<'a, S>> {
        self.check()?;
        let [batch, ..] = images.dims();
        goal.check(batch, subject.class_count(), Loss::Margin)?;
        let device = images.device();
        let descent = Descent::new(images.clone(), self.learning_rate);
        Ok(CwRun {
            settings: self,
            subject,
            objective: Objective::new(goal, Loss::Margin, subject.class_count(), &device),
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
#[allow(clippy::large_enum_variant, reason = "a run has one")]
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
