//! Attacks whose images survive a file.

use crate::choice::choices;

choices! {
    /// Which values the pixels of an attacked image may have.
    pub enum Quantize: "quantization" {
        /// Any value from 0 to 1
        None = "none",
        /// Multiples of 1/255, as a file of 8 bits holds them: the attack succeeds with the rounded image or not at all
        Eight = "8",
    }
}

impl Quantize {
    /// The largest level, where there are levels.
    pub fn most(self) -> Option<f32> {
        match self {
            Self::None => None,
            Self::Eight => Some(255.0),
        }
    }

    /// The radius of the ball that an attack keeps to, so that rounding leads no pixel out of the ball of radius `epsilon` around an image
    /// that has such levels itself.
    pub fn radius(self, epsilon: f32) -> f32 {
        let Some(most) = self.most() else { return epsilon };
        // A quarter of a level beyond the last one in the ball: it rounds to that one on every device, and 8/255 is eight levels although
        // 255 times it is less in f32.
        (((epsilon * most + 1e-3).floor() + 0.25) / most).min(1.0)
    }

    /// Whether it leaves pixels as they are.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl Default for Quantize {
    /// Any value.
    fn default() -> Self {
        Self::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_radius_holds_the_levels_that_the_ball_holds() {
        for level in 0..=255u8 {
            let epsilon = f32::from(level) / 255.0;
            let levels = Quantize::Eight.radius(epsilon) * 255.0;
            assert_eq!(levels.round(), f32::from(level), "{epsilon}");
            assert_eq!(Quantize::None.radius(epsilon), epsilon);
        }
        // 0.3 is 76.5 levels: half a level is none.
        assert_eq!((Quantize::Eight.radius(0.3) * 255.0).round(), 76.0);
        assert_eq!((Quantize::Eight.radius(0.0039) * 255.0).round(), 0.0);
    }
}
