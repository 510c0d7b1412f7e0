//! Plays a duel and shows it step by step.

use std::ops::ControlFlow;

use anyhow::Result;
use burn::tensor::Tensor;
use riposte::Classifier;
use riposte::attack::{Attacks, Goal, Pgd, Quantize, Quantized, check_levels, quantized};
use riposte::bank::Riposte;
use riposte::data::Dataset;
use riposte::defense::Defense;
use riposte::models::Model;
use riposte::post_train::{PostTrain, PostTraining, Progress};
use riposte::rng::{Draws, Seed};
use riposte::spec::class::{argmax, softmax};
use riposte::spec::counter::Counter;
use riposte::spec::dataset::DatasetId;

use crate::host::floats;
use crate::picture::Planar;
use crate::screen::{Screen, bar};
use crate::story::{Origin, Sample, Story, View};
use crate::watched::Watched;

/// Samples of each class that a story keeps.
const SAMPLES: usize = 8;

/// The parties of a duel.
pub(super) struct Duel<'a> {
    pub model: &'a Model,
    pub name: &'a str,
    pub dataset: DatasetId,
    pub test: &'a Dataset,
    pub attack: Pgd,
    /// The class that the attack leads to; `None`: any but the label.
    pub target: Option<usize>,
    /// Which values the pixels of attacked images may have.
    pub quantize: Quantize,
    pub riposte: Riposte<'a, Model>,
    /// Of the riposte.
    pub settings: PostTrain,
    /// The attack on the riposte; `None`: nobody makes one.
    pub counter: Option<Counter>,
    pub seed: Seed,
}

/// The image that a duel is about.
pub(super) struct Subject {
    pub origin: Origin,
    /// `[1, channel, height, width]`
    pub image: Tensor<4>,
    pub label: usize,
}

impl Subject {
    /// One's own picture has those of the first test image, as on the page.
    fn draws(&self, seed: Seed) -> Draws {
        seed.input(match self.origin {
            Origin::Test(index) => index as u64,
            Origin::File { .. } => 0,
        })
    }
}

/// An image that the attack has ended with, `[1, channel, height, width]`.
struct Attacked {
    image: Tensor<4>,
    fooled_after: Option<usize>,
}

impl Duel<'_> {
    pub(super) fn play(&self, subject: Subject, screen: &mut Screen) -> Result<Story> {
        let (draws, label, image) = (subject.draws(self.seed), subject.label, subject.image);
        let attacked = self.play_attack(&image, label, draws, screen)?;
        let mut watched = Watched::default();
        let mut failed = None;
        let observe = async |progress: Progress<'_, Model>| match self.watch(&attacked.image, progress, &mut watched, screen) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        let outcome = pollster::block_on(self.riposte.answer(attacked.image.clone(), draws, observe));
        if let Some(error) = failed {
            return Err(error);
        }
        let answer = outcome?;
        let silent = async |_: Progress<'_, Model>| ControlFlow::Continue(());
        let natural = pollster::block_on(self.riposte.answer(image.clone(), draws, silent))?;
        let natural_answer = argmax(&floats(natural.logits)?);
        if let (Riposte::Banked(_), Some(_)) = (&self.riposte, &answer.adapted) {
            watched.race.push(floats(answer.logits.clone())?);
        }
        let neighbors = answer.neighbors.expect("post-training searches");
        let images = [image.clone(), attacked.image.clone()];
        let counter = self.counter.map(|settings| self.play_counter(settings, images, label, draws, screen)).transpose()?;
        Ok(Story {
            dataset: self.dataset,
            model: self.name.to_owned(),
            origin: subject.origin,
            label,
            shape: self.shape(),
            attack: self.attack,
            target: self.target,
            quantize: self.quantize,
            riposte: self.settings,
            banked: matches!(self.riposte, Riposte::Banked(_)),
            image: self.view(image)?,
            attacked: self.view(attacked.image)?,
            neighbor: self.view(neighbors.images)?,
            adapted: answer.adapted.is_some(),
            answer: softmax(&floats(answer.logits)?),
            fooled_after: attacked.fooled_after,
            race: watched.race,
            losses: watched.losses,
            samples: some_of(&self.riposte, &watched.samples),
            natural_answer,
            counter,
        })
    }

    fn play_attack(&self, image: &Tensor<4>, label: usize, draws: Draws, screen: &mut Screen) -> Result<Attacked> {
        let goal = match self.target {
            Some(target) => Goal::Targeted { targets: vec![target] },
            None => Goal::Untargeted { labels: vec![label] },
        };
        pollster::block_on(check_levels(image, self.quantize))?;
        let subject = Quantized { subject: self.model, quantize: self.quantize };
        let within = Pgd { epsilon: self.quantize.radius(self.attack.epsilon), ..self.attack };
        let mut attack = within.attack(&subject, image.clone(), &goal, &[draws])?;
        let before = floats(image.clone())?;
        let mut fooled_after = None;
        for step in attack.by_ref() {
            screen.check()?;
            let logits = floats(step.logits)?;
            if step.restart == 0 && fooled_after.is_none() && argmax(&logits) != label {
                fooled_after = Some(step.step);
            }
            if screen.is_live() {
                let title = format!("Attack, step {} of {}: the image shows {label}", step.step, self.attack.steps);
                screen.frame(&self.attack_frame(
                    &title,
                    &before,
                    &floats(quantized(step.images, self.quantize))?,
                    &logits,
                    screen,
                ))?;
            }
        }
        screen.keep_frame();
        let end = attack.finish();
        let fooled = argmax(&floats(end.logits)?) != label;
        Ok(Attacked { image: quantized(end.images, self.quantize), fooled_after: fooled_after.filter(|_| fooled) })
    }

    fn attack_frame(&self, title: &str, before: &[f32], now: &[f32], logits: &[f32], screen: &Screen) -> Vec<String> {
        let change: Vec<f32> = now.iter().zip(before).map(|(now, before)| now - before).collect();
        let planar = |pixels| Planar { pixels, shape: self.shape() };
        let mut lines = vec![title.to_owned()];
        lines.extend(screen.pictures(&[
            ("image", planar(before).picture()),
            ("attacked", planar(now).picture()),
            ("perturbation", planar(&change).signed_picture(self.attack.epsilon)),
        ]));
        lines.extend(opinion(logits));
        lines
    }

    /// Shows and keeps a step of the riposte.
    fn watch(&self, input: &Tensor<4>, progress: Progress<'_, Model>, watched: &mut Watched, screen: &mut Screen) -> Result<()> {
        screen.check()?;
        let Some(loss) = watched.see(input, progress)? else { return Ok(()) };
        let mut lines = vec![format!(
            "Riposte, step {} of {}: the copy on the attacked image, loss of the batch {loss:.3}",
            watched.losses.len(),
            self.settings.iterations
        )];
        lines.extend(opinion(watched.race.last().map_or(&[], Vec::as_slice)));
        screen.frame(&lines)
    }

    fn view(&self, image: Tensor<4>) -> Result<View> {
        let probabilities = softmax(&floats(self.model.forward(image.clone()))?);
        Ok(View { pixels: floats(image)?, probabilities })
    }

    fn shape(&self) -> [usize; 3] {
        self.dataset.image_shape()
    }
}

/// The first samples of each half of a batch.
fn some_of(riposte: &Riposte<'_, Model>, batch: &[usize]) -> Vec<Sample> {
    let Riposte::Adapting(PostTraining { pools, .. }) = riposte else { return Vec::new() };
    let (first, second) = batch.split_at(batch.len() / 2);
    let some = first.iter().take(SAMPLES).chain(second.iter().take(SAMPLES));
    some.map(|sample| Sample { label: pools.label(*sample), pixels: pools.samples().images().to_f32([*sample]) }).collect()
}

/// The four most likely classes as bars, in the order of the classes so that they hold still.
fn opinion(logits: &[f32]) -> Vec<String> {
    let probabilities = softmax(logits);
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    classes.truncate(4);
    classes.sort_unstable();
    classes.into_iter().map(|class| bar(&class.to_string(), probabilities[class])).collect()
}
