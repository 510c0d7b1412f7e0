//! Act 2.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte::Classifier;
use riposte::data::pool::ClassPools;
use riposte::models::Model;
use riposte::post_train::{Iteration, Progress};
use riposte::rng::Seed;
use riposte_protocol::{
    Direction, Event, Input, Notice, Perturbation, Picture, Prediction, RiposteSettings, RunId, Sample, Verdict, Work,
};

use super::{Engine, Shaders, Trouble};
use crate::convert::{post_train, read_point, tensor};
use crate::images::picture;
use crate::models::Ready;
use crate::worker::{now, post};
use riposte::classifier::read;

/// Samples of each half of a minibatch that the page shows.
const SHOWN: usize = 10;

/// Searches, adapts, answers; the adapted copy is kept under the run's id.
pub async fn run(
    engine: &Engine,
    run: RunId,
    ready: &Ready,
    input: &Input,
    settings: &RiposteSettings,
) -> Result<Verdict, Trouble> {
    if ready.lacks_pools() {
        let notice = if ready.draws_pools() { Notice::Drawing } else { Notice::Downloading };
        post(&Event::Note { run, notice });
    }
    let pools = ready.pools().await?;
    post(&Event::Note { run, notice: Notice::SearchingNeighbour });
    engine.go_on(run).await?;

    let started = now();
    let image = tensor(&input.image, engine.device()?);
    let mut watch =
        Watch { run, settings, input: input.image.clone(), image: image.clone(), pools: &pools, change: None, base: None };
    let mut trouble = None;
    let defense = post_train(settings);
    let (seed, number) = (Seed(input.seed.into()), u64::from(input.number));
    let answer = defense
        .run(&ready.model, image, &pools, seed, number, async |progress| {
            // Without a neighbor nothing is trained.
            let trains = matches!(progress, Progress::Searched(found) if found.original != found.neighbour);
            let told = watch.tell(progress).await;
            if trains {
                engine.announce_shaders(run, ready.architecture, Shaders::PostTraining);
            }
            let told = match told {
                Ok(()) => engine.go_on(run).await,
                Err(error) => Err(error.into()),
            };
            match told {
                Ok(()) => ControlFlow::Continue(()),
                Err(why) => {
                    trouble = Some(why);
                    ControlFlow::Break(())
                }
            }
        })
        .await;
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    let answer = answer?;
    let adapted = Prediction::new(read(answer.logits).await?);
    let seconds = now() - started;
    let base = watch.base.unwrap_or_else(|| adapted.clone());
    let riposted = answer.adapted.is_some();
    engine.keep(run, answer.adapted.unwrap_or_else(|| ready.model.clone()));
    Ok(Verdict { base, adapted, riposted, work: work(ready, settings, riposted, seconds) })
}

/// Tells the page what happens inside a riposte.
struct Watch<'a> {
    run: RunId,
    settings: &'a RiposteSettings,
    input: Picture,
    image: Tensor<4>,
    pools: &'a ClassPools,
    /// x'' - x'
    change: Option<Picture>,
    base: Option<Prediction>,
}

impl Watch<'_> {
    async fn tell(&mut self, progress: Progress<'_, Model>) -> riposte::Result<()> {
        let run = self.run;
        match progress {
            Progress::Searched(found) => {
                let original = Prediction::new(read(found.logits.clone()).await?);
                let (image, neighbour) = read_point(found.images.clone(), found.neighbour_logits.clone()).await?;
                self.change = Some(image.minus(&self.input));
                self.base = Some(original.clone());
                post(&Event::Neighbour { run, original, neighbour, image });
                post(&Event::Note { run, notice: Notice::PostTraining });
            }
            Progress::Adapted(step) => {
                self.show_samples(&step);
                // One readback: the loss before the step and the logits after it.
                let logits = step.adaptation.model().forward(self.image.clone());
                let mut values = read(Tensor::cat(vec![step.loss.clone(), logits.flatten::<1>(0, 1)], 0)).await?;
                let logits = values.split_off(1);
                post(&Event::Iteration { run, iteration: step.index, loss: values[0], logits });
            }
        }
        Ok(())
    }

    /// Sends some samples of a minibatch; with the fixed perturbation, as they are trained on.
    fn show_samples(&self, step: &Iteration<'_, Model>) {
        let half = step.samples.len() / 2;
        let shown = (0..SHOWN.min(half)).chain(half..(half + SHOWN).min(step.samples.len()));
        let direction = match self.settings.perturbation {
            Perturbation::Fixed(direction) => Some(direction),
            Perturbation::Fast { .. } | Perturbation::Pgd { .. } | Perturbation::Normal => None,
        };
        let samples = shown
            .map(|place| {
                let index = step.samples[place];
                let mut image = picture(self.pools.samples().images(), index);
                if let (Some(direction), Some(change)) = (direction, &self.change) {
                    let sign = if direction == Direction::Positive || (direction == Direction::Both && place < half) {
                        1.0
                    } else {
                        -1.0
                    };
                    image.pixels.iter_mut().zip(&change.pixels).for_each(|(pixel, change)| *pixel += sign * change);
                }
                Sample { number: index as u32, label: self.pools.label(index), image }
            })
            .collect();
        post(&Event::Drawn { run: self.run, iteration: step.index, samples, perturbed: direction.is_some() });
    }
}

/// Multiply-adds as two operations: forward once, backward twice (to the weights and to the layer before); perturbing by gradient
/// costs a forward and one backward pass for each of its steps.
fn work(ready: &Ready, settings: &RiposteSettings, riposted: bool, seconds: f64) -> Work {
    if !riposted {
        return Work { seconds, iterations: 0, samples: 0, flops: 0.0 };
    }
    let samples = settings.iterations * settings.batch;
    let steps = match settings.perturbation {
        Perturbation::Fixed(_) | Perturbation::Normal => 0,
        Perturbation::Fast { .. } => 1,
        Perturbation::Pgd { steps, .. } => steps,
    };
    let passes = 3.0 + 2.0 * steps as f64;
    let flops = 2.0 * passes * samples as f64 * ready.architecture.multiply_accumulates() as f64;
    Work { seconds, iterations: settings.iterations, samples, flops }
}
