//! Act 1.

use burn::tensor::Tensor;
use riposte::attack::{Attacks, Quantized, check_levels, quantized};
use riposte::classifier::read_pairs;
use riposte::models::Model;
use riposte::rng::Seed;
use riposte::spec::attack::{Pgd, Stop};
use riposte::spec::class::Prediction;
use riposte::spec::setup::Setup;
use riposte_protocol::{Event, Input, Picture, RunId, StepData};

use super::{Engine, Shaders};
use crate::convert::{goal, tensor};
use crate::trouble::Trouble;
use crate::worker::{Pace, now, post};

/// Attacks and returns the seconds it took. Images and logits are read back together, those of all steps since the last look.
pub async fn run(
    engine: &Engine,
    run: RunId,
    victim: &Model,
    input: &Input,
    class: usize,
    setup: &Setup,
) -> Result<f64, Trouble> {
    let started = now();
    let Setup { target, quantize, .. } = *setup;
    let Some(pgd) = setup.pgd() else { return Err(Trouble::last("Act I needs an attack by PGD.".to_owned())) };
    let image = tensor(&input.image, engine.device()?);
    let draws = Seed(input.seed.into()).input(input.number.into());
    check_levels(&image, quantize).await?;
    let subject = Quantized { subject: victim, quantize };
    let within = Pgd { epsilon: quantize.radius(pgd.epsilon), ..pgd };
    let attack = within.attack(&subject, image, &goal(class, target), &[draws])?;
    engine.announce_shaders(run, victim.architecture(), Shaders::Attack);
    let mut pace = Pace::new();
    let mut unread = Vec::new();
    let mut sent = 0;
    for step in attack {
        let last = step.step == pgd.steps;
        unread.push((quantized(step.images, quantize), step.logits));
        if !pace.step() && !last {
            continue;
        }
        let mut steps = read_steps(sent, std::mem::take(&mut unread), &input.image).await?;
        // From its success on it stands still.
        let succeeded = |class_now: usize| target.map_or(class_now != class, |target| class_now == target);
        let stop =
            (pgd.stop == Stop::AtSuccess).then(|| steps.iter().position(|step| succeeded(step.prediction.class))).flatten();
        if let Some(stop) = stop {
            steps.truncate(stop + 1);
        }
        sent += steps.len();
        post(&Event::Steps { run, steps });
        if stop.is_some() {
            break;
        }
        pace.looked();
        engine.go_on(run).await?;
    }
    Ok(now() - started)
}

/// Points of an attack from step `first` on, read back at once.
async fn read_steps(first: usize, points: Vec<(Tensor<4>, Tensor<2>)>, like: &Picture) -> riposte::Result<Vec<StepData>> {
    let points = read_pairs(points).await?;
    let step = |(place, [pixels, logits]): (usize, [Vec<f32>; 2])| {
        let image = Picture { pixels, ..*like };
        StepData { index: first + place, image, prediction: Prediction::new(logits) }
    };
    Ok(points.into_iter().enumerate().map(step).collect())
}
