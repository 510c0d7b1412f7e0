//! What a visitor can start: opening a model, taking an image, the three acts, the hunt.

use std::time::Duration;

use leptos::prelude::*;
use riposte_protocol::{DeviceKind, Event, Input, Picture, Request};
use riposte_spec::setup::Setup;

use crate::client::Engine;
use crate::hunt::Chase;
use crate::state::{Arena, Load, Subject};
use crate::trace::{Phase, RiposteTrace};

/// Images of each class that the hunt fetches at once.
const SHEET: usize = 4;

impl Arena {
    /// Takes a model that costs no more to fetch than the one in use; offers a larger one first.
    pub fn choose_model(self, id: &str) {
        let (chosen, now) = untrack(|| (self.wiring.entry_of(id), self.model_entry()));
        let Some(chosen) = chosen.filter(|chosen| chosen.card.id != now.card.id) else { return self.offer.set(None) };
        if chosen.card.dataset != now.card.dataset || chosen.weights.bytes <= now.weights.bytes {
            return self.take_model(chosen.card.id);
        }
        self.offer.set(Some(chosen.card.id));
        if self.runs.seconds_per_sample.with_untracked(Option::is_none) && matches!(self.load.get_untracked(), Load::Ready { .. })
        {
            self.time_post_training();
        }
    }

    /// Fetches a model and uses it.
    pub fn take_model(self, id: String) {
        self.offer.set(None);
        self.model.set(id);
    }

    /// Loads the chosen model; `fresh` passes over caches.
    pub fn open(self, fresh: bool) {
        self.load.set(Load::Waiting);
        let (model, dataset) = untrack(|| (self.model_entry(), self.dataset_entry()));
        let (id, base) = (model.card.id.clone(), self.wiring.base());
        self.wiring.run(
            move |run| Request::Open { run, base, dataset, model: Box::new(model), fresh },
            move |event| {
                if self.model.try_get_untracked().as_ref() != Some(&id) {
                    return;
                }
                match event {
                    Event::Opened { test_images, .. } => self.load.set(Load::Ready { test_images: *test_images }),
                    Event::Failed { message, retry, .. } => {
                        self.load.set(Load::Failed { message: message.clone(), retry: *retry })
                    }
                    _ => {}
                }
            },
        );
    }

    /// Asks for the test image with this number, or the first one, and puts it under attack. An image that is not there is said, and
    /// the first one is taken.
    pub fn choose_test_image(self, number: Option<u32>) {
        let (model, dataset) = untrack(|| (self.model.get(), self.dataset()));
        let asked = model.clone();
        self.wiring.run(
            move |run| Request::TestImage { run, model, number },
            move |event| match event {
                // A visitor who has chosen another model or an image meanwhile keeps it.
                _ if self.model.try_get_untracked().as_ref() != Some(&asked) => {}
                Event::Gallery { samples, .. } => {
                    if let (Some(sample), true) = (samples.first(), self.subject.with_untracked(Option::is_none)) {
                        self.choose(Subject::test(sample.clone(), dataset));
                    }
                }
                Event::Failed { message, .. } if number.is_some() => {
                    self.notices.update(|notices| notices.push(format!("{message} The first one is shown.")));
                    self.choose_test_image(None);
                }
                Event::Failed { message, retry, .. } => self.load.set(Load::Failed { message: message.clone(), retry: *retry }),
                _ => {}
            },
        );
    }

    /// Attacks one test image after the other until one falls.
    pub fn start_hunt(self) {
        self.hunt.chase.set(Chase::On(0));
        self.go_on_hunting();
    }

    /// Ends it, and the attack under way.
    pub fn stop_attack(self) {
        self.hunt.chase.set(Chase::Off);
        self.wiring.cancel(self.runs.attacked.run.get_untracked());
    }

    /// Puts the next image under attack.
    pub fn go_on_hunting(self) {
        // What was said of the image before must not be taken for an answer about the next.
        self.attacked_is_void();
        self.natural.set(None);
        let dataset = untrack(|| self.dataset());
        if let Some(sample) = self.hunt.next() {
            return self.subject.set(Some(Subject::test(sample, dataset)));
        }
        let Load::Ready { test_images } = self.load.get_untracked() else { return self.hunt.chase.set(Chase::Off) };
        let skip = self.hunt.skip();
        let model = self.model.get_untracked();
        let asked = model.clone();
        self.wiring.run(
            move |run| Request::Gallery { run, model, skip, count: SHEET },
            move |event| {
                let current = self.model.try_get_untracked().as_ref() == Some(&asked);
                if let (Event::Gallery { samples, .. }, true) = (event, current) {
                    let next = if skip + SHEET < test_images { skip + SHEET } else { 0 };
                    self.hunt.stock(samples.clone(), next);
                    if matches!(self.hunt.chase.get_untracked(), Chase::On(_)) {
                        self.go_on_hunting();
                    }
                }
            },
        );
    }

    /// Act 1.
    pub fn run_attack(self) {
        let Some((input, class)) = untrack(|| Some((self.input(self.subject.get()?.image), self.class()?))) else { return };
        self.forget_ripostes();
        self.start_attack(input, class);
    }

    /// Acts up to this one with the next seed: what the seed changes is done again.
    pub fn run_anew(self, act: u8) {
        self.seed.update(|seed| *seed = seed.wrapping_add(1));
        // After what follows from another seed: see `order`.
        set_timeout(move || self.runs.pending.set(act), Duration::ZERO);
    }

    /// The attack at another strength.
    pub fn run_stronger(self, epsilon: f32) {
        self.attack.update(|attack| attack.epsilon = epsilon);
        // After what follows from another strength: see `order`.
        set_timeout(move || self.runs.pending.set(1), Duration::ZERO);
    }

    /// Act 2.
    pub fn run_riposte(self) {
        let Some(image) = untrack(|| self.riposte_input()) else { return };
        self.forget_riposte();
        self.start_riposte(self.runs.riposted, image);
    }

    /// Act 3: the attack on the defense, from the untouched image.
    pub fn run_counter(self) {
        let of_act_one = || Some((self.input(self.subject.get()?.image), self.class()?, self.runs.attacked.end()?.image));
        let Some((input, label, attacked)) = untrack(of_act_one) else { return };
        let counter = self.counter.get_untracked();
        let setup = Setup { target: None, counter: Some(counter), ..untrack(|| self.setup()) };
        self.forget_counter();
        let trace = self.runs.countered;
        trace.begin(counter, label);
        let model = self.model.get_untracked();
        let run = self.wiring.run(
            move |run| Request::Counter { run, model, input, label, attacked, setup },
            move |event| {
                if trace.run.try_get_untracked().flatten() == event.run() {
                    trace.hear(event);
                }
            },
        );
        trace.run.set(Some(run));
    }

    /// Whether the post-training of the chosen model can take long enough to say so before: measuring it on a GPU compiles its
    /// shaders, which a small model's first run does as fast.
    pub fn is_slow(self) -> bool {
        let on_cpu = self.wiring.with_client(|client| match client.engine().get() {
            Engine::Ready(device) => device.kind == DeviceKind::Cpu,
            Engine::Starting | Engine::Lost { .. } => false,
        });
        on_cpu || self.model_entry().card.architecture.is_heavy()
    }

    /// Asks the engine how long a sample takes.
    pub fn time_post_training(self) {
        let model = self.model.get_untracked();
        let asked = model.clone();
        self.wiring.run(
            move |run| Request::Time { run, model },
            move |event| {
                let current = self.model.try_get_untracked().as_ref() == Some(&asked);
                if let (Event::Timed { seconds_per_sample, .. }, true) = (event, current) {
                    // A riposte that has run since says more.
                    if self.runs.seconds_per_sample.with_untracked(Option::is_none) {
                        self.runs.seconds_per_sample.set(Some(*seconds_per_sample));
                    }
                }
            },
        );
    }

    /// Drops what act 1 led to, and all that was built on it.
    pub fn attacked_is_void(self) {
        let trace = self.runs.attacked;
        if matches!(trace.phase.get_untracked(), Phase::Running(_)) {
            self.wiring.cancel(trace.run.get_untracked());
        }
        trace.reset();
        if matches!(self.hunt.chase.get_untracked(), Chase::Found(_)) {
            self.hunt.chase.set(Chase::Off);
        }
        self.forget_ripostes();
    }

    /// Drops what acts 2 and 3 led to, in the engine too.
    pub fn forget_ripostes(self) {
        self.forget_riposte();
        self.forget_counter();
    }

    /// Drops what act 2 led to.
    pub fn forget_riposte(self) {
        let trace = self.runs.riposted;
        if let Some(run) = trace.run.get_untracked() {
            self.wiring.cancel((matches!(trace.phase.get_untracked(), Phase::Running(_))).then_some(run));
            self.wiring.forget(run);
        }
        trace.reset();
    }

    /// Drops what act 3 led to.
    pub fn forget_counter(self) {
        let trace = self.runs.countered;
        if matches!(trace.phase.get_untracked(), Phase::Running(_)) {
            self.wiring.cancel(trace.run.get_untracked());
        }
        trace.reset();
    }

    fn start_attack(self, input: Input, class: usize) {
        let (setup, model) = (untrack(|| self.setup()), self.model.get_untracked());
        let trace = self.runs.attacked;
        trace.reset();
        trace.phase.set(Phase::Running(None));
        let run = self.wiring.run(
            move |run| Request::Attack { run, model, input, class, setup },
            // A run that the visitor has moved on from still ends, unheard.
            move |event| {
                if trace.run.try_get_untracked().flatten() == event.run() {
                    trace.hear(event);
                }
            },
        );
        trace.run.set(Some(run));
        trace.playhead.play();
    }

    fn start_riposte(self, trace: RiposteTrace, image: Picture) {
        trace.reset();
        trace.input.set(Some(image.clone()));
        trace.phase.set(Phase::Running(None));
        let (model, settings, input) = (self.model.get_untracked(), self.riposte.get_untracked(), untrack(|| self.input(image)));
        let run = self.wiring.run(
            move |run| Request::Riposte { run, model, input, settings },
            move |event| {
                if trace.run.try_get_untracked().flatten() == event.run() {
                    trace.hear(event);
                }
            },
        );
        trace.run.set(Some(run));
        trace.playhead.play();
    }
}
