//! What `riposte pareto` takes.

use std::path::PathBuf;

use clap::Args;
use riposte::bank::Pick;
use riposte::spec::preset::PresetName;

use super::parse::{choice, count};
use super::{DataArgs, DeviceArgs, ModelArgs, SettingFlags};

#[derive(Debug, Clone, Args)]
#[command(override_usage = "\
riposte pareto --out <FILE> <--form <SETTINGS>|--bank <FOLDER>>... [OPTIONS]
       riposte pareto --table <FILE>... [--full <FILE>] [--plot <FILE>]")]
#[command(after_help = "\
Examples:
  riposte pareto --images 200 --out forms.jsonl --form '' --form 'post-parameters=head,last-stage post-draws=kept' \\
      --form 'post-parameters=head post-draws=kept post-learning-rate=0.01,0.1 post-iterations=10,50'
  riposte pareto --table forms.jsonl more.jsonl --full full.jsonl --plot front.svg")]
pub struct ParetoArgs {
    /// A form of the riposte, as settings `key=value` over those of the run, separated by spaces; `key=a,b` for several forms. Can
    /// be given several times. Without --table, a form or a --bank is needed
    #[arg(long, value_name = "SETTINGS", required_unless_present_any = ["table", "bank"])]
    pub form: Vec<String>,
    /// A form that answers with the copies of `riposte bank` in this folder. Can be given several times
    #[arg(long, value_name = "FOLDER", conflicts_with = "table")]
    pub bank: Vec<PathBuf>,
    /// Which copy of a pair of classes answers
    #[arg(long, value_name = "WHICH", default_value = "drawn", requires = "bank", value_parser = choice::<Pick>())]
    pub bank_copy: Pick,
    /// How many test images
    #[arg(long, short = 'n', value_name = "N", default_value = "100", value_parser = count)]
    pub images: usize,
    /// Write one JSON line for each input to this file, which is needed without --table; if it exists with the same settings, go on where
    /// it ends
    #[arg(long, short, value_name = "FILE", required_unless_present = "table")]
    pub out: Option<PathBuf>,
    /// Print the table of these files, and compute nothing
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["form", "out"])]
    pub table: Vec<PathBuf>,
    /// Results of `riposte eval` with the full form on the same inputs, to compare with [default: the form that changes nothing]
    #[arg(long, value_name = "FILE", requires = "table")]
    pub full: Option<PathBuf>,
    /// Draw accuracy over work to this SVG file
    #[arg(long, value_name = "FILE", requires = "table")]
    pub plot: Option<PathBuf>,
    /// A setup of the paper that the forms change [default: the one recommended for the dataset]
    #[arg(long, value_name = "NAME", value_parser = choice::<PresetName>())]
    pub preset: Option<PresetName>,
    /// Images attacked at once
    #[arg(long, value_name = "N", default_value = "128", value_parser = count)]
    pub batch: usize,
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
