//! What the commands that make weights take.

use std::path::PathBuf;

use clap::Args;
use riposte::models::Architecture;
use riposte::precision::Precision;
use riposte::spec::dataset::DatasetId;
use riposte::spec::train::{Method, Targets};
use riposte::spec::units::{parse_pixels, parse_positive, parse_share};

use super::parse::{choice, count, folder};
use super::{DeviceArgs, ReadingArgs, WidthArgs};

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte import fast.pth                         says what it is, and writes fast.safetensors
  riposte import trades.pt --architecture wrn-34-10-conv-relu -o trades.safetensors
  riposte import resnet.pt --architecture preact-resnet18 -o resnet.safetensors --half
  riposte import checkpoint.pt --state ema --mean 0.4914,0.4822,0.4465 --std 0.2471,0.2435,0.2616 --architecture resnet18")]
pub struct ImportArgs {
    /// The PyTorch file
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// What the weights belong to [default: the architecture that they fit, if they fit one alone]
    #[arg(long, value_name = "NAME")]
    pub architecture: Option<Architecture>,
    #[command(flatten)]
    pub width: WidthArgs,
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Where to write [default: the file's name with .safetensors, in the current folder]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Store 16-bit floats; biases and batch normalization stay 32-bit
    #[arg(long)]
    pub half: bool,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte models
  riposte models --dataset mnist
  riposte models --json | jq -r '.[] | .id, .training'")]
pub struct ModelsArgs {
    /// Those that were trained on this dataset alone
    #[arg(long, value_name = "NAME", value_parser = choice::<DatasetId>())]
    pub dataset: Option<DatasetId>,
    /// Print a JSON array on standard output: each card, with the commands that repeat the training and the figures, and the size
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte train --architecture fast-mnist-cnn --dataset mnist --method fast --out runs/fast
  riposte train --architecture fast-mnist-cnn --dataset mnist --method fast --out runs/fast --resume
  riposte train --architecture madry-mnist-cnn --dataset digits --method pgd --epochs 5 --out runs/madry-digits
  riposte train --architecture trades-mnist-cnn --dataset mnist --method trades --steps 10 --step-size 0.05 --out runs/trades
  riposte train --architecture preact-resnet --width 16 --dataset cifar10 --method fast --half --out runs/cifar10-narrow
  riposte train --architecture preact-resnet18 --dataset cifar10 --method fast --half --device cuda --out runs/cifar10
  riposte train --architecture preact-resnet18 --dataset cifar10 --method fast --precision mixed --out runs/cifar10-mixed")]
pub struct TrainArgs {
    /// What to train
    #[arg(long, value_name = "NAME")]
    pub architecture: Architecture,
    #[command(flatten)]
    pub width: WidthArgs,
    /// What to train on
    #[arg(long, value_name = "NAME", default_value = "digits", value_parser = choice::<DatasetId>())]
    pub dataset: DatasetId,
    /// Folder with the official files; otherwise they are taken from the cache folder or downloaded
    #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA", value_parser = folder())]
    pub data: Option<PathBuf>,
    /// A published way to train
    #[arg(long, value_name = "NAME", default_value = "fast", value_parser = choice::<Method>())]
    pub method: Method,
    /// Folder of the run: checkpoint, log, and at the end the model with its card
    #[arg(long, short, value_name = "DIR")]
    pub out: PathBuf,
    /// Go on from the folder's checkpoint
    #[arg(long)]
    pub resume: bool,
    /// Id of the model on its card [default: architecture, dataset and method, as in fast-mnist-cnn-digits-fast]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Passes over the training set [default: the method's, as are those of the settings below]
    #[arg(long, value_name = "N", value_parser = count)]
    pub epochs: Option<usize>,
    /// Samples of a batch
    #[arg(long, value_name = "N", value_parser = count)]
    pub batch_size: Option<usize>,
    /// Samples on the device at once, to bound its memory: gradients of the parts of a batch are summed [default: the batch]
    #[arg(long, value_name = "N", value_parser = count)]
    pub micro_batch: Option<usize>,
    /// Peak of the learning rate
    #[arg(long, value_name = "RATE", value_parser = parse_positive, allow_hyphen_values = true)]
    pub lr: Option<f32>,
    /// Radius of the training attack in pixel units: 0.3 or 8/255
    #[arg(long, value_name = "SIZE", value_parser = parse_pixels, allow_hyphen_values = true)]
    pub epsilon: Option<f32>,
    /// Step of the training attack [default: the method's; with another --epsilon as many radii where it makes one step, with methods max and
    /// avg 2.5 radii over --steps]
    #[arg(long, value_name = "SIZE", value_parser = parse_pixels, allow_hyphen_values = true)]
    pub step_size: Option<f32>,
    /// Steps of the training attack, where a method has more than one
    #[arg(long, value_name = "N", value_parser = count)]
    pub steps: Option<usize>,
    /// What the divergence counts (method trades), or the distance of logits (alp), a moved sample (kurakin), a sample without a label (uat)
    #[arg(long, value_name = "NUMBER", value_parser = parse_positive, allow_hyphen_values = true)]
    pub weight: Option<f32>,
    /// Steps on each batch (method free), or passes over the network for each (yopo)
    #[arg(long, value_name = "N", value_parser = count)]
    pub replays: Option<usize>,
    /// So many training samples, the first ones, keep their labels (method uat) [default: 4000]
    #[arg(long, value_name = "N", value_parser = count)]
    pub labelled: Option<usize>,
    /// What stands in the place of the others' labels (method uat)
    #[arg(long, value_name = "NAME", value_parser = choice::<Targets>())]
    pub targets: Option<Targets>,
    /// The model whose answers they are with `--targets fixed` or `both`: an id, or a weights file with its card
    #[arg(long, value_name = "MODEL")]
    pub teacher: Option<String>,
    /// Radius of the L2 ball in pixel units (methods max and avg)
    #[arg(long, value_name = "SIZE", value_parser = parse_positive, allow_hyphen_values = true)]
    pub radius: Option<f32>,
    /// The model is the moving average of the weights, which keeps this share of itself in a step: 0.999
    #[arg(long, value_name = "SHARE", value_parser = parse_share, allow_hyphen_values = true)]
    pub ema: Option<f32>,
    /// Adversarial weight perturbation: gradients are taken where each tensor of weights is moved up the loss by this share of its length: 0.01
    #[arg(long, value_name = "SHARE", value_parser = parse_share, allow_hyphen_values = true)]
    pub awp: Option<f32>,
    /// The training attack grows to its full size over this fraction of the run
    #[arg(long, value_name = "FRACTION", value_parser = parse_share, allow_hyphen_values = true)]
    pub ramp: Option<f32>,
    /// What the activations of a training step are stored in: 32-bit floats, or at half the memory 16-bit floats (on GPUs that have
    /// them). Weights, sums and the training attack are 32-bit either way
    #[arg(long, value_name = "NAME", default_value = "single", value_parser = choice::<Precision>())]
    pub precision: Precision,
    /// Use the first N training samples alone
    #[arg(long, value_name = "N", value_parser = count)]
    pub samples: Option<usize>,
    /// Training samples, the last ones, that are not trained on but measured at the end of each epoch: the best epoch is kept
    #[arg(long, value_name = "N", default_value = "1000", value_parser = count)]
    pub check_images: usize,
    /// Test images measured at the end of the run [default: all]
    #[arg(long, value_name = "N", value_parser = count)]
    pub test_images: Option<usize>,
    /// Store the model in 16-bit floats (biases and batch normalization in 32-bit), and measure it as stored
    #[arg(long)]
    pub half: bool,
    /// Write a checkpoint every N steps, besides those at the end of each epoch and at Ctrl-C
    #[arg(long, value_name = "N", default_value = "200", value_parser = count)]
    pub checkpoint_steps: usize,
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub device: DeviceArgs,
}
