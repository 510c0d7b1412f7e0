//! Acts 1 and 3.

use riposte::models::Model;
use riposte::rng::Seed;
use riposte_protocol::{AttackSettings, Event, Input, RunId, StepData, Stop};

use super::{Engine, Shaders, Trouble};
use crate::convert::{goal, pgd, read_point, tensor};
use crate::worker::{now, post};

/// Attacks step by step and returns the seconds it took. One readback a step: image and logits together.
pub async fn run(
    engine: &Engine,
    run: RunId,
    victim: &Model,
    input: &Input,
    class: usize,
    settings: &AttackSettings,
) -> Result<f64, Trouble> {
    let started = now();
    let image = tensor(&input.image, engine.device()?);
    let numbers = [u64::from(input.number)];
    let attack = pgd(settings).attack(victim, image, &goal(class, settings), Seed(input.seed.into()), &numbers)?;
    engine.announce_shaders(run, victim.architecture(), Shaders::Attack);
    for step in attack {
        let (image, prediction) = read_point(step.images, step.logits).await?;
        let succeeded = settings.target.map_or(prediction.class != class, |target| prediction.class == target);
        post(&Event::Step { run, step: StepData { index: step.step, image, prediction } });
        // From here on it would stand still.
        if succeeded && settings.stop == Stop::AtSuccess {
            break;
        }
        engine.go_on(run).await?;
    }
    Ok(now() - started)
}
