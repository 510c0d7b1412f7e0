//! The figures that follow from the records of a run, and how sure they are.

use serde::{Deserialize, Serialize};

use crate::Choice;
use crate::attack::AttackKind;
use crate::counter::Left;
use crate::doubt::Raised;
use crate::record::Record;

/// The figures of a run. Counts are over `images`; `None` where nothing was computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of inputs.
    pub images: usize,
    /// The base model is right on the natural image.
    pub natural_correct: usize,
    /// The base model is right on the attacked image.
    pub robust_correct: Option<usize>,
    /// The riposte is right on the natural image.
    pub riposte_natural_correct: Option<usize>,
    /// The riposte is right on the attacked image.
    pub riposte_robust_correct: Option<usize>,
    /// The label is y' or y'' of the attacked image (Table 4); of the natural one when there is no attack.
    #[serde(alias = "neighbour_correct")]
    pub neighbor_correct: Option<usize>,
    /// A neighbor was found for the attacked image; for the natural one without an attack.
    pub riposted: Option<usize>,
    /// In so many of these nothing adapted, as y' was ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<usize>,
    /// Largest absolute change of a pixel by the attack.
    pub max_perturbation: Option<f32>,
    /// Largest Euclidean length of a change, by an attack whose norm is L2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_distance: Option<f32>,
    /// Inputs with a logit that was not a number.
    pub nan_count: usize,
    /// How many images each of the strong attacks fooled, in their order, of those that the ones before it had left right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fooled: Vec<Fooled>,
    /// What is left under the attacks on the defense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<Left>,
    /// What makes the accuracy under strong attacks doubtful.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Raised>,
}

/// Images that an attack has fooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fooled {
    /// Which attack.
    pub attack: AttackKind,
    /// How many.
    pub images: usize,
}

impl Summary {
    /// Computes the figures from the lines.
    pub fn of(records: &[Record]) -> Self {
        let main = |record: &Record| if record.attacked.is_some() { record.riposte_attacked } else { record.riposte_natural };
        Self {
            images: records.len(),
            natural_correct: records.iter().filter(|r| r.natural == r.label).count(),
            robust_correct: count(records, |r| r.attacked.map(|class| class == r.label)),
            riposte_natural_correct: count(records, |r| r.riposte_natural.map(|d| d.answer == r.label)),
            riposte_robust_correct: count(records, |r| r.riposte_attacked.map(|d| d.answer == r.label)),
            neighbor_correct: count(records, |r| main(r).map(|d| d.original == r.label || d.neighbor == r.label)),
            riposted: count(records, |r| main(r).map(|d| d.original != d.neighbor)),
            ahead: count(records, |r| main(r).map(|d| d.ahead)).filter(|ahead| *ahead > 0),
            max_perturbation: records.iter().filter_map(|r| r.perturbation).reduce(f32::max),
            max_distance: records.iter().filter_map(|r| r.distance).reduce(f32::max),
            nan_count: records.iter().filter(|r| r.nan).count(),
            fooled: fooled(records),
            counter: Left::of(records),
            doubts: Raised::of(records),
        }
    }
}

/// By attack, in the order of the kinds, which is that of the standard ensemble.
fn fooled(records: &[Record]) -> Vec<Fooled> {
    let count = |attack: AttackKind| records.iter().filter(|record| record.fooled_by == Some(attack)).count();
    let all = AttackKind::ALL.iter().map(|attack| Fooled { attack: *attack, images: count(*attack) });
    all.filter(|fooled| fooled.images > 0).collect()
}

/// How many records satisfy `test`; `None` if it says nothing of any.
fn count(records: &[Record], test: impl Fn(&Record) -> Option<bool>) -> Option<usize> {
    let verdicts: Vec<bool> = records.iter().filter_map(test).collect();
    (!verdicts.is_empty()).then(|| verdicts.iter().filter(|verdict| **verdict).count())
}

/// A difference of two accuracies on the same images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Wrong before, right after.
    pub won: usize,
    /// Right before, wrong after.
    pub lost: usize,
    /// The difference, as a share of the images.
    pub gain: f64,
    /// Its 95 % interval for paired proportions.
    pub interval: [f64; 2],
}

impl Gain {
    /// Compares two answers to each input, one before and one after; `None` if there are none.
    pub fn of(records: &[Record], answers: impl Fn(&Record) -> Option<(usize, usize)>) -> Option<Self> {
        let verdicts: Vec<(bool, bool)> = records
            .iter()
            .filter_map(|record| answers(record).map(|(before, after)| (before == record.label, after == record.label)))
            .collect();
        if verdicts.is_empty() {
            return None;
        }
        let won = verdicts.iter().filter(|(before, after)| !before && *after).count();
        let lost = verdicts.iter().filter(|(before, after)| *before && !after).count();
        let [gain, low, high] = paired_gain(won, lost, verdicts.len());
        Some(Self { won, lost, gain, interval: [low, high] })
    }

    /// The riposte against the base model, on the natural images.
    pub fn natural(records: &[Record]) -> Option<Self> {
        Self::of(records, |record| Some((record.natural, record.riposte_natural?.answer)))
    }

    /// The riposte against the base model, on the attacked images.
    pub fn robust(records: &[Record]) -> Option<Self> {
        Self::of(records, |record| Some((record.attacked?, record.riposte_attacked?.answer)))
    }
}

/// The 95 % Wilson score interval of a proportion (Wilson 1927); `[0, 1]` for no trials.
pub fn wilson_interval(successes: usize, trials: usize) -> [f64; 2] {
    if trials == 0 {
        return [0.0, 1.0];
    }
    wilson(successes as f64 / trials as f64, trials)
}

/// The interval of a share of at least one trial.
fn wilson(p: f64, trials: usize) -> [f64; 2] {
    let n = trials as f64;
    let center = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    [(center - half).max(0.0), (center + half).min(1.0)]
}

/// The gain in accuracy of a second verdict over a first one on the same inputs, with its 95 % interval for paired
/// proportions (Agresti & Min 2005): `[gain, low, high]`.
///
/// `won` inputs were wrong before and right after, `lost` right before and wrong after.
pub fn paired_gain(won: usize, lost: usize, trials: usize) -> [f64; 3] {
    if trials == 0 {
        return [0.0, -1.0, 1.0];
    }
    // Agresti and Min add half a pair to each of the four cells.
    let (b, c, n) = (won as f64 + 0.5, lost as f64 + 0.5, trials as f64 + 2.0);
    let center = (b - c) / n;
    let half = Z * (b + c - (b - c) * (b - c) / n).sqrt() / n;
    [(won as f64 - lost as f64) / trials as f64, (center - half).max(-1.0), (center + half).min(1.0)]
}

/// The mean of at least one value and its 95 % interval by the normal approximation; the values are in `range`. Values that do not differ, or a
/// single one, say nothing of their spread: then the interval is Wilson's for a share of as many trials, which is that of values that differ the most.
pub fn mean_in([least, most]: [f64; 2], values: &[f64]) -> [f64; 3] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    // Equal values add up to a mean that differs from them by rounding.
    let [low, high] = if variance < 1e-24 {
        wilson((mean - least) / (most - least), values.len()).map(|share| least + share * (most - least))
    } else {
        let half = Z * (variance / count).sqrt();
        [(mean - half).max(least), (mean + half).min(most)]
    };
    [mean, low, high]
}

/// How likely `won` and `lost` are to be at least so uneven if neither verdict were better than the other: the exact two-sided test of
/// McNemar (1947) on the inputs whose verdicts differ.
pub fn mcnemar(won: usize, lost: usize) -> f64 {
    let trials = won + lost;
    // Logarithms of the binomial coefficients, one after the other: their values leave the range of floats.
    let mut coefficient = 0.0;
    let mut tail = 0.0;
    for few in 0..=won.min(lost) {
        if few > 0 {
            coefficient += ((trials - few + 1) as f64 / few as f64).ln();
        }
        tail += (coefficient - trials as f64 * std::f64::consts::LN_2).exp();
    }
    (2.0 * tail).min(1.0)
}

/// 97.5 % quantile of the standard normal distribution.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.binomtest(k, n).pvalue`
    #[test]
    fn mcnemars_test_is_the_exact_binomial_one() {
        for (won, lost, expected) in [(0, 0, 1.0), (3, 3, 1.0), (5, 0, 0.0625), (24, 7, 0.003_326_893), (7, 24, 0.003_326_893)] {
            let p = mcnemar(won, lost);
            assert!((p - expected).abs() < 1e-6, "{won} {lost}: {p}");
        }
        assert!(mcnemar(900, 700) < 1e-5 && mcnemar(900, 700) > 0.0);
    }
}
