//! Act 3: the attack on the defense by someone who knows that it adapts.

use std::ops::ControlFlow;

use riposte::attack::counter::{CounterAttack, Event as Happening, Subjected};
use riposte::classifier::read;
use riposte::models::Model;
use riposte::post_train::{PostTraining, Progress};
use riposte::rng::Seed;
use riposte::spec::setup::Setup;
use riposte_protocol::{Event, Input, Notice, Picture, RunId};

use super::{Engine, Shaders};
use crate::convert::tensor;
use crate::models::Ready;
use crate::trouble::Trouble;
use crate::worker::{Pace, now, post};

/// Attacks the defense, tells each round and each judgment, and returns the seconds it took.
pub async fn run(
    engine: &Engine,
    run: RunId,
    ready: &Ready,
    input: &Input,
    label: usize,
    attacked: &Picture,
    setup: &Setup,
) -> Result<f64, Trouble> {
    let (Some(riposte), Some(counter), Some(epsilon)) =
        (setup.riposte, setup.counter, setup.attack.and_then(|attack| attack.epsilon()))
    else {
        return Err(Trouble::last("Act III needs an attack, a defense, and an attack on that.".to_owned()));
    };
    if ready.lacks_pools() {
        let notice = if ready.draws_pools() { Notice::Drawing } else { Notice::Downloading };
        post(&Event::Note { run, notice });
    }
    let pools = ready.pools().await?;
    engine.go_on(run).await?;
    post(&Event::Note { run, notice: Notice::Countering });
    for shaders in [Shaders::Attack, Shaders::PostTraining] {
        engine.announce_shaders(run, ready.architecture, shaders);
    }
    let started = now();
    let device = engine.device()?;
    let subjected = Subjected {
        image: tensor(&input.image, device),
        label,
        draws: Seed(input.seed.into()).input(input.number.into()),
        attacked: Some(tensor(attacked, device)),
    };
    let defense = PostTraining { model: &ready.model, pools: &pools, settings: riposte };
    let attack = CounterAttack { model: &ready.model, defense: &defense, settings: counter, epsilon, quantize: setup.quantize };
    let mut watch = Watch { engine, run, iterations: riposte.iterations, like: &input.image, pace: Pace::new() };
    let mut trouble = None;
    let outcome = attack
        .run(&subjected, async |happening| match watch.tell(happening).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(why) => {
                trouble = Some(why);
                ControlFlow::Break(())
            }
        })
        .await;
    match trouble {
        Some(trouble) => Err(trouble),
        None => Ok(outcome.map(|_| now() - started)?),
    }
}

/// Tells the page what attacker and defense do.
struct Watch<'a> {
    engine: &'a Engine,
    run: RunId,
    iterations: usize,
    like: &'a Picture,
    pace: Pace,
}

impl Watch<'_> {
    async fn tell(&mut self, happening: Happening<'_, Model>) -> Result<(), Trouble> {
        let run = self.run;
        match happening {
            Happening::Ascending { step, of } => {
                if !self.pace.step() {
                    return Ok(());
                }
                post(&Event::Climbing { run, step, of });
            }
            Happening::Answering(Progress::Searched(_)) => {}
            Happening::Answering(Progress::Adapted(iteration)) => {
                if !self.pace.step() {
                    return Ok(());
                }
                // Waits for the device: what is queued on it cannot be stopped.
                read(iteration.losses.clone()).await?;
                post(&Event::Adapting { run, iteration: iteration.index + 1, of: self.iterations });
            }
            Happening::Round { round, image } => {
                let image = Picture { pixels: read(image.clone()).await?, ..*self.like };
                post(&Event::Round { run, round, image });
            }
            Happening::Judged { judgment, .. } => post(&Event::Judged { run, judgment }),
            // It is the last that was judged.
            Happening::Ended { .. } => {}
        }
        self.engine.go_on(run).await?;
        self.pace.looked();
        Ok(())
    }
}
