//! Flags that several commands share: the model, the data, the device.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use riposte::models::Architecture;

use super::parse::count;

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
    /// Architecture of the weights: fast-mnist-cnn, madry-mnist-cnn, trades-mnist-cnn, ... [default: of the card beside them]
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub architecture: Option<Architecture>,
}

/// Which images.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// Which images [default: what the model was trained on]
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<DatasetName>,
    /// Folder with the official files; otherwise they are taken from the cache folder or downloaded
    #[arg(long, value_name = "DIR", env = "RIPOSTE_DATA")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DatasetName {
    /// Procedural digits in MNIST's format: no files, no network
    Digits,
    /// The official MNIST files
    Mnist,
    /// The official CIFAR-10 files
    Cifar10,
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digits => "digits",
            Self::Mnist => "mnist",
            Self::Cifar10 => "cifar10",
        })
    }
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
