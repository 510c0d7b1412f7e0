//! What `riposte report` takes.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte report runs/mnist                       writes report.html, report.md and report.json there
  riposte report runs/mnist --out docs/results/mnist")]
pub struct ReportArgs {
    /// Folder with the results files of `riposte bench` or `riposte eval`
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Folder to write to [default: the same]
    #[arg(long, short, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
