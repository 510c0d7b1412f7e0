//! Answering requests.

mod attack;
mod counter;
mod duel;
mod riposte_run;
mod slice;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use burn::tensor::Device;
use riposte::Classifier;
use riposte::models::{Architecture, Model};
use riposte::spec::class::Prediction;
use riposte_protocol::{DeviceKind, DevicePreference, Event, Notice, Picture, Request, RunId};

use crate::convert::tensor;
use crate::device;
use crate::models::Ready;
use crate::trouble::Trouble;
use crate::worker::{Gate, give_way, post};
use riposte::classifier::read;

/// Adapted copies kept: those of the visitor's latest ripostes. Forgotten ones make room sooner.
const MOST_ADAPTED: usize = 8;

/// Everything the worker holds.
#[derive(Default)]
pub struct Engine {
    device: OnceCell<Device>,
    /// Whether it is a WebGPU device, which compiles a shader when it is first used.
    compiles: Cell<bool>,
    /// The kinds of runs whose shaders are compiled.
    compiled: RefCell<HashSet<(Architecture, Shaders)>>,
    /// Opened when the device is chosen: requests that need it wait there.
    started: Gate,
    ready: RefCell<HashMap<String, Rc<Ready>>>,
    /// In the order in which they were made.
    adapted: RefCell<Vec<(RunId, Rc<Model>)>>,
    /// Runs to be stopped at their next step.
    stopped: RefCell<HashSet<RunId>>,
}

/// What a run needs shaders for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shaders {
    Attack,
    PostTraining,
}

impl Engine {
    /// Answers one request, with a last event if it is about a run.
    pub async fn answer(self: Rc<Self>, request: Request) {
        let run = match &request {
            Request::Start { .. } | Request::Forget { .. } | Request::Cancel { .. } => None,
            Request::Open { run, .. }
            | Request::Gallery { run, .. }
            | Request::TestImage { run, .. }
            | Request::NextImages { run, .. }
            | Request::Duel { run, .. }
            | Request::Slice { run, .. }
            | Request::Classify { run, .. }
            | Request::Time { run, .. }
            | Request::Attack { run, .. }
            | Request::Counter { run, .. }
            | Request::Riposte { run, .. } => Some(*run),
        };
        let answered = self.obey(request).await;
        let Some(run) = run else { return };
        self.stopped.borrow_mut().remove(&run);
        match answered {
            Ok(()) => {}
            Err(Trouble::Cancelled) => post(&Event::Cancelled { run }),
            Err(Trouble::Failed { message, retry }) => post(&Event::Failed { run, message, retry }),
        }
    }

    async fn obey(&self, request: Request) -> Result<(), Trouble> {
        if !matches!(request, Request::Start { .. } | Request::Forget { .. } | Request::Cancel { .. }) {
            self.started.passed().await;
        }
        match request {
            Request::Start { device } => self.start(device).await,
            Request::Open { run, base, dataset, model, fresh } => {
                let ready = Ready::open(base, dataset, &model, fresh, self.device()?).await?;
                let test_images = ready.test.per_class();
                self.ready.borrow_mut().insert(model.card.id, Rc::new(ready));
                post(&Event::Opened { run, test_images });
            }
            Request::Gallery { run, model, skip, count } => {
                let samples = self.ready(&model)?.test.sheet(skip, count);
                post(&Event::Gallery { run, samples });
            }
            Request::TestImage { run, model, number } => {
                let sample = self.ready(&model)?.test.numbered(number).ok_or_else(|| {
                    let number = number.unwrap_or_default();
                    Trouble::last(format!("Test image {number} is not among those that this page holds. Pick another."))
                })?;
                post(&Event::Gallery { run, samples: vec![sample] });
            }
            Request::NextImages { run, model, after, count } => {
                let samples = self.ready(&model)?.test.following(after, count);
                post(&Event::Gallery { run, samples });
            }
            Request::Duel { run, model, input, label, setup } => {
                let ready = self.ready(&model)?;
                let record = duel::run(self, run, &ready, &input, label, &setup).await?;
                post(&Event::Fought { run, record });
            }
            Request::Classify { run, model, image } => {
                let ready = self.ready(&model)?;
                let prediction = self.classify(&ready.model, &image).await?;
                post(&Event::Classified { run, prediction });
            }
            Request::Time { run, model } => {
                let ready = self.ready(&model)?;
                let seconds_per_sample = riposte_run::time(self, &ready).await?;
                post(&Event::Timed { run, seconds_per_sample });
            }
            Request::Attack { run, model, input, class, setup } => {
                let ready = self.ready(&model)?;
                let seconds = attack::run(self, run, &ready.model, &input, class, &setup).await?;
                post(&Event::Attacked { run, seconds });
            }
            Request::Counter { run, model, input, label, attacked, setup } => {
                let ready = self.ready(&model)?;
                let seconds = counter::run(self, run, &ready, &input, label, &attacked, &setup).await?;
                post(&Event::Countered { run, seconds });
            }
            Request::Riposte { run, model, input, settings } => {
                let ready = self.ready(&model)?;
                let verdict = Box::new(riposte_run::run(self, run, &ready, &input, &settings).await?);
                post(&Event::Answered { run, verdict });
            }
            Request::Slice { run, model, adapted, plane, size } => {
                let (base, copy) = (self.ready(&model)?, self.adapted(adapted)?);
                slice::run(self, run, &[&base.model, &copy], &plane, size).await?;
                post(&Event::Sliced { run });
            }
            Request::Forget { adapted } => self.adapted.borrow_mut().retain(|(run, _)| *run != adapted),
            Request::Cancel { run } => _ = self.stopped.borrow_mut().insert(run),
        }
        Ok(())
    }

    async fn start(&self, preference: DevicePreference) {
        if self.device.get().is_none() {
            let (device, notice) = device::choose(preference).await;
            _ = self.device.set(device);
            self.compiles.set(notice.kind == DeviceKind::WebGpu);
            post(&Event::Device(notice));
            self.started.open();
        }
    }

    fn device(&self) -> Result<&Device, Trouble> {
        self.device.get().ok_or_else(|| Trouble::retry("The engine is still starting.".to_owned()))
    }

    fn ready(&self, model: &str) -> Result<Rc<Ready>, Trouble> {
        let ready = self.ready.borrow();
        ready.get(model).cloned().ok_or_else(|| Trouble::retry("The classifier is not loaded yet.".to_owned()))
    }

    /// The copy that a riposte adapted.
    fn adapted(&self, run: RunId) -> Result<Rc<Model>, Trouble> {
        let adapted = self.adapted.borrow();
        let found = adapted.iter().find(|(made_by, _)| *made_by == run).map(|(_, model)| Rc::clone(model));
        found.ok_or_else(|| Trouble::last("The adapted copy is gone. Let it riposte again.".to_owned()))
    }

    /// Tells the visitor, before the first run of a kind, why it will take longer.
    fn announce_shaders(&self, run: RunId, architecture: Architecture, shaders: Shaders) {
        if self.compiles.get() && self.compiled.borrow_mut().insert((architecture, shaders)) {
            post(&Event::Note { run, notice: Notice::CompilingShaders });
        }
    }

    fn keep(&self, run: RunId, model: Model) {
        let mut adapted = self.adapted.borrow_mut();
        adapted.push((run, Rc::new(model)));
        let excess = adapted.len().saturating_sub(MOST_ADAPTED);
        adapted.drain(..excess);
    }

    async fn classify(&self, model: &Model, image: &Picture) -> Result<Prediction, Trouble> {
        let logits = model.forward(tensor(image, self.device()?));
        Ok(Prediction::new(read(logits).await?))
    }

    /// Gives way to waiting messages, then says whether the run goes on.
    async fn go_on(&self, run: RunId) -> Result<(), Trouble> {
        give_way().await;
        if self.stopped.borrow().contains(&run) { Err(Trouble::Cancelled) } else { Ok(()) }
    }
}
