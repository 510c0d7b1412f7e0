//! Auto-PGD in the L-infinity ball (Croce & Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse
//! parameter-free attacks", Algorithm 1): gradient ascent with momentum whose step size follows from its own progress.

use burn::tensor::{Bool, Tensor, TensorData};
use riposte_spec::attack::Apgd;

use super::ascent::project_linf;
use super::goal::{Goal, Objective, check_draws};
use super::pgd::{Attacked, Attacks, Step};
use super::rows::{choose, each, total};
use super::subject::{Slope, Subject};
use crate::Result;
use crate::rng::{self, Draws, Purpose};

impl Attacks for Apgd {
    type Run<'a, S: Subject + 'a> = ApgdRun<'a, S>;

    /// One run from the first random start.
    fn attack<'a, S: Subject>(self, subject: &'a S, images: Tensor<4>, goal: &Goal, draws: &[Draws]) -> Result<ApgdRun<'a, S>> {
        run(self, subject, images, goal, draws, 0)
    }
}

/// [`Attacks::attack`] from the random start of number `number`.
pub(super) fn run<'a, S: Subject>(
    settings: Apgd,
    subject: &'a S,
    images: Tensor<4>,
    goal: &Goal,
    draws: &[Draws],
    number: u16,
) -> Result<ApgdRun<'a, S>> {
    settings.check()?;
    let [batch, ..] = images.dims();
    goal.check(batch, subject.class_count(), settings.loss)?;
    check_draws(draws, batch)?;
    let start = start(&images, settings.epsilon, draws, number);
    Ok(ApgdRun {
        subject,
        objective: Objective::new(goal, settings.loss, subject.class_count(), &images.device()),
        search: ApgdSearch::new(settings, images, start),
        step: 0,
    })
}

/// After which of so many steps the step size is reconsidered, from 1.
pub fn checkpoints(steps: usize) -> impl Iterator<Item = usize> {
    let ends = Windows::of(steps).scan(0, |end, window| {
        *end += window;
        Some(*end)
    });
    ends.take_while(move |end| *end <= steps)
}

/// A point on the box around each image, drawn uniformly in it and scaled so that the largest change is epsilon; then clipped.
pub(super) fn start(images: &Tensor<4>, epsilon: f32, draws: &[Draws], number: u16) -> Tensor<4> {
    let pixels = images.dims()[1..].iter().product();
    let mut offsets = Vec::with_capacity(draws.len() * pixels);
    for draws in draws {
        let mut stream = draws.run(Purpose::Apgd, number);
        let draws: Vec<f32> = (0..pixels).map(|_| rng::symmetric(&mut stream, 1.0)).collect();
        let largest = draws.iter().fold(f32::MIN_POSITIVE, |largest, draw| largest.max(draw.abs()));
        offsets.extend(draws.into_iter().map(|draw| epsilon * (draw / largest)));
    }
    let offsets = Tensor::from_data(TensorData::new(offsets, images.dims()), &images.device());
    (images.clone() + offsets).clamp(0.0, 1.0)
}

/// A run under way. It yields `steps + 1` items, from its start to its last point.
#[derive(Debug)]
pub struct ApgdRun<'a, S> {
    subject: &'a S,
    objective: Objective,
    search: ApgdSearch,
    step: usize,
}

impl<S: Subject> ApgdRun<'_, S> {
    /// Ends where the run is.
    pub fn end(self) -> Ascended {
        self.search.end()
    }
}

impl<S: Subject> Iterator for ApgdRun<'_, S> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let (step, images) = (self.step, self.search.point());
        if step > self.search.settings.steps {
            return None;
        }
        let slope = self.subject.slope(images.clone(), &|logits| self.objective.value(logits));
        let logits = slope.logits.clone();
        let succeeded = self.objective.succeeded(logits.clone());
        self.search.told(slope, succeeded.greater_elem(0.5));
        self.step += 1;
        Some(Step { restart: 0, step, images, logits })
    }
}

/// What a run ends with.
#[derive(Debug, Clone)]
pub struct Ascended {
    /// Of each image the last point that succeeded; where none did, the one with the highest value.
    pub end: Attacked,
    /// Of each image the point with the highest value, whether it succeeded or not: what a defense is best attacked with by transfer.
    pub highest: Attacked,
    /// Its value, `[batch]`.
    pub highest_value: Tensor<1>,
    /// Whether any point succeeded, `[batch]`.
    pub succeeded: Tensor<1, Bool>,
    /// Whether the gradient at the start was zero, `[batch]`: the run had no direction to go.
    pub flat: Tensor<1, Bool>,
}

/// The search itself: it says where to look, is told what is seen there, and moves on. Whoever drives it decides what is ascended:
/// one model, the mean of several, a defense that adapts between two steps.
#[derive(Debug)]
pub struct ApgdSearch {
    settings: Apgd,
    images: Tensor<4>,
    current: Tensor<4>,
    /// Where the step to the current point began.
    previous: Tensor<4>,
    /// η of each image, `[batch]`.
    step_size: Tensor<1>,
    memory: Option<Memory>,
    windows: Windows,
    window: usize,
    /// Steps since the last check.
    since: usize,
}

/// What is known after the start has been seen.
#[derive(Debug)]
struct Memory {
    /// The point of the highest value so far, and its slope.
    best: Tensor<4>,
    slope: Slope,
    latest: Attacked,
    succeeded: Tensor<1, Bool>,
    /// Values at the point before, `[batch]`.
    before: Tensor<1>,
    /// In how many steps of the window the value rose, `[batch]`.
    rises: Tensor<1>,
    /// The highest value at the last check, and whether η was halved there.
    checked: Tensor<1>,
    halved: Tensor<1, Bool>,
    /// Whether the gradient at the start was zero, `[batch]`.
    flat: Tensor<1, Bool>,
}

impl ApgdSearch {
    /// Begins at `start` in the ball around `images`, both `[batch, channel, height, width]`.
    pub fn new(settings: Apgd, images: Tensor<4>, start: Tensor<4>) -> Self {
        let [batch, ..] = images.dims();
        let mut windows = Windows::of(settings.steps);
        Self {
            step_size: Tensor::full([batch], 2.0 * settings.epsilon, &images.device()),
            settings,
            images,
            previous: start.clone(),
            current: start,
            memory: None,
            window: windows.next().expect("windows never end"),
            windows,
            since: 0,
        }
    }

    /// The point to look at, `[batch, channel, height, width]`.
    pub fn point(&self) -> Tensor<4> {
        self.current.clone()
    }

    /// Takes in what is seen at [`point`](Self::point), and at which images `[batch]` the attack has succeeded there; moves on.
    pub fn told(&mut self, slope: Slope, succeeded: Tensor<1, Bool>) {
        let seen = Attacked { images: self.current.clone(), logits: slope.logits.clone() };
        let Some(memory) = &mut self.memory else {
            self.step(slope.gradient.clone(), 1.0);
            self.memory = Some(Memory::new(seen, slope, succeeded));
            return;
        };
        let mut gradient = slope.gradient.clone();
        memory.add(seen, slope, succeeded);
        self.since += 1;
        if self.since == self.window {
            let halve = memory.check(self.window);
            self.current = choose(&halve, memory.best.clone(), self.current.clone());
            gradient = choose(&halve, memory.slope.gradient.clone(), gradient);
            self.step_size = choose(&halve, self.step_size.clone() * 0.5, self.step_size.clone());
            self.window = self.windows.next().expect("windows never end");
            self.since = 0;
        }
        self.step(gradient, MOMENTUM);
    }

    /// # Panics
    /// If no point has been seen.
    pub fn end(self) -> Ascended {
        let Memory { best, slope, latest, succeeded, flat, .. } = self.memory.expect("the start has been seen");
        let (highest, highest_value) = (Attacked { images: best, logits: slope.logits }, slope.value);
        let end = Attacked {
            images: choose(&succeeded, latest.images, highest.images.clone()),
            logits: choose(&succeeded, latest.logits, highest.logits.clone()),
        };
        Ascended { end, highest, highest_value, succeeded, flat }
    }

    /// `u = P(x + η sign g)`, then `P(x + α (u - x) + (1 - α) (x - x before))`.
    fn step(&mut self, gradient: Tensor<4>, alpha: f32) {
        let x = self.current.clone();
        let u = self.project(x.clone() + each(self.step_size.clone()) * gradient.sign());
        let momentum = (x.clone() - self.previous.clone()) * (1.0 - alpha);
        self.current = self.project(x.clone() + (u - x.clone()) * alpha + momentum);
        self.previous = x;
    }

    /// Into the ball and the pixel range.
    fn project(&self, points: Tensor<4>) -> Tensor<4> {
        project_linf(points, self.images.clone(), self.settings.epsilon, [0.0, 1.0])
    }
}

/// α: the share of the gradient's step in a move.
const MOMENTUM: f32 = 0.75;
/// ρ: the value should rise in more than this share of a window's steps.
const RISING: f32 = 0.75;

impl Memory {
    fn new(seen: Attacked, slope: Slope, succeeded: Tensor<1, Bool>) -> Self {
        Self {
            best: seen.images.clone(),
            latest: seen,
            succeeded,
            // The authors' code compares the first step of the first window with 0, not with the value of the start: always a rise
            // for the cross-entropy, never one for a margin that has not been crossed.
            before: slope.value.zeros_like(),
            rises: slope.value.zeros_like(),
            checked: slope.value.clone(),
            // The first check cannot halve for want of progress since the last one.
            halved: slope.value.ones_like().greater_elem(0.5),
            flat: total(slope.gradient.clone().abs()).lower_equal_elem(0.0),
            slope,
        }
    }

    fn add(&mut self, seen: Attacked, slope: Slope, succeeded: Tensor<1, Bool>) {
        self.rises = self.rises.clone() + slope.value.clone().greater(self.before.clone()).float();
        self.before = slope.value.clone();
        let higher = slope.value.clone().greater(self.slope.value.clone());
        self.best = choose(&higher, seen.images.clone(), self.best.clone());
        self.slope = Slope {
            logits: choose(&higher, slope.logits, self.slope.logits.clone()),
            value: choose(&higher, slope.value, self.slope.value.clone()),
            gradient: choose(&higher, slope.gradient, self.slope.gradient.clone()),
        };
        self.latest = Attacked {
            images: choose(&succeeded, seen.images, self.latest.images.clone()),
            logits: choose(&succeeded, seen.logits, self.latest.logits.clone()),
        };
        self.succeeded = self.succeeded.clone().bool_or(succeeded);
    }

    /// Which step sizes to halve after a window of so many steps, `[batch]`.
    fn check(&mut self, window: usize) -> Tensor<1, Bool> {
        let seldom = self.rises.clone().lower_equal_elem(RISING * window as f32);
        let stuck = self.checked.clone().greater_equal(self.slope.value.clone());
        let halve = seldom.bool_or(self.halved.clone().bool_not().bool_and(stuck));
        self.rises = self.rises.zeros_like();
        self.checked = self.slope.value.clone();
        self.halved = halve.clone();
        halve
    }
}

/// Lengths of the windows between two checks, in steps: 22 % of all steps, then 3 % fewer each, not below 6 %.
#[derive(Debug)]
struct Windows {
    next: usize,
    less: usize,
    least: usize,
}

impl Windows {
    fn of(steps: usize) -> Self {
        let share = |percent: usize| (steps * percent / 100).max(1);
        Self { next: share(22), less: share(3), least: share(6) }
    }
}

impl Iterator for Windows {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let window = self.next;
        self.next = window.saturating_sub(self.less).max(self.least);
        Some(window)
    }
}
