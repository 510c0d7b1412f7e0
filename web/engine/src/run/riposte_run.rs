//! Act 2.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte::Classifier;
use riposte::classifier::{read, read_pairs};
use riposte::data::pool::ClassPools;
use riposte::defense::Defense;
use riposte::models::Model;
use riposte::post_train::{Adaptation, Direction, Iteration, Perturbation, PostTrain, PostTraining, Progress};
use riposte::rng::Seed;
use riposte::spec::class::Prediction;
use riposte_protocol::{Event, Input, IterationData, Notice, Picture, RunId, Sample, Verdict, Work};

use super::{Engine, Shaders};
use crate::convert::tensor;
use crate::images::picture;
use crate::models::Ready;
use crate::trouble::Trouble;
use crate::worker::{Pace, give_way, now, post};

/// Samples of each half of a minibatch that the page shows.
const SHOWN: usize = 10;

/// Searches, adapts, answers; the adapted copy is kept under the run's id.
pub async fn run(engine: &Engine, run: RunId, ready: &Ready, input: &Input, settings: &PostTrain) -> Result<Verdict, Trouble> {
    if ready.lacks_pools() {
        let notice = if ready.draws_pools() { Notice::Drawing } else { Notice::Downloading };
        post(&Event::Note { run, notice });
    }
    let pools = ready.pools().await?;
    post(&Event::Note { run, notice: Notice::SearchingNeighbor });
    engine.go_on(run).await?;

    let started = now();
    let image = tensor(&input.image, engine.device()?);
    let mut watch = Watch {
        run,
        settings,
        input: input.image.clone(),
        image: image.clone(),
        pools: &pools,
        change: None,
        base: None,
        pace: Pace::new(),
        unread: Vec::new(),
    };
    let mut trouble = None;
    let defense = PostTraining { model: &ready.model, pools: &pools, settings: *settings };
    let draws = Seed(input.seed.into()).input(input.number.into());
    let answer = defense
        .answer(image, draws, async |progress| {
            // Without a neighbor nothing is trained.
            let trains = matches!(progress, Progress::Searched(found) if found.original != found.neighbor);
            let told = watch.tell(progress).await;
            if trains {
                engine.announce_shaders(run, ready.architecture, Shaders::PostTraining);
            }
            let told = match told {
                Ok(true) => engine.go_on(run).await,
                Ok(false) => Ok(()),
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

/// Seconds that a sample takes in a step of post-training: of three steps on blank images the faster one of the last two, as the first
/// compiles shaders.
pub async fn time(engine: &Engine, ready: &Ready) -> Result<f64, Trouble> {
    // A GPU is not busy with fewer, a processor long enough with these.
    let batch_size = if engine.compiles.get() { 64 } else { 16 };
    let preset = ready.entry.id.recommended().preset();
    let config = PostTrain { batch_size, perturbation: Perturbation::Normal, ..preset.post_train };
    let [channels, height, width] = ready.architecture.image_shape();
    let device = engine.device()?;
    let (images, fixed) =
        (Tensor::zeros([batch_size, channels, height, width], device), Tensor::zeros([1, channels, height, width], device));
    let labels = [vec![0; batch_size / 2], vec![1; batch_size / 2]].concat();
    let mut copy = Adaptation::new(&ready.model, config);
    let mut fastest = f64::INFINITY;
    for step in 0..3 {
        let started = now();
        read(copy.step(images.clone(), &labels, fixed.clone(), None)).await?;
        if step > 0 {
            fastest = fastest.min(now() - started);
        }
        give_way().await;
    }
    Ok(fastest / batch_size as f64)
}

/// Tells the page what happens inside a riposte.
struct Watch<'a> {
    run: RunId,
    settings: &'a PostTrain,
    input: Picture,
    image: Tensor<4>,
    pools: &'a ClassPools,
    /// x'' - x'
    change: Option<Picture>,
    base: Option<Prediction>,
    pace: Pace,
    unread: Vec<Unread>,
}

/// An iteration whose results are on the device.
struct Unread {
    samples: Vec<Sample>,
    losses: Tensor<1>,
    logits: Tensor<2>,
}

impl Watch<'_> {
    /// Whether there was something to tell: then the device has caught up.
    async fn tell(&mut self, progress: Progress<'_, Model>) -> riposte::Result<bool> {
        let run = self.run;
        match progress {
            Progress::Searched(found) => {
                let searched = (found.images.clone(), found.neighbor_logits.clone());
                let inputs = (self.image.clone(), found.logits.clone());
                let [[_, logits], [pixels, neighbor_logits]] =
                    read_pairs(vec![inputs, searched]).await?.try_into().expect("two pairs");
                let (original, neighbor) = (Prediction::new(logits), Prediction::new(neighbor_logits));
                let image = Picture { pixels, ..self.input };
                self.change = Some(image.minus(&self.input));
                self.base = Some(original.clone());
                post(&Event::Neighbor { run, original, neighbor, image });
                post(&Event::Note { run, notice: Notice::PostTraining });
                self.pace.looked();
                Ok(true)
            }
            Progress::Adapted(step) => {
                let logits = step.adaptation.model().forward(self.image.clone());
                self.unread.push(Unread { samples: self.shown(&step), losses: step.losses.clone(), logits });
                if !self.pace.step() && step.index + 1 < self.settings.iterations {
                    return Ok(false);
                }
                let iterations = self.read().await?;
                post(&Event::Iterations { run, iterations });
                self.pace.looked();
                Ok(true)
            }
        }
    }

    /// What is on the device, read back at once: of each iteration the loss before the step and the logits after it.
    async fn read(&mut self) -> riposte::Result<Vec<IterationData>> {
        let unread = std::mem::take(&mut self.unread);
        let values = read_pairs(unread.iter().map(|one| (one.losses.clone(), one.logits.clone())).collect()).await?;
        let perturbed = matches!(self.settings.perturbation, Perturbation::Fixed(_));
        let read = |(one, [losses, logits]): (Unread, [Vec<f32>; 2])| IterationData {
            loss: losses.iter().sum(),
            logits,
            samples: one.samples,
            perturbed,
        };
        Ok(unread.into_iter().zip(values).map(read).collect())
    }

    /// Some samples of a minibatch; with the fixed perturbation, as they are trained on.
    fn shown(&self, step: &Iteration<'_, Model>) -> Vec<Sample> {
        let half = step.samples.len() / 2;
        let shown = (0..SHOWN.min(half)).chain(half..(half + SHOWN).min(step.samples.len()));
        let direction = match self.settings.perturbation {
            Perturbation::Fixed(direction) => Some(direction),
            Perturbation::Fast { .. } | Perturbation::Pgd { .. } | Perturbation::Normal => None,
        };
        shown
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
            .collect()
    }
}

/// Multiply-adds as two operations.
fn work(ready: &Ready, settings: &PostTrain, riposted: bool, seconds: f64) -> Work {
    if !riposted {
        return Work { seconds, iterations: 0, samples: 0, flops: 0.0 };
    }
    let samples = settings.iterations * settings.batch_size;
    let flops = 2.0 * settings.adaptation_work(ready.architecture) as f64;
    Work { seconds, iterations: settings.iterations, samples, flops }
}
