//! Plays the attack on the defense, round by round.

use std::ops::ControlFlow;

use anyhow::Result;
use burn::tensor::Tensor;
use riposte::attack::counter::{CounterAttack, Event, Subjected};
use riposte::models::Model;
use riposte::rng::Draws;
use riposte::spec::counter::{Counter, Course};

use super::play::Duel;
use crate::host::floats;
use crate::screen::{Screen, bar};
use crate::story::Countering;

/// What the observer of the attack collects.
struct Watched<'a> {
    screen: &'a mut Screen,
    told: Countering,
}

impl Duel<'_> {
    /// Attacks the defense on `image` `[1, channel, height, width]`, of which the attack on the base model made `attacked`.
    pub(super) fn play_counter(
        &self,
        settings: Counter,
        [image, attacked]: [Tensor<4>; 2],
        label: usize,
        draws: Draws,
        screen: &mut Screen,
    ) -> Result<Countering> {
        let attack = CounterAttack {
            model: self.model,
            defense: &self.riposte,
            settings,
            epsilon: self.attack.epsilon,
            quantize: self.quantize,
        };
        let subjected = Subjected { image, label, draws, attacked: Some(attacked) };
        let course = Course { settings, rounds: Vec::new(), judgments: Vec::new() };
        let mut watched = Watched { screen, told: Countering { course, points: Vec::new() } };
        let mut failed = None;
        let observe = async |event: Event<'_, Model>| match watched.watch(event, label) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
        let outcome = pollster::block_on(attack.run(&subjected, observe));
        if let Some(error) = failed {
            return Err(error);
        }
        outcome?;
        watched.screen.keep_frame();
        Ok(watched.told)
    }
}

impl Watched<'_> {
    fn watch(&mut self, event: Event<'_, Model>, label: usize) -> Result<()> {
        self.screen.check()?;
        let Course { settings, rounds, judgments } = &mut self.told.course;
        match event {
            Event::Ascending { step, of } => {
                let title = format!("Counter-riposte ({}), after {} rounds: step {step} of {of}", settings.kind, rounds.len());
                let last = rounds.iter().map(|round| bar(&format!("{label} in round {}", round.index + 1), round.truth));
                self.screen.frame(&std::iter::once(title).chain(last).collect::<Vec<_>>())
            }
            Event::Answering(_) | Event::Ended { .. } => Ok(()),
            Event::Round { round, image } => {
                rounds.push(round);
                self.told.points.push(floats(image.clone())?);
                Ok(())
            }
            Event::Judged { judgment, .. } => {
                judgments.push(judgment);
                Ok(())
            }
        }
    }
}
