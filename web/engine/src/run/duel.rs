//! A duel whose end alone is of interest: one of many.

use std::ops::ControlFlow;

use riposte::attack::counter;
use riposte::evaluate::{Evaluation, Record};
use riposte::models::Model;
use riposte::post_train::PostTraining;
use riposte::rng::Seed;
use riposte::spec::setup::Setup;
use riposte_protocol::{Event, Input, Notice, RunId};

use super::{Engine, Shaders};
use crate::convert::tensor;
use crate::models::Ready;
use crate::trouble::Trouble;
use crate::worker::post;

/// Attacks, defends and tells how it ended.
pub async fn run(
    engine: &Engine,
    run: RunId,
    ready: &Ready,
    input: &Input,
    label: usize,
    setup: &Setup,
) -> Result<Record, Trouble> {
    if ready.lacks_pools() {
        let notice = if ready.draws_pools() { Notice::Drawing } else { Notice::Downloading };
        post(&Event::Note { run, notice });
    }
    let pools = ready.pools().await?;
    engine.go_on(run).await?;
    for shaders in [Shaders::Attack, Shaders::PostTraining] {
        engine.announce_shaders(run, ready.architecture, shaders);
    }
    let defense = setup.riposte.map(|settings| PostTraining { model: &ready.model, pools: &pools, settings });
    let evaluation = Evaluation {
        model: &ready.model,
        attack: setup.attack,
        target: setup.target,
        quantize: setup.quantize,
        defense,
        natural: false,
        counter: setup.counter,
    };
    let draws = Seed(input.seed.into()).input(input.number.into());
    let image = tensor(&input.image, engine.device()?);
    let observe = async |_: counter::Event<'_, Model>| match engine.go_on(run).await {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let records = evaluation.run(image, &[label], &[draws], observe).await?;
    records.into_iter().next().ok_or_else(|| Trouble::last("The duel left no record.".to_owned()))
}
