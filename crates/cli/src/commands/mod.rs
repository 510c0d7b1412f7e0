//! One file for each command: it resolves its flags, calls the core, and shows what came out.

pub mod bank;
pub mod bench;
pub mod bench_speed;
pub mod data;
pub mod detect;
pub mod devices;
pub mod duel;
pub mod eval;
pub mod import;
pub mod models;
pub mod pareto;
pub mod report;
pub mod train;
