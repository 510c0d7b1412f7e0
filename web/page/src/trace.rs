//! What is kept of a run: its phase, its steps, and which of them is shown.

use std::time::Duration;

use leptos::leptos_dom::helpers::{IntervalHandle, set_interval_with_handle};
use leptos::prelude::*;
use riposte_protocol::{Event, IterationData, Notice, Picture, RunId, StepData, Verdict};
use riposte_spec::class::Prediction;
use riposte_spec::counter::{Counter, Course, Ending};

/// Where a run is.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    Idle,
    Running(Option<Notice>),
    Done,
    Cancelled,
    Failed { message: String, retry: bool },
}

/// Shows steps one after the other, at a pace the eye can follow, however fast they come.
#[derive(Clone, Copy)]
pub struct Playhead {
    /// Steps at hand.
    pub count: RwSignal<usize>,
    /// The step shown, below `count` where there is one.
    pub at: RwSignal<usize>,
    pub playing: RwSignal<bool>,
    timer: StoredValue<Option<IntervalHandle>, LocalStorage>,
}

const STEP: Duration = Duration::from_millis(70);

impl Playhead {
    fn new() -> Self {
        let playhead = Self {
            count: RwSignal::new(0),
            at: RwSignal::new(0),
            playing: RwSignal::new(false),
            timer: StoredValue::new_local(None),
        };
        on_cleanup(move || playhead.halt());
        playhead
    }

    fn reset(self) {
        self.halt();
        self.count.set(0);
        self.at.set(0);
    }

    /// Follows the steps as they come, or walks through those at hand.
    pub fn play(self) {
        self.halt();
        if reduced_motion() {
            return self.at.set(self.last());
        }
        self.playing.set(true);
        let tick = move || {
            let (at, last) = (self.at.get_untracked(), self.last());
            if at < last {
                self.at.set(at + 1);
            }
        };
        self.timer.set_value(set_interval_with_handle(tick, STEP).ok());
    }

    /// Stops where it is.
    pub fn halt(self) {
        self.timer.update_value(|timer| {
            if let Some(timer) = timer.take() {
                timer.clear();
            }
        });
        // At the end of an element's life the signal may be gone before the timer.
        _ = self.playing.try_set(false);
    }

    /// Shows one step and stays there.
    pub fn seek(self, step: usize) {
        self.halt();
        self.at.set(step.min(self.last()));
    }

    fn last(self) -> usize {
        self.count.get_untracked().saturating_sub(1)
    }

    fn grow(self, count: usize) {
        self.count.set(count);
        if reduced_motion() {
            self.at.set(self.last());
        }
    }
}

/// The attack of act 1.
#[derive(Clone, Copy)]
pub struct AttackTrace {
    pub phase: RwSignal<Phase>,
    pub run: RwSignal<Option<RunId>>,
    pub steps: RwSignal<Vec<StepData>>,
    pub playhead: Playhead,
    pub seconds: RwSignal<f64>,
}

impl AttackTrace {
    pub fn new() -> Self {
        Self {
            phase: RwSignal::new(Phase::Idle),
            run: RwSignal::new(None),
            steps: RwSignal::default(),
            playhead: Playhead::new(),
            seconds: RwSignal::new(0.0),
        }
    }

    pub fn reset(self) {
        self.phase.set(Phase::Idle);
        self.run.set(None);
        self.steps.update(Vec::clear);
        self.playhead.reset();
    }

    /// The step shown.
    pub fn shown(self) -> Option<StepData> {
        let at = self.playhead.at.get();
        self.steps.with(|steps| steps.get(at).cloned())
    }

    /// The last step of a run that is done.
    pub fn end(self) -> Option<StepData> {
        (self.phase.get() == Phase::Done).then(|| self.steps.with(|steps| steps.last().cloned())).flatten()
    }

    pub fn hear(self, event: &Event) {
        match event {
            Event::Note { notice, .. } => self.phase.set(Phase::Running(Some(*notice))),
            Event::Steps { steps: more, .. } => {
                self.steps.update(|steps| steps.extend_from_slice(more));
                self.playhead.grow(self.steps.with_untracked(Vec::len));
            }
            Event::Attacked { seconds, .. } => {
                self.seconds.set(*seconds);
                self.phase.set(Phase::Done);
            }
            other => end(self.phase, other),
        }
    }
}

/// What the neighbor search found.
#[derive(Clone)]
pub struct Found {
    pub original: Prediction,
    pub neighbor: Prediction,
    /// x''
    pub image: Picture,
}

/// The riposte of act 2.
#[derive(Clone, Copy)]
pub struct RiposteTrace {
    pub phase: RwSignal<Phase>,
    pub run: RwSignal<Option<RunId>>,
    /// The image it answers.
    pub input: RwSignal<Option<Picture>>,
    pub found: RwSignal<Option<Found>>,
    pub iterations: RwSignal<Vec<IterationData>>,
    pub playhead: Playhead,
    pub verdict: RwSignal<Option<Verdict>>,
}

impl RiposteTrace {
    pub fn new() -> Self {
        Self {
            phase: RwSignal::new(Phase::Idle),
            run: RwSignal::new(None),
            input: RwSignal::new(None),
            found: RwSignal::new(None),
            iterations: RwSignal::default(),
            playhead: Playhead::new(),
            verdict: RwSignal::new(None),
        }
    }

    pub fn reset(self) {
        self.phase.set(Phase::Idle);
        self.run.set(None);
        self.input.set(None);
        self.found.set(None);
        self.iterations.update(Vec::clear);
        self.playhead.reset();
        self.verdict.set(None);
    }

    pub fn hear(self, event: &Event) {
        match event {
            Event::Note { notice, .. } => self.phase.set(Phase::Running(Some(*notice))),
            Event::Neighbor { original, neighbor, image, .. } => {
                self.found.set(Some(Found { original: original.clone(), neighbor: neighbor.clone(), image: image.clone() }));
            }
            Event::Iterations { iterations: more, .. } => {
                self.iterations.update(|iterations| iterations.extend_from_slice(more));
                self.playhead.grow(self.iterations.with_untracked(Vec::len));
            }
            Event::Answered { verdict, .. } => {
                self.verdict.set(Some((**verdict).clone()));
                self.phase.set(Phase::Done);
            }
            other => end(self.phase, other),
        }
    }
}

/// What an attacker or the defense is at, in act 3.
#[derive(Clone, Copy, PartialEq)]
pub enum Turn {
    /// So many steps of so many of an ascent.
    Climbing(usize, usize),
    /// So many iterations of so many of an answer.
    Adapting(usize, usize),
}

/// The attack on the defense, of act 3.
#[derive(Clone, Copy)]
pub struct CounterTrace {
    pub phase: RwSignal<Phase>,
    pub run: RwSignal<Option<RunId>>,
    pub turn: RwSignal<Option<Turn>>,
    /// As far as it went; none before it began.
    pub course: RwSignal<Option<Course>>,
    /// The points of its rounds.
    pub points: RwSignal<Vec<Picture>>,
    pub seconds: RwSignal<f64>,
    /// The class that the attacker leads away from.
    label: StoredValue<usize>,
}

impl CounterTrace {
    fn new() -> Self {
        Self {
            phase: RwSignal::new(Phase::Idle),
            run: RwSignal::new(None),
            turn: RwSignal::new(None),
            course: RwSignal::new(None),
            points: RwSignal::default(),
            seconds: RwSignal::new(0.0),
            label: StoredValue::new(0),
        }
    }

    pub fn reset(self) {
        self.phase.set(Phase::Idle);
        self.run.set(None);
        self.turn.set(None);
        self.course.set(None);
        self.points.update(Vec::clear);
    }

    /// Empty, before an attack on an image of this class.
    pub fn begin(self, settings: Counter, label: usize) {
        self.reset();
        self.label.set_value(label);
        self.course.set(Some(Course { settings, rounds: Vec::new(), judgments: Vec::new() }));
        self.phase.set(Phase::Running(None));
    }

    /// How one that is done ended, with its course.
    pub fn end(self) -> Option<(Ending, Course)> {
        let course = (self.phase.get() == Phase::Done).then(|| self.course.get()).flatten()?;
        Some((course.ending(self.label.get_value()), course))
    }

    /// The round that stands, by its place, of one that is done.
    pub fn standing(self) -> Option<usize> {
        let (_, course) = self.end()?;
        let verdict = *course.verdict()?;
        course.rounds.iter().position(|round| Some(round.kind) == verdict.kind && round.index == verdict.round)
    }

    pub fn hear(self, event: &Event) {
        match event {
            Event::Note { notice, .. } => self.phase.set(Phase::Running(Some(*notice))),
            Event::Climbing { step, of, .. } => self.turn.set(Some(Turn::Climbing(*step, *of))),
            Event::Adapting { iteration, of, .. } => self.turn.set(Some(Turn::Adapting(*iteration, *of))),
            Event::Round { round, image, .. } => {
                self.points.update(|points| points.push(image.clone()));
                self.course.update(|course| course.iter_mut().for_each(|course| course.rounds.push(*round)));
            }
            Event::Judged { judgment, .. } => {
                self.course.update(|course| course.iter_mut().for_each(|course| course.judgments.push(*judgment)));
            }
            Event::Countered { seconds, .. } => {
                self.seconds.set(*seconds);
                self.turn.set(None);
                self.phase.set(Phase::Done);
            }
            other => {
                self.turn.set(None);
                end(self.phase, other);
            }
        }
    }
}

/// The runs of an element's three acts.
#[derive(Clone, Copy)]
pub struct Runs {
    pub attacked: AttackTrace,
    pub riposted: RiposteTrace,
    pub countered: CounterTrace,
    /// Acts still to run on arrival from a link.
    pub pending: RwSignal<u8>,
    /// Seconds that post-training takes for each of its samples, once that was measured.
    pub seconds_per_sample: RwSignal<Option<f64>>,
}

impl Runs {
    pub fn new(pending: u8) -> Self {
        Self {
            attacked: AttackTrace::new(),
            riposted: RiposteTrace::new(),
            countered: CounterTrace::new(),
            pending: RwSignal::new(pending),
            seconds_per_sample: RwSignal::new(None),
        }
    }

    /// The phases of the three acts.
    pub fn phases(self) -> [RwSignal<Phase>; 3] {
        [self.attacked.phase, self.riposted.phase, self.countered.phase]
    }
}

fn end(phase: RwSignal<Phase>, event: &Event) {
    match event {
        Event::Cancelled { .. } => phase.set(Phase::Cancelled),
        Event::Failed { message, retry, .. } => phase.set(Phase::Failed { message: message.clone(), retry: *retry }),
        _ => {}
    }
}

fn reduced_motion() -> bool {
    window().match_media("(prefers-reduced-motion: reduce)").ok().flatten().is_some_and(|query| query.matches())
}
