//! `riposte bank`: copies that have adapted before any input comes, in a folder; stopped at any time, the same command goes on.

use std::ops::ControlFlow;

use anyhow::{Result, bail, ensure};
use riposte::bank::{Bank, BankCard, Difference, Pair};
use riposte::models::Model;
use riposte::post_train::Progress;
use riposte::rng::Seed;
use riposte::spec::bank::FORMAT;

use crate::args::BankArgs;
use crate::bank::Folder;
use crate::dataset;
use crate::device;
use crate::interrupt::Interrupt;
use crate::models::{Source, hexadecimal};
use crate::output;
use crate::progress;
use crate::settings;
use crate::workers::Workers;

/// # Errors
/// For settings that a bank cannot hold, missing files, another bank's folder; [`riposte::Error::Cancelled`] after Ctrl-C.
pub fn run(args: BankArgs) -> Result<()> {
    let source = Source::find(&args.model, args.data.dataset)?;
    let dataset = args.data.dataset.unwrap_or(source.dataset());
    let setup = settings::resolve(args.preset, dataset, &args.settings, &[])?;
    let Some(riposte) = setup.riposte else { bail!("a bank needs a riposte, and --riposte is none") };
    ensure!(
        setup.counter.is_none(),
        "copies adapt before anybody attacks: leave --counter out here; `riposte eval --bank` takes it"
    );
    device::limit_threads(args.device.threads)?;
    let device = device::open(args.device.device)?;
    let model = source.load(&device.device)?;
    let bank = Bank::new(model, riposte)?;
    let pools = dataset::pools(dataset, args.post_samples, args.data.data.as_deref(), &Interrupt::default())?;
    dataset::check_shape(pools.samples(), source.architecture)?;
    let card = BankCard {
        format: FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        architecture: source.architecture,
        weights_sha256: source.identity()?,
        dataset,
        post_samples: args.post_samples,
        pool_sha256: dataset::hash(dataset, pools.samples()).map(hexadecimal),
        seed: args.seed,
        draws: args.draws,
        riposte,
    };
    let folder = Folder::begin(&args.out, card)?;
    let pairs = Pair::all(riposte::Classifier::classes(bank.base()));
    let mut missing = Vec::new();
    for pair in &pairs {
        match folder.copies(&bank, *pair) {
            Ok(Some(_)) => {}
            Ok(None) => missing.push(*pair),
            Err(error) => {
                eprintln!("Note: {error:#}; it is made anew.");
                missing.push(*pair);
            }
        }
    }
    if missing.len() < pairs.len() {
        eprintln!("Going on with {} of {} pairs in `{}`.", pairs.len() - missing.len(), pairs.len(), args.out.display());
    }
    let workers = if device.is_cpu() { Workers::on_cpu(device::threads(args.device.threads))? } else { Workers::on_gpu() };
    let interrupt = Interrupt::listen()?;
    let bar = progress::bar(pairs.len() as u64, "Adapting");
    bar.set_position((pairs.len() - missing.len()) as u64);
    let make = |pair: Pair| {
        interrupt.check()?;
        let observe = async |_: Progress<'_, Model>| match interrupt.pressed() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let seed = Seed(args.seed);
        let copies = (0..args.draws).map(|draw| Ok(pollster::block_on(bank.make(&pools, pair, draw, seed, observe))?));
        Ok((pair, copies.collect::<Result<Vec<Difference>>>()?))
    };
    let outcome = workers.run(missing, make, |(pair, copies)| {
        folder.write(pair, &bank.to_safetensors(&copies))?;
        bar.inc(1);
        Ok(())
    });
    bar.finish_and_clear();
    outcome?;
    output::line(&format!(
        "{} copies of {}, {} for each pair of classes: `riposte eval --bank {}` answers with them.",
        pairs.len() * args.draws,
        source.name,
        args.draws,
        args.out.display()
    ))
}
