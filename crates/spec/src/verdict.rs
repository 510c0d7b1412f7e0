//! A measured figure against the paper's: the difference, and what it says.

use serde::{Deserialize, Serialize};

use crate::choice::choices;
use crate::paper::IMAGES;
use crate::summary::{Gain, Z, wilson_interval};

choices! {
    /// What a measurement says of a figure of the paper.
    pub enum Verdict: "verdict" {
        /// The figures agree, and the measurement is sharp enough to tell
        Reproduced = "reproduced",
        /// The figures differ by more than chance
        NotReproduced = "not reproduced",
        /// Too few images to tell
        NotDecidable = "not decidable at this size",
    }
}

/// The rule behind a [`Verdict`], for people.
pub const RULE: &str = "A figure is reproduced if the 95 % interval of its difference from the paper's contains 0, and if either this \
    interval lies within 1 point of 0 or the figure is a gain whose own interval does not contain 0. It is not reproduced if the \
    interval of the difference does not contain 0. Otherwise it is not decidable at this size. A table is reproduced if more than half \
    of its figures are and none is not reproduced. Gains are compared, and not accuracies, because the paper's weights are not public. \
    The paper's figures have intervals of their own, over 10,000 images; it does not tell how many answers a gain changed, so its two \
    accuracies count as independent, which makes the interval of the difference too wide rather than too narrow.";

/// The farthest from 0 that an interval of a difference may reach to count as sharp without a sign.
const SHARP: f64 = 0.01;

/// A measured figure minus the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// As a share.
    pub difference: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
    /// What it says.
    pub verdict: Verdict,
}

impl Difference {
    /// Of a gain from the paper's, which is that from an accuracy `before` to another one `after`.
    pub fn of_gain(gain: Gain, [before, after]: [f64; 2]) -> Self {
        let own = (gain.interval[1] - gain.interval[0]) / (2.0 * Z);
        let paper = ((before * (1.0 - before) + after * (1.0 - after)) / IMAGES as f64).sqrt();
        let has_sign = gain.interval[0] > 0.0 || gain.interval[1] < 0.0;
        let half = Z * own.hypot(paper);
        let difference = gain.gain - (after - before);
        Self::new(difference, [difference - half, difference + half], has_sign)
    }

    /// Of a share from the paper's, by the two Wilson intervals (Newcombe 1998, method 10).
    pub fn of_share(right: usize, images: usize, paper: f64) -> Self {
        let share = right as f64 / images.max(1) as f64;
        let [low, high] = wilson_interval(right, images);
        let [paper_low, paper_high] = wilson_interval((paper * IMAGES as f64).round() as usize, IMAGES);
        let difference = share - paper;
        let below = (share - low).hypot(paper_high - paper);
        let above = (high - share).hypot(paper - paper_low);
        Self::new(difference, [difference - below, difference + above], false)
    }

    fn new(difference: f64, [low, high]: [f64; 2], has_sign: bool) -> Self {
        let verdict = if low > 0.0 || high < 0.0 {
            Verdict::NotReproduced
        } else if has_sign || (low >= -SHARP && high <= SHARP) {
            Verdict::Reproduced
        } else {
            Verdict::NotDecidable
        };
        Self { difference, interval: [low, high], verdict }
    }
}

impl Verdict {
    /// Of a table from those of its figures; `None` for none.
    pub fn of_all(figures: &[Self]) -> Option<Self> {
        let reproduced = figures.iter().filter(|verdict| **verdict == Self::Reproduced).count();
        match figures {
            [] => None,
            _ if figures.contains(&Self::NotReproduced) => Some(Self::NotReproduced),
            _ if 2 * reproduced > figures.len() => Some(Self::Reproduced),
            _ => Some(Self::NotDecidable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::paired_gain;

    fn gain(won: usize, lost: usize, images: usize) -> Gain {
        let [gain, low, high] = paired_gain(won, lost, images);
        Gain { won, lost, gain, interval: [low, high] }
    }

    #[test]
    fn a_verdict_follows_from_the_two_intervals() {
        // Table 1, fixed: 17.67 points.
        let paper = [0.4681, 0.6448];
        for (measured, verdict) in [
            (gain(180, 5, 1000), Verdict::Reproduced),
            (gain(30, 5, 1000), Verdict::NotReproduced),
            (gain(300, 5, 1000), Verdict::NotReproduced),
            (gain(3, 2, 10), Verdict::NotDecidable),
        ] {
            assert_eq!(Difference::of_gain(measured, paper).verdict, verdict, "{measured:?}");
        }
        // Table 2, natural, fast: -0.03 points; no sign, but sharp.
        assert_eq!(Difference::of_gain(gain(3, 6, 10_000), [0.985, 0.9847]).verdict, Verdict::Reproduced);
        assert_eq!(Difference::of_gain(gain(0, 0, 100), [0.985, 0.9847]).verdict, Verdict::NotDecidable);
    }

    #[test]
    fn a_share_needs_a_sharp_interval() {
        assert_eq!(Difference::of_share(8707, 10_000, 0.8707).verdict, Verdict::Reproduced);
        assert_eq!(Difference::of_share(87, 100, 0.8707).verdict, Verdict::NotDecidable);
        assert_eq!(Difference::of_share(9500, 10_000, 0.8707).verdict, Verdict::NotReproduced);
        let Difference { interval: [low, high], difference, .. } = Difference::of_share(90, 100, 0.87);
        assert!(low < difference && difference < high && high - low < 0.15);
    }

    #[test]
    fn one_figure_that_is_not_reproduced_decides_a_table_and_most_others_have_to_be() {
        use Verdict::{NotDecidable, NotReproduced, Reproduced};
        assert_eq!(Verdict::of_all(&[Reproduced, Reproduced, NotDecidable]), Some(Reproduced));
        assert_eq!(Verdict::of_all(&[Reproduced, NotDecidable]), Some(NotDecidable));
        assert_eq!(Verdict::of_all(&[Reproduced, NotReproduced]), Some(NotReproduced));
        assert_eq!(Verdict::of_all(&[NotDecidable]), Some(NotDecidable));
        assert_eq!(Verdict::of_all(&[]), None);
    }
}
