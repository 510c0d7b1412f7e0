//! What `riposte data` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::parse::{choice, count, folder};
use riposte::spec::dataset::{DatasetId, Split};

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte data list
  riposte data fetch mnist
  riposte data verify --data DIR
  riposte data preview digits --out digits.png")]
pub struct DataArgsCommand {
    #[command(subcommand)]
    pub command: DataCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum DataCommand {
    /// The datasets, and where their files were found
    List {
        /// Folder with the official files
        #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA", value_parser = folder())]
        data: Option<PathBuf>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Download a dataset's official files to the cache folder
    Fetch {
        #[arg(value_name = "DATASET", value_parser = choice::<DatasetId>())]
        dataset: DatasetId,
    },
    /// Read the files that are there to the end and check them against the official checksums
    Verify {
        /// Which dataset [default: all that are there]
        #[arg(value_name = "DATASET", value_parser = choice::<DatasetId>())]
        dataset: Option<DatasetId>,
        /// Folder with the official files
        #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA", value_parser = folder())]
        data: Option<PathBuf>,
    },
    /// Write a PNG with the first images of each class
    Preview {
        #[arg(value_name = "DATASET", value_parser = choice::<DatasetId>())]
        dataset: DatasetId,
        /// Where to write
        #[arg(long, short, value_name = "FILE", default_value = "preview.png")]
        out: PathBuf,
        /// Which images
        #[arg(long, value_name = "SPLIT", default_value = "test", value_parser = choice::<Split>())]
        split: Split,
        /// Images of each class
        #[arg(long, value_name = "N", default_value = "16", value_parser = count)]
        columns: usize,
        /// Folder with the official files
        #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA", value_parser = folder())]
        data: Option<PathBuf>,
    },
}
