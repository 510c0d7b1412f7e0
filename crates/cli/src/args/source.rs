//! Flags that several commands share: the model, the data, the device.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use riposte::import::Wanted;
use riposte::models::{Architecture, Normalization};
use riposte::spec::dataset::DatasetId;
use riposte::spec::units::{parse_positive, parse_share};

use super::parse::{choice, count, folder};

/// Which model.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// A model that comes with the program, by its id [default: one for the dataset]
    #[arg(long, value_name = "ID", conflicts_with_all = ["weights", "architecture"])]
    pub model: Option<String>,
    /// A weights file: .safetensors, .pth or .pt
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Architecture of the weights: fast-mnist-cnn, madry-mnist-cnn, trades-mnist-cnn, preact-resnet18, resnet18, resnet50,
    /// wrn-34-10, wrn-34-10-conv-relu, dm-wrn-28-10-silu, resnet4b, cnn-a, ... [default: of the card beside them, or the one that they
    /// fit, if they fit one alone]
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub architecture: Option<Architecture>,
    #[command(flatten)]
    pub width: WidthArgs,
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// How a weights file is read where it leaves a choice.
#[derive(Debug, Clone, Default, Args)]
pub struct ReadingArgs {
    /// Which of several state dicts in the file, by the name that it is stored under; `ema` is any moving average
    #[arg(long, value_name = "NAME")]
    pub state: Option<String>,
    /// Mean of each channel, in pixel units, by which the network's images are normalized: 0.1307, or 0.4914,0.4822,0.4465
    #[arg(long, value_name = "MEANS", value_delimiter = ',', value_parser = parse_share, requires = "std")]
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, in pixel units
    #[arg(long, value_name = "STDS", value_delimiter = ',', value_parser = parse_positive, requires = "mean")]
    pub std: Vec<f32>,
    /// Added to the variances of batch normalizations [default: 1e-5, as in PyTorch]
    #[arg(long, value_name = "NUMBER", value_parser = parse_positive)]
    pub batch_norm_epsilon: Option<f32>,
}

impl ModelArgs {
    /// What is asked for of the weights file.
    ///
    /// # Errors
    /// If the architecture has no width to choose, or a flag has no file or no architecture that it could apply to.
    pub fn wanted(&self) -> Result<Wanted> {
        self.reading.wanted(self.architecture.map(|architecture| self.width.of(architecture)).transpose()?)
    }
}

impl ReadingArgs {
    /// What is asked for of a file of `architecture`; `None`: of any.
    ///
    /// # Errors
    /// If means and standard deviations are none of its images, or it has no batch normalization.
    pub fn wanted(&self, architecture: Option<Architecture>) -> Result<Wanted> {
        let channels = architecture.map_or(self.mean.len().max(self.std.len()), |architecture| architecture.image_shape()[0]);
        let normalization = match self.mean.is_empty() {
            true => None,
            false => Some(Normalization::new(&self.mean, &self.std, channels)?),
        };
        ensure!(
            self.batch_norm_epsilon.is_none() || architecture.is_none_or(Architecture::has_batch_norm),
            "--batch-norm-epsilon has nothing to apply to in an architecture without batch normalizations"
        );
        Ok(Wanted { architecture, state: self.state.clone(), normalization, batch_norm_epsilon: self.batch_norm_epsilon })
    }

    /// Whether one of the flags is given.
    pub fn is_given(&self) -> bool {
        self.state.is_some() || !self.mean.is_empty() || self.batch_norm_epsilon.is_some()
    }
}

/// How wide an architecture is.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct WidthArgs {
    /// Width of the first stage of a preact-resnet [default: 64]
    #[arg(long, value_name = "W", requires = "architecture", value_parser = count)]
    width: Option<usize>,
}

impl WidthArgs {
    /// `architecture` in the width asked for.
    ///
    /// # Errors
    /// If it has none to choose, or no net is that wide.
    pub fn of(self, architecture: Architecture) -> riposte::spec::Result<Architecture> {
        self.width.map_or(Ok(architecture), |width| architecture.with_width(width))
    }
}

/// Which images.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// Which images [default: what the model was trained on]
    #[arg(long, value_name = "NAME", value_parser = choice::<DatasetId>())]
    pub dataset: Option<DatasetId>,
    /// Folder with the official files; otherwise they are taken from the cache folder or downloaded
    #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA", value_parser = folder())]
    pub data: Option<PathBuf>,
}

/// Where it computes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// auto, cpu, wgpu, vulkan, metal or cuda; with a number for one of several GPUs: wgpu:1. `auto` takes a real GPU when
    /// there is one and else the CPU
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: crate::device::Choice,
    /// Threads on the CPU [default: all cores]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
}
