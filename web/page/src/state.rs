//! What one `<riposte-arena>` knows, and what its visitor can do.

use std::rc::Rc;

use leptos::prelude::*;
use riposte_protocol::{
    AttackSettings, DatasetEntry, DeviceKind, Event, Input, Manifest, ModelEntry, Opened, Perturbation, Picture, Prediction,
    Request, RiposteSettings, Sample, Victim,
};
use web_sys::HtmlElement;

use crate::client::{Client, Engine};
use crate::hash::Link;
use crate::options::{Options, Site};
use crate::trace::{AttackTrace, Phase, RiposteTrace};

/// The image under attack.
#[derive(Clone, PartialEq)]
pub struct Subject {
    /// Id of the dataset it was chosen for.
    pub dataset: String,
    pub origin: Origin,
    pub image: Picture,
    /// The ground truth; unknown for a visitor's own picture until they say what it shows.
    pub truth: Option<usize>,
}

#[derive(Clone, PartialEq)]
pub enum Origin {
    /// A test image and its number in the official set.
    Test(u32),
    Drawn,
    Uploaded(String),
}

/// Whether a model is ready.
#[derive(Clone)]
pub enum Load {
    Waiting,
    Ready(Opened),
    Failed { message: String, retry: bool },
}

/// A model that is larger than the one in use: what it costs is said before it is fetched.
#[derive(Clone, PartialEq)]
pub struct Offer {
    /// Its id.
    pub model: String,
    /// Of one forward pass of one image, once the engine has counted them.
    pub multiply_accumulates: Option<f64>,
}

/// The search for a test image that the attack wins against: most hold.
#[derive(Clone, Copy, PartialEq)]
pub enum Hunt {
    Off,
    /// So many held so far.
    On(usize),
    /// One fell, after so many that held.
    Found(usize),
}

/// Everything one element knows.
#[derive(Clone, Copy)]
pub struct Arena {
    pub host: StoredValue<HtmlElement, LocalStorage>,
    pub site: StoredValue<Site>,
    pub manifest: StoredValue<Manifest>,
    pub options: StoredValue<Options>,
    pub client: StoredValue<Rc<Client>, LocalStorage>,
    pub model: RwSignal<String>,
    pub offer: RwSignal<Option<Offer>>,
    pub load: RwSignal<Load>,
    pub subject: RwSignal<Option<Subject>>,
    /// What the static model says of the untouched image.
    pub natural: RwSignal<Option<Prediction>>,
    pub preset: RwSignal<String>,
    pub attack: RwSignal<AttackSettings>,
    pub riposte: RwSignal<RiposteSettings>,
    pub seed: RwSignal<u32>,
    /// Seconds that post-training takes for each of its samples, once that was measured.
    pub seconds_per_sample: RwSignal<Option<f64>>,
    /// Act 2 answers the attacked image, or the untouched one.
    pub on_attacked: RwSignal<bool>,
    pub hunt: RwSignal<Hunt>,
    /// Images that the hunt has fetched, the next one last; and the place in each class from which the next ones come.
    prey: StoredValue<(Vec<Sample>, usize)>,
    pub attacked: AttackTrace,
    pub riposted: RiposteTrace,
    pub countered: AttackTrace,
    pub second: RiposteTrace,
    /// Acts still to run on arrival from a link.
    pub pending: RwSignal<u8>,
}

impl Arena {
    pub fn new(host: HtmlElement, site: Site, manifest: Manifest, options: Options) -> Self {
        let client = Client::shared(&site.worker, options.device);
        let link = Link::read(&options);
        let model = choose_model(&manifest, link.model.as_deref(), link.dataset.as_deref());
        let arena = Self {
            host: StoredValue::new_local(host),
            site: StoredValue::new(site),
            manifest: StoredValue::new(manifest),
            options: StoredValue::new(options),
            client: StoredValue::new_local(client),
            model: RwSignal::new(model),
            offer: RwSignal::new(None),
            load: RwSignal::new(Load::Waiting),
            subject: RwSignal::new(None),
            natural: RwSignal::new(None),
            preset: RwSignal::new(String::new()),
            attack: RwSignal::new(crate::settings::BLANK_ATTACK),
            riposte: RwSignal::new(crate::settings::BLANK_RIPOSTE),
            seed: RwSignal::new(link.seed.unwrap_or(0)),
            seconds_per_sample: RwSignal::new(None),
            on_attacked: RwSignal::new(link.on_attacked),
            hunt: RwSignal::new(Hunt::Off),
            prey: StoredValue::default(),
            attacked: AttackTrace::new(),
            riposted: RiposteTrace::new(),
            countered: AttackTrace::new(),
            second: RiposteTrace::new(),
            pending: RwSignal::new(link.run),
        };
        arena.keep_in_order(link);
        arena
    }

    pub fn model_entry(self) -> ModelEntry {
        self.entry_of(&self.model.get()).expect("it was chosen from these")
    }

    pub fn entry_of(self, model: &str) -> Option<ModelEntry> {
        self.manifest.with_value(|manifest| manifest.models.iter().find(|entry| entry.id == model).cloned())
    }

    pub fn dataset(self) -> DatasetEntry {
        let id = self.model_entry().dataset;
        self.manifest
            .with_value(|manifest| manifest.datasets.iter().find(|set| set.id == id).cloned())
            .expect("a model without its dataset is not in the manifest")
    }

    /// Whether an engine is there to answer.
    pub fn has_engine(self) -> bool {
        self.client.with_value(|client| !matches!(client.engine().get(), Engine::Lost { .. }))
    }

    /// The class that the attack leaves: the truth, or what the static model says where it is unknown.
    pub fn class(self) -> Option<usize> {
        let natural = self.natural.with(|natural| natural.as_ref().map(|natural| natural.class));
        self.subject.with(|subject| subject.as_ref().and_then(|subject| subject.truth)).or(natural)
    }

    /// Takes a model that costs no more to fetch than the one in use; offers a larger one first.
    pub fn choose_model(self, id: &str) {
        let (chosen, now) = untrack(|| (self.entry_of(id), self.model_entry()));
        let Some(chosen) = chosen.filter(|chosen| chosen.id != now.id) else { return self.offer.set(None) };
        if chosen.dataset != now.dataset || chosen.weights.bytes <= now.weights.bytes {
            return self.take_model(chosen.id);
        }
        self.offer.set(Some(Offer { model: chosen.id.clone(), multiply_accumulates: None }));
        let card = chosen.card;
        self.run(
            move |run| Request::Weigh { run, card },
            move |event| {
                if let Event::Weighed { multiply_accumulates, .. } = event {
                    self.offer.try_update(|offer| {
                        if let Some(offer) = offer.as_mut().filter(|offer| offer.model == chosen.id) {
                            offer.multiply_accumulates = Some(*multiply_accumulates);
                        }
                    });
                }
            },
        );
        if self.seconds_per_sample.with_untracked(Option::is_none) && matches!(self.load.get_untracked(), Load::Ready(_)) {
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
        let (model, dataset) = untrack(|| (self.model_entry(), self.dataset()));
        let (id, base) = (model.id.clone(), self.site.with_value(|site| site.base.clone()));
        self.run(
            move |run| Request::Open { run, base, dataset, model, fresh },
            move |event| {
                if self.model.try_get_untracked().as_ref() != Some(&id) {
                    return;
                }
                match event {
                    Event::Opened { opened, .. } => self.load.set(Load::Ready((**opened).clone())),
                    Event::Failed { message, retry, .. } => {
                        self.load.set(Load::Failed { message: message.clone(), retry: *retry })
                    }
                    _ => {}
                }
            },
        );
    }

    /// Asks for the test image with this number, or the first one, and puts it under attack.
    pub fn choose_test_image(self, number: Option<u32>) {
        let (model, dataset) = untrack(|| (self.model.get(), self.dataset().id));
        self.run(
            move |run| Request::TestImage { run, model, number },
            move |event| match event {
                Event::Gallery { samples, .. } => {
                    if let Some(sample) = samples.first() {
                        self.choose(Origin::Test(sample.number), sample.image.clone(), Some(sample.label), dataset.clone());
                    }
                }
                Event::Failed { message, retry, .. } => self.load.set(Load::Failed { message: message.clone(), retry: *retry }),
                _ => {}
            },
        );
    }

    /// Puts an image under attack.
    pub fn choose(self, origin: Origin, image: Picture, truth: Option<usize>, dataset: String) {
        self.hunt.set(Hunt::Off);
        self.subject.set(Some(Subject { dataset, origin, image, truth }));
    }

    /// Attacks one test image after the other until one falls.
    pub fn start_hunt(self) {
        self.hunt.set(Hunt::On(0));
        self.go_on_hunting();
    }

    /// Ends it, and the attack under way.
    pub fn stop_attack(self) {
        self.hunt.set(Hunt::Off);
        self.cancel(self.attacked.run.get_untracked());
    }

    /// Puts the next image under attack.
    fn go_on_hunting(self) {
        // What was said of the image before must not be taken for an answer about the next.
        self.attacked_is_void();
        self.natural.set(None);
        let next = self.prey.try_update_value(|(samples, _)| samples.pop()).flatten();
        let dataset = untrack(|| self.dataset().id);
        if let Some(sample) = next {
            let (origin, truth) = (Origin::Test(sample.number), Some(sample.label));
            return self.subject.set(Some(Subject { dataset, origin, image: sample.image, truth }));
        }
        let Load::Ready(opened) = self.load.get_untracked() else { return self.hunt.set(Hunt::Off) };
        const SHEET: usize = 4;
        let skip = self.prey.with_value(|(_, skip)| *skip);
        let model = self.model.get_untracked();
        let asked = model.clone();
        self.run(
            move |run| Request::Gallery { run, model, skip, count: SHEET },
            move |event| {
                let current = self.model.try_get_untracked().as_ref() == Some(&asked);
                if let (Event::Gallery { samples, .. }, true) = (event, current) {
                    let mut samples = samples.clone();
                    samples.sort_by_key(|sample| std::cmp::Reverse(sample.number));
                    let next = if skip + SHEET < opened.test_images { skip + SHEET } else { 0 };
                    self.prey.set_value((samples, next));
                    if matches!(self.hunt.get_untracked(), Hunt::On(_)) {
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
        let (settings, model) = (self.attack.get_untracked(), self.model.get_untracked());
        self.start_attack(self.attacked, Victim::Base { model }, input, class, settings);
    }

    /// Act 2.
    pub fn run_riposte(self) {
        let Some(image) = untrack(|| self.riposte_input()) else { return };
        self.forget_ripostes();
        self.start_riposte(self.riposted, image);
    }

    /// Act 3: the same attack, on the copy that act 2 adapted, from the untouched image.
    pub fn run_counter(self) {
        let Some((input, class)) = untrack(|| Some((self.input(self.subject.get()?.image), self.class()?))) else { return };
        let Some(run) = self.riposted.run.get_untracked() else { return };
        self.second.reset();
        self.start_attack(self.countered, Victim::Adapted { run }, input, class, self.attack.get_untracked());
    }

    /// Act 3, second half: the defense answers the new image as it answers any.
    pub fn run_second_riposte(self) {
        if let Some(end) = untrack(|| self.countered.end()) {
            self.start_riposte(self.second, end.image);
        }
    }

    /// Whether the post-training of the chosen model can take long enough to say so before: measuring it on a GPU compiles its
    /// shaders, which a small model's first run does as fast.
    fn is_slow(self) -> bool {
        let on_cpu = self.client.with_value(|client| match client.engine().get() {
            Engine::Ready(device) => device.kind == DeviceKind::Cpu,
            Engine::Starting | Engine::Lost { .. } => false,
        });
        on_cpu || self.load.with(|load| matches!(load, Load::Ready(opened) if opened.multiply_accumulates > 5e6))
    }

    /// How long post-training on so many samples takes with the present model, once that can be said.
    pub fn post_training_seconds(self, samples: usize) -> Option<f64> {
        // Each step of an attack on the samples is a forward and a backward pass beside the training's three; the search is little.
        let passes = match self.riposte.with(|riposte| riposte.perturbation) {
            Perturbation::Fixed(_) | Perturbation::Normal => 1.0,
            Perturbation::Fast { .. } => 5.0 / 3.0,
            Perturbation::Pgd { steps, .. } => 1.0 + 2.0 / 3.0 * steps as f64,
        };
        self.seconds_per_sample.get().map(|seconds| seconds * passes * samples as f64)
    }

    /// Asks the engine how long a sample takes.
    fn time_post_training(self) {
        let model = self.model.get_untracked();
        let asked = model.clone();
        self.run(
            move |run| Request::Time { run, model },
            move |event| {
                let current = self.model.try_get_untracked().as_ref() == Some(&asked);
                if let (Event::Timed { seconds_per_sample, .. }, true) = (event, current) {
                    // A riposte that has run since says more.
                    if self.seconds_per_sample.with_untracked(Option::is_none) {
                        self.seconds_per_sample.set(Some(*seconds_per_sample));
                    }
                }
            },
        );
    }

    pub fn cancel(self, run: Option<u32>) {
        if let Some(run) = run {
            self.client.with_value(|client| client.send(Request::Cancel { run }));
        }
    }

    /// What act 2 would answer now.
    pub fn riposte_input(self) -> Option<Picture> {
        if self.on_attacked.get() {
            self.attacked.end().map(|end| end.image)
        } else {
            self.subject.with(|subject| subject.as_ref().map(|subject| subject.image.clone()))
        }
    }

    fn input(self, image: Picture) -> Input {
        let number = self.subject.with(|subject| match subject.as_ref().map(|subject| &subject.origin) {
            Some(Origin::Test(number)) => *number,
            _ => 0,
        });
        Input { image, seed: self.seed.get_untracked(), number }
    }

    fn start_attack(self, trace: AttackTrace, victim: Victim, input: Input, class: usize, settings: AttackSettings) {
        trace.reset();
        trace.phase.set(Phase::Running(None));
        let run = self.run(
            move |run| Request::Attack { run, victim, input, class, settings },
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
        let run = self.run(
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

    fn run(self, request: impl FnOnce(u32) -> Request, listen: impl Fn(&Event) + 'static) -> u32 {
        self.client.with_value(|client| client.run(request, listen))
    }

    /// Drops what acts 2 and 3 led to, in the engine too.
    fn forget_ripostes(self) {
        for trace in [self.riposted, self.second] {
            if let Some(run) = trace.run.get_untracked() {
                self.cancel((matches!(trace.phase.get_untracked(), Phase::Running(_))).then_some(run));
                self.client.with_value(|client| client.send(Request::Forget { adapted: run }));
            }
            trace.reset();
        }
        if matches!(self.countered.phase.get_untracked(), Phase::Running(_)) {
            self.cancel(self.countered.run.get_untracked());
        }
        self.countered.reset();
    }

    /// What follows from what: a model brings its settings, an image is classified, a change undoes what was built on it.
    fn keep_in_order(self, link: Link) {
        let generation = self.client.with_value(|client| client.generation());
        Effect::new(move |_| {
            self.model.track();
            generation.track();
            if !untrack(|| self.subject_fits()) {
                self.subject.set(None);
            }
            self.open(false);
        });
        // The first model takes its settings and its image from the link; one of another dataset brings its own.
        let link = StoredValue::new(Some(link));
        let settled_for = StoredValue::new(String::new());
        Effect::new(move |_| {
            let Load::Ready(opened) = self.load.get() else { return };
            let first = link.try_update_value(Option::take).flatten();
            let dataset = untrack(|| self.dataset().id);
            if first.is_some() || settled_for.get_value() != dataset {
                first.clone().unwrap_or_default().settle(self, &opened);
                settled_for.set_value(dataset);
            }
            if self.subject.with_untracked(Option::is_none) {
                first.unwrap_or_default().settle_image(self);
            } else {
                self.subject.update(|_| {});
            }
        });
        Effect::new(move |_| {
            let subject = self.subject.get();
            self.attacked_is_void();
            self.natural.set(None);
            let Some(subject) = subject else { return };
            let model = self.model.get_untracked();
            let image = subject.image.clone();
            self.run(
                move |run| Request::Classify { run, model, image },
                move |event| {
                    let current = self.subject.try_with_untracked(|now| now.as_ref() == Some(&subject));
                    if let (Event::Classified { prediction, .. }, Some(true)) = (event, current) {
                        self.natural.set(Some(prediction.clone()));
                    }
                },
            );
        });
        Effect::new(move |_| {
            let Hunt::On(held) = self.hunt.get() else { return };
            let phase = self.attacked.phase.get();
            let Some((natural, class)) = self.natural.get().zip(self.class()) else { return };
            match phase {
                // An image that is mistaken untouched is no prey.
                Phase::Idle if natural.class != class => self.go_on_hunting(),
                Phase::Idle => self.run_attack(),
                Phase::Running(_) => {}
                Phase::Done if self.attacked.end().is_some_and(|end| end.prediction.class == class) => {
                    self.hunt.set(Hunt::On(held + 1));
                    self.go_on_hunting();
                }
                Phase::Done => self.hunt.set(Hunt::Found(held)),
                Phase::Cancelled | Phase::Failed { .. } => self.hunt.set(Hunt::Off),
            }
        });
        // An image cannot be mistaken for what it shows; a link may ask for a class that there is not.
        Effect::new(move |_| {
            let (class, classes) = (self.class(), self.dataset().classes.len());
            if self.attack.with(|attack| attack.target.is_some_and(|target| Some(target) == class || target >= classes)) {
                self.attack.update(|attack| attack.target = None);
            }
        });
        Effect::new(move |_| {
            self.attack.track();
            self.seed.track();
            self.attacked_is_void();
        });
        Effect::new(move |_| {
            self.riposte.track();
            self.on_attacked.track();
            self.forget_ripostes();
        });
        Effect::new(move |_| {
            self.model.track();
            self.hunt.set(Hunt::Off);
            self.prey.set_value((Vec::new(), 0));
            self.seconds_per_sample.set(None);
        });
        // What the defense will take is said before it runs: measured once there was an attack, so that nobody waits for it.
        Effect::new(move |_| {
            let unknown = self.seconds_per_sample.with_untracked(Option::is_none);
            if self.attacked.phase.get() == Phase::Done && unknown && untrack(|| self.is_slow()) {
                self.time_post_training();
            }
        });
        Effect::new(move |_| {
            let measured = self.riposted.verdict.with(|verdict| verdict.as_ref().map(|verdict| verdict.work));
            // One that attacks its samples takes longer than the training alone.
            let plain = self
                .riposte
                .with_untracked(|riposte| matches!(riposte.perturbation, Perturbation::Fixed(_) | Perturbation::Normal));
            if let Some(work) = measured.filter(|work| plain && work.samples > 0) {
                self.seconds_per_sample.set(Some(work.seconds / work.samples as f64));
            }
        });
        crate::hash::keep_link(self);
        crate::share::announce_results(self);
        crate::app::run_pending_acts(self);
    }

    /// Whether the image can stay when the model changes.
    fn subject_fits(self) -> bool {
        let set = self.dataset();
        self.subject.with(|subject| {
            subject.as_ref().is_some_and(|Subject { dataset, origin, image, .. }| {
                let same_shape = (image.channels, image.height, image.width) == (set.channels, set.height, set.width);
                *dataset == set.id || (same_shape && !matches!(origin, Origin::Test(_)))
            })
        })
    }

    fn attacked_is_void(self) {
        if matches!(self.attacked.phase.get_untracked(), Phase::Running(_)) {
            self.cancel(self.attacked.run.get_untracked());
        }
        self.attacked.reset();
        if matches!(self.hunt.get_untracked(), Hunt::Found(_)) {
            self.hunt.set(Hunt::Off);
        }
        self.forget_ripostes();
    }
}

/// The model asked for, else the first one of the dataset asked for, else the first one of the first dataset.
fn choose_model(manifest: &Manifest, model: Option<&str>, dataset: Option<&str>) -> String {
    let by = |found: &dyn Fn(&&ModelEntry) -> bool| manifest.models.iter().find(found).map(|model| model.id.clone());
    let first = manifest.datasets.first().map(|set| set.id.as_str());
    by(&|entry| Some(entry.id.as_str()) == model)
        .or_else(|| by(&|entry| Some(entry.dataset.as_str()) == dataset))
        .or_else(|| by(&|entry| Some(entry.dataset.as_str()) == first))
        .expect("a site is built only with a model for each of its datasets")
}
