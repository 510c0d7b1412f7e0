//! `riposte eval`: accuracies of a model and of its riposte over a range of test images.

mod table;

use std::time::Instant;

use anyhow::{Result, ensure};
use riposte::bank::{Banked, Riposte};
use riposte::evaluate::{Evaluation, Gain, Record, Summary, wilson_interval};
use riposte::post_train::PostTraining;
use riposte::rng::Seed;
use riposte::spec::results::{Header, Part, Processor, Settings};
use riposte::spec::setup::Setup;
use serde::Serialize;

use crate::args::{EvalArgs, Switch};
use crate::dataset::{self, Split};
use crate::device::{self, Found};
use crate::evaluation::Inputs;
use crate::interrupt::Interrupt;
use crate::models::Source;
use crate::output;
use crate::paper::Published;
use crate::progress;
use crate::results::ResultsFile;
use crate::settings;
use crate::workers::Workers;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    summary: Summary,
    /// Wall-clock time of this run, without loading; the images of an earlier run that it went on from are not in it.
    seconds: f64,
    /// Images computed in this run.
    images_computed: usize,
    /// 95 % Wilson intervals of the accuracies.
    intervals: Intervals,
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
/// For settings out of range, missing files, another run's results; [`riposte::Error::Cancelled`] after Ctrl-C.
pub fn run(args: EvalArgs) -> Result<()> {
    let source = Source::find(&args.model, args.data.dataset)?;
    let dataset = args.data.dataset.unwrap_or(source.dataset());
    let folder = args.bank.folder()?;
    let setup = settings::resolve(args.preset, dataset, &args.settings)?;
    let setup = folder.as_ref().map_or(Ok(setup), |folder| folder.setup(setup, &args.settings))?;
    device::limit_threads(args.device.threads)?;
    let device = device::open(args.device.device)?;
    let model = source.load(&device.device)?;
    let (first, images) = (args.first, args.images);
    let end = first.saturating_add(images);
    let test = dataset::load(dataset, Split::Test, Some(end), args.data.data.as_deref())?;
    dataset::check_shape(&test, source.architecture)?;
    let all = dataset.size(Split::Test);
    ensure!(end <= test.len(), "{dataset} has {all} test images: {images} from number {first} on are more than there are");
    let bank = folder.as_ref().map(|folder| folder.load(&source, &model)).transpose()?;
    let train = match setup.riposte {
        Some(_) if bank.is_none() => Some(dataset::pools(dataset, args.post_samples, args.data.data.as_deref())?),
        _ => None,
    };
    let threads = device::threads(args.device.threads);
    let workers = if device.is_cpu() { Workers::on_cpu(threads)? } else { Workers::on_gpu() };
    let batch = args.batch.unwrap_or(if device.is_cpu() { 128 } else { 512 });
    let natural = args.natural == Switch::On;
    let settings = Settings {
        architecture: source.architecture,
        weights_sha256: source.sha256.clone(),
        dataset,
        first: first as u64,
        seed: args.seed,
        device: processor(&device),
        batch,
        natural,
        attack: setup.attack,
        target: setup.target,
        riposte: setup.riposte,
        counter: setup.counter,
        post_samples: folder.as_ref().map_or(args.post_samples, |folder| folder.card.post_samples),
        bank: folder.as_ref().map(|folder| folder.used(args.bank.bank_copy)),
    };
    let (mut file, mut records) = match &args.out {
        Some(path) => {
            let (file, records) = ResultsFile::open(path, Header::new(settings.clone()))?;
            (Some(file), records)
        }
        None => (None, Vec::new()),
    };
    records.truncate(images);
    let done = records.len();
    let begin = file.as_ref().map_or(first, |file| file.part_begin() as usize).min(first + done);
    if let (Some(file), Some(path), true) = (&file, &args.out, done > 0) {
        eprintln!("Going on after {done} images in `{}`.", path.display());
        if let Some(part) = file.parts().last().filter(|_| begin == first + done && done < images) {
            eprintln!("The last of them were computed otherwise ({}): what follows gets a header of its own.", part.how());
        }
    }
    let defense = match (setup.riposte, &bank, &train) {
        (Some(settings), Some(bank), _) => {
            Some(Riposte::Banked(Banked { bank, search: settings.search, pick: args.bank.bank_copy }))
        }
        (Some(settings), None, Some(pools)) => Some(Riposte::Adapting(PostTraining { model: &model, pools, settings })),
        _ => None,
    };
    let Setup { attack, target, counter, .. } = setup;
    let evaluation = Evaluation { model: &model, attack, target, defense, natural, counter };
    let inputs = Inputs { test: &test, seed: Seed(args.seed), batch };
    let interrupt = Interrupt::listen()?;
    let bar = progress::bar(images as u64, "Evaluating");
    bar.set_position(done as u64);
    let clock = Instant::now();
    let outcome = inputs.evaluate(&evaluation, begin..end, first + done - begin, &workers, &interrupt, |record| {
        if let Some(file) = &mut file {
            file.append(&record)?;
        }
        records.push(record);
        bar.inc(1);
        if !bar.is_hidden() && records.len() % 16 == 0 {
            bar.set_message(table::in_short(&Summary::of(&records)));
        }
        Ok(())
    });
    let seconds = clock.elapsed().as_secs_f64();
    bar.finish_and_clear();
    if outcome.is_err() && interrupt.pressed() {
        match &args.out {
            Some(path) => {
                eprintln!("{} of {images} images are in `{}`; the same command goes on.", records.len(), path.display())
            }
            None => eprintln!("{} of {images} images were done; --out FILE would have kept them.", records.len()),
        }
    }
    outcome?;
    let parts = match file {
        Some(file) => file.parts_before(end as u64),
        None => vec![Part { first: first as u64, images: images as u64, device: processor(&device), batch }],
    };
    let report = Report::new(&records, done, seconds, &setup, &source, settings, parts, device, threads);
    if args.json { output::json(&report) } else { output::line(&table::of(&report, dataset, &source)) }
}

fn processor(device: &Found) -> Processor {
    if device.is_cpu() { Processor::Cpu } else { Processor::Gpu }
}

impl Report {
    #[allow(clippy::too_many_arguments, reason = "it is everything that a report tells")]
    fn new(
        records: &[Record],
        done: usize,
        seconds: f64,
        setup: &Setup,
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
            gain: Gains { natural: Gain::natural(records), robust: Gain::robust(records) },
            paper: Published::of(setup, source.architecture),
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
