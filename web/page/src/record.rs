//! The record of a run: its duel in the words of `riposte duel --json`, what only a page has, and the command that repeats it.

use js_sys::{JSON, Object};
use leptos::prelude::*;
use riposte_protocol::{DeviceKind, Picture, Work};
use riposte_spec::dataset::DatasetId;
use riposte_spec::duel::{self, Device, Duel, Opinion};
use riposte_spec::outcome::Outcome;
use riposte_spec::preset::PresetName;
use riposte_spec::record::Record;
use riposte_spec::setup::Setup;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::hash::link_to;
use crate::state::{Arena, Origin};
use crate::trace::AttackTrace;

/// What is saved and announced, as an object: the duel in the words of `riposte duel --json`, and what only a page has.
pub fn record(arena: Arena, act: Option<usize>) -> Option<Object> {
    let (duel, rest) = pieces(arena, act);
    // The browser's own parser makes objects of text, and one of two.
    let object = |text: serde_json::Result<String>| JSON::parse(&text.ok()?).ok()?.dyn_into::<Object>().ok();
    Some(Object::assign(&object(serde_json::to_string(&duel))?, &object(serde_json::to_string(&rest))?))
}

pub fn indented(record: &Object) -> Option<String> {
    JSON::stringify_with_replacer_and_space(record, &JsValue::NULL, &JsValue::from(2)).ok().map(String::from)
}

/// The native command that repeats the run; none for a picture that only this page has.
pub fn command(arena: Arena) -> Option<String> {
    let Origin::Test(number) = arena.subject.get()?.origin else { return None };
    // An attack on the defense that is as a duel begins with it is named where it was made.
    let countered = arena.runs.countered.course.with(|course| course.as_ref().map(|course| course.settings));
    let whole = arena.whole_setup();
    let setup = Setup { counter: whole.counter.or(countered), ..whole };
    let samples = Some(arena.dataset_entry().training_images);
    let (model, seed) = (arena.model.get(), arena.seed.get().into());
    Some(duel::command(arena.dataset(), &model, number.into(), arena.preset.get(), seed, samples, &setup))
}

/// The records of many duels, with the settings that all have in common.
#[derive(Serialize)]
struct Records {
    version: &'static str,
    date: String,
    device: Option<Device>,
    dataset: DatasetId,
    model: String,
    weights_sha256: String,
    preset: PresetName,
    seed: u32,
    #[serde(flatten)]
    setup: Setup,
    /// The defense draws from the first so many training samples.
    post_samples: usize,
    /// As in a results file of `riposte eval`.
    records: Vec<Record>,
}

/// The records of the duels over many images, in the words of a results file.
pub fn records_as_json(arena: Arena) -> Option<String> {
    let records = Records {
        version: env!("CARGO_PKG_VERSION"),
        date: String::from(js_sys::Date::new_0().to_iso_string()),
        device: device(arena),
        dataset: arena.dataset(),
        model: arena.model.get(),
        weights_sha256: arena.model_entry().weights.sha256,
        preset: arena.preset.get(),
        seed: arena.seed.get(),
        setup: arena.setup(),
        post_samples: arena.dataset_entry().training_images,
        records: arena.sweep.records(),
    };
    serde_json::to_string(&records).ok()
}

/// The same as a table that a spreadsheet takes: a line for each image, columns between tabs.
pub fn records_as_table(arena: Arena) -> String {
    let classes = arena.dataset().classes();
    let name = |class: usize| classes.get(class).copied().unwrap_or_default();
    let mut table = "image\tlabel\tuntouched\tattacked\tneighbor\tanswer\toutcome\n".to_owned();
    for record in arena.sweep.records() {
        let (Some(attacked), Some(defended), Some(outcome)) = (record.attacked, record.riposte_attacked, record.outcome()) else {
            continue;
        };
        let cells = [record.label, record.natural, attacked, defended.neighbor, defended.answer].map(name).join("\t");
        table.push_str(&format!("{}\t{cells}\t{outcome}\n", record.input));
    }
    table
}

fn device(arena: Arena) -> Option<Device> {
    arena.wiring.with_client(|client| client.device()).map(|device| Device {
        id: device.kind.name().to_lowercase(),
        // A browser does not say what kind of GPU it has.
        kind: if device.kind == DeviceKind::Cpu { "cpu" } else { "unknown" }.to_owned(),
        name: device.name,
    })
}

/// What a record has beside the duel.
#[derive(Serialize)]
struct OfThePage {
    /// The act that is done, where that is what the record is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<usize>,
    /// What act 2 answers: the attacked image or the untouched one.
    on: &'static str,
    /// The base model's logits at the attack's start and after each of its steps.
    steps: Vec<Vec<f32>>,
    /// The images themselves.
    images: Images,
    /// What the defense did.
    work: Option<Work>,
}

#[derive(Serialize)]
struct Images {
    natural: Option<Pixels>,
    attacked: Option<Pixels>,
    neighbor: Option<Pixels>,
    /// The points of the rounds of act 3.
    rounds: Vec<Pixels>,
}

#[derive(Serialize)]
struct Pixels {
    /// Channels, height, width.
    shape: [usize; 3],
    /// In [0, 1], channel by channel, row by row.
    values: Vec<f32>,
}

fn pieces(arena: Arena, act: Option<usize>) -> (Duel, OfThePage) {
    let (subject, riposted, attacked) = (arena.subject.get(), arena.runs.riposted, arena.runs.attacked);
    let (label, natural) = (subject.as_ref().and_then(|subject| subject.truth), arena.natural.get());
    let (end, verdict) = (attacked.end(), riposted.verdict.get());
    let found = riposted.found.get().filter(|_| verdict.is_some());
    let original_image = subject.as_ref().map(|subject| &subject.image);
    let outcome =
        label.zip(found.as_ref()).zip(verdict.as_ref()).filter(|_| arena.on_attacked.get()).map(|((label, found), verdict)| {
            Outcome::of(label, found.original.class, found.neighbor.class, verdict.adapted.class)
        });
    let iterations = riposted.iterations.get();
    let race = found.iter().map(|found| found.original.logits.clone()).chain(iterations.iter().map(|one| one.logits.clone()));
    let class = arena.class();
    let fooled_after = end.as_ref().filter(|end| Some(end.prediction.class) != class).and_then(|_| {
        attacked.steps.with(|steps| steps.iter().find(|step| Some(step.prediction.class) != class).map(|step| step.index))
    });
    let countered = arena.runs.countered.end().map(|(_, course)| course);
    let duel = Duel {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        date: Some(String::from(js_sys::Date::new_0().to_iso_string())),
        device: device(arena),
        command: command(arena),
        link: link_to(arena),
        dataset: arena.dataset(),
        classes: arena.dataset().classes().iter().map(|name| (*name).to_owned()).collect(),
        index: subject.as_ref().and_then(|subject| match subject.origin {
            Origin::Test(number) => Some(number.into()),
            Origin::Drawn | Origin::Uploaded(_) => None,
        }),
        label,
        model: arena.model.get(),
        weights_sha256: arena.model_entry().weights.sha256,
        preset: arena.preset.get(),
        seed: arena.seed.get().into(),
        attack: arena.attack.get(),
        target: arena.target.get(),
        quantize: arena.quantize.get(),
        riposte: arena.riposte.get(),
        post_samples: Some(arena.dataset_entry().training_images),
        bank: None,
        outcome,
        natural: natural.as_ref().map(Opinion::from),
        attacked: end.as_ref().map(|end| Opinion::from(&end.prediction)),
        perturbation: end.as_ref().zip(original_image).map(|(end, image)| end.image.minus(image).max_abs()),
        fooled_after,
        original: found.as_ref().map(|found| found.original.class),
        neighbor: found.as_ref().map(|found| found.neighbor.class),
        riposted: verdict.as_ref().map(|verdict| verdict.riposted),
        answer: verdict.as_ref().map(|verdict| Opinion::from(&verdict.adapted)),
        race: if iterations.is_empty() { Vec::new() } else { race.collect() },
        losses: iterations.iter().map(|one| one.loss).collect(),
        counter: countered.clone(),
        seconds: attacked.seconds.get()
            + verdict.as_ref().map_or(0.0, |verdict| verdict.work.seconds)
            + countered.as_ref().map_or(0.0, |_| arena.runs.countered.seconds.get()),
    };
    let rest = OfThePage {
        act,
        on: if arena.on_attacked.get() { "attacked" } else { "untouched" },
        steps: logits(attacked),
        images: Images {
            natural: original_image.map(pixels),
            attacked: end.as_ref().map(|end| pixels(&end.image)),
            neighbor: found.as_ref().map(|found| pixels(&found.image)),
            rounds: countered
                .as_ref()
                .map_or_else(Vec::new, |_| arena.runs.countered.points.with(|all| all.iter().map(pixels).collect())),
        },
        work: verdict.map(|verdict| verdict.work),
    };
    (duel, rest)
}

fn logits(trace: AttackTrace) -> Vec<Vec<f32>> {
    trace.steps.with(|steps| steps.iter().map(|step| step.prediction.logits.clone()).collect())
}

fn pixels(picture: &Picture) -> Pixels {
    Pixels { shape: [picture.channels, picture.height, picture.width], values: picture.pixels.clone() }
}
