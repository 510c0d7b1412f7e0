//! Base models, trained step by step by one of the published recipes, resumable.

mod recipes;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
pub use riposte_spec::train::{InnerAttack, Method, Recipe, Targets, TrainConfig};

pub use recipes::{loss, yopo};

use crate::attack::one_hot;
use crate::classifier::read;
use crate::data::Dataset;
use crate::data::pool::ClassPools;
use crate::models::{Architecture, Model};
use crate::optimizer::{Average, Optimizer, ParameterGradients};
use crate::precision::{self, Computes};
use crate::rng::{self, Purpose, Seed, Stream};
use crate::weights::{Parameter, StateDict};
use crate::{Classifier, Error, Result};

/// A training run. Draws depend on the seed and the step alone, so a run resumed from a checkpoint goes on as if it had
/// never stopped.
#[derive(Debug)]
pub struct Trainer {
    model: Model,
    optimizer: Optimizer,
    config: TrainConfig,
    seed: Seed,
    samples: ClassPools,
    step: usize,
    /// The order of the samples in the epoch of the next step.
    order: Vec<usize>,
    /// Free training's perturbation, `[batch, channel, height, width]`, after its first step.
    carried: Option<Tensor<4>>,
    /// The moving average of the weights, where that is the model.
    average: Option<Average>,
}

/// A micro-batch.
#[derive(Clone)]
struct Part {
    images: Tensor<4>,
    /// What the samples count as, `[batch, class]`: one-hot labels; with UAT as [`loss`] has it.
    targets: Tensor<2>,
    /// What the recipe has drawn for its perturbation.
    noise: Option<Tensor<4>>,
}

/// One step that was made.
#[derive(Debug, Clone)]
pub struct TrainStep {
    /// From 1.
    pub step: usize,
    /// Mean loss of the batch before the step, `[1]`, on the device. Of a batch that is replayed: before the last of its steps.
    pub loss: Tensor<1>,
}

impl Trainer {
    /// A run from the beginning with the model's present parameters.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range, or for a precision that the device does not have.
    pub fn new(model: Model, config: TrainConfig, seed: Seed, samples: Dataset) -> Result<Self> {
        Self::at(model, Optimizer::new(config.rule), config, seed, samples, 0)
    }

    /// A run that goes on from a checkpoint of the same settings, seed and samples.
    ///
    /// # Errors
    /// [`Error::Weights`] if the checkpoint is not one of this run; as [`new`](Self::new).
    pub fn resume(
        architecture: Architecture,
        config: TrainConfig,
        seed: Seed,
        samples: Dataset,
        checkpoint: &StateDict,
        device: &burn::tensor::Device,
    ) -> Result<Self> {
        let count = |key: &str| {
            let value = checkpoint.0.get(key).and_then(|parameter| parameter.values.first());
            value
                .map(|value| *value as usize)
                .ok_or_else(|| Error::Weights(format!("not a training checkpoint: `{key}` is missing")))
        };
        let (step, seed_low, slots) = (count("run.step")?, count("run.seed")?, count("run.slots")?);
        if seed_low != (seed.0 & 0xff_ffff) as usize {
            return Err(Error::Weights(format!("the checkpoint was made with another seed than {}", seed.0)));
        }
        let weights = checkpoint.0.iter().filter_map(|(key, value)| Some((key.strip_prefix("net.")?.to_owned(), value.clone())));
        let model = Model::from_weights(architecture, &StateDict(weights.collect()), device)?;
        let slots = (0..slots)
            .map(|slot| {
                (0..)
                    .map_while(|moment| checkpoint.0.get(&format!("optimizer.{slot}.{moment}")))
                    .map(|p| Tensor::from_data(TensorData::new(p.values.clone(), [p.values.len()]), device))
                    .collect()
            })
            .collect();
        let steps = step * config.recipe.replays();
        let mut trainer = Self::at(model, Optimizer::resume(config.rule, steps as u32, slots), config, seed, samples, step)?;
        if let Some(share) = config.average {
            let flat = |p: &Parameter| Tensor::from_data(TensorData::new(p.values.clone(), [p.values.len()]), device);
            let values = (0..).map_while(|slot| checkpoint.0.get(&format!("average.{slot}")).map(flat)).collect();
            trainer.average = Some(Average::resume(share, values));
        }
        let [channels, height, width] = architecture.image_shape();
        trainer.carried = checkpoint.0.get("run.carried").map(|parameter| {
            let shape = [config.batch_size, channels, height, width];
            Tensor::from_data(TensorData::new(parameter.values.clone(), shape), device)
        });
        Ok(trainer)
    }

    /// Makes the next step; `None` when the run is complete.
    pub fn step(&mut self) -> Option<TrainStep> {
        let per_epoch = self.steps_per_epoch();
        if self.step == self.total_steps() {
            return None;
        }
        let within = self.step % per_epoch;
        if within == 0 || self.order.is_empty() {
            self.order = self.shuffled(self.step / per_epoch);
        }
        let batch = &self.order[within * self.config.batch_size..][..self.config.batch_size];
        let mut stream = self.seed.stream(Purpose::Train, self.step as u64);
        let attack = self.config.inner_attack(self.step as f32 / self.total_steps() as f32);
        let parts: Vec<Part> =
            batch.chunks(self.config.micro_batch).map(|samples| self.draw(samples, attack, &mut stream)).collect();
        // The reference code sets the rate at the end of each step.
        let progress = (self.step + 1) as f32 / self.total_steps() as f32;
        let rate = self.config.learning_rate(progress);
        let loss = match self.config.recipe {
            Recipe::Free { replays } => self.replay(whole(parts), replays, attack.epsilon, rate),
            Recipe::Yopo { passes } => {
                let Part { images, targets, noise } = whole(parts);
                let noise = noise.expect("YOPO begins at a random point");
                let (loss, gradients) = recipes::yopo(&self.model, images, targets, noise, attack, passes);
                self.model = self.optimizer.step(self.model.clone(), gradients, rate);
                loss
            }
            _ => self.follow(parts, attack, rate),
        };
        if let Some(average) = &mut self.average {
            average.take_in(&self.model);
        }
        self.step += 1;
        Some(TrainStep { step: self.step, loss })
    }

    /// One step of the optimizer along the sum of the parts' gradients; the mean loss before it.
    fn follow(&mut self, parts: Vec<Part>, attack: InnerAttack, rate: f32) -> Tensor<1> {
        let recipe = self.config.recipe;
        let perturb = |part: Part| {
            let perturbed = recipes::perturb(recipe, &self.model, part.images.clone(), &part.targets, part.noise.clone(), attack);
            (part, perturbed)
        };
        let (loss, gradients) = match self.config.weight_perturbation {
            None => self.slope(&self.model, parts.into_iter().map(perturb)),
            Some(share) => {
                let parts: Vec<(Part, Tensor<4>)> = parts.into_iter().map(perturb).collect();
                // Of copies, which have running statistics of their own.
                let copy = self.model.valid().train();
                let (loss, gradients) = self.slope(&copy, parts.iter().cloned());
                let moved = gradients.climbed(self.model.clone(), share);
                (loss, self.slope(&moved, parts.into_iter()).1)
            }
        };
        self.model = self.optimizer.step(self.model.clone(), gradients, rate);
        loss
    }

    /// The mean loss `[1]` of a batch in parts, each with its perturbed images, and the gradients of the model's parameters.
    fn slope(&self, model: &Model, parts: impl Iterator<Item = (Part, Tensor<4>)>) -> (Tensor<1>, ParameterGradients) {
        let TrainConfig { recipe, precision, batch_size, .. } = self.config;
        let parts = parts.map(|(Part { images, targets, .. }, perturbed)| {
            let share = targets.dims()[0] as f32 / batch_size as f32;
            let loss = loss(recipe, precision, model, images, perturbed, targets) * share;
            (loss.clone().inner(), precision.gradients(model, loss))
        });
        let sum = |(loss, gradients): (Tensor<1>, ParameterGradients), (more, others)| (loss + more, gradients.plus(others));
        parts.reduce(sum).expect("a batch has samples")
    }

    /// Free training (Shafahi et al. 2019, Algorithm 1): each of `replays` gradients moves the weights and the perturbation.
    fn replay(&mut self, Part { images, targets, .. }: Part, replays: usize, epsilon: f32, rate: f32) -> Tensor<1> {
        let mut carried = self.carried.take().unwrap_or_else(|| images.zeros_like());
        let mut last = None;
        for _ in 0..replays {
            let perturbed = (images.clone() + carried.clone()).clamp(0.0, 1.0);
            let (loss, gradient, gradients) = recipes::free(&self.model, perturbed, targets.clone());
            carried = (carried + gradient.sign() * epsilon).clamp(-epsilon, epsilon);
            self.model = self.optimizer.step(self.model.clone(), gradients, rate);
            last = Some(loss);
        }
        self.carried = Some(carried);
        last.expect("a batch is gone through at least once")
    }

    /// The model as it is now, at rest: the average of the weights where the settings ask for one.
    pub fn model(&self) -> Model {
        let model = self.model.valid();
        match &self.average {
            Some(average) => average.put_into(model),
            None => model,
        }
    }

    /// Steps made so far.
    pub fn steps_made(&self) -> usize {
        self.step
    }

    /// Steps of the whole run. The last samples of an epoch that do not fill a batch are left out of it.
    pub fn total_steps(&self) -> usize {
        self.config.epochs * self.steps_per_epoch()
    }

    /// Steps of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.samples.len() / self.config.batch_size
    }

    /// Everything that [`resume`](Self::resume) needs.
    ///
    /// # Errors
    /// [`Error::Diverged`] if one of its numbers is not finite, [`Error::Device`] if the device fails.
    pub async fn checkpoint(&self) -> Result<StateDict> {
        let mut dict = StateDict::default();
        for (key, parameter) in self.model.valid().weights().await?.0 {
            dict.0.insert(format!("net.{key}"), parameter);
        }
        for (slot, tensor) in self.average.iter().flat_map(Average::values).enumerate() {
            let values = read(tensor.clone()).await?;
            dict.0.insert(format!("average.{slot}"), Parameter { shape: vec![values.len()], values });
        }
        let (_, slots) = self.optimizer.state();
        for (slot, moments) in slots.iter().enumerate() {
            for (moment, tensor) in moments.iter().enumerate() {
                let values = read(tensor.clone()).await?;
                dict.0.insert(format!("optimizer.{slot}.{moment}"), Parameter { shape: vec![values.len()], values });
            }
        }
        let finite = |parameter: &Parameter| parameter.values.iter().all(|value| value.is_finite());
        if let Some((key, _)) = dict.0.iter().find(|(_, parameter)| !finite(parameter)) {
            return Err(Error::Diverged(format!("`{key}` is not finite after step {}", self.step)));
        }
        if let Some(carried) = &self.carried {
            let parameter = Parameter { shape: carried.dims().to_vec(), values: read(carried.clone()).await? };
            dict.0.insert("run.carried".to_owned(), parameter);
        }
        // Integers up to 2^24 are exact in f32; a run has fewer steps.
        for (key, value) in [("step", self.step), ("seed", (self.seed.0 & 0xff_ffff) as usize), ("slots", slots.len())] {
            dict.0.insert(format!("run.{key}"), Parameter { shape: vec![1], values: vec![value as f32] });
        }
        Ok(dict)
    }

    fn at(model: Model, optimizer: Optimizer, config: TrainConfig, seed: Seed, samples: Dataset, step: usize) -> Result<Self> {
        config.check(samples.len())?;
        precision::check(config.precision, &model.device())?;
        let samples = ClassPools::new(samples);
        let model = model.train();
        let average = config.average.map(|share| Average::new(share, &model));
        Ok(Self { model, optimizer, config, seed, samples, step, order: Vec::new(), carried: None, average })
    }

    /// Fisher-Yates.
    fn shuffled(&self, epoch: usize) -> Vec<usize> {
        let mut stream = self.seed.stream(Purpose::Shuffle, epoch as u64);
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, rng::below(&mut stream, last + 1));
        }
        order
    }

    /// Images of a part of the batch, augmented, and the random start of their attack.
    fn draw(&self, samples: &[usize], attack: InnerAttack, stream: &mut Stream) -> Part {
        let device = self.model.device();
        let [channels, height, width] = self.model.architecture().image_shape();
        let shape = [samples.len(), channels, height, width];
        let pixels = self.samples.gather(samples, self.config.augmentation, stream);
        let images = Tensor::from_data(TensorData::new(pixels, shape), &device);
        let labels: Vec<usize> = samples.iter().map(|sample| self.samples.label(*sample)).collect();
        let targets = one_hot(&labels, self.model.classes(), &device);
        let targets = match self.config.recipe {
            Recipe::Uat { labelled, targets: of_others, weight } => {
                let without = if of_others.are_fixed() { weight } else { 0.0 };
                let counts = samples.iter().map(|sample| if *sample < labelled { 1.0 } else { without }).collect();
                targets * Tensor::<2>::from_data(TensorData::new(counts, [samples.len(), 1]), &device)
            }
            _ => targets,
        };
        let noise = recipes::noise(self.config.recipe, attack, shape, stream);
        let noise = noise.map(|(values, shape)| Tensor::from_data(TensorData::new(values, shape), &device));
        Part { images, targets, noise }
    }
}

/// The one part of a batch that is not taken in parts.
fn whole(parts: Vec<Part>) -> Part {
    let [part] = <[Part; 1]>::try_from(parts).unwrap_or_else(|_| unreachable!("checked: one part"));
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_attack_grows_to_its_full_size_over_the_ramp() {
        let config = TrainConfig { ramp: 0.5, ..TrainConfig::PGD_MNIST };
        let epsilon = |progress| config.inner_attack(progress).epsilon;
        assert_eq!(epsilon(0.0), 0.0);
        assert_eq!(epsilon(0.25), 0.15);
        assert_eq!(config.inner_attack(0.25).step_size, 0.005);
        assert_eq!((epsilon(0.5), epsilon(1.0)), (0.3, 0.3));
        assert_eq!(TrainConfig::FAST_MNIST.inner_attack(0.0), TrainConfig::FAST_MNIST.inner, "no ramp: at full size at once");
    }

    #[test]
    fn a_ramp_is_a_fraction_of_the_run() {
        for ramp in [-0.1, 1.1, f32::NAN] {
            assert!(TrainConfig { ramp, ..TrainConfig::FAST_MNIST }.check(1000).is_err(), "{ramp}");
        }
    }
}
