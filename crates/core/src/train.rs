//! Base models: Fast-FGSM (Wong et al. 2020) and PGD (Madry et al. 2018) adversarial training, step by step, resumable.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use riposte_kernels::{SignedStep, cross_entropy};
pub use riposte_spec::train::{InnerAttack, TrainConfig};

use crate::attack::{Ascent, one_hot};
use crate::classifier::read;
use crate::data::Dataset;
use crate::data::pool::ClassPools;
use crate::models::{Architecture, Model};
use crate::optimizer::{Optimizer, ParameterGradients};
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
}

/// A micro-batch.
struct Part {
    images: Tensor<4>,
    labels: Vec<usize>,
    noise: Option<Tensor<4>>,
}

/// One step that was made.
#[derive(Debug, Clone)]
pub struct TrainStep {
    /// From 1.
    pub step: usize,
    /// Mean cross-entropy of the perturbed batch before the step, `[1]`, on the device.
    pub loss: Tensor<1>,
}

impl Trainer {
    /// A run from the beginning with the model's present parameters.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range, or a precision that the device has not.
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
        Self::at(model, Optimizer::resume(config.rule, step as u32, slots), config, seed, samples, step)
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
        let whole = batch.len() as f32;
        let mut total: Option<(Tensor<1>, ParameterGradients)> = None;
        for Part { images, labels, noise } in parts {
            let share = labels.len() as f32 / whole;
            let targets = one_hot(&labels, self.model.classes(), &images.device());
            let images = self.perturb(images, targets.clone(), noise, attack);
            let precision = self.config.precision;
            let loss = cross_entropy(precision.forward(&self.model, images), targets).mean() * share;
            let gradients = precision.gradients(&self.model, loss.clone());
            let loss = loss.inner();
            total = Some(match total {
                Some((sum, before)) => (sum + loss, before.plus(gradients)),
                None => (loss, gradients),
            });
        }
        let (loss, gradients) = total.expect("a batch has samples");
        // The reference code sets the rate at the end of each step.
        let progress = (self.step + 1) as f32 / self.total_steps() as f32;
        let rate = self.config.learning_rate(progress);
        self.model = self.optimizer.step(self.model.clone(), gradients, rate);
        self.step += 1;
        Some(TrainStep { step: self.step, loss })
    }

    /// The model as it is now, at rest.
    pub fn model(&self) -> Model {
        self.model.valid()
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
        for (key, parameter) in self.model().weights().await?.0 {
            dict.0.insert(format!("net.{key}"), parameter);
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
        Ok(Self { model: model.train(), optimizer, config, seed, samples, step, order: Vec::new() })
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
        let labels = samples.iter().map(|sample| self.samples.label(*sample)).collect();
        let noise = (attack.steps > 0).then(|| {
            let noise: Vec<f32> = (0..shape.iter().product()).map(|_| rng::symmetric(stream, attack.epsilon)).collect();
            Tensor::from_data(TensorData::new(noise, shape), &device)
        });
        Part { images, labels, noise }
    }

    fn perturb(&self, images: Tensor<4>, targets: Tensor<2>, noise: Option<Tensor<4>>, attack: InnerAttack) -> Tensor<4> {
        let Some(noise) = noise else { return images };
        let InnerAttack { epsilon, step_size, steps, clip_start } = attack;
        // No gradients of weights; batch normalization goes on in training mode and its running statistics move, as in the
        // reference code.
        let model = self.model.clone().no_grad();
        let start = images.clone() + noise;
        let start = if clip_start { start.clamp(0.0, 1.0) } else { start };
        let step = SignedStep { step_size, epsilon, range: [0.0, 1.0] };
        Ascent::new(images, start, step).climb(&model, steps, |logits| cross_entropy(logits, targets.clone()))
    }
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
