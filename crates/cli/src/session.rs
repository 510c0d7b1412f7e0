//! A model on a device, and what can be asked of it from outside this program: arrays in, arrays out, on all cores, while somebody
//! else waits, sees how far it is, and may stop it.

mod defending;
mod machine;
mod watch;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use burn::tensor::{Tensor, TensorData};
use riposte::Classifier;
use riposte::attack::{self, Attempt, Fate, Goal, Loss, Perturbed, Subject, perturb};
use riposte::models::Model;
use riposte::neighbor::{NeighborSearch, Neighbors, Searches};
use riposte::rng::{Draws, Seed};
use riposte::spec::setup::Setup;

use crate::host::floats;
use crate::models::Source;
use crate::run;

pub use defending::{Answered, Copies, Defending};
pub use machine::Machine;
pub use watch::Watch;

/// A model on a machine.
#[derive(Clone)]
pub struct Session {
    /// Where the model comes from.
    pub source: Arc<Source>,
    pub model: Model,
    pub machine: Arc<Machine>,
    /// Whether the model is a copy of the source's that has adapted to an input.
    pub adapted: bool,
}

/// Images of a size, `[image, channel, height, width]` in `[0, 1]`.
#[derive(Debug, Clone, Copy)]
pub struct Pictures<'a> {
    pixels: &'a [f32],
    count: usize,
    size: [usize; 3],
}

/// The numbers that draws depend on.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    pub seed: u64,
    /// Number of the first image.
    pub first: u64,
}

/// What an attack leaves of images.
#[derive(Debug, Clone, Default)]
pub struct Attacked {
    /// `[image, channel, height, width]`
    pub pixels: Vec<f32>,
    /// Of the model, `[image, class]`.
    pub logits: Vec<f32>,
    /// What became of each image; none after PGD.
    pub fates: Vec<Fate>,
}

/// What searches have found.
#[derive(Debug, Clone, Default)]
pub struct Searched {
    pub original: Vec<usize>,
    pub neighbor: Vec<usize>,
    /// x'', `[image, channel, height, width]`.
    pub pixels: Vec<f32>,
    /// Of the model on the images, `[image, class]`.
    pub logits: Vec<f32>,
    /// Of the model on x'', `[image, class]`.
    pub neighbor_logits: Vec<f32>,
}

impl<'a> Pictures<'a> {
    /// Images of `size` (channels, height, width) one after the other.
    ///
    /// # Errors
    /// If the numbers are not a whole number of images, or a pixel is outside 0 to 1 or no number.
    pub fn new(pixels: &'a [f32], size: [usize; 3]) -> Result<Self> {
        let length = size.iter().product();
        ensure!(pixels.len().is_multiple_of(length), "{} numbers are not a whole number of images", pixels.len());
        ensure!(pixels.iter().all(|pixel| pixel.is_finite()), "a pixel is not a finite number");
        let [low, high] = pixels.iter().fold([0f32, 1f32], |[low, high], pixel| [low.min(*pixel), high.max(*pixel)]);
        ensure!(
            low >= -ROUNDING && high <= 1.0 + ROUNDING,
            "the pixels reach from {low} to {high}, and images are from 0 to 1: {}",
            if high > 2.0 {
                "divide gray levels by 255"
            } else {
                "clip them, or undo a normalization, which the model does itself"
            }
        );
        Ok(Self { pixels, count: pixels.len() / length, size })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    fn tensor(&self, range: Range<usize>, session: &Session) -> Tensor<4> {
        let [channels, height, width] = self.size;
        let length = channels * height * width;
        let pixels = self.pixels[range.start * length..range.end * length].to_vec();
        Tensor::from_data(TensorData::new(pixels, [range.len(), channels, height, width]), &session.model.device())
    }
}

impl Numbers {
    fn of(&self, range: Range<usize>) -> Vec<Draws> {
        Seed(self.seed).inputs(range.map(|index| self.first + index as u64))
    }
}

impl Session {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.model.classes()
    }

    /// Images handled at once, where nobody says how many.
    pub fn usual_batch(&self) -> usize {
        run::usual_batch(&self.machine.device)
    }

    /// Logits of images, `[image, class]`.
    ///
    /// # Errors
    /// [`riposte::Error::Cancelled`] when stopped; [`riposte::Error::Device`] if the device fails.
    pub fn logits(&self, images: Pictures, watch: &Watch) -> Result<Vec<f32>> {
        self.gather(images, watch, |range| floats(self.model.forward(images.tensor(range, self))))
    }

    /// The gradient of what an attack with this loss ascends, with respect to the images, of their shape.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn input_gradient(&self, images: Pictures, goal: &Goal, loss: Loss, watch: &Watch) -> Result<Vec<f32>> {
        self.gather(images, watch, |range| {
            let goal = part(goal, range.clone());
            floats(attack::input_gradient(&self.model, images.tensor(range, self), &goal, loss).1)
        })
    }

    /// The products of `vectors` `[image, class]` and the Jacobians of the logits with respect to the images, of the images' shape.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn vector_jacobian(&self, images: Pictures, vectors: &[f32], watch: &Watch) -> Result<Vec<f32>> {
        let classes = self.classes();
        self.gather(images, watch, |range| {
            let rows = vectors[range.start * classes..range.end * classes].to_vec();
            let rows = Tensor::<2>::from_data(TensorData::new(rows, [range.len(), classes]), &self.model.device());
            let along = |logits: Tensor<2>| (logits * rows.clone()).sum_dim(1).flatten(0, 1);
            floats(self.model.slope(images.tensor(range, self), &along).gradient)
        })
    }

    /// Attacks images with the attack of `setup`, `batch` at a time.
    ///
    /// # Errors
    /// As [`perturb`].
    ///
    /// # Panics
    /// If there are not as many labels.
    pub fn attack(
        &self,
        setup: &Setup,
        images: Pictures,
        labels: &[usize],
        numbers: Numbers,
        batch: usize,
        watch: &Watch,
    ) -> Result<Attacked> {
        let attack = setup.attack.context("`attack` is none, which leaves the images as they are")?;
        if let Some(pgd) = setup.pgd() {
            watch.expect(images.count().div_ceil(batch) * pgd.restarts * (pgd.steps + 1));
        }
        let work = |range: Range<usize>| -> Result<_> {
            watch.check()?;
            let observe = async |_: attack::Progress| watch.step();
            let (labels, draws) = (&labels[range.clone()], numbers.of(range.clone()));
            let images = images.tensor(range, self);
            let attempt = Attempt { attack, target: setup.target, quantize: setup.quantize };
            let Perturbed { end, fates } = pollster::block_on(perturb(attempt, &self.model, images, labels, &draws, observe))?;
            Ok((floats(end.images)?, floats(end.logits)?, fates))
        };
        let mut attacked = Attacked::default();
        self.machine.in_batches(images.count(), batch, work, |(pixels, logits, fates)| {
            attacked.pixels.extend(pixels);
            attacked.logits.extend(logits);
            attacked.fates.extend(fates.into_iter().flatten());
            Ok(())
        })?;
        Ok(attacked)
    }

    /// Searches the neighbor class of each image.
    ///
    /// # Errors
    /// As [`Searches::search`]; [`riposte::Error::Cancelled`] when stopped.
    pub fn neighbors(&self, search: NeighborSearch, images: Pictures, numbers: Numbers, watch: &Watch) -> Result<Searched> {
        let batch = self.searched_at_once();
        watch.expect(images.count().div_ceil(batch));
        let work = |range: Range<usize>| {
            watch.check()?;
            let found = pollster::block_on(search.search(&self.model, images.tensor(range.clone(), self), &numbers.of(range)))?;
            let Neighbors { original, neighbor, images, logits, neighbor_logits, .. } = found;
            let _ = watch.step();
            Ok((original, neighbor, floats(images)?, floats(logits)?, floats(neighbor_logits)?))
        };
        let mut searched = Searched::default();
        self.machine.in_batches(images.count(), batch, work, |(original, neighbor, pixels, logits, neighbor_logits)| {
            searched.original.extend(original);
            searched.neighbor.extend(neighbor);
            searched.pixels.extend(pixels);
            searched.logits.extend(logits);
            searched.neighbor_logits.extend(neighbor_logits);
            Ok(())
        })?;
        Ok(searched)
    }

    /// Images whose neighbors are searched at once. Few on a CPU, as a search is not stopped before its end.
    fn searched_at_once(&self) -> usize {
        if self.machine.device.is_cpu() { 16 } else { self.usual_batch() }
    }

    /// What `work` computes of batches of images, one after the other.
    fn gather(
        &self,
        images: Pictures,
        watch: &Watch,
        work: impl Fn(Range<usize>) -> Result<Vec<f32>> + Sync,
    ) -> Result<Vec<f32>> {
        let batch = self.usual_batch();
        watch.expect(images.count().div_ceil(batch));
        let mut all = Vec::new();
        let watched = |range| {
            watch.check()?;
            let values = work(range);
            let _ = watch.step();
            values
        };
        self.machine.in_batches(images.count(), batch, watched, |values| {
            // The first one is often the only one.
            if all.is_empty() {
                all = values
            } else {
                all.extend(values)
            }
            Ok(())
        })?;
        Ok(all)
    }
}

/// By how much pixels of others may be out of range: some roundings of numbers up to 1.
const ROUNDING: f32 = 1e-6;

/// What asks an observer to stop.
type Flow = ControlFlow<()>;

/// The goal of some images.
fn part(goal: &Goal, range: Range<usize>) -> Goal {
    match goal {
        Goal::Untargeted { labels } => Goal::Untargeted { labels: labels[range].to_vec() },
        Goal::Targeted { targets } => Goal::Targeted { targets: targets[range].to_vec() },
        Goal::Toward { labels, targets } => {
            Goal::Toward { labels: labels[range.clone()].to_vec(), targets: targets[range].to_vec() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_outside_the_range_are_refused_with_what_to_do() {
        for (pixels, words) in [
            ([0.0, 255.0], "divide gray levels by 255"),
            ([-1e-5, 1.0], "clip them"),
            ([-0.4, 2.0], "undo a normalization"),
            ([0.1, f32::NAN], "not a finite number"),
        ] {
            let error = Pictures::new(&pixels, [1, 1, 2]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(Pictures::new(&[0.0, 1.0_f32.next_up(), 0.3, 0.2], [1, 1, 2]).unwrap().count(), 2);
        assert!(Pictures::new(&[0.0, 1.0, 0.3], [1, 1, 2]).is_err());
    }
}
