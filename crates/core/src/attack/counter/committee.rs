//! Several models as one subject.

use burn::tensor::Tensor;

use crate::Classifier;
use crate::attack::rows::choose;
use crate::attack::subject::{Slope, Subject, Value};

/// Several classifiers that an attack fools together.
#[derive(Debug)]
pub struct Committee<'a, C> {
    /// At least one. They should rest (no autodiff).
    pub members: Vec<&'a C>,
    /// How their answers become one.
    pub rule: Rule,
}

/// How the answers of several classifiers become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The means of their logits, values and gradients.
    Average,
    /// Image by image the answer of the one whose value is lowest: whoever ascends it fools all.
    Minimum,
}

impl<C: Classifier> Subject for Committee<'_, C> {
    fn class_count(&self) -> usize {
        self.members[0].classes()
    }

    /// The means of the logits, whatever the rule: which member's value is lowest is not known without a value.
    fn answer(&self, images: Tensor<4>) -> Tensor<2> {
        let sum = self.members.iter().map(|member| member.forward(images.clone())).reduce(|sum, logits| sum + logits);
        sum.expect("there is at least one member") / self.members.len() as f32
    }

    fn slope(&self, images: Tensor<4>, value: Value<'_>) -> Slope {
        let slopes = self.members.iter().map(|member| member.slope(images.clone(), value));
        let merged = slopes.reduce(|a, b| self.rule.merge(a, b)).expect("there is at least one member");
        match self.rule {
            Rule::Minimum => merged,
            Rule::Average => {
                let share = 1.0 / self.members.len() as f32;
                Slope { logits: merged.logits * share, value: merged.value * share, gradient: merged.gradient * share }
            }
        }
    }
}

impl Rule {
    /// The sum, or the lower one.
    pub(super) fn merge(self, a: Slope, b: Slope) -> Slope {
        match self {
            Self::Average => Slope { logits: a.logits + b.logits, value: a.value + b.value, gradient: a.gradient + b.gradient },
            Self::Minimum => {
                let lower = b.value.clone().lower(a.value.clone());
                Slope {
                    logits: choose(&lower, b.logits, a.logits),
                    gradient: choose(&lower, b.gradient, a.gradient),
                    value: choose(&lower, b.value, a.value),
                }
            }
        }
    }
}
