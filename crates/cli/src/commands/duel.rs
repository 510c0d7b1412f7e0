//! `riposte duel`: one image attacked and defended, told as it happens, and a report.

mod pick;
mod play;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use riposte::attack::Attack;
use riposte::post_train::PostTraining;
use riposte::rng::Seed;
use riposte::spec::dataset::DatasetId;
use riposte::spec::outcome::Outcome;
use riposte::spec::setup::Setup;
use serde::Serialize;

use crate::args::{DuelArgs, Pick};
use crate::dataset::{self, Split};
use crate::device::{self, Found};
use crate::models::{Source, quoted};
use crate::report::{self, Colophon};
use crate::screen::Screen;
use crate::story::{Story, View};
use crate::{file, output, settings};
use play::Duel;

/// # Errors
/// For settings out of range, missing files, an image that is not there.
pub fn run(args: DuelArgs) -> Result<()> {
    let source = Source::find(&args.model, args.data.dataset)?;
    let dataset = args.data.dataset.unwrap_or(source.dataset());
    let setup = settings::resolve(args.preset, dataset, &args.settings, &[])?;
    let (Some(attack), Some(settings)) = (setup.pgd(), setup.riposte) else {
        bail!("a duel needs an attack by PGD and a riposte; `riposte eval` takes any attack, and does without");
    };
    ensure!(setup.counter.is_none(), "a duel is about the attack on the base model: `riposte eval` takes --counter");
    device::limit_threads(args.device.threads)?;
    let device = device::open(args.device.device)?;
    let model = source.load(&device.device)?;
    let test = dataset::load(dataset, Split::Test, None, args.data.data.as_deref())?;
    dataset::check_shape(&test, source.architecture)?;
    if let Some(index) = args.index {
        ensure!(index < test.len(), "there is no test image {index}: {dataset} has {}, numbered from 0", test.len());
    }
    let pools = dataset::pools(dataset, args.post_samples, args.data.data.as_deref())?;
    let duel = Duel {
        model: &model,
        name: &source.name,
        dataset,
        test: &test,
        attack,
        target: setup.target,
        riposte: PostTraining { model: &model, pools: &pools, settings },
        seed: Seed(args.seed),
    };
    let mut screen = Screen::new(args.json);
    let opening = source.opening(dataset, &setup);
    let index = match (args.index, args.pick, opening) {
        (Some(index), ..) => index,
        (None, None, Some(opening)) if opening.seed == args.seed => opening.image as usize,
        (None, pick, _) => pick::choose(&duel, pick.unwrap_or(Pick::Fooled), &device, &mut screen)?,
    };
    let label = test.label(index);
    ensure!(
        setup.target != Some(label),
        "test image {index} shows class {label} already, which --target {label} would lead it to"
    );
    let begin = Instant::now();
    let story = duel.play(index, &mut screen)?;
    let seconds = begin.elapsed().as_secs_f64();
    for act in story.acts() {
        screen.say(&act)?;
    }
    if let Some(opening) = opening {
        screen.say(&opening.counts.sentence())?;
    }
    let colophon = Colophon { command: command(&args, &source, index), device: device.to_string(), seed: args.seed };
    if args.out != Path::new("none") {
        file::write_atomically(&args.out, report::html(&story, &colophon)?.as_bytes())?;
        screen.say(&format!("Report: {}", args.out.display()))?;
    }
    if args.json { output::json(&Facts::of(&story, &colophon, device, seconds)) } else { Ok(()) }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Facts<'a> {
    dataset: DatasetId,
    index: usize,
    label: usize,
    model: &'a str,
    outcome: Outcome,
    verdict: String,
    /// The base model on the image.
    natural: Opinion<'a>,
    /// The base model on the attacked image.
    attacked: Opinion<'a>,
    perturbation: f32,
    fooled_after: Option<usize>,
    /// y'
    original: usize,
    /// y''
    neighbor: usize,
    riposted: bool,
    /// The riposte on the attacked image.
    answer: Opinion<'a>,
    natural_answer: usize,
    /// Logits of the adapting model on the attacked image, before the post-training and after each step.
    race: &'a [Vec<f32>],
    losses: &'a [f32],
    #[serde(flatten)]
    setup: Setup,
    seed: u64,
    command: &'a str,
    device: Found,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Opinion<'a> {
    class: usize,
    probabilities: &'a [f32],
}

impl<'a> Facts<'a> {
    fn of(story: &'a Story, colophon: &'a Colophon, device: Found, seconds: f64) -> Self {
        let opinion = |view: &'a View| Opinion { class: view.class(), probabilities: &view.probabilities };
        Self {
            dataset: story.dataset,
            index: story.index,
            label: story.label,
            model: &story.model,
            outcome: story.outcome(),
            verdict: story.verdict(),
            natural: opinion(&story.image),
            attacked: opinion(&story.attacked),
            perturbation: story.perturbation(),
            fooled_after: story.fooled_after,
            original: story.original_class(),
            neighbor: story.neighbor_class(),
            riposted: story.original_class() != story.neighbor_class(),
            answer: Opinion { class: story.answer_class(), probabilities: &story.answer },
            natural_answer: story.natural_answer,
            race: &story.race,
            losses: &story.losses,
            setup: Setup {
                attack: Some(Attack::Pgd(story.attack)),
                target: story.target,
                riposte: Some(story.riposte),
                counter: None,
            },
            seed: colophon.seed,
            command: &colophon.command,
            device,
            seconds,
        }
    }
}

/// The command that repeats the duel: as it was given, with the image that was chosen.
fn command(args: &DuelArgs, source: &Source, index: usize) -> String {
    let mut words = std::env::args().skip(1).peekable();
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
    command + &format!(" --index {index}")
}
