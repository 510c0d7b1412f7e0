//! Table 5: seconds an input, each answered alone, of attacked images as the paper's protocol has them.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;
use burn::tensor::Tensor;
use riposte::attack::counter::Event;
use riposte::defense::{Answer, Defense, Gradients, Static};
use riposte::evaluate::Evaluation;
use riposte::models::Model;
use riposte::post_train::{PostTraining, Progress};
use riposte::rng::{Draws, Seed};
use riposte::spec::bench::{Protocol, ROWS, Table, preset};
use riposte::spec::setup::Setup;
use riposte::spec::speed::{FORMAT, Head, Timing};
use riposte::{Classifier, ToTensor};

use super::hall::Hall;
use super::work::within_budget;
use crate::args::SuiteArgs;
use crate::file;
use crate::host::floats;
use crate::interrupt::Interrupt;
use crate::progress;
use crate::run::Stage;

/// Inputs of a row that are timed, after the first one, in which a device compiles and allocates.
const INPUTS: usize = 40;
/// A row ends early when it has taken so long, but not before two inputs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The timing of a model.
pub(super) struct Speed {
    subject: usize,
    pub name: String,
}

/// The models to time.
pub(super) fn of(args: &SuiteArgs, hall: &Hall) -> Vec<Speed> {
    // The machines of a cluster need not be alike: the first one speaks for itself.
    let asked = args.tables().contains(&Table::Speed) && args.is_first();
    let named = hall.subjects.iter().map(|subject| format!("{}-speed", subject.name)).enumerate();
    let wanted = named.filter(|(_, name)| args.only.is_empty() || args.only.iter().any(|text| name.contains(text.as_str())));
    wanted.filter(|_| asked).map(|(subject, name)| Speed { subject, name }).collect()
}

/// Times the models that have no file of this device yet, until `deadline` if there is one, and tells which files are not there for that. A
/// model is timed whole or not at all.
///
/// # Errors
/// Of the core; if a file cannot be written; [`riposte::Error::Cancelled`] after Ctrl-C.
pub(super) fn run(
    hall: &Hall,
    speeds: &[Speed],
    folder: &Path,
    interrupt: &Interrupt,
    deadline: Option<Instant>,
) -> Result<Vec<String>> {
    let (stop, mut unfinished) = (interrupt.or_at(deadline), Vec::new());
    for Speed { subject, name } in speeds {
        let stage = hall.stage(*subject);
        let path = folder.join(format!("{name}.jsonl"));
        let head = Head {
            format: FORMAT.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            architecture: stage.source.architecture,
            weights_sha256: stage.source.identity()?,
            dataset: stage.dataset,
            device: hall.device.to_string(),
            threads: hall.threads,
        };
        interrupt.check()?;
        if is_there(&path, &head) {
            continue;
        }
        let Some(timings) = within_budget(time_rows(&stage, &stop), interrupt)? else {
            unfinished.push(format!("{name}.jsonl (nothing yet)"));
            continue;
        };
        let mut lines = serde_json::to_string(&head)? + "\n";
        for timing in timings {
            writeln!(lines, "{}", serde_json::to_string(&timing)?)?;
        }
        file::write_atomically(&path, lines.as_bytes())?;
    }
    Ok(unfinished)
}

fn time_rows(stage: &Stage, stop: &Interrupt) -> Result<Vec<Timing>> {
    let keys = ROWS.iter().filter(|row| row.tables.contains(&Table::Mnist)).map(|row| row.key);
    let rows = std::iter::once("base").chain(keys).map(|key| time_row(stage, key, stop));
    Ok(rows.collect::<Result<Vec<_>>>()?.concat())
}

fn is_there(path: &Path, head: &Head) -> bool {
    let head = serde_json::to_string(head).unwrap_or_default();
    std::fs::read_to_string(PathBuf::from(path)).is_ok_and(|text| text.lines().next() == Some(head.as_str()))
}

fn time_row(stage: &Stage, key: &str, stop: &Interrupt) -> Result<Vec<Timing>> {
    let preset = preset(stage.dataset, stage.source.architecture);
    let row = ROWS.iter().find(|row| row.key == key);
    let setup = row.map_or(Ok(preset.preset().setup()), |row| row.setup(preset, Protocol::Paper))?;
    let defense = match (row, setup.riposte.zip(stage.pools)) {
        (Some(_), Some((settings, pools))) => Answering::Riposte(PostTraining { model: stage.model, pools, settings }),
        _ => Answering::Base(Static(stage.model)),
    };
    let seconds = Mutex::new(0.0);
    let defense = Some(Timed { defense, seconds: &seconds });
    let Setup { attack, target, quantize, .. } = setup;
    let evaluation = Evaluation { model: stage.model, attack, target, quantize, defense, natural: false, counter: None };
    let bar = progress::bar(INPUTS as u64, &format!("Timing {key}"));
    let clock = Instant::now();
    let mut timings = Vec::new();
    for input in 0..=INPUTS.min(stage.test.len().saturating_sub(1)) {
        stop.check()?;
        let image = stage.test.images().to_tensor(input..input + 1, &stage.model.device());
        let draws = [Seed(0).input(input as u64)];
        let observe = async |_: Event<'_, Model>| match stop.is_over() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let records = pollster::block_on(evaluation.run(image, &[stage.test.label(input)], &draws, observe))?;
        let answer = records[0].riposte_attacked;
        let adapted = answer.is_some_and(|answer| answer.adapted());
        let seconds = *seconds.lock().expect("no thread panics while it has it");
        timings.push(Timing { row: key.to_owned(), input: input as u64, adapted, seconds });
        bar.inc(1);
        if clock.elapsed() > PATIENCE && timings.len() > 2 {
            break;
        }
    }
    bar.finish_and_clear();
    // The first input that adapts compiles what the others did not need.
    let first_adapted = timings.iter().position(|timing| timing.adapted);
    let warm = |index: usize| index > 0 && Some(index) != first_adapted;
    Ok(timings.into_iter().enumerate().filter(|(index, _)| warm(*index)).map(|(_, timing)| timing).collect())
}

enum Answering<'a> {
    Base(Static<'a, Model>),
    Riposte(PostTraining<'a, Model>),
}

/// A defense that does everything in its second half, against the clock.
struct Timed<'a> {
    defense: Answering<'a>,
    /// Of the last answer.
    seconds: &'a Mutex<f64>,
}

impl Defense for Timed<'_> {
    type Model = Model;
    /// The image.
    type Prepared = Tensor<4>;

    fn gradients(&self) -> Gradients {
        match &self.defense {
            Answering::Base(defense) => defense.gradients(),
            Answering::Riposte(defense) => defense.gradients(),
        }
    }

    fn is_random(&self) -> bool {
        match &self.defense {
            Answering::Base(defense) => defense.is_random(),
            Answering::Riposte(defense) => defense.is_random(),
        }
    }

    async fn prepare(&self, images: Tensor<4>, draws: &[Draws]) -> riposte::Result<Vec<Tensor<4>>> {
        Ok(images.chunk(draws.len(), 0))
    }

    async fn respond(
        &self,
        image: Tensor<4>,
        draws: Draws,
        observe: impl AsyncFnMut(Progress<'_, Model>) -> ControlFlow<()>,
    ) -> riposte::Result<Answer<Model>> {
        // The attack may still be under way on a device that computes by itself.
        image.clone().sum().into_data_async().await.map_err(|error| riposte::Error::Device(error.to_string()))?;
        let clock = Instant::now();
        let answer = match &self.defense {
            Answering::Base(defense) => defense.answer(image, draws, observe).await?,
            Answering::Riposte(defense) => defense.answer(image, draws, observe).await?,
        };
        floats(answer.logits.clone()).map_err(|error| riposte::Error::Device(error.to_string()))?;
        *self.seconds.lock().expect("no thread panics while it has it") = clock.elapsed().as_secs_f64();
        Ok(answer)
    }
}
