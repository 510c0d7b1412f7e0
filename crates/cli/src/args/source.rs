//! Flags that several commands share: the model, the data, the device.

use std::path::PathBuf;

use clap::Args;
use riposte::models::Architecture;
use riposte::spec::dataset::DatasetId;

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
    /// Architecture of the weights: fast-mnist-cnn, madry-mnist-cnn, trades-mnist-cnn, preact-resnet18, preact-resnet,
    /// wrn-34-10, wrn-34-10-conv, resnet4b, cnn-a [default: of the card beside them]
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub architecture: Option<Architecture>,
    #[command(flatten)]
    pub width: WidthArgs,
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
