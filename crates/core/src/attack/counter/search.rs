//! The neighbor search as part of what is attacked.

use burn::tensor::Tensor;
use riposte_spec::attack::Pgd;

use crate::Classifier;
use crate::attack::goal::Goal;
use crate::attack::pgd;
use crate::attack::rows::choose;
use crate::attack::subject::{Slope, Subject, Value};
use crate::rng::{Draws, Purpose};

/// A classifier seen through the search that starts at each image: its answer there is the one at the point of the search's path
/// where the value is lowest.
///
/// The path moves with the image: gradients pass it as if its offset were constant (straight-through). Whoever ascends a value here
/// brings the image to where no point of the path has a low one.
#[derive(Debug)]
pub struct Searched<'a, C> {
    /// It should rest (no autodiff).
    pub model: &'a C,
    /// How it is searched: away from a class, wherever that leads.
    pub search: Pgd,
    /// The class of each image of the batch that the search leaves.
    pub leaves: Vec<usize>,
    /// The draws of each image.
    pub draws: Vec<Draws>,
    /// Where to look.
    pub look: Look,
}

/// Which points of a search are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// All, from the image on.
    Path,
    /// The image and the last.
    Ends,
}

impl<C: Classifier> Searched<'_, C> {
    /// The points looked at, each with its logits.
    fn points(&self, images: Tensor<4>) -> Vec<(Tensor<4>, Tensor<2>)> {
        let goal = Goal::Untargeted { labels: self.leaves.clone() };
        let image = (images.clone(), self.model.forward(images.clone()));
        let path = pgd::start(self.search, Purpose::Search, self.model, images, &goal, &self.draws);
        let steps = path.expect("there are classes and draws for each image").map(|step| (step.images, step.logits));
        match self.look {
            Look::Path => std::iter::once(image).chain(steps).collect(),
            Look::Ends => std::iter::once(image).chain(steps.last()).collect(),
        }
    }

    /// Where the search ends, `[batch, channel, height, width]`.
    pub(super) fn end(&self, images: Tensor<4>) -> Tensor<4> {
        self.points(images).pop().expect("the image itself is looked at").0
    }

    /// Of each image the point of the lowest value.
    fn lowest(&self, images: Tensor<4>, value: Value<'_>) -> (Tensor<4>, Tensor<2>) {
        let valued = self.points(images).into_iter().map(|(point, logits)| (value(logits.clone()), point, logits));
        let lowest = valued.reduce(|a, b| {
            let lower = b.0.clone().lower(a.0.clone());
            (choose(&lower, b.0, a.0), choose(&lower, b.1, a.1), choose(&lower, b.2, a.2))
        });
        let (_, point, logits) = lowest.expect("the image itself is looked at");
        (point, logits)
    }
}

impl<C: Classifier> Subject for Searched<'_, C> {
    fn class_count(&self) -> usize {
        self.model.classes()
    }

    /// At the end of the search.
    fn answer(&self, images: Tensor<4>) -> Tensor<2> {
        self.points(images).pop().expect("the image itself is looked at").1
    }

    fn slope(&self, images: Tensor<4>, value: Value<'_>) -> Slope {
        let (point, _) = self.lowest(images, value);
        self.model.slope(point, value)
    }
}
