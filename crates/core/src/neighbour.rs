//! The original class and the neighbor class of an input (paper, section 3.2 and Algorithm 1).

use burn::tensor::Tensor;
use riposte_kernels::cross_entropy;
use serde::{Deserialize, Serialize};

use crate::attack::{Attacked, Goal, Pgd, one_hot};
use crate::classifier::{predictions, read};
use crate::rng::{Purpose, Seed};
use crate::{Classifier, Result};

/// How to look for the neighbor class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NeighbourSearch {
    /// The attack away from the original class (equation 3). Its box is around the input as it arrived, not around the
    /// natural image, which the defender does not know.
    pub attack: Pgd,
    pub method: SearchMethod,
}

/// Section 4.7 of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SearchMethod {
    /// One attack away from the original class.
    Untargeted,
    /// An attack towards each other class; the one that ends with the lowest cross-entropy to its target counts.
    Targeted,
}

/// What a search found for each input of a batch.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// y': the class that the base model gives the input (equation 2).
    pub original: Vec<usize>,
    /// y'': the class that it gives x''. Equal to y' where the search found no neighbor.
    pub neighbour: Vec<usize>,
    /// x'': `[batch, channel, height, width]`.
    pub images: Tensor<4>,
    /// The base model's logits on the inputs, `[batch, class]`.
    pub logits: Tensor<2>,
    /// The base model's logits on x'', `[batch, class]`.
    pub neighbour_logits: Tensor<2>,
}

impl NeighbourSearch {
    /// Searches for `inputs` `[batch, channel, height, width]` in `[0, 1]`; `numbers` as in [`Pgd::attack`].
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for settings out of range, [`Error::Device`](crate::Error::Device) if the
    /// device fails.
    pub async fn search<C: Classifier>(
        &self,
        classifier: &C,
        inputs: Tensor<4>,
        seed: Seed,
        numbers: &[u64],
    ) -> Result<Neighbours> {
        let logits = classifier.forward(inputs.clone());
        let original = predictions(logits.clone()).await?;
        let end = match self.method {
            SearchMethod::Untargeted => {
                let goal = Goal::Untargeted { labels: original.clone() };
                self.attack.attack_for(Purpose::Search, classifier, inputs, &goal, seed, numbers)?.finish()
            }
            SearchMethod::Targeted => self.nearest_target(classifier, inputs, &original, seed, numbers)?,
        };
        let neighbour = predictions(end.logits.clone()).await?;
        Ok(Neighbours { original, neighbour, images: end.images, logits, neighbour_logits: end.logits })
    }

    fn nearest_target<C: Classifier>(
        &self,
        classifier: &C,
        inputs: Tensor<4>,
        original: &[usize],
        seed: Seed,
        numbers: &[u64],
    ) -> Result<Attacked> {
        let classes = classifier.classes();
        let mut nearest: Option<(Attacked, Tensor<1>)> = None;
        for offset in 1..classes {
            let targets: Vec<usize> = original.iter().map(|class| (class + offset) % classes).collect();
            let one_hot = one_hot(&targets, classes, &inputs.device());
            let goal = Goal::Targeted { targets };
            let end = self.attack.attack_for(Purpose::Search, classifier, inputs.clone(), &goal, seed, numbers)?.finish();
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
}

impl Neighbours {
    /// What was found for input `index` of the batch alone.
    ///
    /// # Panics
    /// If there is no such input.
    pub fn at(&self, index: usize) -> Self {
        Self {
            original: vec![self.original[index]],
            neighbour: vec![self.neighbour[index]],
            images: self.images.clone().narrow(0, index, 1),
            logits: self.logits.clone().narrow(0, index, 1),
            neighbour_logits: self.neighbour_logits.clone().narrow(0, index, 1),
        }
    }

    /// The fixed perturbation x'' - x' of each input (equation 5), `[batch, channel, height, width]`, given the inputs.
    pub fn fixed_perturbations(&self, inputs: Tensor<4>) -> Tensor<4> {
        self.images.clone() - inputs
    }

    /// Largest absolute value of each input's fixed perturbation.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails.
    pub async fn distances(&self, inputs: Tensor<4>) -> Result<Vec<f32>> {
        let perturbations = self.fixed_perturbations(inputs);
        read(perturbations.abs().flatten::<2>(1, 3).max_dim(1).flatten::<1>(0, 1)).await
    }
}
