//! How long an input takes on this device, from a short measurement.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::Result;
use riposte::ToTensor;
use riposte::attack;
use riposte::defense::{Defense, Static};
use riposte::evaluate::{Defended, Evaluation, Record};
use riposte::models::Model;
use riposte::post_train::{Exit, PostTrain, PostTraining, Progress};
use riposte::presets::Preset;
use riposte::rng::Seed;
use riposte::spec::keys::{self, Key};
use riposte::spec::setup::Setup;

use super::hall::Hall;
use super::tasks::Task;
use crate::run::Stage;

/// Seconds of one worker for one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// The attack.
    attack: f64,
    /// The neighbor search.
    search: f64,
    /// The post-training.
    adapt: f64,
}

/// Measurements, each made once.
#[derive(Debug, Default)]
pub(super) struct Paces(HashMap<String, f64>);

/// Images of a measurement.
const IMAGES: usize = 8;
/// Steps of an attack or a search that are measured, of all.
const STEPS: usize = 2;

impl Pace {
    /// Of `images` of a task on all workers, if the share `adapts` of them adapts.
    pub fn seconds(&self, task: &Task, images: usize, adapts: f64, workers: usize) -> f64 {
        let answers = 1.0 + f64::from(u8::from(task.run.natural));
        let each = self.attack + answers * (self.search + adapts * self.adapt);
        each * images as f64 / workers as f64
    }
}

/// The share of answers that needed a post-training; `None` where too few were given to say.
pub(super) fn adapts(records: &[Record]) -> Option<f64> {
    let answers = || records.iter().flat_map(|record| [record.riposte_natural, record.riposte_attacked]).flatten();
    let adapted = answers().filter(Defended::adapted).count();
    (records.len() >= 20).then(|| adapted as f64 / answers().count().max(1) as f64)
}

impl Paces {
    /// The pace of a task.
    ///
    /// # Errors
    /// Of the core.
    pub fn of(&mut self, hall: &Hall, task: &Task) -> Result<Pace> {
        let (stage, setup) = (hall.stage_of(task), task.cell.setup);
        let weights = &stage.source.sha256;
        let preset = riposte::spec::bench::preset(hall.dataset(task.subject), stage.source.architecture).preset();
        let [short_attack, short_search] = ["", "search-"].map(|prefix| shortened(&setup, &preset, prefix));
        let attack_key = format!("{weights} {:?}", setup.attack);
        let attack_pace = self.get(attack_key, || Ok(short_attack.1 * attack_seconds(&stage, &short_attack.0)?))?;
        let Some(riposte) = setup.riposte else { return Ok(Pace { attack: attack_pace, search: 0.0, adapt: 0.0 }) };
        let search_key = format!("{weights} {:?}", riposte.search);
        let search_pace =
            self.get(search_key, || Ok(short_search.1 * search_seconds(&stage, short_search.0.riposte.unwrap_or(riposte))?))?;
        let PostTrain { perturbation, augmentation, batch_size, batch_norm, precision, .. } = riposte;
        let step_key = format!("{weights} {perturbation:?} {augmentation:?} {batch_size} {batch_norm:?} {precision:?}");
        let step_pace = match riposte.iterations {
            0 => 0.0,
            _ => self.get(step_key, || step_seconds(&stage, riposte))?,
        };
        Ok(Pace { attack: attack_pace, search: search_pace, adapt: step_pace * riposte.iterations as f64 })
    }

    fn get(&mut self, key: String, measure: impl FnOnce() -> Result<f64>) -> Result<f64> {
        if let Some(seconds) = self.0.get(&key) {
            return Ok(*seconds);
        }
        let seconds = measure()?;
        self.0.insert(key, seconds);
        Ok(seconds)
    }
}

/// The setup with few steps and one start of its attack, or of its search, and how many times as long the whole takes. What an
/// attack has no such settings for stays as it is.
fn shortened(setup: &Setup, preset: &Preset, prefix: &str) -> (Setup, f64) {
    let (mut short, mut factor) = (*setup, 1.0);
    for (name, few) in [("steps", STEPS), ("restarts", 1)] {
        let name = format!("{prefix}{name}");
        let asked = Key::named(&name).and_then(|key| key.get(setup)).and_then(|value| value.parse::<usize>().ok());
        if let Some(asked) = asked.filter(|asked| *asked > few)
            && keys::apply(&mut short, preset, &name, &few.to_string()).is_ok()
        {
            factor *= asked as f64 / few as f64;
        }
    }
    (short, factor)
}

/// Seconds an image of the attack.
fn attack_seconds(stage: &Stage, setup: &Setup) -> Result<f64> {
    let evaluation = Evaluation::<Static<Model>> {
        model: stage.model,
        attack: setup.attack,
        target: setup.target,
        quantize: setup.quantize,
        defense: None,
        natural: false,
        counter: None,
    };
    let labels: Vec<usize> = (0..IMAGES).map(|index| stage.test.label(index)).collect();
    let each = timed(stage, || {
        let images = stage.test.images().to_tensor(0..IMAGES, &stage.device.device);
        let observe = async |_: attack::Progress| ControlFlow::Continue(());
        pollster::block_on(evaluation.prepare(images, &labels, &Seed(0).inputs(0..IMAGES as u64), observe))?;
        Ok(())
    })?;
    Ok(each / IMAGES as f64)
}

/// Seconds an image of the search.
fn search_seconds(stage: &Stage, settings: PostTrain) -> Result<f64> {
    let Some(pools) = stage.pools else { return Ok(0.0) };
    let defense = PostTraining { model: stage.model, pools, settings };
    let each = timed(stage, || {
        let images = stage.test.images().to_tensor(0..IMAGES, &stage.device.device);
        pollster::block_on(defense.prepare(images, &Seed(0).inputs(0..IMAGES as u64)))?;
        Ok(())
    })?;
    Ok(each / IMAGES as f64)
}

/// Seconds of one step of the post-training. An image that has no neighbor is given one: what its answer is does not matter here.
fn step_seconds(stage: &Stage, settings: PostTrain) -> Result<f64> {
    let Some(pools) = stage.pools else { return Ok(0.0) };
    let mut settings = PostTrain { iterations: 1, exit: Exit::Never, ..settings };
    let image = || stage.test.images().to_tensor(0..1, &stage.device.device);
    let draws = Seed(0).input(0);
    let step = |settings| {
        timed(stage, || {
            let defense = PostTraining { model: stage.model, pools, settings };
            let mut neighbors = pollster::block_on(defense.prepare(image(), &[draws]))?.remove(0);
            if neighbors.neighbor == neighbors.original {
                neighbors.neighbor[0] = (neighbors.original[0] + 1) % 10;
            }
            let observe = async |_: Progress<'_, Model>| ControlFlow::Continue(());
            let answer = pollster::block_on(defense.respond(neighbors, draws, observe))?;
            pollster::block_on(riposte::classifier::predictions(answer.logits))?;
            Ok(())
        })
    };
    settings.search.attack.steps = 1;
    let once = step(settings)?;
    if once > 0.5 {
        return Ok(once);
    }
    // One step of a small network is mostly what comes before and after it.
    const MORE: usize = 10;
    Ok((step(PostTrain { iterations: 1 + MORE, ..settings })? - once).max(0.0) / MORE as f64)
}

/// Seconds of `work` on one worker. The first time it may compile and allocate: where that was short, the second one counts.
fn timed(stage: &Stage, work: impl Fn() -> Result<()> + Sync) -> Result<f64> {
    let mut seconds = 0.0;
    let once = |()| {
        let clock = Instant::now();
        work()?;
        let first = clock.elapsed().as_secs_f64();
        if first > 2.0 && stage.device.is_cpu() {
            return Ok(first);
        }
        let clock = Instant::now();
        work()?;
        Ok(clock.elapsed().as_secs_f64())
    };
    stage.workers.run(vec![()], once, |measured| {
        seconds = measured;
        Ok(())
    })?;
    Ok(seconds)
}
