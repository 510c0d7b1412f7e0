//! `riposte duel`: one image attacked and defended, told as it happens, and a report.

mod counter;
mod fought;
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
use riposte::spec::setup::Setup;
use riposte::{Classifier, ToTensor};

use crate::args::{DuelArgs, Ground, Pick};
use crate::dataset::{self, Split};
use crate::device;
use crate::host::floats;
use crate::models::{Source, quoted};
use crate::report::Colophon;
use crate::screen::Screen;
use crate::session::Session;
use crate::story::Origin;
use crate::{file, output, photo, settings};
pub use fought::{Facts, Fought};
use fought::{command, fragment, record};
use play::{Duel, Subject};
use replay::Replayed;

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

/// Fights the duel that `args` ask for, of which `words` is everything after the program's name, and tells it on `screen`; with `session`
/// the model that it has, whatever model and device they name.
///
/// # Errors
/// As [`run`]; [`riposte::Error::Cancelled`] when stopped.
pub fn fight(args: DuelArgs, words: Vec<String>, session: Option<&Session>, screen: &mut Screen) -> Result<Fought> {
    let (args, replayed) = match args.replay.clone() {
        Some(path) => replay::of(args, &path).map(|(args, replayed)| (args, Some(replayed)))?,
        None => (args, None),
    };
    let source = match session {
        Some(session) => session.source.clone(),
        None => Arc::new(Source::find(&args.model, args.data.dataset)?),
    };
    let dataset = args.data.dataset.unwrap_or(source.dataset());
    let folder = args.bank.folder()?;
    let setup = match &replayed {
        Some(Replayed { record, .. }) => replay::check(record, &source).map(|()| record.setup())?,
        None => settings::resolve_for_duel(args.preset, dataset, &args.settings)?,
    };
    let setup = folder.as_ref().map_or(Ok(setup), |folder| folder.setup(setup, &args.settings))?;
    let used = folder.as_ref().map(|folder| folder.used(args.bank.bank_copy)).transpose()?;
    if let Some(Replayed { record, .. }) = &replayed {
        replay::check_bank(record, used.as_ref())?;
    }
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
    let test = dataset::load_until(dataset, Split::Test, None, args.data.data.as_deref(), &screen.interrupt)?;
    dataset::check_shape(&test, source.architecture)?;
    if let Some(index) = args.index {
        ensure!(index < test.len(), "there is no test image {index}: {dataset} has {}, numbered from 0", test.len());
    }
    let bank = folder.as_ref().map(|folder| folder.load(&source, &model)).transpose()?;
    let pools = match bank {
        Some(_) => None,
        None => Some(dataset::pools(dataset, args.post_samples, args.data.data.as_deref(), &screen.interrupt)?),
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
        quantize: setup.quantize,
        riposte,
        settings,
        counter: setup.counter,
        seed: Seed(args.seed),
    };
    let opening = source.opening(dataset, &Setup { counter: None, ..setup }).filter(|_| bank.is_none());
    let own = match (&args.image, replayed.as_ref().and_then(|replayed| replayed.own.clone())) {
        (Some(path), _) => Some(own_picture(path, &args, &duel)?),
        (None, Some(pixels)) => {
            Some(recorded(pixels, &args, &duel, replayed.as_ref().and_then(|replayed| replayed.record.label))?)
        }
        (None, None) => None,
    };
    let opening = opening.filter(|_| own.is_none());
    let subject = match own {
        Some(subject) => subject,
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
    if let Some(opening) = opening {
        screen.say(&opening.counts.sentence())?;
    }
    let mut colophon =
        Colophon { command: command(&args, words, &source, story.index()), device: device.to_string(), seed: args.seed };
    let preset = args.preset.unwrap_or(dataset.recommended());
    let mut record = record(&story, &colophon, &source, preset, &device, seconds);
    record.post_samples = args.post_samples;
    record.bank = used;
    // A page has no bank.
    record.link = source.card.as_ref().filter(|_| record.bank.is_none()).and_then(|_| fragment(&record));
    if let Some(Replayed { record: before, .. }) = &replayed {
        screen.say(&replay::comparison(before, &record))?;
        if let Some(mut command) = record.repeating() {
            if let Some(path) = &args.bank.bank {
                command += &format!(" --bank {} --bank-copy {}", quoted(&path.to_string_lossy()), args.bank.bank_copy);
            }
            (colophon.command, record.command) = (command.clone(), Some(command));
        }
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
            None => bail!(
                "there is no digit to be seen in `{}`: nothing in it stands out from its ground as ink does",
                path.display()
            ),
        },
        _ => picture.scene(duel.dataset),
    };
    own_image(pixels, path, args.label, duel)
}

/// The picture that a record holds, of which it says what it shows, or nothing.
fn recorded(pixels: Vec<f32>, args: &DuelArgs, duel: &Duel, label: Option<usize>) -> Result<Subject> {
    own_image(pixels, args.replay.as_deref().unwrap_or(Path::new("record")), label, duel)
}

/// An image `[channel, height, width]` that is in no test set, from a file. Without a label it shows what the base model says.
fn own_image(pixels: Vec<f32>, path: &Path, label: Option<usize>, duel: &Duel) -> Result<Subject> {
    let [channels, height, width] = duel.dataset.image_shape();
    let image = Tensor::from_data(TensorData::new(pixels, [1, channels, height, width]), &duel.model.device());
    let said = argmax(&floats(duel.model.forward(image.clone()))?);
    let origin = Origin::File { name: path.display().to_string(), labelled: label.is_some() };
    Ok(Subject { origin, image, label: label.unwrap_or(said) })
}
