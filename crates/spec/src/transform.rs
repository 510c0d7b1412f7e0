//! Defenses that the riposte is compared with: what else is done to an input at test time.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::choice::{Choice, choices};
use crate::error::refused;
use crate::units;
use crate::{Error, Result};

choices! {
    /// Which defense stands in the riposte's place.
    pub enum TransformKind: "defense" {
        /// Pixels rounded to a few levels (feature squeezing, Xu et al. 2018)
        BitDepth = "bit-depth",
        /// The median of the pixels around each one (feature squeezing, Xu et al. 2018)
        Median = "median",
        /// Written as a JPEG file and read back (Das et al. 2017)
        Jpeg = "jpeg",
        /// Several passes, each on the image shrunk by a random amount and put at a random place (after Xie et al. 2018)
        ResizePad = "resize-pad",
        /// Some steps toward what the model says already (the anti-adversary layer, Alfarra et al. 2022)
        AntiAdversary = "anti-adversary",
    }
}

/// What is done to an input before the model sees it, with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Transform {
    /// Each pixel becomes the nearest of `2^bits` levels from 0 to 1.
    BitDepth {
        /// 1 to 8.
        bits: u32,
    },
    /// Each pixel becomes the median of a square of pixels, the image mirrored at its borders.
    Median {
        /// Side of the square; where it is even, the pixel is right of and below the middle, and the median the lower of the middle two.
        side: usize,
    },
    /// The image goes through a JPEG file.
    Jpeg {
        /// 1 to 100.
        quality: u8,
    },
    /// The mean of the logits over passes. In each the image is shrunk to a random size by the nearest pixels, and put at a random place on
    /// black. Xie et al. enlarge it; a network whose last layers take one size alone does not take that.
    ResizePad {
        /// How many passes.
        passes: usize,
        /// By how many pixels it is shrunk at most; at least by one.
        most: usize,
    },
    /// Signed steps down the cross-entropy of the class that the model gives to the input, without a bound.
    AntiAdversary {
        /// Number of steps.
        steps: usize,
        /// Length of a step, in pixel units.
        step_size: f32,
    },
}

impl Transform {
    /// The sources' settings: for gray (MNIST) or colored (CIFAR-10) images.
    pub fn standard(kind: TransformKind, colored: bool) -> Self {
        match kind {
            TransformKind::BitDepth => Self::BitDepth { bits: if colored { 5 } else { 1 } },
            TransformKind::Median => Self::Median { side: 2 },
            TransformKind::Jpeg => Self::Jpeg { quality: 75 },
            TransformKind::ResizePad => Self::ResizePad { passes: 30, most: 4 },
            TransformKind::AntiAdversary => Self::AntiAdversary { steps: 2, step_size: 0.15 },
        }
    }

    /// What a text names: a kind with its standard settings, or with settings of its own after colons, in the order of its fields:
    /// `bit-depth:3`, `median:3`, `jpeg:50`, `resize-pad:10:2`, `anti-adversary:4:0.05`.
    ///
    /// # Errors
    /// [`Error::Setting`] that names the kinds, or says which settings the kind has.
    pub fn named(text: &str, colored: bool) -> Result<Self> {
        let (kind, settings) = text.split_once(':').map_or((text, None), |(kind, settings)| (kind, Some(settings)));
        let standard = Self::standard(TransformKind::named(kind)?, colored);
        let Some(settings) = settings else { return Ok(standard) };
        let settings: Vec<&str> = settings.split(':').collect();
        let named = |setting: &str, error: Error| Error::Setting(format!("the {setting} of `{text}`: {error}"));
        let count = |setting: &str, number: &str, least| units::parse_count(number, least).map_err(|error| named(setting, error));
        let wrong = |has: &str| refused(format!("`{text}`: {kind} has {has}"));
        Ok(match (standard, settings.as_slice()) {
            (Self::BitDepth { .. }, [bits]) => Self::BitDepth { bits: count("bits", bits, 1)?.min(99) as u32 },
            (Self::BitDepth { .. }, _) => return wrong("one setting, the bits of a pixel: bit-depth:5"),
            (Self::Median { .. }, [side]) => Self::Median { side: count("side", side, 1)? },
            (Self::Median { .. }, _) => return wrong("one setting, the side of the square: median:3"),
            (Self::Jpeg { .. }, [quality]) => Self::Jpeg { quality: count("quality", quality, 1)?.min(255) as u8 },
            (Self::Jpeg { .. }, _) => return wrong("one setting, the quality: jpeg:75"),
            (Self::ResizePad { .. }, [passes, most]) => {
                Self::ResizePad { passes: count("passes", passes, 1)?, most: count("pixels", most, 1)? }
            }
            (Self::ResizePad { .. }, _) => return wrong("two settings, passes and pixels: resize-pad:30:4"),
            (Self::AntiAdversary { .. }, [steps, size]) => Self::AntiAdversary {
                steps: count("steps", steps, 0)?,
                step_size: units::parse_positive(size).map_err(|error| named("steps' length", error))?,
            },
            (Self::AntiAdversary { .. }, _) => return wrong("two settings, steps and their length: anti-adversary:2:0.15"),
        })
    }

    /// Which one it is.
    pub fn kind(&self) -> TransformKind {
        match self {
            Self::BitDepth { .. } => TransformKind::BitDepth,
            Self::Median { .. } => TransformKind::Median,
            Self::Jpeg { .. } => TransformKind::Jpeg,
            Self::ResizePad { .. } => TransformKind::ResizePad,
            Self::AntiAdversary { .. } => TransformKind::AntiAdversary,
        }
    }

    /// Whether it gives one squeezed image for one: what the detector of feature squeezing compares.
    pub fn squeezes(&self) -> bool {
        matches!(self, Self::BitDepth { .. } | Self::Median { .. } | Self::Jpeg { .. })
    }

    /// Whether it draws.
    pub fn is_random(&self) -> bool {
        matches!(self, Self::ResizePad { .. })
    }

    /// Checks that the settings are in their ranges, for images of `image_side` pixels a side.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the setting.
    pub fn check(&self, image_side: usize) -> Result<()> {
        match *self {
            Self::BitDepth { bits } if !(1..=8).contains(&bits) => refused(format!("the bit depth is 1 to 8, not {bits}")),
            Self::Jpeg { quality } if !(1..=100).contains(&quality) => {
                refused(format!("the quality of a JPEG file is 1 to 100, not {quality}"))
            }
            Self::Median { side } if side == 0 || side > image_side => {
                refused(format!("the side of the median's square is 1 to {image_side}, not {side}"))
            }
            Self::ResizePad { passes: 0, .. } => refused("resize-pad makes at least 1 pass, not 0"),
            Self::ResizePad { most, .. } if most == 0 || most >= image_side => refused(format!(
                "the most that resize-pad may shrink an image of {image_side} pixels a side by is 1 to {} pixels, not {most}",
                image_side.saturating_sub(1)
            )),
            Self::AntiAdversary { step_size, .. } if !(step_size > 0.0 && step_size.is_finite()) => {
                refused(format!("the step of the anti-adversary layer is positive, not {step_size}"))
            }
            _ => Ok(()),
        }
    }
}

/// As [`Transform::named`] reads it: `jpeg:75`
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::BitDepth { bits } => write!(f, "{kind}:{bits}"),
            Self::Median { side } => write!(f, "{kind}:{side}"),
            Self::Jpeg { quality } => write!(f, "{kind}:{quality}"),
            Self::ResizePad { passes, most } => write!(f, "{kind}:{passes}:{most}"),
            Self::AntiAdversary { steps, step_size } => write!(f, "{kind}:{steps}:{step_size}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defense_is_named_with_its_standard_settings_or_with_others() {
        assert_eq!(Transform::named("bit-depth", true), Ok(Transform::BitDepth { bits: 5 }));
        assert_eq!(Transform::named("bit-depth:3", true), Ok(Transform::BitDepth { bits: 3 }));
        assert_eq!(Transform::named("jpeg:50", true), Ok(Transform::Jpeg { quality: 50 }));
        assert_eq!(Transform::named("resize-pad:10:2", false), Ok(Transform::ResizePad { passes: 10, most: 2 }));
        assert_eq!(Transform::named("anti-adversary:4:0.05", false), Ok(Transform::AntiAdversary { steps: 4, step_size: 0.05 }));
        for kind in TransformKind::ALL {
            let standard = Transform::standard(*kind, true);
            assert_eq!(Transform::named(&standard.to_string(), false), Ok(standard));
        }
        for text in ["gray", "median:", "median:3:3", "jpeg:high", "resize-pad:10", "anti-adversary:2:0"] {
            assert!(Transform::named(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn a_setting_that_is_none_is_named_with_its_defense() {
        for (text, setting) in [
            ("jpeg:0", "quality"),
            ("bit-depth:few", "bits"),
            ("median:0", "side"),
            ("resize-pad:0:2", "passes"),
            ("resize-pad:3:0", "pixels"),
            ("anti-adversary:-1:0.1", "steps"),
            ("anti-adversary:2:0", "steps' length"),
        ] {
            let message = Transform::named(text, false).unwrap_err().to_string();
            assert!(message.starts_with(&format!("the {setting} of `{text}`: ")), "{message}");
        }
    }

    #[test]
    fn an_image_is_shrunk_to_no_less_than_a_pixel() {
        let check = |passes, most| Transform::ResizePad { passes, most }.check(28);
        assert_eq!(check(3, 27), Ok(()));
        let message = check(3, 28).unwrap_err().to_string();
        assert!(message.contains("1 to 27 pixels, not 28"), "{message}");
        assert!(check(0, 4).unwrap_err().to_string().contains("1 pass"));
    }
}
