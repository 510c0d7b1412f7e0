//! Prepared cases: duels that the native program fights while the site is built, so that the page has something to show at once.
//!
//! Which image ends how is in the lines of `docs/results`; each of a few such images is attacked and defended anew, with the training
//! images and the amount of training that the page has, and the first that ends as wanted is taken.

mod sequence;
mod share;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use riposte_protocol::{Case, Ink, Odds, Picture, Prepared, Said, TRAINING_IMAGES};
use riposte_spec::Choice as _;
use riposte_spec::card::{ModelCard, Opening};
use riposte_spec::counter::{Counter, Course};
use riposte_spec::dataset::DatasetId;
use riposte_spec::outcome::Outcome;
use riposte_spec::preset::PresetName;
use riposte_spec::record::Record;
use riposte_spec::results::Header;
use serde::{Deserialize, Serialize};

use crate::content::digest;
use crate::site;

/// Duels fought in search of one that ends as wanted.
const TRIES: usize = 6;
/// By how much the defense's answer is to lead: two classes of about the same probability could change places on another device.
const CLEAR: f32 = 0.1;
/// Probability of the right class up to which a defense has clearly fallen.
const FALLEN: f32 = 0.3;
/// Multiply-accumulates from which even the light form takes minutes.
const TOO_HEAVY: u64 = 200_000_000;

/// What fights duels.
pub struct Arena {
    /// The native program.
    program: Option<PathBuf>,
    /// Folder of the official images.
    data: Option<PathBuf>,
    /// Folder of results files.
    results: PathBuf,
    /// Folder that keeps duels from one build to the next.
    cache: PathBuf,
    /// Folder of duels that come with the project: over images of its own.
    kept: PathBuf,
}

/// A card, and the weights file beside it.
pub type Weighed = (PathBuf, ModelCard);

/// What a duel is about, but for the settings that differ from the preset's.
#[derive(Clone, Copy)]
struct Terms {
    preset: PresetName,
    seed: u64,
    image: u64,
}

/// A duel, as it is kept.
#[derive(Serialize, Deserialize)]
struct Fought {
    weights_sha256: String,
    outcome: Outcome,
    image: u32,
    label: usize,
    seed: u32,
    preset: PresetName,
    settings: Vec<(String, String)>,
    said: [Said; 3],
    /// The attack on the defense, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    course: Option<Course>,
    /// By how much the defense finds its answer more probable than any other class.
    lead: f32,
    /// Channels, height, width.
    shape: [usize; 3],
    /// The image and the attacked image, or where there is a course its point that stands, in levels of 255.
    pixels: [Vec<u8>; 2],
}

/// Of what `riposte duel --json --images` prints.
#[derive(Deserialize)]
struct Facts {
    outcome: Outcome,
    label: usize,
    natural: Opinion,
    attacked: Opinion,
    answer: Opinion,
    counter: Option<Course>,
    images: Images,
}

#[derive(Deserialize)]
struct Opinion {
    class: usize,
    probabilities: Vec<f32>,
}

#[derive(Deserialize)]
struct Images {
    natural: Pixels,
    attacked: Pixels,
    #[serde(default)]
    rounds: Vec<Pixels>,
}

#[derive(Deserialize)]
struct Pixels {
    shape: [usize; 3],
    values: Vec<f32>,
}

impl Arena {
    /// Without the program, only what comes with the project is shown.
    pub fn new(root: &Path, program: Option<PathBuf>, data: Option<PathBuf>) -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
        Self { program, data, results: root.join("docs/results"), cache: target.join("cases"), kept: root.join("static/cases") }
    }

    /// The cases of a model, whose pictures `write` puts into the site; none where nothing was measured of it, or nothing can be fought.
    /// They are over test images of the numbers `held`, which the page has; over any where there is no such list.
    pub fn prepare(
        &self,
        card: &ModelCard,
        weights: &Path,
        training_images: usize,
        held: Option<&[u32]>,
        write: impl Fn(&str, &[u8]) -> Result<String>,
    ) -> Result<Option<Prepared>> {
        let (Some(opening), true) = (&card.opening, card.architecture.multiply_accumulates() < TOO_HEAVY) else {
            return Ok(None);
        };
        let Some(records) = measured(&self.results, card, opening)? else { return Ok(None) };
        let is_held = |record: &Record| held.is_none_or(|held| held.iter().any(|number| u64::from(*number) == record.input));
        let at_hand: Vec<Record> = records.iter().filter(|record| is_held(record)).cloned().collect();
        let fought = match self.kept(&card.id, &[card])? {
            Some(kept) => kept,
            None if self.program.is_some() => self.fight_all(card, opening, weights, training_images, &at_hand)?,
            None => {
                eprintln!(
                    "The site does without prepared cases of {}: they need the program that RIPOSTE_BINARY names.",
                    card.id
                );
                return Ok(None);
            }
        };
        let (fell, fought): (Vec<_>, Vec<_>) = fought.iter().partition(|duel| duel.course.is_some());
        let cases = fought.iter().map(|duel| duel.case(&card.id, &write)).collect::<Result<Vec<_>>>()?;
        let fell = fell.first().map(|duel| duel.case(&format!("{}-fell", card.id), &write)).transpose()?;
        Ok((!cases.is_empty()).then(|| Prepared { odds: odds(opening, &records), cases, fell }))
    }

    /// One duel for each way to end, where one is found; and one over an image that was saved, until the attacker knew of the defense.
    fn fight_all(
        &self,
        card: &ModelCard,
        opening: &Opening,
        weights: &Path,
        training_images: usize,
        records: &[Record],
    ) -> Result<Vec<Fought>> {
        // As the page opens with it.
        let preset = if card.architecture.is_heavy() { opening.preset.light() } else { opening.preset };
        let terms = |image: u64| Terms { preset, seed: opening.seed, image };
        let mut found: Vec<Fought> = Vec::new();
        for wanted in Outcome::ALL {
            for image in candidates(records, opening, *wanted).take(TRIES) {
                let duel = self.fight(card, weights, training_images, terms(image), &[])?;
                if duel.outcome == *wanted && duel.lead >= CLEAR {
                    found.push(duel);
                    break;
                }
            }
        }
        let counter = [("counter".to_owned(), Counter::DUEL.kind.name().to_owned())];
        let is_new = |image: &u64| found.iter().all(|duel| u64::from(duel.image) != *image);
        let saved: Vec<u64> = candidates(records, opening, Outcome::Answered).filter(is_new).take(TRIES).collect();
        for image in saved {
            let duel = self.fight(card, weights, training_images, terms(image), &counter)?;
            if duel.outcome == Outcome::Answered && duel.has_clearly_fallen() {
                found.push(duel);
                break;
            }
        }
        Ok(found)
    }

    fn fight(
        &self,
        card: &ModelCard,
        weights: &Path,
        training_images: usize,
        terms: Terms,
        settings: &[(String, String)],
    ) -> Result<Fought> {
        let program = self.program.as_deref().context("duels need the native program")?;
        let Terms { preset, seed, image } = terms;
        let (image, seed, samples) = (image.to_string(), seed.to_string(), training_images.to_string());
        let mut flags = vec!["--dataset", card.dataset.name(), "--index", &image, "--preset", preset.name(), "--seed", &seed];
        flags.extend(["--post-samples", &samples, "--device", "cpu", "--json", "--images", "--out", "none"]);
        let own: Vec<String> = settings.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect();
        flags.extend(own.iter().map(String::as_str));
        let program_digest = digest(&std::fs::read(program).with_context(|| program.display().to_string())?);
        let name = digest(format!("{program_digest} {} {}", card.sha256, flags.join(" ")).as_bytes());
        let cached = self.cache.join(format!("{}.json", &name[..16]));
        if let Ok(bytes) = std::fs::read(&cached) {
            return serde_json::from_slice(&bytes).with_context(|| cached.display().to_string());
        }
        eprintln!("A duel over test image {image} of {}, by {}.", card.dataset.title(), card.id);
        let mut command = Command::new(program);
        command.arg("duel").args(&flags).arg("--weights").arg(weights);
        if let (Some(data), true) = (&self.data, card.dataset != DatasetId::Digits) {
            command.arg("--data").arg(data);
        }
        let output = command.output().with_context(|| program.display().to_string())?;
        ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        let facts: Facts = serde_json::from_slice(&output.stdout).with_context(|| format!("what {command:?} printed"))?;
        let stands = facts.counter.as_ref().and_then(Course::standing);
        let last = stands.and_then(|place| facts.images.rounds.get(place)).unwrap_or(&facts.images.attacked);
        let fought = Fought {
            weights_sha256: card.sha256.clone(),
            outcome: facts.outcome,
            image: image.parse()?,
            label: facts.label,
            seed: seed.parse()?,
            preset,
            settings: settings.to_vec(),
            said: [&facts.natural, &facts.attacked, &facts.answer].map(Opinion::said),
            lead: facts.answer.lead(),
            shape: facts.images.natural.shape,
            pixels: [&facts.images.natural, last]
                .map(|image| image.values.iter().map(|value| (value * 255.0).round() as u8).collect()),
            course: facts.counter,
        };
        std::fs::create_dir_all(&self.cache)?;
        std::fs::write(&cached, serde_json::to_vec(&fought)?).with_context(|| cached.display().to_string())?;
        Ok(fought)
    }

    /// Duels that come with the project; none where there are none of this model as it is.
    fn kept(&self, name: &str, cards: &[&ModelCard]) -> Result<Option<Vec<Fought>>> {
        let path = self.kept.join(format!("{name}.jsonl"));
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
        let duels: Vec<Fought> =
            text.lines().map(serde_json::from_str).collect::<Result<_, _>>().with_context(|| path.display().to_string())?;
        let stale = duels.iter().any(|duel| cards.iter().all(|card| duel.weights_sha256 != card.sha256));
        ensure!(!stale, "{} is of other weights: run `cargo xtask cases`", path.display());
        Ok(Some(duels))
    }

    /// The picture that other sites show of a link to the page, from the duels that come with the project: it is made of digits that the
    /// project drew itself.
    pub fn share_picture(&self) -> Result<Option<Vec<u8>>> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.kept)?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for path in files {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let Some(line) = text.lines().next() else { continue };
            let duel: Fought = serde_json::from_str(line).with_context(|| path.display().to_string())?;
            return share::picture(&duel).map(Some);
        }
        Ok(None)
    }

    /// Fights the duels that come with the project, and writes them to its folder.
    pub fn keep_all(&self, models: &Path) -> Result<()> {
        let cards: Vec<Weighed> =
            site::cards(models)?.into_iter().filter(|(_, card)| card.dataset == DatasetId::Digits).collect();
        for (weights, card) in &cards {
            let Some(opening) = &card.opening else { continue };
            let Some(records) = measured(&self.results, card, opening)? else { continue };
            let duels = self.fight_all(card, opening, weights, TRAINING_IMAGES, &records)?;
            self.keep(&card.id, &duels)?;
            let undefended = cards.iter().find(|(_, card)| card.is_undefended());
            if let (Some(undefended), Some(last)) = (undefended, duels.first()) {
                let pair = self.fight_sequence(undefended, &(weights.clone(), card.clone()), last.terms(), TRAINING_IMAGES)?;
                self.keep(&sequence::file_of(DatasetId::Digits), pair.as_ref().map_or(&[], |pair| pair.as_slice()))?;
            }
        }
        Ok(())
    }

    fn keep(&self, name: &str, duels: &[Fought]) -> Result<()> {
        let lines: String = duels.iter().map(|duel| Ok(serde_json::to_string(duel)? + "\n")).collect::<Result<_>>()?;
        let path = self.kept.join(format!("{name}.jsonl"));
        std::fs::create_dir_all(&self.kept)?;
        std::fs::write(&path, lines).with_context(|| path.display().to_string())
    }
}

impl Fought {
    fn terms(&self) -> Terms {
        Terms { preset: self.preset, seed: self.seed.into(), image: self.image.into() }
    }

    /// Whether no fresh draw, and hardly another device, would have it otherwise.
    fn has_clearly_fallen(&self) -> bool {
        let verdict = self.course.as_ref().filter(|course| course.ending(self.label).is_a_fall()).and_then(Course::verdict);
        verdict.is_some_and(|verdict| verdict.judged.right == 0 && verdict.truth <= FALLEN)
    }

    fn case(&self, model: &str, write: &impl Fn(&str, &[u8]) -> Result<String>) -> Result<Case> {
        let mut names = ["image", "change", "attacked"].into_iter();
        let [image, change, attacked] = self.pictures().map(|(picture, ink)| {
            let what = names.next().unwrap_or_default();
            write(&format!("case-{model}-{}-{what}.png", self.outcome), &png(&picture, ink)?)
        });
        Ok(Case {
            outcome: self.outcome,
            image: self.image,
            label: self.label,
            seed: self.seed,
            preset: self.preset,
            settings: self.settings.clone(),
            said: self.said,
            course: self.course.clone(),
            pictures: [image?, change?, attacked?],
        })
    }

    /// The change is shown at its full strength, whatever that is.
    fn ink(&self) -> Ink {
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let attack = self.preset.preset().for_duel().with_link(settings).0.pgd();
        Ink::Change { scale: attack.map_or(1.0, |attack| attack.epsilon) }
    }
}

impl Opinion {
    fn said(&self) -> Said {
        Said { class: self.class, probability: self.probabilities.get(self.class).copied().unwrap_or_default() }
    }

    fn lead(&self) -> f32 {
        let others = self.probabilities.iter().enumerate().filter(|(class, _)| *class != self.class);
        self.said().probability - others.map(|(_, probability)| *probability).fold(0.0, f32::max)
    }
}

/// The records of the results file that the card's counts come from.
fn measured(folder: &Path, card: &ModelCard, opening: &Opening) -> Result<Option<Vec<Record>>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    files.sort();
    for path in files {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let Some(head) = text.lines().next() else { continue };
        let head: Header = serde_json::from_str(head).with_context(|| path.display().to_string())?;
        let settings = head.settings;
        if settings.weights_sha256 != card.sha256
            || settings.setup() != opening.preset.preset().setup()
            || settings.seed != opening.seed
        {
            continue;
        }
        let lines = text.lines().filter(|line| !line.starts_with(r#"{"format""#));
        let records = lines.map(serde_json::from_str).collect::<Result<_, _>>().with_context(|| path.display().to_string())?;
        return Ok(Some(records));
    }
    Ok(None)
}

/// Images that ended so, of those that the base model saw rightly before the attack; first the one that the model opens with.
fn candidates<'a>(records: &'a [Record], opening: &Opening, wanted: Outcome) -> impl Iterator<Item = u64> + use<'a> {
    let first = opening.image;
    let ended = move |record: &&Record| record.natural == record.label && record.outcome() == Some(wanted);
    let images = move || records.iter().filter(ended).map(|record| record.input);
    images().filter(move |image| *image == first).chain(images().filter(move |image| *image != first))
}

fn odds(opening: &Opening, records: &[Record]) -> Odds {
    let outcomes: Vec<Outcome> = records.iter().filter_map(Record::outcome).collect();
    let count = |wanted: &Outcome| (*wanted, outcomes.iter().filter(|outcome| *outcome == wanted).count());
    Odds { preset: opening.preset, images: outcomes.len(), ended: Outcome::ALL.iter().map(count).collect() }
}

fn png(picture: &Picture, ink: Ink) -> Result<Vec<u8>> {
    encoded(&picture.rgba(ink), picture.width, picture.height)
}

/// Pixels of red, green, blue and opacity, row by row.
fn encoded(rgba: &[u8], width: usize, height: usize) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, u32::try_from(width)?, u32::try_from(height)?);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgba)?;
    writer.finish()?;
    Ok(file)
}
