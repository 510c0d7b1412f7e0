//! A defense that answers images.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use riposte::bank::{Bank, Banked, Pick, Riposte};
use riposte::data::pool::ClassPools;
use riposte::defense::Defense;
use riposte::models::Model;
use riposte::neighbor::Neighbors;
use riposte::post_train::{PostTrain, PostTraining, Progress};
use riposte::rng::{Draws, Seed};

use super::{Flow, Numbers, Pictures, Session, Watch};
use crate::host::floats;
use crate::watched::Watched;

/// A session's model that adapts to each input.
#[derive(Clone)]
pub struct Defending {
    pub session: Session,
    pub settings: PostTrain,
    pub copies: Arc<Copies>,
}

/// Where its copies come from.
#[allow(clippy::large_enum_variant, reason = "a defense has one")]
pub enum Copies {
    /// Each adapts on these training samples.
    Pools(ClassPools),
    /// They were made beforehand.
    Bank(Bank<Model>, Pick),
}

/// The answer to an image, with everything that was seen on the way.
pub struct Answered {
    /// `[class]`
    pub logits: Vec<f32>,
    /// y', what the base model says of the image.
    pub original: usize,
    /// y'', equal to y' where there is none.
    pub neighbor: usize,
    /// The base model's logits, `[class]`.
    pub base_logits: Vec<f32>,
    /// x'', `[channel, height, width]` in `[0, 1]`.
    pub neighbor_pixels: Vec<f32>,
    pub watched: Watched,
    /// The copy that answers; none where the base model does.
    pub adapted: Option<Session>,
    pub seconds: f64,
}

impl Defending {
    /// Logits of images `[image, class]`, each of a copy of its own.
    ///
    /// # Errors
    /// As [`Defense::answer`]; [`riposte::Error::Cancelled`] when stopped.
    pub fn logits(&self, images: Pictures, numbers: Numbers, watch: &Watch) -> Result<Vec<f32>> {
        let machine = &self.session.machine;
        let riposte = self.riposte();
        watch.expect(images.count());
        let prepare = |range: std::ops::Range<usize>| {
            watch.check()?;
            let draws = numbers.of(range.clone());
            let prepared = pollster::block_on(riposte.prepare(images.tensor(range, &self.session), &draws))?;
            Ok(prepared.into_iter().zip(draws).collect::<Vec<(Neighbors, Draws)>>())
        };
        let respond = |(neighbors, draws): (Neighbors, Draws)| {
            watch.check()?;
            let observe = async |_: Progress<'_, Model>| watch.flow();
            let answer = pollster::block_on(riposte.respond(neighbors, draws, observe))?;
            let logits = floats(answer.logits);
            let _ = watch.step();
            logits
        };
        let mut prepared = Vec::with_capacity(images.count());
        machine.in_batches(images.count(), self.session.searched_at_once(), prepare, |batch| {
            prepared.extend(batch);
            Ok(())
        })?;
        let mut all = Vec::with_capacity(images.count() * self.session.classes());
        if let [_] = prepared.as_slice() {
            let only = prepared.remove(0);
            return machine.together(|| respond(only));
        }
        machine.workers.run(prepared, respond, |logits| {
            all.extend(logits);
            Ok(())
        })?;
        Ok(all)
    }

    /// The answer to the first of `images`, watched step by step.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn answer(&self, images: Pictures, Numbers { seed, first }: Numbers, watch: &Watch) -> Result<Answered> {
        watch.expect(self.settings.iterations);
        self.session.machine.together(|| {
            let begin = Instant::now();
            let image = images.tensor(0..1, &self.session);
            let (mut watched, mut failed) = (Watched::default(), None);
            let observe = async |progress: Progress<'_, Model>| match watched.see(&image, progress) {
                Ok(None) => watch.flow(),
                Ok(Some(_)) => watch.step(),
                Err(error) => {
                    failed = Some(error);
                    Flow::Break(())
                }
            };
            let outcome = pollster::block_on(self.riposte().answer(image.clone(), Seed(seed).input(first), observe));
            if let Some(error) = failed {
                return Err(error);
            }
            let answer = outcome?;
            let neighbors = answer.neighbors.expect("a riposte searches");
            let logits = floats(answer.logits)?;
            if let (Copies::Bank(..), Some(_)) = (&*self.copies, &answer.adapted) {
                watched.race.push(logits.clone());
            }
            Ok(Answered {
                logits,
                original: neighbors.original[0],
                neighbor: neighbors.neighbor[0],
                base_logits: floats(neighbors.logits)?,
                neighbor_pixels: floats(neighbors.images)?,
                watched,
                adapted: answer.adapted.map(|model| Session { model, adapted: true, ..self.session.clone() }),
                seconds: begin.elapsed().as_secs_f64(),
            })
        })
    }

    fn riposte(&self) -> Riposte<'_, Model> {
        let settings = self.settings;
        match &*self.copies {
            Copies::Pools(pools) => Riposte::Adapting(PostTraining { model: &self.session.model, pools, settings }),
            Copies::Bank(bank, pick) => Riposte::Banked(Banked { bank, search: settings.search, pick: *pick }),
        }
    }
}
