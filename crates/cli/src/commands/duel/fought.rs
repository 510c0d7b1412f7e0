//! What is left of a duel: its record, its report, and the command that repeats it.

use anyhow::Result;
use riposte::spec::duel::{Duel as Record, Opinion};
use riposte::spec::preset::PresetName;
use serde::Serialize;

use crate::args::DuelArgs;
use crate::device::Found;
use crate::models::{Source, quoted};
use crate::report::{self, Colophon};
use crate::story::{Story, View};

/// A duel that was fought.
#[derive(Debug)]
pub struct Fought {
    pub(super) story: Story,
    pub(super) colophon: Colophon,
    pub(super) record: Record,
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
pub(super) fn record(
    story: &Story,
    colophon: &Colophon,
    source: &Source,
    preset: PresetName,
    device: &Found,
    seconds: f64,
) -> Record {
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
        quantize: story.quantize,
        riposte: story.riposte,
        post_samples: None,
        bank: None,
        outcome: story.is_labelled().then(|| story.outcome()),
        natural: view(&story.image),
        attacked: view(&story.attacked),
        perturbation: Some(story.perturbation()),
        fooled_after: story.fooled_after,
        original: Some(story.original_class()),
        neighbor: Some(story.neighbor_class()),
        riposted: Some(story.adapted),
        answer: opinion(story.answer_class(), &story.answer),
        race: story.race.clone(),
        losses: story.losses.clone(),
        counter: story.counter.as_ref().map(|counter| counter.course.clone()),
        seconds,
    }
}

/// The end of a page's address that leads to the duel.
pub(super) fn fragment(record: &Record) -> Option<String> {
    let Record { dataset, model, preset, seed, .. } = record;
    let mut fragment = format!("#dataset={dataset}&model={model}&image=test:{}&preset={preset}&seed={seed}", record.index?);
    for (name, value) in record.differences() {
        fragment += &format!("&{name}={value}");
    }
    Some(format!("{fragment}&run={}", if record.counter.is_some() { 3 } else { 2 }))
}

/// The command that repeats the duel: as it was given, with the image that was chosen.
pub(super) fn command(args: &DuelArgs, words: Vec<String>, source: &Source, index: Option<usize>) -> String {
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
