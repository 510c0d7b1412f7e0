//! How a base model is trained.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::choice::choices;
use crate::error::refused;
use crate::post_train::{Augmentation, Precision, single};
use crate::setup::out_of_reach;

choices! {
    /// A published way to train, with its settings.
    pub enum Method: "method" {
        /// FGSM from a random start (Fast-FGSM, Wong et al. 2020)
        Fast = "fast",
        /// PGD (Madry et al. 2018)
        Pgd = "pgd",
        /// Without attacks
        Natural = "natural",
        /// FGSM on samples with noise of twice epsilon, which stays in them (de Jorge et al. 2022): the one step does not overfit to itself
        NoiseFgsm = "n-fgsm",
        /// Natural samples by their labels, attacked ones by what the model says of the natural ones (TRADES, Zhang et al. 2019)
        Trades = "trades",
        /// Each batch several times, one gradient for weights and perturbation (Shafahi et al. 2019)
        Free = "free",
        /// Half of a batch moved toward the least likely class in one step (Kurakin et al. 2017)
        Kurakin = "kurakin",
        /// PGD, and the logits of a sample and of its attacked form pulled together (adversarial logit pairing, Kannan et al. 2018): known
        /// to be no better than PGD, and broken as it was published (Engstrom et al. 2018)
        LogitPairing = "alp",
        /// Some passes over the network for each batch, and between two of them many cheap steps of the perturbation through the first
        /// layer alone (YOPO, Zhang et al. 2019)
        Yopo = "yopo",
        /// Some samples by their labels, the others without: by what the model says of them before the attack, or by what another model
        /// says (UAT, Alayrac et al. 2019)
        Uat = "uat",
        /// The worse of an L-infinity and an L2 perturbation of each sample (Tramèr and Boneh 2019)
        Max = "max",
        /// An L-infinity and an L2 perturbation of each sample (Tramèr and Boneh 2019)
        Average = "avg",
    }
}

choices! {
    /// What stands in the place of the label of a sample that has none.
    pub enum Targets: "targets" {
        /// What the model itself says of the natural sample (UAT-OT)
        Online = "online",
        /// The class that another model gives the natural sample (UAT-FT)
        Fixed = "fixed",
        /// Both (UAT++)
        Both = "both",
    }
}

impl Targets {
    /// Whether another model labels the samples.
    pub fn are_fixed(self) -> bool {
        self != Self::Online
    }

    /// Whether the model's own answers count.
    pub fn are_online(self) -> bool {
        self != Self::Fixed
    }
}

/// Which loss a step follows, and how the samples are perturbed for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Recipe {
    /// Cross-entropy of the samples after the inner attack.
    #[default]
    Adversarial,
    /// The same, with noise in the samples and an attack of one step from it, which may leave the ball.
    NoiseFgsm {
        /// Size of the noise in units of epsilon.
        noise: f32,
    },
    /// Cross-entropy of the natural samples, and the divergence of the attacked ones from them, which the inner attack ascends.
    Trades {
        /// What the divergence counts: β.
        beta: f32,
    },
    /// Cross-entropy of the samples with a perturbation that goes on from batch to batch. The inner attack's radius is the largest step.
    Free {
        /// Steps on each batch.
        replays: usize,
    },
    /// Cross-entropy of a batch whose first samples are moved toward their least likely class, by a size drawn for each.
    Kurakin {
        /// Which part of the batch is moved, in `(0, 1]`.
        share: f32,
        /// What a moved sample counts.
        weight: f32,
    },
    /// Half the cross-entropy of the natural and half that of the attacked samples, and the squared distance of their logits.
    LogitPairing {
        /// What the distance counts.
        weight: f32,
    },
    /// Cross-entropy of the perturbed samples, summed over passes; the inner attack's steps are made between two of them, through the first
    /// layer alone, with what comes after it held fixed.
    Yopo {
        /// Passes over the network for each batch.
        passes: usize,
    },
    /// Cross-entropy of the attacked samples, those without a label by another model's class or not at all; and the divergence of the
    /// attacked samples from the natural ones, of which no gradient is taken.
    Uat {
        /// So many of the training samples, the first ones, keep their labels.
        labelled: usize,
        /// What stands in the place of the others' labels.
        targets: Targets,
        /// What a sample without a label counts, and the divergence.
        weight: f32,
    },
    /// Cross-entropy of the worse of two perturbations of each sample: the inner attack's, and one in an L2 ball with as many steps.
    Max {
        /// Radius of the L2 ball, in pixel units.
        radius: f32,
    },
    /// Mean cross-entropy of both.
    Average {
        /// Radius of the L2 ball, in pixel units.
        radius: f32,
    },
}

impl Recipe {
    fn is_adversarial(&self) -> bool {
        *self == Self::Adversarial
    }

    fn check(self, samples: usize) -> Result<()> {
        let problem = match self {
            Self::NoiseFgsm { noise } if !(noise >= 0.0 && noise.is_finite()) => {
                format!("the noise of N-FGSM is of at least 0 radii, not {noise}")
            }
            Self::Trades { beta } if !positive(beta) => format!("--weight, the beta of TRADES, is positive, not {beta}"),
            Self::Free { replays: 0 } => "--replays is at least 1: free training goes through a batch so often".to_owned(),
            Self::Yopo { passes: 0 } => "--replays is at least 1: the passes of YOPO for each batch".to_owned(),
            Self::Kurakin { share, .. } if !(positive(share) && share <= 1.0) => {
                format!("the share of a batch that is moved is above 0 and at most 1, not {share}")
            }
            Self::Kurakin { weight, .. } | Self::LogitPairing { weight } | Self::Uat { weight, .. } if !positive(weight) => {
                format!("--weight is positive, not {weight}")
            }
            Self::Uat { labelled, .. } if labelled == 0 || labelled >= samples => format!(
                "--labelled is at least 1 and less than the {samples} samples that are trained on, not {labelled}: UAT needs samples with a \
                 label and samples without one"
            ),
            Self::Max { radius } | Self::Average { radius } if !positive(radius) => {
                format!("--radius, that of the L2 ball, is positive, not {radius}")
            }
            _ => return Ok(()),
        };
        refused(problem)
    }

    /// Whether the inner attack's step is as long as its radius, or as a part of it that is drawn: [`InnerAttack::step_size`] counts for
    /// nothing then.
    pub fn steps_by_its_radius(self) -> bool {
        matches!(self, Self::Free { .. } | Self::Kurakin { .. })
    }

    /// How many optimizer steps a batch gives.
    pub fn replays(self) -> usize {
        match self {
            Self::Free { replays } => replays,
            _ => 1,
        }
    }
}

/// Settings of a training run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Passes over the training set.
    pub epochs: usize,
    /// Samples of a batch.
    pub batch_size: usize,
    /// So many samples of a batch are on the device at once; their gradients are summed. Smaller than the batch it bounds
    /// the memory of a step, and batch normalization then takes the statistics of each such part.
    pub micro_batch: usize,
    /// How gradients become steps.
    pub rule: Rule,
    /// The learning rate rises linearly from 0 to this and falls back to 0.
    pub peak_learning_rate: f32,
    /// Where the peak is, as a fraction of the run.
    pub peak_at: f32,
    /// Which loss a step follows.
    #[serde(default, skip_serializing_if = "Recipe::is_adversarial")]
    pub recipe: Recipe,
    /// What the samples are perturbed by.
    pub inner: InnerAttack,
    /// The radius and the step of the inner attack rise linearly from 0 over this fraction of the run. At full strength from
    /// the first step, PGD training on MNIST can stay where it began: all classes equally likely.
    pub ramp: f32,
    /// How the samples are augmented.
    pub augmentation: Augmentation,
    /// Of the training steps; the inner attack is f32.
    #[serde(default = "single", skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
    /// The model is the exponential moving average of the weights after each step: this share of the average is kept in a step. `None`:
    /// the weights themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<f32>,
    /// Adversarial weight perturbation (Wu et al. 2020): the gradient is taken where each tensor of weights is moved up the loss by this share
    /// of its length. `None`: where the weights are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_perturbation: Option<f32>,
}

/// The inner maximization of adversarial training (equation 1): signed steps from a uniform start, in the ball and in the
/// pixel range. No steps: ordinary training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InnerAttack {
    /// Radius of the ball, in pixel units.
    pub epsilon: f32,
    /// Length of a step, in pixel units.
    pub step_size: f32,
    /// Number of steps.
    pub steps: usize,
    /// Whether the random start is clipped to the pixel range: on CIFAR-10 the reference code does, on MNIST it does not, and
    /// there it matters. Most pixels of MNIST are black, so clipping takes half of the start's randomness away, and FGSM
    /// training then overfits to its own step.
    pub clip_start: bool,
}

/// Which rule turns gradients into steps. The learning rate is given step by step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Stochastic gradient descent, dampening 0.
    ///
    /// Burn's own momentum has dampening 0.1 by default, PyTorch's has 0; the reference code uses the latter.
    Sgd {
        /// Share of the velocity that is kept, at least 0 and less than 1.
        momentum: f32,
        /// Whether the momentum is Nesterov's.
        nesterov: bool,
        /// This share of each parameter is added to its gradient.
        weight_decay: f32,
    },
    /// Adam (Kingma & Ba 2015) with betas 0.9 and 0.999 and epsilon 1e-8.
    Adam,
}

impl TrainConfig {
    /// Fast-FGSM on MNIST: 10 epochs of batches of 100, Adam, learning rate up to 5e-3 at 2/5 of the run, one step of
    /// 0.375 in 0.3 from a uniform start.
    pub const FAST_MNIST: Self = Self {
        epochs: 10,
        batch_size: 100,
        micro_batch: 100,
        rule: Rule::Adam,
        peak_learning_rate: 5e-3,
        peak_at: 0.4,
        recipe: Recipe::Adversarial,
        inner: InnerAttack { epsilon: 0.3, step_size: 0.375, steps: 1, clip_start: false },
        ramp: 0.0,
        augmentation: Augmentation::None,
        precision: Precision::Single,
        average: None,
        weight_perturbation: None,
    };
    /// PGD-40 on MNIST (Madry et al. 2018) with the schedule of [`FAST_MNIST`](Self::FAST_MNIST), a lower learning
    /// rate and a ramp.
    pub const PGD_MNIST: Self = Self {
        peak_learning_rate: 1e-3,
        inner: InnerAttack { epsilon: 0.3, step_size: 0.01, steps: 40, clip_start: true },
        ramp: 0.3,
        ..Self::FAST_MNIST
    };
    /// Fast-FGSM on CIFAR-10: 15 epochs of batches of 128, SGD with momentum 0.9 and weight decay 5e-4, learning rate up to
    /// 0.2 in the middle of the run, one step of 10/255 in 8/255.
    pub const FAST_CIFAR10: Self = Self {
        epochs: 15,
        batch_size: 128,
        micro_batch: 128,
        rule: Rule::Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4 },
        peak_learning_rate: 0.2,
        peak_at: 0.5,
        recipe: Recipe::Adversarial,
        inner: InnerAttack { epsilon: 8.0 / 255.0, step_size: 10.0 / 255.0, steps: 1, clip_start: true },
        ramp: 0.0,
        augmentation: Augmentation::CropFlip { padding: 4 },
        precision: Precision::Single,
        average: None,
        weight_perturbation: None,
    };

    /// The settings of a method for gray (MNIST) or colored (CIFAR-10) images. Loss and inner attack are the sources'; the schedule is that
    /// of [`FAST_MNIST`](Self::FAST_MNIST) and [`FAST_CIFAR10`](Self::FAST_CIFAR10), shorter than most sources'.
    pub fn of(method: Method, colored: bool) -> Self {
        let fast = if colored { Self::FAST_CIFAR10 } else { Self::FAST_MNIST };
        // PGD-7 of 2/255 on CIFAR-10: Madry et al. 2018.
        let seven = InnerAttack { step_size: 2.0 / 255.0, steps: 7, ..fast.inner };
        let pgd = if colored { Self { inner: seven, ..fast } } else { Self::PGD_MNIST };
        let one = InnerAttack { step_size: fast.inner.epsilon, ..fast.inner };
        match method {
            Method::Fast => fast,
            Method::Pgd => pgd,
            Method::Natural => Self { inner: InnerAttack { epsilon: 0.0, step_size: 0.0, steps: 0, clip_start: false }, ..fast },
            Method::NoiseFgsm => Self { recipe: Recipe::NoiseFgsm { noise: 2.0 }, inner: one, ..fast },
            Method::Trades if colored => {
                let inner = InnerAttack { epsilon: 0.031, step_size: 0.007, steps: 10, clip_start: false };
                Self { recipe: Recipe::Trades { beta: 6.0 }, inner, peak_learning_rate: 0.1, ..fast }
            }
            Method::Trades => {
                let inner = InnerAttack { clip_start: false, ..pgd.inner };
                Self { recipe: Recipe::Trades { beta: 1.0 }, inner, ramp: 0.0, ..pgd }
            }
            // As many optimizer steps as the other methods make: a batch counts for eight.
            Method::Free => Self {
                recipe: Recipe::Free { replays: 8 },
                inner: one,
                epochs: fast.epochs.div_ceil(8),
                peak_learning_rate: if colored { 0.04 } else { 1e-3 },
                ..fast
            },
            Method::Kurakin => Self { recipe: Recipe::Kurakin { share: 0.5, weight: 0.3 }, inner: one, ..fast },
            Method::LogitPairing => Self { recipe: Recipe::LogitPairing { weight: if colored { 0.5 } else { 1.0 } }, ..pgd },
            // YOPO-5-3 and YOPO-5-10. Their rates are lower by the number of passes, whose gradients are summed; Adam does not see the sum.
            Method::Yopo if colored => {
                let inner = InnerAttack { step_size: 2.0 / 255.0, steps: 3, ..fast.inner };
                Self { recipe: Recipe::Yopo { passes: 5 }, inner, peak_learning_rate: 0.04, ..fast }
            }
            Method::Yopo => {
                let inner = InnerAttack { step_size: 0.01, steps: 10, ..pgd.inner };
                Self { recipe: Recipe::Yopo { passes: 5 }, inner, ramp: 0.0, ..pgd }
            }
            Method::Uat => {
                let inner = if colored { seven } else { InnerAttack { step_size: 0.075, steps: 10, ..pgd.inner } };
                let recipe = Recipe::Uat { labelled: 4000, targets: Targets::Online, weight: 5.0 };
                Self { recipe, inner, ..pgd }
            }
            Method::Max | Method::Average => {
                let radius = if colored { 0.5 } else { 2.0 };
                let recipe = if method == Method::Max { Recipe::Max { radius } } else { Recipe::Average { radius } };
                let steps = 10;
                let inner = InnerAttack { step_size: shared_out(pgd.inner.epsilon, steps), steps, ..pgd.inner };
                Self { recipe, inner, ..pgd }
            }
        }
    }

    /// The length of a step of these settings' inner attack where its radius and its steps become others: as many radii as before where it is
    /// one step, 2.5 radii over the number of steps for [`Recipe::Max`] and [`Recipe::Average`], and otherwise the same.
    pub fn step_size(&self, epsilon: f32, steps: usize) -> f32 {
        let InnerAttack { epsilon: usual, step_size, steps: usual_steps, .. } = self.inner;
        if (epsilon, steps) == (usual, usual_steps) {
            return step_size;
        }
        match self.recipe {
            Recipe::Max { .. } | Recipe::Average { .. } => shared_out(epsilon, steps),
            _ if usual_steps == 1 => epsilon * (step_size / usual),
            _ => step_size,
        }
    }

    /// What is allowed and hardly meant, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        let InnerAttack { epsilon, step_size, steps, .. } = self.inner;
        let steps = match self.recipe {
            recipe if recipe.steps_by_its_radius() => return Vec::new(),
            Recipe::Yopo { passes } => passes * steps,
            _ => steps,
        };
        out_of_reach("", epsilon, step_size, steps, "the random start").into_iter().collect()
    }

    /// Checks that every setting is in its range, for training on so many samples.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) naming the setting.
    pub fn check(&self, samples: usize) -> Result<()> {
        if self.epochs == 0 {
            return refused("training needs at least one epoch");
        }
        if self.batch_size == 0 || self.batch_size > samples {
            return refused(format!("a batch has 1 to {samples} samples, as many as are trained on, not {}", self.batch_size));
        }
        if self.micro_batch == 0 {
            return refused("a micro-batch has at least one sample");
        }
        if !positive(self.peak_learning_rate) {
            return refused(format!("the peak learning rate is positive, not {}", self.peak_learning_rate));
        }
        if !(self.peak_at > 0.0 && self.peak_at < 1.0) {
            return refused(format!("the peak of the learning rate is between 0 and 1 of the run, not at {}", self.peak_at));
        }
        self.recipe.check(samples)?;
        if self.recipe.replays() > 1 && self.micro_batch < self.batch_size {
            return refused("free training takes a batch whole: its perturbation goes on to the next one");
        }
        if matches!(self.recipe, Recipe::Yopo { .. }) && self.micro_batch < self.batch_size {
            return refused("YOPO takes a batch whole: the gradients of its passes are summed");
        }
        let single = !matches!(self.recipe, Recipe::Free { .. } | Recipe::Yopo { .. });
        if let Some(share) = self.weight_perturbation
            && !(single && positive(share) && share < 1.0)
        {
            return refused(match single {
                true => format!("weights are perturbed by a share of their length between 0 and 1, not {share}"),
                false => "free training and YOPO have no second pass in which weights could be perturbed".to_owned(),
            });
        }
        if let Some(share) = self.average
            && !(share > 0.0 && share < 1.0)
        {
            return refused(format!("an average keeps a share between 0 and 1 of itself, not {share}"));
        }
        if !(0.0..=1.0).contains(&self.ramp) {
            return refused(format!("the ramp is a fraction of the run, from 0 to 1, not {}", self.ramp));
        }
        Ok(())
    }

    /// The inner attack after `progress` of the run, in `[0, 1]`.
    pub fn inner_attack(&self, progress: f32) -> InnerAttack {
        let strength = if progress < self.ramp { progress / self.ramp } else { 1.0 };
        InnerAttack { epsilon: self.inner.epsilon * strength, step_size: self.inner.step_size * strength, ..self.inner }
    }

    /// Learning rate after `progress` of the run, in `[0, 1]`.
    pub fn learning_rate(&self, progress: f32) -> f32 {
        let share = if progress < self.peak_at { progress / self.peak_at } else { (1.0 - progress) / (1.0 - self.peak_at) };
        self.peak_learning_rate * share
    }
}

fn positive(value: f32) -> bool {
    value > 0.0 && value.is_finite()
}

/// The length of each of so many steps that lead two and a half radii in all.
fn shared_out(epsilon: f32, steps: usize) -> f32 {
    2.5 * epsilon / steps as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Choice;

    fn settings() -> impl Iterator<Item = TrainConfig> {
        Method::ALL.iter().flat_map(|method| [false, true].map(|colored| TrainConfig::of(*method, colored)))
    }

    #[test]
    fn the_usual_settings_reach_their_radius_and_keep_their_step() {
        for usual in settings() {
            assert_eq!(usual.warnings(), [] as [&str; 0], "{usual:?}");
            assert_eq!(usual.step_size(usual.inner.epsilon, usual.inner.steps), usual.inner.step_size, "{usual:?}");
        }
    }

    #[test]
    fn a_step_grows_with_the_radius_where_it_is_a_multiple_of_it() {
        let step = |method, epsilon, steps| TrainConfig::of(method, false).step_size(epsilon, steps);
        assert_eq!(step(Method::NoiseFgsm, 0.2, 1), 0.2);
        assert_eq!(step(Method::Fast, 0.2, 1), 0.25);
        assert_eq!(step(Method::Max, 0.3, 2), 0.375);
        assert_eq!(step(Method::Average, 0.2, 10), 0.05);
        assert_eq!(step(Method::Pgd, 0.2, 2), 0.01);
        // Whatever the radius, what has grown with it reaches it.
        for usual in settings().filter(|usual| usual.inner.steps == 1) {
            let inner = InnerAttack { epsilon: 0.5, step_size: usual.step_size(0.5, 1), ..usual.inner };
            assert_eq!(TrainConfig { inner, ..usual }.warnings(), [] as [&str; 0], "{usual:?}");
        }
    }

    #[test]
    fn an_inner_attack_that_does_not_reach_its_radius_is_warned_of() {
        let with = |method, inner: fn(InnerAttack) -> InnerAttack| {
            let usual = TrainConfig::of(method, false);
            TrainConfig { inner: inner(usual.inner), ..usual }.warnings()
        };
        let few = with(Method::Pgd, |inner| InnerAttack { steps: 2, ..inner });
        assert!(few.len() == 1 && few[0].contains("2 steps (`steps`)") && few[0].contains("lead 0.02 from"), "{few:?}");
        let short = with(Method::Fast, |inner| InnerAttack { step_size: 0.1, ..inner });
        assert!(short.len() == 1 && short[0].starts_with("1 step of 0.1") && short[0].contains("the 0.3 that"), "{short:?}");
        // Five passes of three steps of 0.02; one step of free training is as long as the radius whatever is written.
        assert!(with(Method::Yopo, |inner| InnerAttack { steps: 3, step_size: 0.02, ..inner }).is_empty());
        assert_eq!(with(Method::Yopo, |inner| InnerAttack { steps: 2, step_size: 0.02, ..inner }).len(), 1);
        assert!(with(Method::Free, |inner| InnerAttack { step_size: 0.1, ..inner }).is_empty());
    }

    #[test]
    fn a_setting_out_of_range_is_named_with_its_value() {
        let uat = TrainConfig::of(Method::Uat, false);
        assert_eq!(uat.check(4001), Ok(()));
        let message = uat.check(280).unwrap_err().to_string();
        assert!(message.contains("--labelled") && message.contains("4000") && message.contains("280"), "{message}");
        let recipe = Recipe::Uat { labelled: 100, targets: Targets::Online, weight: -1.0 };
        let message = TrainConfig { recipe, ..uat }.check(280).unwrap_err().to_string();
        assert!(message.contains("--weight") && message.contains("-1") && !message.contains("labelled"), "{message}");
        let message = uat.check(99).unwrap_err().to_string();
        assert!(message.contains("1 to 99") && message.contains("not 100"), "{message}");
    }
}
