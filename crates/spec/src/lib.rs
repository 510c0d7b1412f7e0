//! What a run is and what came of it, as plain data: no tensors, no files, no flags.
//!
//! Everything that a person can choose is declared here once. A value that is one of a few is a [`Choice`]: its word is the
//! same in JSON, on the command line, in an address and on the page. A setting is a row of [`keys::KEYS`]: command line, page
//! and addresses are made from that table.
//!
//! - [`setup`]: an attack and a defense; its parts in [`attack`], [`quantize`], [`search`] and [`post_train`], named ones in [`preset`];
//!   copies made beforehand in [`bank`].
//! - [`dataset`], [`architecture`], [`card`]: what is attacked. [`train`]: how a base model is trained.
//! - [`class`], [`outcome`]: what a classifier says, and how a duel ended.
//! - [`record`], [`results`], [`summary`]: one line for each input, the file of such lines, the figures that follow from them;
//!   [`doubt`]: what makes such a figure doubtful; [`counter`]: attacks on the defense, and what they leave of it;
//!   [`speed`]: the times of answers; [`queries`]: attackers who can only ask.
//! - [`mod@bench`]: the paper's tables as cells; [`paper`]: its figures; [`verdict`]: what measured ones say of them.
//! - [`pareto`]: forms of the defense side by side; what each costs is counted in [`work`].
//! - [`transform`]: defenses that the riposte is compared with.
//! - [`units`]: numbers as people write them.

#![warn(missing_docs)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::dbg_macro)]

pub mod architecture;
pub mod attack;
pub mod bank;
pub mod bench;
pub mod card;
mod choice;
pub mod class;
pub mod counter;
pub mod dataset;
pub mod doubt;
pub mod duel;
mod error;
pub mod keys;
pub mod normalization;
pub mod outcome;
pub mod paper;
pub mod pareto;
pub mod post_train;
pub mod preset;
pub mod quantize;
pub mod queries;
pub mod record;
pub mod results;
pub mod search;
pub mod setup;
pub mod speed;
pub mod summary;
pub mod train;
pub mod transform;
pub mod units;
pub mod verdict;
pub mod work;

pub use choice::Choice;
pub use error::{Error, Result};
