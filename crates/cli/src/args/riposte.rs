//! The defender's flags.

use clap::{Args, ValueEnum};

use super::parse::{count, pixels, positive};

/// Settings of the riposte. A flag that is not given takes the preset's value.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Riposte")]
pub struct RiposteArgs {
    /// How the samples of the post-training are perturbed, or `none` for no riposte [default: fixed]
    #[arg(long, value_name = "NAME")]
    pub riposte: Option<RiposteName>,
    /// How the neighbor class is searched: one attack away from the original class, or one towards each other class
    #[arg(long, value_name = "NAME")]
    pub search: Option<SearchName>,
    /// Radius of the search around the input
    #[arg(long, value_name = "SIZE", value_parser = pixels, allow_hyphen_values = true)]
    pub search_epsilon: Option<f32>,
    /// Length of a step of the search
    #[arg(long, value_name = "SIZE", value_parser = pixels, allow_hyphen_values = true)]
    pub search_step_size: Option<f32>,
    /// Steps of the search
    #[arg(long, value_name = "N")]
    pub search_steps: Option<usize>,
    /// When the search stops for an input
    #[arg(long, value_name = "WHEN")]
    pub search_stop: Option<super::StopName>,
    /// SGD steps of the post-training
    #[arg(long, value_name = "N")]
    pub post_iterations: Option<usize>,
    /// Samples of a post-training batch, half of each class
    #[arg(long, value_name = "N", value_parser = count)]
    pub post_batch: Option<usize>,
    /// Draw them from the first N training samples alone; the page holds 10000 [default: all]
    #[arg(long, value_name = "N", value_parser = count)]
    pub post_samples: Option<usize>,
    /// Learning rate of the post-training
    #[arg(long, value_name = "RATE", value_parser = positive, allow_hyphen_values = true)]
    pub post_lr: Option<f32>,
    /// Radius of the perturbation of `--riposte fast` and `pgd`
    #[arg(long, value_name = "SIZE", value_parser = pixels, allow_hyphen_values = true)]
    pub post_epsilon: Option<f32>,
    /// Step of the perturbation of `--riposte fast` and `pgd`
    #[arg(long, value_name = "SIZE", value_parser = pixels, allow_hyphen_values = true)]
    pub post_step_size: Option<f32>,
    /// Steps of the perturbation of `--riposte pgd`
    #[arg(long, value_name = "N", value_parser = count)]
    pub post_steps: Option<usize>,
    /// Which way the perturbation of `--riposte fixed` is added: to all samples, from all, or to those of the original class
    /// and from those of the neighbor class
    #[arg(long, value_name = "WAY")]
    pub direction: Option<DirectionName>,
    /// Which training samples a batch holds
    #[arg(long, value_name = "NAME")]
    pub post_data: Option<PostDataName>,
    /// Batch normalization while the model adapts: running statistics, or the batch's
    #[arg(long, value_name = "MODE")]
    pub batch_norm: Option<BatchNormName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RiposteName {
    /// No riposte: the base model alone
    None,
    /// The fixed perturbation x'' - x': the paper's own
    Fixed,
    /// FGSM from a random start
    Fast,
    /// PGD from a random start
    Pgd,
    /// Samples as they are
    Normal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SearchName {
    Untargeted,
    Targeted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DirectionName {
    #[value(alias = "pos")]
    Positive,
    #[value(alias = "neg")]
    Negative,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PostDataName {
    #[value(name = "original+neighbour", alias = "original+neighbor")]
    OriginalAndNeighbour,
    #[value(name = "original+random")]
    OriginalAndRandom,
    #[value(name = "whole")]
    Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BatchNormName {
    Frozen,
    Batch,
}
