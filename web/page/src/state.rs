//! What one `<riposte-arena>` knows: the image, the settings, what was made of them.

use leptos::prelude::*;
use riposte_protocol::{DatasetEntry, Input, Manifest, ModelEntry, Picture, Sample};
use riposte_spec::Choice as _;
use riposte_spec::architecture::Architecture;
use riposte_spec::attack::{Attack, Pgd};
use riposte_spec::class::Prediction;
use riposte_spec::counter::Counter;
use riposte_spec::dataset::DatasetId;
use riposte_spec::keys::{Heading, Key};
use riposte_spec::post_train::PostTrain;
use riposte_spec::preset::{Preset, PresetName};
use riposte_spec::quantize::Quantize;
use riposte_spec::setup::Setup;

use crate::hunt::{Chase, Hunt};
use crate::link::{Link, left_out};
use crate::sweep::Sweep;
use crate::trace::Runs;
use crate::wiring::Wiring;

/// The image under attack.
#[derive(Clone, PartialEq)]
pub struct Subject {
    /// The dataset it was chosen for.
    pub dataset: DatasetId,
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

impl Subject {
    /// A test image.
    pub fn test(sample: Sample, dataset: DatasetId) -> Self {
        Self { dataset, origin: Origin::Test(sample.number), image: sample.image, truth: Some(sample.label) }
    }

    /// Whether it is a visitor's own picture.
    pub fn is_own(&self) -> bool {
        !matches!(self.origin, Origin::Test(_))
    }
}

/// Whether a model is ready.
#[derive(Clone)]
pub enum Load {
    Waiting,
    /// So many test images of each class are at hand.
    Ready {
        test_images: usize,
    },
    Failed {
        message: String,
        retry: bool,
    },
}

/// Everything one element knows.
#[derive(Clone, Copy)]
pub struct Arena {
    pub wiring: Wiring,
    pub model: RwSignal<String>,
    /// A model that is larger than the one in use: what it costs is said before it is fetched.
    pub offer: RwSignal<Option<String>>,
    pub load: RwSignal<Load>,
    /// What a link or an attribute asked for and did not get, each in a sentence.
    pub notices: RwSignal<Vec<String>>,
    /// The place of a prepared case in the model's list: the one that was chosen last.
    pub case: RwSignal<Option<usize>>,
    pub subject: RwSignal<Option<Subject>>,
    /// The visitor's latest own picture: it can be taken up again when another image is under attack.
    pub own: RwSignal<Option<Subject>>,
    /// What the static model says of the untouched image.
    pub natural: RwSignal<Option<Prediction>>,
    pub preset: RwSignal<PresetName>,
    pub attack: RwSignal<Pgd>,
    /// The class that the attack leads to; none: any but the image's own.
    pub target: RwSignal<Option<usize>>,
    /// Which values the pixels of attacked images may have.
    pub quantize: RwSignal<Quantize>,
    pub riposte: RwSignal<PostTrain>,
    /// The attack on the defense.
    pub counter: RwSignal<Counter>,
    pub seed: RwSignal<u32>,
    /// Act 2 answers the attacked image, or the untouched one.
    pub on_attacked: RwSignal<bool>,
    pub hunt: Hunt,
    pub sweep: Sweep,
    pub runs: Runs,
}

impl Arena {
    pub fn new(wiring: Wiring, link: &Link) -> Self {
        let mut notices = link.notices.clone();
        let model = wiring.with_manifest(|manifest| choose_model(manifest, link, &mut notices));
        let dataset = wiring.entry_of(&model).expect("it was chosen from these").card.dataset;
        let preset = dataset.recommended().preset();
        Self {
            wiring,
            model: RwSignal::new(model),
            offer: RwSignal::new(None),
            load: RwSignal::new(Load::Waiting),
            notices: RwSignal::new(notices),
            case: RwSignal::new(None),
            subject: RwSignal::new(None),
            own: RwSignal::new(None),
            natural: RwSignal::new(None),
            preset: RwSignal::new(preset.name),
            attack: RwSignal::new(preset.attack),
            target: RwSignal::new(None),
            quantize: RwSignal::new(Quantize::None),
            riposte: RwSignal::new(preset.post_train),
            counter: RwSignal::new(Counter::DUEL),
            seed: RwSignal::new(link.seed.unwrap_or(0)),
            on_attacked: RwSignal::new(!link.on_untouched),
            hunt: Hunt::new(),
            sweep: Sweep::new(),
            runs: Runs::new(link.run),
        }
    }

    pub fn model_entry(self) -> ModelEntry {
        self.wiring.entry_of(&self.model.get()).expect("it was chosen from these")
    }

    pub fn dataset(self) -> DatasetId {
        self.model_entry().card.dataset
    }

    /// What the site holds of the dataset.
    pub fn dataset_entry(self) -> DatasetEntry {
        self.wiring.dataset_of(self.dataset()).expect("a model without its dataset is not in the manifest")
    }

    /// The preset that the settings come from.
    pub fn base(self) -> Preset {
        self.preset.get().preset().for_duel()
    }

    /// The attack and the defense.
    pub fn setup(self) -> Setup {
        Setup {
            attack: Some(Attack::Pgd(self.attack.get())),
            target: self.target.get(),
            quantize: self.quantize.get(),
            riposte: Some(self.riposte.get()),
            counter: None,
        }
    }

    /// The same with the attack on the defense, where that is another one than a duel begins with. It leads to any wrong class: an attack
    /// that leads to a certain one has none after it.
    pub fn whole_setup(self) -> Setup {
        let setup = self.setup();
        let counter = Some(self.counter.get()).filter(|counter| *counter != Counter::DUEL && setup.target.is_none());
        Setup { counter, ..setup }
    }

    /// The setup in which the settings under a heading have their place.
    pub fn setup_of(self, heading: Heading) -> Setup {
        match heading {
            Heading::Attack | Heading::Riposte => self.setup(),
            Heading::Counter => Setup { target: None, counter: Some(self.counter.get()), ..self.setup() },
        }
    }

    /// Takes over an attack, a defense and an attack on that; what stays as it was has no consequences. Without one of them there is
    /// nothing to show: that one stays.
    pub fn take(self, setup: Setup) {
        if let Some(attack) = setup.pgd().filter(|attack| *attack != self.attack.get_untracked()) {
            self.attack.set(attack);
        }
        if setup.target != self.target.get_untracked() {
            self.target.set(setup.target);
        }
        if setup.quantize != self.quantize.get_untracked() {
            self.quantize.set(setup.quantize);
        }
        if let Some(riposte) = setup.riposte.filter(|riposte| *riposte != self.riposte.get_untracked()) {
            self.riposte.set(riposte);
        }
        if let Some(counter) = setup.counter.filter(|counter| *counter != self.counter.get_untracked()) {
            self.counter.set(counter);
        }
    }

    /// Sets one setting by its name, or says what is wrong with the value.
    pub fn set(self, key: &str, value: &str) -> Result<(), String> {
        let key = Key::named(key).ok_or_else(|| format!("There is no setting {key}."))?;
        let (setup, preset, target) = untrack(|| (self.setup_of(key.heading), self.base(), self.target.get()));
        let changed = key.set_moderately(&setup, &preset, value).map_err(|error| format!("{error}."))?;
        self.take(if key.heading == Heading::Counter { Setup { target, ..changed } } else { changed });
        Ok(())
    }

    /// The class that the attack leaves: the truth, or what the static model says where it is unknown.
    pub fn class(self) -> Option<usize> {
        let natural = self.natural.with(|natural| natural.as_ref().map(|natural| natural.class));
        self.subject.with(|subject| subject.as_ref().and_then(|subject| subject.truth)).or(natural)
    }

    /// Puts an image under attack.
    pub fn choose(self, subject: Subject) {
        self.hunt.chase.set(Chase::Off);
        if subject.is_own() {
            self.own.set(Some(subject.clone()));
        }
        self.subject.set(Some(subject));
    }

    /// What act 2 would answer now.
    pub fn riposte_input(self) -> Option<Picture> {
        if self.on_attacked.get() {
            self.runs.attacked.end().map(|end| end.image)
        } else {
            self.subject.with(|subject| subject.as_ref().map(|subject| subject.image.clone()))
        }
    }

    /// An image with all that its random draws depend on.
    pub fn input(self, image: Picture) -> Input {
        let number = self.subject.with(|subject| match subject.as_ref().map(|subject| &subject.origin) {
            Some(Origin::Test(number)) => *number,
            _ => 0,
        });
        Input { image, seed: self.seed.get_untracked(), number }
    }

    /// Whether an image can be under attack with the present model.
    pub fn fits(self, subject: &Subject) -> bool {
        let (set, image) = (self.dataset(), &subject.image);
        subject.dataset == set || ([image.channels, image.height, image.width] == set.image_shape() && subject.is_own())
    }

    /// How long post-training takes with the present model, once that can be said; the search is little beside it.
    pub fn post_training_seconds(self, riposte: &PostTrain) -> Option<f64> {
        let architecture = self.model_entry().card.architecture;
        // A large network takes long to be timed, and its work is in layers that are as fast on one image: a step of the attack passes it forth
        // and back, and training passes it back twice.
        let of_attack = || self.attack_step_seconds().filter(|_| architecture.is_heavy()).map(|seconds| 1.5 * seconds);
        let known = self.runs.seconds_per_sample.get().or_else(of_attack);
        known.map(|seconds| seconds * samples_worth(riposte, architecture))
    }

    /// The number of the attack's last picture: each of its starts has one before the first step.
    pub fn attack_steps(self) -> usize {
        self.attack.with(|attack| attack.restarts.max(1) * (attack.steps + 1) - 1)
    }

    /// How many steps were made before the attack's picture of this number.
    pub fn steps_taken(self, picture: usize) -> usize {
        picture - picture / (self.attack.with(|attack| attack.steps) + 1)
    }

    /// Whether the classifier errs on the untouched image.
    pub fn is_mistaken_untouched(self) -> bool {
        self.natural.get().zip(self.class()).is_some_and(|(natural, class)| natural.class != class)
    }

    /// How long a step of the attack took here.
    fn attack_step_seconds(self) -> Option<f64> {
        let attacked = self.runs.attacked;
        attacked.end()?;
        let steps = attacked.steps.with(Vec::len).saturating_sub(1).max(1) as f64;
        Some(attacked.seconds.get() / steps)
    }

    /// How long the attack on the defense takes at most, once that can be said.
    pub fn counter_seconds(self) -> Option<f64> {
        let gradient = self.attack_step_seconds()?;
        let riposte = self.riposte.get();
        let search = riposte.search.attack.steps;
        // One answer was timed in act 2, if a copy was trained there.
        let verdict = self.runs.riposted.verdict.get().filter(|verdict| verdict.riposted);
        let answer = match verdict {
            Some(verdict) => verdict.work.seconds,
            None => gradient * search as f64 + self.post_training_seconds(&riposte)?,
        };
        let effort = self.counter.get().effort(search);
        Some(gradient * effort.gradients as f64 + answer * effort.answers as f64)
    }
}

/// On how many samples the whole network is trained once in the time that a post-training takes.
pub fn samples_worth(riposte: &PostTrain, architecture: Architecture) -> f64 {
    // Forward, backward to the activations and to the weights.
    riposte.adaptation_work(architecture) as f64 / (3 * architecture.multiply_accumulates()) as f64
}

/// The model asked for, else the first one of the dataset asked for, else the first one of the first dataset.
fn choose_model(manifest: &Manifest, link: &Link, notices: &mut Vec<String>) -> String {
    let by = |found: &dyn Fn(&&ModelEntry) -> bool| manifest.models.iter().find(found).map(|model| model.card.id.clone());
    let mut asked = |what: &str, id: Option<&String>, found: Option<String>, known: Vec<&str>| {
        if let (Some(id), None) = (id, &found) {
            notices.push(format!("This site has no {what} \u{201c}{id}\u{201d}: it has {}.", known.join(", ")));
        }
        found
    };
    let first = manifest.datasets.first().map(|set| set.id);
    let (model, dataset) = (link.model.as_ref(), link.dataset.as_ref());
    let models = manifest.models.iter().map(|entry| entry.card.id.as_str()).collect();
    let model = asked("model", model, by(&|entry| Some(&entry.card.id) == model), models);
    let datasets = manifest.datasets.iter().map(|set| set.id.name()).collect();
    let named = dataset.and_then(|word| DatasetId::named(word).ok());
    let of_dataset = asked("dataset", dataset, by(&|entry| Some(entry.card.dataset) == named), datasets);
    let of_model =
        model.as_ref().and_then(|id| manifest.models.iter().find(|entry| entry.card.id == *id)).map(|entry| entry.card.dataset);
    if let (Some(dataset), Some(of_model)) =
        (dataset.filter(|_| of_dataset.is_some()), of_model.filter(|set| Some(*set) != named))
    {
        notices.push(left_out("dataset", dataset, &format!("the model asked for is one of {}", of_model.title())));
    }
    model
        .or(of_dataset)
        .or_else(|| by(&|entry| Some(entry.card.dataset) == first))
        .expect("a site is built only with a model for each of its datasets")
}
