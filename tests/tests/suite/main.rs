//! Tests of the whole product, in one binary. What a test needs and this machine lacks is in its name: see `riposte-harness`.

#[macro_use]
extern crate riposte_harness;

mod attacks_counter;
mod attacks_losses;
mod attacks_quantized;
mod attacks_queries;
mod attacks_reference;
mod attacks_strong;
mod attacks_subjects;
mod bank;
mod cli_attacks;
mod cli_bank;
mod cli_bench;
mod cli_duel;
mod cli_eval;
mod cli_images;
mod cli_import;
mod cli_official;
mod cli_program;
mod cli_report;
mod cli_streams;
mod cli_train;
mod cli_usage;
mod data_download;
mod data_files;
mod data_fuzz;
mod data_official;
mod data_server;
mod devices;
mod documents;
mod forms;
mod formula;
mod golden;
mod light;
mod mixed_precision;
mod official;
mod properties;
mod python;
mod recipes;

fn main() -> std::process::ExitCode {
    riposte_harness::run()
}

/// The folder of this package, as cargo says at run time. What the compiler was told can be out of date, where a build cache is shared
/// between checkouts.
fn package() -> std::path::PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into()
}
