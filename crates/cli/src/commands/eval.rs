//! `riposte eval`: accuracies of a model and of its riposte over a range of test images.

mod table;

use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use riposte::bank::Pick;
use riposte::defense::Transform;
use riposte::evaluate::{Gain, Record, Summary, wilson_interval};
use riposte::spec::counter::CounterKind;
use riposte::spec::dataset::DatasetId;
use riposte::spec::paper::Published;
use riposte::spec::results::{Part, Settings};
use riposte::spec::setup::Setup;
use serde::Serialize;

use crate::args::{EvalArgs, Switch};
use crate::arrays;
use crate::bank::Folder;
use crate::dataset::{self, Split};
use crate::device::{self, Found};
use crate::evaluation::Points;
use crate::export;
use crate::given::Given;
use crate::interrupt::Interrupt;
use crate::models::Source;
use crate::output;
use crate::progress;
use crate::run::{self, Hashes, Run, Stage};
use crate::session::Session;
use crate::settings;

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub struct Report {
    #[serde(flatten)]
    summary: Summary,
    /// Wall-clock time of this run, without loading; the images of an earlier run that it went on from are not in it.
    seconds: f64,
    /// Images computed in this run.
    images_computed: usize,
    /// 95 % Wilson intervals of the accuracies.
    intervals: Intervals,
    /// Images that show the class to which the attack leads: it leaves them as they are. `None` where it leads to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_target: Option<usize>,
    /// The riposte against the base model on the same images.
    gain: Gains,
    /// What the paper reports for these settings.
    paper: Option<Published>,
    model: String,
    /// Of this run.
    settings: Settings,
    /// What the images were computed with, those of earlier runs included.
    parts: Vec<Part>,
    /// Of this run.
    device: Found,
    threads: usize,
    versions: Versions,
}

#[derive(Debug, Serialize)]
struct Intervals {
    natural: [f64; 2],
    robust: Option<[f64; 2]>,
    riposte_natural: Option<[f64; 2]>,
    riposte_robust: Option<[f64; 2]>,
    neighbor: Option<[f64; 2]>,
}

#[derive(Debug, Serialize)]
struct Gains {
    natural: Option<Gain>,
    robust: Option<Gain>,
}

#[derive(Debug, Serialize)]
struct Versions {
    riposte: &'static str,
    burn: &'static str,
}

/// # Errors
/// As [`evaluate`].
pub fn run(args: EvalArgs) -> Result<()> {
    let terminal = Terminal { out: args.out.clone(), ..Terminal::default() };
    let Evaluated { report, source, dataset, is_output, exported } = evaluate(&args, None, &terminal)?;
    match (is_output, args.json) {
        // The lines have standard output for themselves.
        (true, true) => eprintln!("{}", serde_json::to_string_pretty(&report)?),
        (true, false) => eprintln!("{}", table::of(&report, dataset, &source)),
        (false, true) => output::json(&report)?,
        (false, false) => output::line(&table::of(&report, dataset, &source))?,
    }
    exported
}

/// Who waits for an evaluation.
pub trait Audience {
    /// What ends a download.
    fn loading(&self) -> Interrupt;

    /// What ends it, asked for when everything is loaded.
    ///
    /// # Errors
    /// If nothing can.
    fn interrupt(&self) -> Result<Interrupt>;

    /// It begins where `done` of `images` are there from an earlier run.
    fn begin(&self, interrupt: &Interrupt, done: usize, images: usize);

    /// All records, one more than before.
    fn see(&self, records: &[Record]);

    /// It ended with these records, after all or before.
    fn end(&self, interrupt: &Interrupt, records: &[Record], is_whole: bool);
}

/// What an evaluation ends with.
#[derive(Debug)]
pub struct Evaluated {
    pub report: Report,
    pub source: Arc<Source>,
    pub dataset: DatasetId,
    /// Whether the records went to standard output.
    is_output: bool,
    /// Whether the images could be written: what was computed is told all the same.
    pub exported: Result<()>,
}

/// Evaluates what `args` ask for; with `session` the model that it has, whatever model and device they name. Says on standard error what
/// the user should know.
///
/// # Errors
/// For settings out of range, missing files, another run's results; [`riposte::Error::Cancelled`] when stopped.
pub fn evaluate(args: &EvalArgs, session: Option<&Session>, audience: &impl Audience) -> Result<Evaluated> {
    let source = match session {
        Some(session) => session.source.clone(),
        None => Arc::new(Source::find(&args.model, args.data.dataset)?),
    };
    let (dataset, loading) = (args.data.dataset.unwrap_or(source.dataset()), audience.loading());
    let unattacked = [("attack", "none")];
    let added = if args.images_from.is_some() { &unattacked[..] } else { &[] };
    let folder = args.bank.folder()?;
    let setup = settings::resolve(args.preset, dataset, &args.settings, added);
    let setup = match &args.images_from {
        Some(_) => setup.context("--images-from stands in the place of an attack, and of one on the defense")?,
        None => setup?,
    };
    let setup = folder.as_ref().map_or(Ok(setup), |folder| folder.setup(setup, &args.settings))?;
    let colored = dataset.image_shape()[0] == 3;
    let transform = args.defense.as_deref().map(|text| Transform::named(text, colored)).transpose()?;
    let setup = match transform {
        Some(_) => settings::without_riposte(setup, &args.settings)?,
        None => setup,
    };
    check_counter(&setup, transform)?;
    if let Some(path) = &args.export {
        ensure!(setup.attack.is_some(), "--export needs an attack, whose images it writes");
        arrays::check(path)?;
    }
    let defended = setup.riposte.is_some() || transform.is_some();
    let natural = args.natural == Switch::On;
    ensure!(
        natural || !defended || setup.attack.is_some() || args.images_from.is_some(),
        "--natural off leaves nothing to defend without an attack"
    );
    let (model, device, threads) = match session {
        Some(session) => {
            ensure!(!session.adapted, "this copy has adapted to an input: evaluate the model that it comes from");
            (session.model.clone(), session.machine.device.clone(), session.machine.threads)
        }
        None => {
            device::limit_threads(args.device.threads)?;
            let device = device::open(args.device.device)?;
            (source.load(&device.device)?, device, device::threads(args.device.threads))
        }
    };
    let given = match &args.images_from {
        Some(path) => Some(Given::read(path, dataset.image_shape(), args.pixels, args.first)?),
        None => None,
    };
    let first = given.as_ref().map_or(args.first.unwrap_or(0), |given| given.first);
    let images = args.images.unwrap_or(given.as_ref().map_or(100, Given::len));
    let end = first.saturating_add(images);
    if let Some(given) = &given {
        ensure!(images <= given.len(), "--images {images} are more than the {} of --images-from", given.len());
    }
    let (test, test_hash) = dataset::load_hashed(dataset, Split::Test, Some(end), args.data.data.as_deref(), &loading)?;
    dataset::check_shape(&test, source.architecture)?;
    let all = test.len();
    ensure!(end <= all, "there are {all} test images of {dataset} here: {images} from number {first} on are more");
    given.as_ref().map_or(Ok(()), |given| given.check_labels(&test, images))?;
    let bank = folder.as_ref().map(|folder| folder.load(&source, &model)).transpose()?;
    let train = match setup.riposte {
        Some(_) if bank.is_none() => Some(dataset::pools(dataset, args.post_samples, args.data.data.as_deref(), &loading)?),
        _ => None,
    };
    let attackers = args.counter_bank.as_deref().map(Folder::open).transpose()?;
    if let Some(folder) = &attackers {
        folder.check_of_attacker(&setup)?;
    }
    let without = attackers.is_none() && bank.is_none();
    ensure!(
        setup.counter_kind() != CounterKind::Bank || !without,
        "--counter bank needs the copies that the attacker has: --counter-bank FOLDER, which `riposte bank` made, or --bank"
    );
    let known = attackers.as_ref().map(|folder| folder.load(&source, &model)).transpose()?;
    let used = folder.as_ref().map(|folder| folder.used(args.bank.bank_copy)).transpose()?;
    let known_use = attackers.as_ref().map(|folder| folder.used(Pick::Mean)).transpose()?;
    let points = Points::default();
    let workers = run::workers(&device, threads)?;
    let stage = Stage {
        source: &source,
        model: &model,
        dataset,
        test: &test,
        pools: train.as_ref(),
        hashes: Hashes { test: test_hash, pool: train.as_ref().and_then(|pools| dataset::hash(dataset, pools.samples())) },
        post_samples: folder.as_ref().map_or(args.post_samples, |folder| folder.card.post_samples),
        bank: bank.as_ref().zip(used.as_ref()),
        bank_pool: folder.as_ref().and_then(|folder| folder.card.pool_sha256.as_deref()),
        transform,
        known: known.as_ref().zip(known_use.as_ref()),
        points: args.export.as_ref().map(|_| &points),
        device: &device,
        workers: &workers,
        batch: args.batch.unwrap_or(run::usual_batch(&device)),
        given: given.as_ref(),
        answers: None,
    };
    let run = Run { setup, seed: args.seed, natural, first, images };
    let interrupt = audience.interrupt()?;
    if let Some(expected) = args.expect_accuracy {
        stage.expect_accuracy(&run, f64::from(expected), &interrupt)?;
    }
    let mut begun = stage.begin(run, args.out.as_deref())?;
    let done = begun.records.len();
    if let (Some(path), true) = (&args.out, done > 0) {
        eprintln!("Going on after {done} images in `{}`.", path.display());
        let parts = begun.parts().unwrap_or_default();
        if let Some(part) = parts.last().filter(|_| begun.part_begin() == first + done && done < images) {
            eprintln!("The last of them were computed otherwise ({}): what follows gets a header of its own.", part.how());
        }
    }
    audience.begin(&interrupt, done, images);
    let clock = Instant::now();
    let outcome = stage.advance(&mut begun, images, &interrupt, |records| audience.see(records));
    let seconds = clock.elapsed().as_secs_f64();
    let records = &begun.records;
    audience.end(&interrupt, records, outcome.is_ok());
    outcome?;
    let exported = match &args.export {
        Some(path) => {
            export::export(&stage, &run, records, path, &interrupt).map(|()| eprintln!("Images: `{}`.", path.display()))
        }
        None => Ok(()),
    };
    let settings = stage.settings(&run);
    let whole = Part { images: images as u64, ..settings.part() };
    let parts = begun.parts().unwrap_or_else(|| vec![whole]);
    let report = Report::new(records, done, seconds, &source, settings, parts, device.clone(), threads);
    Ok(Evaluated { report, is_output: begun.is_output(), source: source.clone(), dataset, exported })
}

/// # Errors
/// If an attack on the defense cannot find a point.
fn check_counter(setup: &Setup, transform: Option<Transform>) -> Result<()> {
    let Some(counter) = &setup.counter else { return Ok(()) };
    let kind = counter.kind;
    if let Some(transform) = transform {
        ensure!(
            !kind.needs_a_riposte(),
            "--counter {kind} takes hold of the riposte's search or of its copies, and --defense {} has none: use attack, transfer, trajectory, \
             square, rays or all",
            transform.kind()
        );
    }
    ensure!(
        counter.queries > 0 || !kind.only_asks(),
        "--counter {kind} asks the defense and nothing else: --counter-queries is at least 1"
    );
    Ok(())
}

/// A person at a terminal.
#[derive(Default)]
struct Terminal {
    /// Where records go.
    out: Option<PathBuf>,
    bar: OnceCell<ProgressBar>,
    images: Cell<usize>,
    done: Arc<AtomicUsize>,
}

impl Audience for Terminal {
    /// Until somebody listens, Ctrl-C ends the program.
    fn loading(&self) -> Interrupt {
        Interrupt::default()
    }

    fn interrupt(&self) -> Result<Interrupt> {
        Interrupt::listen()
    }

    fn begin(&self, interrupt: &Interrupt, done: usize, images: usize) {
        let bar = self.bar.get_or_init(|| progress::bar(images as u64, "Evaluating"));
        bar.set_position(done as u64);
        self.images.set(images);
        self.done.store(done, Ordering::Relaxed);
        let (done, out) = (self.done.clone(), self.out.clone());
        interrupt.on_leaving(move || stopped(done.load(Ordering::Relaxed), images, out.as_deref()));
    }

    fn see(&self, records: &[Record]) {
        self.done.store(records.len(), Ordering::Relaxed);
        let Some(bar) = self.bar.get() else { return };
        bar.inc(1);
        if !bar.is_hidden() && records.len().is_multiple_of(16) {
            bar.set_message(output::in_short(&Summary::of(records)));
        }
    }

    fn end(&self, interrupt: &Interrupt, records: &[Record], is_whole: bool) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
        if !is_whole && interrupt.pressed() {
            eprintln!("{}", stopped(records.len(), self.images.get(), self.out.as_deref()));
        }
    }
}

/// What became of images that were gone through, when that was stopped.
pub(super) fn stopped(done: usize, images: usize, out: Option<&Path>) -> String {
    match out {
        Some(path) => format!("{done} of {images} images are in `{}`; the same command goes on.", path.display()),
        None => format!("{done} of {images} images were done; --out FILE would have kept them."),
    }
}

impl Report {
    #[allow(clippy::too_many_arguments, reason = "it is everything that a report tells")]
    fn new(
        records: &[Record],
        done: usize,
        seconds: f64,
        source: &Source,
        settings: Settings,
        parts: Vec<Part>,
        device: Found,
        threads: usize,
    ) -> Self {
        let summary = Summary::of(records);
        let interval = |count: usize| wilson_interval(count, summary.images);
        Self {
            intervals: Intervals {
                natural: interval(summary.natural_correct),
                robust: summary.robust_correct.map(interval),
                riposte_natural: summary.riposte_natural_correct.map(interval),
                riposte_robust: summary.riposte_robust_correct.map(interval),
                neighbor: summary.neighbor_correct.map(interval),
            },
            of_target: settings.target.map(|target| records.iter().filter(|record| record.label == target).count()),
            gain: Gains { natural: Gain::natural(records), robust: Gain::robust(records) },
            paper: settings.published(),
            images_computed: records.len() - done,
            summary,
            seconds,
            model: source.name.clone(),
            settings,
            parts,
            device,
            threads,
            versions: Versions { riposte: env!("CARGO_PKG_VERSION"), burn: env!("BURN_VERSION") },
        }
    }
}
