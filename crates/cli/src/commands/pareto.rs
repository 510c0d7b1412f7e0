//! `riposte pareto`: forms of the riposte side by side, after one attack and one search for each input.

mod lines;
mod plot;
mod table;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use riposte::attack::Progress;
use riposte::attack::counter::Event;
use riposte::bank::{Banked, Riposte};
use riposte::evaluate::{Evaluation, Prepared};
use riposte::models::Model;
use riposte::neighbor::Neighbors;
use riposte::post_train::{PostTrain, PostTraining};
use riposte::rng::Seed;
use riposte::spec::pareto::{FORMAT, Form, Header, Line, forms};
use riposte::spec::results::{Processor, Settings};
use riposte::{Classifier, ToTensor};

use super::eval::stopped;
use crate::args::ParetoArgs;
use crate::bank::Folder;
use crate::dataset::{self, Split};
use crate::device;
use crate::file;
use crate::interrupt::Interrupt;
use crate::models::{Source, hexadecimal};
use crate::output;
use crate::progress;
use crate::settings;
use crate::workers::Workers;
use lines::LinesFile;

/// # Errors
/// For settings out of range, missing files, another run's file; [`riposte::Error::Cancelled`] after Ctrl-C.
pub fn run(args: ParetoArgs) -> Result<()> {
    if !args.table.is_empty() {
        let front = table::Front::of(&args.table, args.full.as_deref())?;
        if let Some(path) = &args.plot {
            file::write_atomically(path, plot::svg(&front)?.as_bytes())?;
        }
        return output::line(&front.table());
    }
    measure(args)
}

fn measure(args: ParetoArgs) -> Result<()> {
    let source = Source::find(&args.model, args.data.dataset)?;
    let dataset = args.data.dataset.unwrap_or(source.dataset());
    let setup = settings::resolve(args.preset, dataset, &args.settings, &[])?;
    let Some(riposte) = setup.riposte else { bail!("forms of a riposte need one, and --riposte is none") };
    ensure!(
        setup.counter.is_none(),
        "forms are compared under the attack on the base model alone: leave --counter out; `riposte eval` takes it, for one form at a time"
    );
    let preset = args.preset.unwrap_or(dataset.recommended()).preset();
    let named = args.form.iter().map(|text| Ok(forms(text, &setup, &preset)?)).collect::<Result<Vec<Vec<Form>>>>()?;
    let mut forms: Vec<Form> = named.into_iter().flatten().collect();
    let own = forms.len();
    device::limit_threads(args.device.threads)?;
    let device = device::open(args.device.device)?;
    let model = source.load(&device.device)?;
    let mut banks = Vec::new();
    for path in &args.bank {
        let folder = Folder::open(path)?;
        let name =
            format!("bank {} ({} of {})", path.file_name().unwrap_or_default().display(), args.bank_copy, folder.card.draws);
        let riposte = PostTrain { search: riposte.search, ..folder.card.riposte };
        forms.push(Form { name, riposte, bank: Some(folder.used(args.bank_copy)?) });
        banks.push(folder.load(&source, &model)?);
    }
    let (test, test_hash) =
        dataset::load_hashed(dataset, Split::Test, Some(args.images), args.data.data.as_deref(), &Interrupt::default())?;
    dataset::check_shape(&test, source.architecture)?;
    ensure!(args.images <= test.len(), "there are {} test images of {dataset} here", test.len());
    let pools = dataset::pools(dataset, args.post_samples, args.data.data.as_deref(), &Interrupt::default())?;
    let pool_sha256 = dataset::hash(dataset, pools.samples()).map(hexadecimal);
    for path in &args.bank {
        Folder::open(path)?.check_pool(pool_sha256.as_deref())?;
    }
    let workers = if device.is_cpu() { Workers::on_cpu(device::threads(args.device.threads))? } else { Workers::on_gpu() };
    let settings = Settings {
        architecture: source.architecture,
        weights_sha256: source.sha256.clone(),
        reading: source.reading.clone(),
        dataset,
        test_sha256: test_hash.map(hexadecimal),
        pool_sha256,
        first: 0,
        seed: args.seed,
        device: if device.is_cpu() { Processor::Cpu } else { Processor::Gpu },
        batch: args.batch,
        natural: false,
        attack: setup.attack,
        target: setup.target,
        quantize: setup.quantize,
        riposte: setup.riposte,
        counter: None,
        post_samples: args.post_samples,
        bank: None,
        defense: None,
        counter_bank: None,
        images_sha256: None,
    };
    let header = Header { format: FORMAT.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), settings, forms };
    let out = args.out.as_deref().expect("clap asks for it");
    let (mut file, done) = LinesFile::open(out, &header)?;
    let evaluation = |defense| Evaluation {
        model: &model,
        attack: setup.attack,
        target: setup.target,
        quantize: setup.quantize,
        defense: Some(defense),
        natural: false,
        counter: None,
    };
    let adapting = |settings| Riposte::Adapting(PostTraining { model: &model, pools: &pools, settings });
    let banked = |bank| Riposte::Banked(Banked { bank, search: riposte.search, pick: args.bank_copy });
    let defenses: Vec<Riposte<Model>> =
        header.forms[..own].iter().map(|form| adapting(form.riposte)).chain(banks.iter().map(banked)).collect();
    let interrupt = Interrupt::listen()?;
    let bar = progress::bar(args.images as u64, "Comparing");
    bar.set_position(done as u64);
    let kept = Arc::new(AtomicUsize::new(done));
    let stopped = {
        let (kept, out) = (kept.clone(), out.to_owned());
        move || stopped(kept.load(Ordering::Relaxed), args.images, Some(&out))
    };
    interrupt.on_leaving(stopped.clone());
    let searching = evaluation(adapting(riposte));
    let answer = |prepared: Prepared<Neighbors>| {
        let observe = async |_: Event<'_, Model>| match interrupt.pressed() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let (mut line, mut answers, mut seconds) = (None, Vec::new(), Vec::new());
        for defense in &defenses {
            interrupt.check()?;
            let begin = Instant::now();
            let record = pollster::block_on(evaluation(*defense).defend(prepared.clone(), observe))?;
            seconds.push(begin.elapsed().as_secs_f32());
            let defended = record.riposte_attacked.or(record.riposte_natural).expect("the input was prepared for the defense");
            answers.push(defended.answer);
            line = Some((record, defended.neighbor));
        }
        let (record, neighbor) = line.expect("there is at least one form");
        let (input, label, natural, attacked) = (record.input, record.label, record.natural, record.attacked);
        Ok(Line { input, label, natural, attacked, neighbor, answers, seconds })
    };
    let observe = async |_: Progress| match interrupt.is_over() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    // Batches begin at multiples of their size, wherever the run begins: it goes on as one without a stop does.
    let mut compare = |start: usize| {
        let batch = start..args.images.min(start + args.batch);
        let images = test.images().to_tensor(batch.clone(), &model.device());
        let labels: Vec<usize> = batch.clone().map(|index| test.label(index)).collect();
        let draws = Seed(args.seed).inputs(batch.map(|index| index as u64));
        let prepared = pollster::block_on(searching.prepare(images, &labels, &draws, observe))?;
        workers.run(prepared.into_iter().skip(done.saturating_sub(start)).collect(), answer, |line| {
            file.append(&line)?;
            bar.inc(1);
            kept.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    };
    let outcome = (done / args.batch * args.batch..args.images).step_by(args.batch).try_for_each(&mut compare);
    bar.finish_and_clear();
    if outcome.is_err() && interrupt.pressed() {
        eprintln!("{}", stopped());
    }
    outcome?;
    output::line(&table::Front::of(&[out.to_owned()], None)?.table())
}
