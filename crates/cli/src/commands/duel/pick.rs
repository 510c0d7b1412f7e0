//! Chooses the image of a duel when none is named: always the same one for the same settings.

use anyhow::Result;
use riposte::attack::Attack;
use riposte::evaluate::{Evaluation, Record};
use riposte::spec::units::print_pixels;

use super::play::Duel;
use crate::args::Pick;
use crate::device::{self, Found};
use crate::evaluation::Inputs;
use crate::interrupt::Interrupt;
use crate::screen::Screen;
use crate::workers::Workers;

/// Images looked at before giving up.
const MOST: usize = 1024;

/// The first test image of the kind `pick`; the first of all if there is none among the first thousand.
pub(super) fn choose(duel: &Duel, pick: Pick, device: &Found, screen: &mut Screen) -> Result<usize> {
    let workers = if device.is_cpu() { Workers::on_cpu(device::threads(None))? } else { Workers::on_gpu() };
    let images = duel.test.len().min(MOST);
    const BATCH: usize = 64;
    for start in (0..images).step_by(BATCH) {
        let end = images.min(start + BATCH);
        for fooled in evaluate(duel, start..end, false, &workers, &screen.interrupt)?.into_iter().filter(is_fooled) {
            let index = fooled.input as usize;
            if pick == Pick::Fooled {
                return Ok(index);
            }
            let defended = evaluate(duel, index..index + 1, true, &workers, &screen.interrupt)?;
            let right =
                defended.iter().any(|record| record.riposte_attacked.is_some_and(|defended| defended.answer == record.label));
            if right == (pick == Pick::Answered) {
                return Ok(index);
            }
        }
    }
    let wanted = match pick {
        Pick::Fooled => "that the attack fools",
        Pick::Answered => "that is fooled and then answered rightly",
        Pick::Failed => "that is fooled and then answered wrongly",
    };
    let epsilon = print_pixels(duel.attack.epsilon);
    screen.say(&format!("There is no image {wanted} among the first {images} (epsilon {epsilon}); this is the first one."))?;
    Ok(0)
}

/// Whether the attack changed a right answer to a wrong one.
fn is_fooled(record: &Record) -> bool {
    record.natural == record.label && record.attacked.is_some_and(|class| class != record.label)
}

fn evaluate(
    duel: &Duel,
    inputs: std::ops::Range<usize>,
    defend: bool,
    workers: &Workers,
    interrupt: &Interrupt,
) -> Result<Vec<Record>> {
    let evaluation = Evaluation {
        model: duel.model,
        attack: Some(Attack::Pgd(duel.attack)),
        target: duel.target,
        quantize: duel.quantize,
        defense: defend.then_some(duel.riposte),
        natural: false,
        counter: None,
    };
    let images = Inputs { test: duel.test, given: None, seed: duel.seed, batch: 32, points: None };
    let mut records = Vec::new();
    images.evaluate(&evaluation, inputs, 0, workers, interrupt, |record| {
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}
