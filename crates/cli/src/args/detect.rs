//! What `riposte detect` takes.

use std::path::PathBuf;

use clap::Args;
use riposte::spec::units::parse_share;

use super::parse::count;
use super::{DataArgs, DeviceArgs, ModelArgs};
use crate::given::PixelRange;

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  riposte eval --dataset mnist --images 1000 --riposte none --export attacked.npz
  riposte detect --dataset mnist attacked.npz     at 5 % false alarms, by one bit a pixel and a median
  riposte detect --dataset mnist attacked.npz --squeezer median:3 --false-positives 0.01")]
pub struct DetectArgs {
    /// Attacked images: a .safetensors, .npz or .npy file, as `riposte eval --export` writes it
    #[arg(value_name = "FILE")]
    pub images_from: PathBuf,
    /// The range of its pixels, where the file does not show it
    #[arg(long, value_name = "RANGE")]
    pub pixels: Option<PixelRange>,
    /// Number of the test image that its first image is made of [default: what the file says, or 0]
    #[arg(long, value_name = "N")]
    pub first: Option<usize>,
    /// What an image is compared with: bit-depth, median or jpeg, with settings after a colon; may be given more than once [default:
    /// bit-depth and median, with the settings of the paper]
    #[arg(long, value_name = "NAME")]
    pub squeezer: Vec<String>,
    /// Share of natural images that may be taken for attacked ones
    #[arg(long, value_name = "SHARE", default_value = "0.05", value_parser = parse_share, allow_hyphen_values = true)]
    pub false_positives: f32,
    /// Training images, the first ones, on which the threshold is set
    #[arg(long, value_name = "N", default_value = "2000", value_parser = count)]
    pub calibration_images: usize,
    /// Print one JSON object on standard output instead of the table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}
