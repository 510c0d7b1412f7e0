//! The original class and the neighbor class of an input (paper, section 3.2 and Algorithm 1).

use burn::tensor::Tensor;
use riposte_kernels::cross_entropy;
use riposte_spec::attack::Pgd;
pub use riposte_spec::search::{NeighborSearch, SearchMethod};

use crate::attack::{self, Attacked, Goal, one_hot};
use crate::classifier::predictions;
use crate::rng::{Draws, Purpose};
use crate::{Classifier, Result};

/// What a search found for each input of a batch.
#[derive(Debug, Clone)]
pub struct Neighbors {
    /// The inputs, `[batch, channel, height, width]` in `[0, 1]`.
    pub inputs: Tensor<4>,
    /// y': the class that the base model gives the input (equation 2).
    pub original: Vec<usize>,
    /// y'': the class that it gives x''. Equal to y' where the search found no neighbor.
    pub neighbor: Vec<usize>,
    /// x'': `[batch, channel, height, width]` in `[0, 1]`.
    pub images: Tensor<4>,
    /// The base model's logits on the inputs, `[batch, class]`.
    pub logits: Tensor<2>,
    /// The base model's logits on x'', `[batch, class]`.
    pub neighbor_logits: Tensor<2>,
}

/// A search as settings: whoever has them can search.
#[allow(async_fn_in_trait, reason = "futures stay on the thread of their device's client")]
pub trait Searches {
    /// Searches the neighbors of `inputs` `[batch, channel, height, width]` in `[0, 1]`, with the draws of each.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for settings out of range, [`Error::Device`](crate::Error::Device) if the
    /// device fails.
    async fn search<C: Classifier>(&self, classifier: &C, inputs: Tensor<4>, draws: &[Draws]) -> Result<Neighbors>;
}

impl Searches for NeighborSearch {
    async fn search<C: Classifier>(&self, classifier: &C, inputs: Tensor<4>, draws: &[Draws]) -> Result<Neighbors> {
        let logits = classifier.forward(inputs.clone());
        let original = predictions(logits.clone()).await?;
        let end = match self.method {
            SearchMethod::Untargeted => {
                let goal = Goal::Untargeted { labels: original.clone() };
                attack::start(self.attack, Purpose::Search, classifier, inputs.clone(), &goal, draws)?.finish()
            }
            SearchMethod::Targeted => nearest_target(self.attack, classifier, inputs.clone(), &original, draws)?,
        };
        let neighbor = predictions(end.logits.clone()).await?;
        Ok(Neighbors { inputs, original, neighbor, images: end.images, logits, neighbor_logits: end.logits })
    }
}

fn nearest_target<C: Classifier>(
    attack: Pgd,
    classifier: &C,
    inputs: Tensor<4>,
    original: &[usize],
    draws: &[Draws],
) -> Result<Attacked> {
    let classes = classifier.classes();
    let mut nearest: Option<(Attacked, Tensor<1>)> = None;
    for offset in 1..classes {
        let targets: Vec<usize> = original.iter().map(|class| (class + offset) % classes).collect();
        let one_hot = one_hot(&targets, classes, &inputs.device());
        let goal = Goal::Targeted { targets };
        let end = attack::start(attack, Purpose::Search, classifier, inputs.clone(), &goal, draws)?.finish();
        let distance = cross_entropy(end.logits.clone(), one_hot);
        nearest = Some(match nearest {
            None => (end, distance),
            Some((best, lowest)) => {
                let closer = distance.clone().lower(lowest.clone());
                let [batch] = closer.dims();
                let of_images = closer.clone().reshape([batch, 1, 1, 1]).expand(best.images.dims());
                let of_logits = closer.clone().reshape([batch, 1]).expand(best.logits.dims());
                let end = Attacked {
                    images: best.images.mask_where(of_images, end.images),
                    logits: best.logits.mask_where(of_logits, end.logits),
                };
                (end, lowest.mask_where(closer, distance))
            }
        });
    }
    Ok(nearest.expect("a classifier has at least two classes").0)
}

impl Neighbors {
    /// What was found for input `index` of the batch alone.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn at(&self, index: usize) -> Self {
        Self {
            inputs: self.inputs.clone().narrow(0, index, 1),
            original: vec![self.original[index]],
            neighbor: vec![self.neighbor[index]],
            images: self.images.clone().narrow(0, index, 1),
            logits: self.logits.clone().narrow(0, index, 1),
            neighbor_logits: self.neighbor_logits.clone().narrow(0, index, 1),
        }
    }

    /// The fixed perturbation x'' - x' of each input (equation 5), `[batch, channel, height, width]`.
    pub fn fixed_perturbations(&self) -> Tensor<4> {
        self.images.clone() - self.inputs.clone()
    }
}
