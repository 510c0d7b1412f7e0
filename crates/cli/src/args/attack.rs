//! The attacker's flags.

use clap::{Args, ValueEnum};

use super::parse::{count, pixels};

/// Settings of the attack. A flag that is not given takes the preset's value.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Attack")]
pub struct AttackArgs {
    /// The attack on the base model [default: pgd]
    #[arg(long, value_name = "NAME")]
    pub attack: Option<AttackName>,
    /// Radius of the L-infinity ball in pixel units: 0.3 or 8/255
    #[arg(long, value_name = "SIZE", value_parser = pixels, allow_hyphen_values = true)]
    pub epsilon: Option<f32>,
    /// Length of a step in pixel units
    #[arg(long, value_name = "SIZE", value_parser = pixels, allow_hyphen_values = true)]
    pub step_size: Option<f32>,
    /// Number of steps
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
    /// Where the attack begins: at the image, or at a uniform draw in the ball
    #[arg(long, value_name = "WHERE")]
    pub start: Option<StartName>,
    /// When an image stops moving: after all steps, or as soon as the attack has succeeded on it
    #[arg(long, value_name = "WHEN")]
    pub stop: Option<StopName>,
    /// Independent starts; the strongest result of each image counts
    #[arg(long, value_name = "N", value_parser = count)]
    pub restarts: Option<usize>,
    /// What the attack ascends
    #[arg(long, value_name = "NAME")]
    pub loss: Option<LossName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AttackName {
    /// No attack: the natural images alone
    None,
    /// Projected gradient descent
    Pgd,
    /// One signed step to the corner of the ball
    Fgsm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StartName {
    Zero,
    Uniform,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StopName {
    Never,
    Success,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LossName {
    CrossEntropy,
    Margin,
}
