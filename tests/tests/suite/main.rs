//! Tests of the whole product, in one binary.

mod cli_duel;
mod cli_eval;
mod cli_import;
mod cli_program;
mod cli_train;
mod cli_usage;
mod data_download;
mod data_files;
mod data_fuzz;
mod data_official;
mod data_server;
mod devices;
mod formula;
mod golden;
mod official;
mod properties;
