//! What the commands that attack and defend take, and those that look at the machine.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use riposte::defense::Transform;
use riposte::models::Architecture;
use riposte::precision::Precision;
use riposte::spec::preset::PresetName;
use riposte::spec::units::parse_share;

use super::parse::{choice, count};
use super::{BankFlags, DataArgs, DeviceArgs, ModelArgs, SettingFlags, WidthArgs};
use crate::given::PixelRange;

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte duel                                    a digit that the attack fools and the riposte answers rightly
  riposte duel --index 7 --epsilon 0.2
  riposte duel --pick answered                    the first fooled digit that the riposte answers rightly
  riposte duel --dataset mnist --weights fast.pth --architecture fast-mnist-cnn --preset f-mnist --riposte fast
  riposte duel --index 7 --counter gmsa-minimum   then an attacker who knows that the model adapts, round by round
  riposte duel --replay riposte-run.json          what the page saved, here
  riposte duel --dataset mnist --image photo.jpg --label 7                 a digit on paper
  riposte duel --json --out none | jq .answer")]
pub struct DuelArgs {
    /// Number of the test image [default: the one that the model's card opens with, or chosen by --pick]
    #[arg(long, value_name = "N")]
    pub index: Option<usize>,
    /// A picture of one's own in place of a test image: PNG, JPEG, WebP, GIF or BMP. For a data set of digits, the ink in it, centered as
    /// MNIST's makers did with their scans; else its middle square. A light digit on a dark ground in their very size is taken as it is
    #[arg(long, value_name = "FILE", conflicts_with_all = ["index", "pick", "replay"])]
    pub image: Option<PathBuf>,
    /// The class that this picture shows [default: what the model says of it is taken for right]
    #[arg(long, value_name = "CLASS", requires = "image")]
    pub label: Option<usize>,
    /// What a digit's ink lies on [default: judged by the picture]
    #[arg(long, value_name = "WHICH", requires = "image")]
    pub ground: Option<Ground>,
    /// Which image to choose when none is named [default: fooled, where settings, seed or model are not those of a card]
    #[arg(long, value_name = "WHICH", conflicts_with = "index")]
    pub pick: Option<Pick>,
    /// A setup of the paper, or a light form of one [default: the one recommended for the dataset]
    #[arg(long, value_name = "NAME", value_parser = choice::<PresetName>())]
    pub preset: Option<PresetName>,
    /// Where to write the report, or `none`
    #[arg(long, short, value_name = "FILE", default_value = "riposte.html")]
    pub out: PathBuf,
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print one JSON object on standard output instead of the story
    #[arg(long)]
    pub json: bool,
    /// Put the pixels of the images into that object, too
    #[arg(long, requires = "json")]
    pub images: bool,
    /// Fight the duel of a record again, which the page or --json wrote: image, model, seed and every setting are those of the record.
    /// Where a bank answered, --bank names its folder
    #[arg(long, value_name = "FILE", conflicts_with_all = ["index", "pick", "preset", "seed", "dataset", "post_samples", "bank_copy"])]
    pub replay: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub settings: SettingFlags,
    #[command(flatten)]
    pub bank: BankFlags,
    /// Draw the training samples of the riposte from the first N alone; the page holds 10000 [default: all]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Riposte")]
    pub post_samples: Option<usize>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ground {
    /// Dark ink on light paper
    Light,
    /// Light ink on a dark ground, as chalk
    Dark,
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
  riposte eval --first 0 --images 500 --out a.jsonl         on one machine, and on another one:
  riposte eval --first 500 --images 500 --out b.jsonl       then: cat a.jsonl b.jsonl > all.jsonl
  riposte eval --images 1000 --out all.jsonl                the table of both
  riposte eval --bank fast-bank --images 1000     copies that `riposte bank` made answer
  riposte eval --dataset mnist --defense median --counter trajectory        another defense, and an attacker who knows it
  riposte eval --weights fast.safetensors --dataset mnist --images 10000 --attack pgd --epsilon 0.3 --step-size 0.01 \\
      --steps 40 --start zero --stop never --riposte none --device cpu --json
  riposte eval --dataset mnist --images 1000 --riposte none --export attacked.npz        for other programs, and from them:
  riposte eval --dataset mnist --images-from theirs.npy")]
pub struct EvalArgs {
    /// How many test images [default: 100, or all of --images-from]
    #[arg(long, short = 'n', value_name = "N", value_parser = count)]
    pub images: Option<usize>,
    /// Number of the first one [default: 0]
    #[arg(long, value_name = "N")]
    pub first: Option<usize>,
    /// A setup of the paper, or a light form of one, that sets everything; flags override it [default: the one recommended for the dataset]
    #[arg(long, value_name = "NAME", value_parser = choice::<PresetName>())]
    pub preset: Option<PresetName>,
    /// Also run the riposte on the natural images, as the paper does
    #[arg(long, value_name = "SWITCH", default_value = "on")]
    pub natural: Switch,
    /// Write one JSON line for each input to this file; if it exists with the same settings, go on where it ends. Another device
    /// or batch size adds a header of its own. `-` is standard output; the table goes to standard error then
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the natural and the attacked images, labels and numbers to this file at the end: .safetensors or .npz. Where the defense
    /// is attacked, the worst points of that, too
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Attacked images from a file instead of an attack: .safetensors, .npz or .npy, channels first or last; they stand for the test
    /// images in order, from --first or the file's `numbers` on
    #[arg(long, value_name = "FILE", conflicts_with_all = ["export", "attack"])]
    pub images_from: Option<PathBuf>,
    /// The range that their pixels are meant in, where it cannot be told
    #[arg(long, value_name = "RANGE", requires = "images_from")]
    pub pixels: Option<PixelRange>,
    /// The base model's known accuracy on natural images, from 0 to 1: measured before anything else, and an error where it cannot
    /// be, as after a wrong guess of what a weights file does not say
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub expect_accuracy: Option<f32>,
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
    pub settings: SettingFlags,
    /// Another defense in the place of the riposte, what else is done to an input at test time: bit-depth, median, jpeg, resize-pad,
    /// anti-adversary; with its source's settings, or with others after colons: bit-depth:3, resize-pad:10:2
    #[arg(long, value_name = "NAME", value_parser = transform, conflicts_with_all = ["riposte", "bank", "images_from"])]
    pub defense: Option<String>,
    #[command(flatten)]
    pub bank: BankFlags,
    /// The copies in this folder, which `riposte bank` made with the same riposte, are the attacker's: what `--counter bank` climbs on.
    /// Where --bank answers, the attacker knows its copies unless this names others
    #[arg(long, value_name = "FOLDER", help_heading = "Attack on the defense")]
    pub counter_bank: Option<PathBuf>,
    /// Draw the training samples of the riposte from the first N alone; the page holds 10000 [default: all]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Riposte")]
    pub post_samples: Option<usize>,
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
  riposte bench-speed --task pgd-batch --threads 2 --repeats 20
  riposte bench-speed --task train-step --device wgpu --batch-size 32 --layers stock")]
pub struct BenchArgs {
    /// What to time
    #[arg(long, value_name = "TASK")]
    pub task: BenchTask,
    /// Which network; its weights are random
    #[arg(long, value_name = "NAME", default_value = "fast-mnist-cnn")]
    pub architecture: Architecture,
    #[command(flatten)]
    pub width: WidthArgs,
    /// Whose operations compute the layers
    #[arg(long, value_name = "WHOSE", default_value = "kernels")]
    pub layers: Layers,
    /// What the activations of training steps are stored in: 32-bit or, for training on GPUs that have them, 16-bit floats
    #[arg(long, value_name = "NAME", default_value = "single", value_parser = choice::<Precision>())]
    pub precision: Precision,
    /// Samples of a batch [default: 200 for post-train, 500 for pgd-batch, 256 for train-step, the method's for the others]
    #[arg(long, value_name = "N", value_parser = count)]
    pub batch_size: Option<usize>,
    /// Iterations of a post-training [default: 50]
    #[arg(long, value_name = "N", value_parser = count)]
    pub iterations: Option<usize>,
    /// Steps of an attack [default: 40 for pgd-batch and pgd-single, the method's for trades-step]
    #[arg(long, value_name = "N", value_parser = count)]
    pub steps: Option<usize>,
    /// Timed runs after the first, which is told apart
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
pub enum Layers {
    /// This project's
    Kernels,
    /// Burn's own, as a baseline
    Stock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchTask {
    /// One post-training: SGD steps on batches with the fixed perturbation
    PostTrain,
    /// PGD on a batch of images at once
    PgdBatch,
    /// PGD on one image
    PgdSingle,
    /// One SGD step on a batch
    TrainStep,
    /// One step of `riposte train --method fast`: FGSM from a random start, then the optimizer
    FastStep,
    /// One step of `riposte train --method trades`: the attack on the divergence, then the optimizer
    TradesStep,
}

/// The name of a defense as it was written: which standard settings it has depends on the images.
fn transform(text: &str) -> Result<String, String> {
    Transform::named(text, false).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
