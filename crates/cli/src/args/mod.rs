//! The command line as the user types it. Parsed once; [`crate::settings`] turns it into plain settings.

mod bank;
mod bench;
mod data;
mod detect;
mod model;
mod pareto;
mod parse;
mod report;
mod settings;
mod source;
mod work;

use clap::{Parser, Subcommand};

pub use bank::{BankArgs, BankFlags};
pub use bench::{Shard, SuiteArgs, What};
pub use data::{DataArgsCommand, DataCommand};
pub use detect::DetectArgs;
pub use model::{ImportArgs, ModelsArgs, TrainArgs};
pub use pareto::ParetoArgs;
pub use parse::{choice, count};
pub use report::ReportArgs;
pub use settings::SettingFlags;
pub use source::{DataArgs, DeviceArgs, ModelArgs, ReadingArgs, WidthArgs};
pub use work::{BenchArgs, BenchTask, DevicesArgs, DuelArgs, EvalArgs, Ground, Layers, Pick, Switch};

/// Attack an image classifier, watch it adapt to that one input, and see what it answers.
#[derive(Debug, Parser)]
#[command(
    name = "riposte",
    version,
    about,
    long_about = "Attack an image classifier, watch it adapt to that one input, and see what it answers.\n\n\
        Without a command it runs `duel`: one image, attacked and defended, and a report in HTML. Without data and weights it \
        uses procedural digits and a model that comes with the program.",
    after_help = "\
Examples:
  riposte                                         one digit, attacked and defended; report in riposte.html
  riposte --dataset mnist --index 7 --riposte fast
  riposte eval --preset f-mnist --weights fast.pth --architecture fast-mnist-cnn --dataset mnist --images 1000
  riposte train --architecture fast-mnist-cnn --dataset digits --method fast --out runs/digits
  riposte data fetch mnist
  riposte help eval                               everything that a command takes",
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub duel: DuelArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attack one image, let the classifier adapt to it, and write a report (the default command)
    Duel(DuelArgs),
    /// Attack and defend a range of test images: accuracies with intervals, JSON Lines, resumable
    Eval(EvalArgs),
    /// Adapt copies to every pair of classes beforehand, for --bank: resumable
    Bank(BankArgs),
    /// Tell attacked images by feature squeezing: how many of a file's, at how many false alarms
    Detect(DetectArgs),
    /// Compare forms of the riposte: what each gains, and what it costs
    Pareto(ParetoArgs),
    /// Run the paper's tables, cell by cell: resumable, within a budget of time, in parts on several machines
    Bench(SuiteArgs),
    /// Tables, intervals and verdicts from a folder of results files: HTML, Markdown, JSON
    Report(ReportArgs),
    /// Convert a PyTorch file (.pth, .pt) to safetensors
    Import(ImportArgs),
    /// Train a robust base model, with checkpoints and exact resume
    Train(TrainArgs),
    /// Models that come with the program: recipes, accuracies, sizes
    Models(ModelsArgs),
    /// Datasets: what there is, download, verification, a contact sheet
    Data(DataArgsCommand),
    /// Devices: what is available, and which one `auto` takes
    Devices(DevicesArgs),
    /// Time the hot paths, for comparison with other programs
    BenchSpeed(BenchArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_without_a_command_are_those_of_duel() {
        let cli = Cli::try_parse_from(["riposte", "--index", "7", "--epsilon", "8/255"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.duel.index, Some(7));
        assert_eq!(cli.duel.settings.given().collect::<Vec<_>>(), [("epsilon", "8/255")]);
    }

    #[test]
    fn every_command_shows_examples_in_its_help() {
        for command in Cli::command().get_subcommands() {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("Examples:"), "`{}` has no examples", command.get_name());
        }
    }
}
