//! `riposte duel`: one image attacked and defended, told as it happens, and a report.

mod counter;
mod pick;
mod play;
mod replay;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use burn::tensor::{Tensor, TensorData};
use riposte::bank::{Banked, Riposte};
use riposte::post_train::PostTraining;
use riposte::rng::Seed;
use riposte::spec::class::argmax;
use riposte::spec::counter::CounterKind;
use riposte::spec::duel::{Duel as Record, Opinion};
use riposte::spec::preset::PresetName;
use riposte::spec::setup::Setup;
use riposte::{Classifier, ToTensor};
use serde::Serialize;

use crate::args::{DuelArgs, Ground, Pick};
use crate::dataset::{self, Split};
use crate::device::{self, Found};
use crate::host::floats;
use crate::models::{Source, quoted};
use crate::report::{self, Colophon};
use crate::screen::Screen;
use crate::session::Session;
use crate::story::{Origin, Story, View};
use crate::{file, output, photo, settings};
use play::{Duel, Subject};

/// Runs the command, of which `words` is everything after the program's name.
///
/// # Errors
/// For settings out of range, missing files, an image that is not there.
pub fn run(args: DuelArgs, words: Vec<String>) -> Result<()> {
    let (out, json, images) = (args.out.clone(), args.json, args.images);
    let mut screen = Screen::new(json);
    let fought = fight(args, words, None, &mut screen)?;
    if out != Path::new("none") {
        file::write_atomically(&out, fought.html()?.as_bytes())?;
        screen.say(&format!("Report: {}", out.display()))?;
    }
    if json { output::json(&fought.facts(images)) } else { Ok(()) }
}

/// A duel that was fought.
#[derive(Debug)]
pub struct Fought {
    story: Story,
    colophon: Colophon,
    record: Record,
}

impl Fought {
    /// What `--json` prints, with the pixels of the `images` or without.
    pub fn facts(&self, images: bool) -> Facts<'_> {
        Facts {
            duel: &self.record,
            verdict: self.story.verdict(),
            natural_answer: self.story.natural_answer,
            images: images.then(|| Images::of(&self.story)),
        }
    }

    /// The report.
    ///
    /// # Errors
    /// If a picture cannot be drawn.
    pub fn html(&self) -> Result<String> {
        report::html(&self.story, &self.colophon)
    }
}

/// Fights the duel that `args` ask for, of which `words` is everything after the program's name, and tells it on `screen`; with `session`
/// the model that it has, whatever model and device they name.
///
/// # Errors
/// As [`run`]; [`riposte::Error::Cancelled`] when stopped.
pub fn fight(args: DuelArgs, words: Vec<String>, session: Option<&Session>, screen: &mut Screen) -> Result<Fought> {
    let (args, replayed) = match args.replay.clone() {
        Some(path) => replay::of(args, &path).map(|(args, record)| (args, Some(record)))?,
        None => (args, None),
    };
    let source = match session {
        Some(session) => session.source.clone(),
        None => Arc::new(Source::find(&args.model, args.data.dataset)?),
    };
    let dataset = args.data.dataset.unwrap_or(source.dataset());
    let folder = args.bank.folder()?;
    let setup = match &replayed {
        Some(record) => replay::check(record, &source).map(|()| record.setup())?,
        None => settings::resolve_for_duel(args.preset, dataset, &args.settings)?,
    };
    let setup = folder.as_ref().map_or(Ok(setup), |folder| folder.setup(setup, &args.settings))?;
    let (Some(attack), Some(settings)) = (setup.pgd(), setup.riposte) else {
        bail!("a duel needs an attack by PGD and a riposte; `riposte eval` takes any attack, and does without");
    };
    ensure!(
        setup.counter_kind() != CounterKind::Bank || folder.is_some(),
        "--counter bank climbs on copies that are known beforehand: --bank FOLDER, which `riposte bank` made"
    );
    let (model, device) = match session {
        Some(session) => {
            ensure!(!session.adapted, "this copy has adapted to an input: take the model that it comes from");
            (session.model.clone(), session.machine.device.clone())
        }
        None => {
            device::limit_threads(args.device.threads)?;
            let device = device::open(args.device.device)?;
            (source.load(&device.device)?, device)
        }
    };
    let test = dataset::load(dataset, Split::Test, None, args.data.data.as_deref())?;
    dataset::check_shape(&test, source.architecture)?;
    if let Some(index) = args.index {
        ensure!(index < test.len(), "there is no test image {index}: {dataset} has {}, numbered from 0", test.len());
    }
    let bank = folder.as_ref().map(|folder| folder.load(&source, &model)).transpose()?;
    let pools = match bank {
        Some(_) => None,
        None => Some(dataset::pools(dataset, args.post_samples, args.data.data.as_deref())?),
    };
    let riposte = match (&bank, &pools) {
        (Some(bank), _) => Riposte::Banked(Banked { bank, search: settings.search, pick: args.bank.bank_copy }),
        (None, Some(pools)) => Riposte::Adapting(PostTraining { model: &model, pools, settings }),
        (None, None) => unreachable!("without a bank there are pools"),
    };
    let duel = Duel {
        model: &model,
        name: &source.name,
        dataset,
        test: &test,
        attack,
        target: setup.target,
        riposte,
        settings,
        counter: setup.counter,
        seed: Seed(args.seed),
    };
    let opening = source.opening(dataset, &Setup { counter: None, ..setup }).filter(|_| bank.is_none());
    let subject = match &args.image {
        Some(path) => own_picture(path, &args, &duel)?,
        None => {
            let index = match (args.index, args.pick, opening) {
                (Some(index), ..) => index,
                (None, None, Some(opening)) if opening.seed == args.seed => opening.image as usize,
                (None, pick, _) => pick::choose(&duel, pick.unwrap_or(Pick::Fooled), &device, screen)?,
            };
            Subject {
                origin: Origin::Test(index),
                image: test.images().to_tensor([index], &device.device),
                label: test.label(index),
            }
        }
    };
    ensure!(
        setup.target != Some(subject.label),
        "the image shows class {0} already, which --target {0} would lead it to",
        subject.label
    );
    let begin = Instant::now();
    let story = duel.play(subject, screen)?;
    let seconds = begin.elapsed().as_secs_f64();
    for act in story.acts() {
        screen.say(&act)?;
    }
    if let Some(opening) = opening.filter(|_| args.image.is_none()) {
        screen.say(&opening.counts.sentence())?;
    }
    let mut colophon =
        Colophon { command: command(&args, words, &source, story.index()), device: device.to_string(), seed: args.seed };
    let preset = args.preset.unwrap_or(dataset.recommended());
    let mut record = record(&story, &colophon, &source, preset, &device, seconds);
    record.post_samples = args.post_samples;
    record.link = source.card.as_ref().and_then(|_| fragment(&record));
    if let (Some(before), Some(command)) = (&replayed, record.repeating()) {
        screen.say(&replay::comparison(before, &record))?;
        (colophon.command, record.command) = (command.clone(), Some(command));
    }
    Ok(Fought { story, colophon, record })
}

/// What the picture in a file shows, as the test images are.
fn own_picture(path: &Path, args: &DuelArgs, duel: &Duel) -> Result<Subject> {
    let (picture, classes) = (photo::read(path)?, duel.dataset.classes().len());
    if let Some(label) = args.label {
        ensure!(label < classes, "there is no class {label}: {} has {classes}, numbered from 0", duel.dataset);
    }
    let light_ground = args.ground.map_or_else(|| picture.is_on_light_ground(), |ground| ground == Ground::Light);
    let pixels = match duel.dataset.image_shape() {
        [1, ..] => match picture.digit(light_ground, duel.dataset) {
            Some((_, pixels)) => pixels,
            None => bail!("there is no digit to be seen in `{}`: it is of one color", path.display()),
        },
        _ => picture.scene(duel.dataset),
    };
    let [channels, height, width] = duel.dataset.image_shape();
    let image = Tensor::from_data(TensorData::new(pixels, [1, channels, height, width]), &duel.model.device());
    let said = argmax(&floats(duel.model.forward(image.clone()))?);
    let origin = Origin::File { name: path.display().to_string(), labelled: args.label.is_some() };
    Ok(Subject { origin, image, label: args.label.unwrap_or(said) })
}

/// What `--json` prints: a duel as the page saves it, and what only this program tells.
#[derive(Debug, Serialize)]
pub struct Facts<'a> {
    #[serde(flatten)]
    duel: &'a Record,
    verdict: String,
    /// The riposte's class on the natural image.
    natural_answer: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Images<'a>>,
}

/// As the page saves them.
#[derive(Debug, Serialize)]
struct Images<'a> {
    natural: Pixels<'a>,
    attacked: Pixels<'a>,
    neighbor: Pixels<'a>,
    /// The points of the rounds of the attack on the defense.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rounds: Vec<Pixels<'a>>,
}

#[derive(Debug, Serialize)]
struct Pixels<'a> {
    /// Channels, height, width.
    shape: [usize; 3],
    /// In [0, 1], channel by channel, row by row.
    values: &'a [f32],
}

impl<'a> Images<'a> {
    fn of(story: &'a Story) -> Self {
        let pixels = |values: &'a [f32]| Pixels { shape: story.shape, values };
        let view = |view: &'a View| pixels(&view.pixels);
        Self {
            natural: view(&story.image),
            attacked: view(&story.attacked),
            neighbor: view(&story.neighbor),
            rounds: story.counter.iter().flat_map(|counter| &counter.points).map(|point| pixels(point)).collect(),
        }
    }
}

/// The duel in the words of the page.
fn record(story: &Story, colophon: &Colophon, source: &Source, preset: PresetName, device: &Found, seconds: f64) -> Record {
    let opinion = |class, probabilities: &[f32]| Some(Opinion { class, probabilities: probabilities.to_vec() });
    let view = |view: &View| opinion(view.class(), &view.probabilities);
    Record {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        date: None,
        device: Some(device.recorded()),
        command: Some(colophon.command.clone()),
        link: None,
        dataset: story.dataset,
        classes: story.dataset.classes().iter().map(|name| (*name).to_owned()).collect(),
        index: story.index().map(|index| index as u64),
        label: story.is_labelled().then_some(story.label),
        model: story.model.clone(),
        weights_sha256: source.sha256.clone(),
        preset,
        seed: colophon.seed,
        attack: story.attack,
        target: story.target,
        riposte: story.riposte,
        post_samples: None,
        outcome: story.is_labelled().then(|| story.outcome()),
        natural: view(&story.image),
        attacked: view(&story.attacked),
        perturbation: Some(story.perturbation()),
        fooled_after: story.fooled_after,
        original: Some(story.original_class()),
        neighbor: Some(story.neighbor_class()),
        riposted: Some(story.original_class() != story.neighbor_class()),
        answer: opinion(story.answer_class(), &story.answer),
        race: story.race.clone(),
        losses: story.losses.clone(),
        counter: story.counter.as_ref().map(|counter| counter.course.clone()),
        seconds,
    }
}

/// The end of a page's address that leads to the duel.
fn fragment(record: &Record) -> Option<String> {
    let Record { dataset, model, preset, seed, .. } = record;
    let mut fragment = format!("#dataset={dataset}&model={model}&image=test:{}&preset={preset}&seed={seed}", record.index?);
    for (name, value) in record.differences() {
        fragment += &format!("&{name}={value}");
    }
    Some(format!("{fragment}&run={}", if record.counter.is_some() { 3 } else { 2 }))
}

/// The command that repeats the duel: as it was given, with the image that was chosen.
fn command(args: &DuelArgs, words: Vec<String>, source: &Source, index: Option<usize>) -> String {
    let mut words = words.into_iter().peekable();
    words.next_if(|word| word == "duel");
    let mut command = "riposte duel".to_owned();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        if ["--pick", "--index"].contains(&name) {
            if !word.contains('=') {
                words.next();
            }
            continue;
        }
        command += &format!(" {}", quoted(&word));
    }
    if args.model.model.is_none() && args.model.weights.is_none() {
        command += &format!(" {}", source.flags);
    }
    match index {
        Some(index) => command + &format!(" --index {index}"),
        None => command,
    }
}
