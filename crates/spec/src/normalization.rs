//! How a network normalizes its images, and what else of its computation is chosen apart from its weights.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::architecture::Architecture;
use crate::error::refused;

/// Per-channel normalization `(x - mean) / std` of images in `[0, 1]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// The mean of each channel, in pixel units.
    pub mean: Cow<'static, [f32]>,
    /// The standard deviation of each channel, in pixel units.
    pub std: Cow<'static, [f32]>,
}

impl Normalization {
    /// The training set's statistics, as Fast-FGSM's code and Gowal et al.'s have them.
    pub const CIFAR10: Self =
        Self { mean: Cow::Borrowed(&[0.4914, 0.4822, 0.4465]), std: Cow::Borrowed(&[0.2471, 0.2435, 0.2616]) };

    /// What the public weights of CNN-A were trained with.
    pub const CNN_A: Self = Self {
        mean: Cow::Borrowed(&[125.3 / 255.0, 123.0 / 255.0, 113.9 / 255.0]),
        std: Cow::Borrowed(&[63.0 / 255.0, 62.1 / 255.0, 66.7 / 255.0]),
    };

    /// Of one value for each of `channels`; a single value stands for all.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if there are as many neither, a mean is outside -1 to 2, which is no mean of pixels in
    /// `[0, 1]`, or a standard deviation is not positive.
    pub fn new(mean: &[f32], std: &[f32], channels: usize) -> Result<Self> {
        let spread = |values: &[f32], what: &str| match values.len() {
            1 => Ok(vec![values[0]; channels]),
            count if count == channels => Ok(values.to_vec()),
            count => refused(format!("a {what} of {count} values does not fit images of {channels} channels")),
        };
        let (mean, std) = (spread(mean, "mean")?, spread(std, "standard deviation")?);
        if let Some(odd) = mean.iter().find(|value| !(-1.0..=2.0).contains(*value)) {
            return refused(format!("a mean of {odd} is none of pixels from 0 to 1; divide what is meant in 0 to 255 by 255"));
        }
        if let Some(odd) = std.iter().find(|value| !(**value > 0.0 && **value <= 2.0)) {
            return refused(format!(
                "a standard deviation of {odd} is none of pixels from 0 to 1; divide what is meant in 0 to 255 by 255"
            ));
        }
        Ok(Self { mean: mean.into(), std: std.into() })
    }

    /// Whether it leaves images as they are.
    pub fn is_identity(&self) -> bool {
        self.mean.iter().all(|mean| *mean == 0.0) && self.std.iter().all(|std| *std == 1.0)
    }

    /// `mean 0.4914, 0.4822, 0.4465 and standard deviation 0.2471, 0.2435, 0.2616`
    pub fn in_words(&self) -> String {
        let list = |values: &[f32]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("mean {} and standard deviation {}", list(&self.mean), list(&self.std))
    }
}

/// How a weights file is read and computed with, where that is not what its architecture has anyway.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Which of its state dicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The normalization of images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<Normalization>,
    /// What is added to the variances of batch normalizations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm_epsilon: Option<f32>,
}

impl Reading {
    /// Whether all is as the architecture has it.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Architecture {
    /// How it normalizes its images, unless its weights bring a normalization of their own; `None`: raw pixels.
    pub fn normalization(self) -> Option<Normalization> {
        match self {
            Self::PreActResNet { .. } | Self::DmWideResNet { .. } | Self::ResNet4b => Some(Normalization::CIFAR10),
            Self::CnnA => Some(Normalization::CNN_A),
            Self::FastMnistCnn | Self::MadryMnistCnn | Self::TradesMnistCnn | Self::ResNet { .. } | Self::WideResNet { .. } => {
                None
            }
        }
    }

    /// Whether it has batch normalizations.
    pub fn has_batch_norm(self) -> bool {
        matches!(self, Self::PreActResNet { .. } | Self::ResNet { .. } | Self::WideResNet { .. } | Self::DmWideResNet { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_stands_for_all_channels_and_gray_levels_are_refused() {
        let wide = Normalization::new(&[0.5], &[0.25], 3).unwrap();
        assert_eq!((&*wide.mean, &*wide.std), (&[0.5; 3][..], &[0.25; 3][..]));
        assert!(Normalization::new(&[0.0], &[1.0], 1).unwrap().is_identity() && !wide.is_identity());
        for (mean, std, words) in [
            (&[125.3][..], &[0.2][..], "divide"),
            (&[0.5], &[63.0], "divide"),
            (&[0.5], &[0.0], "standard deviation of 0"),
            (&[0.5, 0.5], &[0.2], "2 values"),
            (&[f32::NAN], &[0.2], "NaN"),
        ] {
            let error = Normalization::new(mean, std, 3).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
