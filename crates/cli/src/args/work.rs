//! What each command takes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use riposte::models::Architecture;

use super::parse::{count, pixels, positive};
use super::{AttackArgs, DataArgs, DatasetName, DeviceArgs, ModelArgs, RiposteArgs};

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte duel                                    the first digit that the attack fools
  riposte duel --index 7 --epsilon 0.2
  riposte duel --pick answered                    the first fooled digit that the riposte answers rightly
  riposte duel --dataset mnist --weights fast.pth --architecture fast-mnist-cnn --preset f-mnist --riposte fast
  riposte duel --json --out none | jq .answer")]
pub struct DuelArgs {
    /// Number of the test image [default: chosen by --pick]
    #[arg(long, value_name = "N")]
    pub index: Option<usize>,
    /// Which image to choose when none is named
    #[arg(long, value_name = "WHICH", default_value = "fooled", conflicts_with = "index")]
    pub pick: Pick,
    /// A setup of the paper: f-mnist, m-mnist, f-cifar, m-cifar
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Where to write the report, or `none`
    #[arg(long, short, value_name = "FILE", default_value = "riposte.html")]
    pub out: PathBuf,
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print one JSON object on standard output instead of the story
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub attack: AttackArgs,
    #[command(flatten)]
    pub riposte: RiposteArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pick {
    /// The first image that the attack fools
    Fooled,
    /// The first fooled image that the riposte answers rightly
    Answered,
    /// The first fooled image that the riposte answers wrongly, too
    Failed,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte eval --images 200                       digits, the model that comes with the program, the recommended settings
  riposte eval --preset f-mnist --weights fast.pth --architecture fast-mnist-cnn --dataset mnist --data DIR \\
      --images 2000 --out f-mnist.jsonl           stop it at any time; the same command goes on
  riposte eval --weights fast.safetensors --dataset mnist --images 10000 --attack pgd --epsilon 0.3 --step-size 0.01 \\
      --steps 40 --start zero --stop never --riposte none --device cpu --json")]
pub struct EvalArgs {
    /// How many test images
    #[arg(long, short = 'n', value_name = "N", default_value = "100", value_parser = count)]
    pub images: usize,
    /// Number of the first one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub first: usize,
    /// A setup of the paper that sets everything; flags override it: f-mnist, m-mnist, f-cifar, m-cifar
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Also run the riposte on the natural images, as the paper does
    #[arg(long, value_name = "SWITCH", default_value = "on")]
    pub natural: Switch,
    /// Write one JSON line for each input to this file; if it exists with the same settings, go on where it ends
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Images attacked at once [default: 128 on the CPU, 512 on a GPU]
    #[arg(long, value_name = "N", value_parser = count)]
    pub batch: Option<usize>,
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print one JSON object on standard output instead of the table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub attack: AttackArgs,
    #[command(flatten)]
    pub riposte: RiposteArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte import fast.pth --architecture fast-mnist-cnn -o fast.safetensors
  riposte import resnet.pt --architecture preact-resnet18 -o resnet.safetensors --half")]
pub struct ImportArgs {
    /// The PyTorch file
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// What the weights belong to
    #[arg(long, value_name = "NAME")]
    pub architecture: Architecture,
    /// Where to write
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
    /// Store 16-bit floats; biases and batch normalization stay 32-bit
    #[arg(long)]
    pub half: bool,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte train --architecture fast-mnist-cnn --dataset mnist --method fast --out runs/fast
  riposte train --architecture fast-mnist-cnn --dataset mnist --method fast --out runs/fast --resume
  riposte train --architecture madry-mnist-cnn --dataset digits --method pgd --epochs 5 --out runs/madry-digits")]
pub struct TrainArgs {
    /// What to train
    #[arg(long, value_name = "NAME")]
    pub architecture: Architecture,
    /// What to train on
    #[arg(long, value_name = "NAME", default_value = "digits")]
    pub dataset: DatasetName,
    /// Folder with the official files; otherwise they are taken from the cache folder or downloaded
    #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA")]
    pub data: Option<PathBuf>,
    /// Adversarial training with FGSM from a random start or with PGD, or ordinary training
    #[arg(long, value_name = "NAME", default_value = "fast")]
    pub method: TrainMethod,
    /// Folder of the run: checkpoint, log, and at the end the model with its card
    #[arg(long, short, value_name = "DIR")]
    pub out: PathBuf,
    /// Go on from the folder's checkpoint
    #[arg(long)]
    pub resume: bool,
    /// Id of the model on its card [default: dataset, method and architecture]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Passes over the training set
    #[arg(long, value_name = "N", value_parser = count)]
    pub epochs: Option<usize>,
    /// Samples of a batch
    #[arg(long, value_name = "N", value_parser = count)]
    pub batch_size: Option<usize>,
    /// Peak of the learning rate
    #[arg(long, value_name = "RATE", value_parser = positive, allow_hyphen_values = true)]
    pub lr: Option<f32>,
    /// Radius of the training attack in pixel units: 0.3 or 8/255
    #[arg(long, value_name = "SIZE", value_parser = pixels, allow_hyphen_values = true)]
    pub epsilon: Option<f32>,
    /// Step of the training attack
    #[arg(long, value_name = "SIZE", value_parser = pixels, allow_hyphen_values = true)]
    pub step_size: Option<f32>,
    /// Steps of the training attack (method pgd)
    #[arg(long, value_name = "N", value_parser = count)]
    pub steps: Option<usize>,
    /// Train on the first N samples alone
    #[arg(long, value_name = "N", value_parser = count)]
    pub samples: Option<usize>,
    /// Test images measured at the end of each epoch
    #[arg(long, value_name = "N", default_value = "500", value_parser = count)]
    pub check_images: usize,
    /// Test images measured at the end of the run [default: all]
    #[arg(long, value_name = "N", value_parser = count)]
    pub test_images: Option<usize>,
    /// Write a checkpoint every N steps, besides those at the end of each epoch and at Ctrl-C
    #[arg(long, value_name = "N", default_value = "200", value_parser = count)]
    pub checkpoint_steps: usize,
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrainMethod {
    Fast,
    Pgd,
    Natural,
}

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
        #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA")]
        data: Option<PathBuf>,
        /// Print one JSON object on standard output
        #[arg(long)]
        json: bool,
    },
    /// Download a dataset's official files to the cache folder
    Fetch {
        #[arg(value_name = "DATASET")]
        dataset: DatasetName,
        /// Folder for the files [default: the cache folder]
        #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA")]
        data: Option<PathBuf>,
    },
    /// Check the files that were found against the official checksums
    Verify {
        /// Which dataset [default: all that were found]
        #[arg(value_name = "DATASET")]
        dataset: Option<DatasetName>,
        /// Folder with the official files
        #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA")]
        data: Option<PathBuf>,
    },
    /// Write a PNG with the first images of each class
    Preview {
        #[arg(value_name = "DATASET")]
        dataset: DatasetName,
        /// Where to write
        #[arg(long, short, value_name = "FILE", default_value = "preview.png")]
        out: PathBuf,
        /// Which images
        #[arg(long, value_name = "SPLIT", default_value = "test")]
        split: SplitName,
        /// Images of each class
        #[arg(long, value_name = "N", default_value = "16", value_parser = count)]
        columns: usize,
        /// Folder with the official files
        #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA")]
        data: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    Train,
    Test,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte devices
  riposte devices --json")]
pub struct DevicesArgs {
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte bench-speed --task post-train --device cpu --json
  riposte bench-speed --task pgd-batch --threads 2 --repeats 20")]
pub struct BenchArgs {
    /// What to time
    #[arg(long, value_name = "TASK")]
    pub task: BenchTask,
    /// Which network; its weights are random
    #[arg(long, value_name = "NAME", default_value = "fast-mnist-cnn")]
    pub architecture: Architecture,
    /// Timed runs, after one that is not
    #[arg(long, value_name = "N", default_value = "10", value_parser = count)]
    pub repeats: usize,
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchTask {
    /// One post-training: 50 SGD steps on batches of 200, fixed perturbation
    PostTrain,
    /// PGD of 40 steps on 500 images at once
    PgdBatch,
    /// PGD of 40 steps on one image
    PgdSingle,
    /// One SGD step on a batch of 256
    TrainStep,
}
