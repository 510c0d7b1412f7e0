//! What `riposte bank` takes, and the flags of the commands that answer with a bank.

use std::path::PathBuf;

use clap::Args;
use riposte::bank::Pick;
use riposte::spec::preset::PresetName;

use super::parse::{choice, count};
use super::{DataArgs, DeviceArgs, ModelArgs, SettingFlags};

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte bank --riposte fast --out fast-bank     45 copies of the model for digits, one for each pair of classes
  riposte bank --dataset cifar10 --riposte fast --post-parameters head --draws 4 --out head-bank
  riposte eval --bank fast-bank --images 1000     answer with them: a search and one forward pass for an input")]
pub struct BankArgs {
    /// Folder for the copies and their card; where one with the same settings is begun, go on with it
    #[arg(long, short, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Copies of each pair of classes
    #[arg(long, value_name = "K", default_value = "1", value_parser = count)]
    pub draws: usize,
    /// A setup of the paper, or a light form of one [default: the one recommended for the dataset]
    #[arg(long, value_name = "NAME", value_parser = choice::<PresetName>())]
    pub preset: Option<PresetName>,
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub settings: SettingFlags,
    /// Draw the training samples of the riposte from the first N alone; the page holds 10000 [default: all]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Riposte")]
    pub post_samples: Option<usize>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Of a command that can answer with a bank.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Riposte")]
pub struct BankFlags {
    /// Answer with the copies that `riposte bank` made in this folder: their settings take the place of the preset's
    #[arg(long, value_name = "FOLDER", conflicts_with = "post_samples")]
    pub bank: Option<PathBuf>,
    /// Which copy of a pair of classes answers
    #[arg(long, value_name = "WHICH", default_value = "drawn", requires = "bank", value_parser = choice::<Pick>())]
    pub bank_copy: Pick,
}
