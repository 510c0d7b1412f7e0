//! Many test images, one after the other: what one duel shows may be luck.

use leptos::prelude::*;
use riposte_protocol::{Event, Input, Request, RunId, Sample};
use riposte_spec::outcome::Outcome;
use riposte_spec::record::Record;

use crate::state::{Arena, Origin};

/// Images that one click attacks.
const AT_ONCE: usize = 20;

/// Where it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    Idle,
    /// There were duels, of other settings than those that are set now.
    Void,
    Running,
    /// All are done that were asked for.
    Done,
    Stopped,
    Failed(String),
}

/// A test image, and how its duel ended.
#[derive(Clone, PartialEq)]
pub struct Entry {
    pub sample: Sample,
    pub record: Option<Record>,
}

/// The duels over test images that follow each other.
#[derive(Clone, Copy)]
pub struct Sweep {
    pub progress: RwSignal<Progress>,
    pub entries: RwSignal<Vec<Entry>>,
    run: StoredValue<Option<RunId>>,
}

/// What became of the images that are done.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Tally {
    pub images: usize,
    /// Seen rightly before the attack.
    pub natural: usize,
    /// Seen wrongly when attacked.
    pub fooled: usize,
    /// Of these, answered rightly by the defense.
    pub saved: usize,
    /// Seen rightly when attacked, and answered wrongly by the defense.
    pub spoiled: usize,
}

impl Tally {
    pub fn of(entries: &[Entry]) -> Self {
        let mut tally = Self::default();
        for record in entries.iter().filter_map(|entry| entry.record.as_ref()) {
            tally.images += 1;
            tally.natural += usize::from(record.natural == record.label);
            match record.outcome() {
                Some(Outcome::Answered) => (tally.fooled, tally.saved) = (tally.fooled + 1, tally.saved + 1),
                Some(Outcome::Failed | Outcome::NoNeighbor) => tally.fooled += 1,
                Some(Outcome::Spoiled) => tally.spoiled += 1,
                Some(Outcome::NotFooled) | None => {}
            }
        }
        tally
    }

    /// Right under attack, without the defense and with it.
    pub fn right(&self) -> [usize; 2] {
        let before = self.images - self.fooled;
        [before, before + self.saved - self.spoiled]
    }
}

impl Sweep {
    pub fn new() -> Self {
        Self { progress: RwSignal::new(Progress::Idle), entries: RwSignal::default(), run: StoredValue::new(None) }
    }

    /// Those that are done.
    pub fn records(self) -> Vec<Record> {
        self.entries.with(|entries| entries.iter().filter_map(|entry| entry.record.clone()).collect())
    }
}

impl Arena {
    /// Attacks and defends the test images that follow the last one, or the one under attack.
    pub fn start_sweep(self) {
        let sweep = self.sweep;
        let last = sweep.entries.with_untracked(|entries| entries.last().map(|entry| entry.sample.number));
        let here = self.subject.with_untracked(|subject| match subject.as_ref().map(|subject| &subject.origin) {
            Some(Origin::Test(number)) => Some(*number),
            _ => None,
        });
        // One that was stopped goes on where it was.
        if sweep.entries.with_untracked(|entries| entries.iter().any(|entry| entry.record.is_none())) {
            sweep.progress.set(Progress::Running);
            return self.sweep_on();
        }
        let (model, after) = (self.model.get_untracked(), last.or(here));
        sweep.progress.set(Progress::Running);
        let run = self.wiring.run(
            move |run| Request::NextImages { run, model, after, count: AT_ONCE },
            move |event| {
                if sweep.run.try_get_value().flatten() != event.run() {
                    return;
                }
                match event {
                    Event::Gallery { samples, .. } => {
                        sweep.entries.update(|entries| {
                            // Beyond the last one it begins anew: none counts twice.
                            let known: Vec<u32> = entries.iter().map(|entry| entry.sample.number).collect();
                            let new = samples.iter().filter(|sample| !known.contains(&sample.number));
                            entries.extend(new.map(|sample| Entry { sample: sample.clone(), record: None }));
                        });
                        self.sweep_on();
                    }
                    other => self.sweep_ended(other),
                }
            },
        );
        sweep.run.set_value(Some(run));
    }

    pub fn stop_sweep(self) {
        self.wiring.cancel(self.sweep.run.get_value());
    }

    /// Forgets the duels: another model's or other settings' are others.
    pub fn sweep_is_void(self) {
        if self.sweep.progress.get_untracked() == Progress::Running {
            self.stop_sweep();
        }
        self.sweep.run.set_value(None);
        let begun = self.sweep.entries.with_untracked(|entries| !entries.is_empty());
        self.sweep.entries.update(Vec::clear);
        let void = begun || self.sweep.progress.get_untracked() == Progress::Void;
        self.sweep.progress.set(if void { Progress::Void } else { Progress::Idle });
    }

    /// Fights the next duel, if there is one left.
    fn sweep_on(self) {
        let sweep = self.sweep;
        let next = sweep.entries.with_untracked(|entries| entries.iter().position(|entry| entry.record.is_none()));
        let Some(place) = next else { return sweep.progress.set(Progress::Done) };
        let sample = sweep.entries.with_untracked(|entries| entries[place].sample.clone());
        let (model, setup) = (self.model.get_untracked(), untrack(|| self.setup()));
        let input = Input { image: sample.image, seed: self.seed.get_untracked(), number: sample.number };
        let run = self.wiring.run(
            move |run| Request::Duel { run, model, input, label: sample.label, setup },
            move |event| {
                // One that the visitor has moved on from still ends, unheard.
                if sweep.run.try_get_value().flatten() != event.run() {
                    return;
                }
                match event {
                    Event::Fought { record, .. } => {
                        sweep.entries.update(|entries| entries[place].record = Some(record.clone()));
                        self.sweep_on();
                    }
                    other => self.sweep_ended(other),
                }
            },
        );
        sweep.run.set_value(Some(run));
    }

    fn sweep_ended(self, event: &Event) {
        match event {
            Event::Cancelled { .. } => self.sweep.progress.set(Progress::Stopped),
            Event::Failed { message, .. } => self.sweep.progress.set(Progress::Failed(message.clone())),
            _ => {}
        }
    }
}
