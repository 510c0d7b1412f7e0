//! What a training run is made of, resolved from the flags.

use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use riposte::attack::Pgd;
use riposte::models::Architecture;
use riposte::precision::Precision;
use riposte::spec::dataset::DatasetId;
use riposte::spec::units::print_pixels;
use riposte::train::{InnerAttack, Method, Recipe, TrainConfig};
use serde::{Deserialize, Serialize};

use crate::args::{ModelArgs, TrainArgs};
use crate::models::{Source, quoted};
use crate::output::percent;
use crate::results;

/// Everything that a run depends on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub id: String,
    pub architecture: Architecture,
    pub dataset: DatasetId,
    pub method: Method,
    pub config: TrainConfig,
    /// Whose answers stand in the place of labels.
    pub teacher: Option<Teacher>,
    pub samples: Option<usize>,
    /// Samples held out of the training set to choose the best epoch by.
    pub check_images: usize,
    pub seed: u64,
    /// Whether the weights are stored, and measured, in half precision.
    pub half: bool,
    /// The attack of the checks and of the card.
    pub measured: Pgd,
}

/// A model that labels samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Teacher {
    /// Its id, or its file.
    pub name: String,
    sha256: String,
}

impl Teacher {
    /// Where it comes from.
    pub(super) fn source(&self) -> Result<Source> {
        source_of(&self.name)
    }
}

fn source_of(name: &str) -> Result<Source> {
    let file = Path::new(name);
    if file.is_file() {
        return Source::look(&ModelArgs { weights: Some(file.to_owned()), ..ModelArgs::default() }, None);
    }
    Source::named(name).map_err(|error| anyhow!("--teacher: {error}, and there is no file of that name"))
}

/// A plan as the run's folder keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    architecture: Architecture,
    dataset: DatasetId,
    config: TrainConfig,
    #[serde(default)]
    teacher: Option<Teacher>,
    samples: Option<usize>,
    check_images: usize,
    seed: u64,
    /// Where the run was given more epochs than it began with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extended: Vec<Extended>,
}

/// More epochs for a run that was under way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Extended {
    /// Epochs that it was to have before.
    pub from_epochs: usize,
    /// Steps that were made with these.
    pub after_step: usize,
}

/// How a run that is there goes on as a plan wants it.
#[derive(Debug, PartialEq)]
pub(super) enum Continuation {
    /// As it was.
    Same,
    /// With more epochs than it was to have.
    Longer {
        /// What it was to be.
        before: TrainConfig,
    },
}

impl Settings {
    /// How the run of these settings goes on as `plan` wants it.
    ///
    /// # Errors
    /// If that would be another run, with what differs.
    pub(super) fn continued(&self, plan: &Plan) -> Result<Continuation> {
        let wanted = Self { extended: self.extended.clone(), ..plan.settings() };
        if *self == wanted {
            return Ok(Continuation::Same);
        }
        let (here, there) = (wanted.config.epochs, self.config.epochs);
        let as_long = Self { config: TrainConfig { epochs: there, ..wanted.config }, ..wanted };
        if *self != as_long {
            bail!("has other settings ({}): with these it would be another run", results::differences(self, &as_long)?);
        }
        let ramp = self.config.ramp;
        ensure!(
            here > there,
            "is one of {there} epochs, and --epochs {here} are fewer: its learning rate would have fallen faster"
        );
        ensure!(
            ramp == 0.0,
            "is one of {there} epochs, over the first {} of which its attack grows: with --epochs {here} it would be weaker again",
            percent(f64::from(ramp))
        );
        Ok(Continuation::Longer { before: self.config })
    }

    /// These with more epochs after so many steps.
    pub(super) fn extended(mut self, epochs: usize, after_step: usize) -> Self {
        self.extended.push(Extended { from_epochs: self.config.epochs, after_step });
        self.config.epochs = epochs;
        self
    }

    /// What a card tells of that, after the command: nothing of a run that was not extended.
    pub(super) fn extensions(&self) -> String {
        let tell = |Extended { from_epochs, after_step }: &Extended| {
            format!("; extended after step {after_step}, until when it was to have {from_epochs} epochs")
        };
        self.extended.iter().map(tell).collect()
    }
}

impl Plan {
    pub(super) fn resolve(args: &TrainArgs) -> Result<Self> {
        let architecture = args.width.of(args.architecture)?;
        let color = args.dataset == DatasetId::Cifar10;
        let base = TrainConfig::of(args.method, color);
        let method = args.method;
        ensure!(
            args.steps.is_none() || base.inner.steps > 1,
            "--steps does not belong to --method {method}, which makes one or none"
        );
        let attacked = args.epsilon.is_some() || args.step_size.is_some() || args.ramp.is_some();
        if attacked && method == Method::Natural {
            bail!("--epsilon, --step-size and --ramp belong to adversarial training, not to --method natural");
        }
        ensure!(
            args.step_size.is_none() || !base.recipe.steps_by_its_radius(),
            "--step-size does not belong to --method {method}, whose steps are as long as its radius"
        );
        let (epsilon, steps) = (args.epsilon.unwrap_or(base.inner.epsilon), args.steps.unwrap_or(base.inner.steps));
        let step_size = args.step_size.unwrap_or_else(|| base.step_size(epsilon, steps));
        let inner = InnerAttack { epsilon, step_size, steps, ..base.inner };
        let recipe = match (base.recipe, args.weight, args.replays) {
            (recipe, None, None) => recipe,
            (Recipe::Trades { .. }, Some(beta), None) => Recipe::Trades { beta },
            (Recipe::LogitPairing { .. }, Some(weight), None) => Recipe::LogitPairing { weight },
            (Recipe::Kurakin { share, .. }, Some(weight), None) => Recipe::Kurakin { share, weight },
            (Recipe::Free { .. }, None, Some(replays)) => Recipe::Free { replays },
            (Recipe::Uat { labelled, targets, .. }, Some(weight), None) => Recipe::Uat { labelled, targets, weight },
            (Recipe::Yopo { .. }, None, Some(passes)) => Recipe::Yopo { passes },
            (_, Some(_), _) => bail!("--weight belongs to the methods trades, alp, kurakin and uat, not to {method}"),
            (_, None, Some(_)) => bail!("--replays belongs to the methods free and yopo, not to {method}"),
        };
        let recipe = match (recipe, args.radius) {
            (recipe, None) => recipe,
            (Recipe::Max { .. }, Some(radius)) => Recipe::Max { radius },
            (Recipe::Average { .. }, Some(radius)) => Recipe::Average { radius },
            (_, Some(_)) => bail!("--radius belongs to the methods max and avg, not to {method}"),
        };
        let recipe = match recipe {
            Recipe::Uat { labelled, targets, weight } => {
                Recipe::Uat { labelled: args.labelled.unwrap_or(labelled), targets: args.targets.unwrap_or(targets), weight }
            }
            recipe => {
                let given = args.labelled.is_some() || args.targets.is_some() || args.teacher.is_some();
                ensure!(!given, "--labelled, --targets and --teacher belong to the method uat, not to {method}");
                recipe
            }
        };
        let teacher = match (recipe, &args.teacher) {
            (Recipe::Uat { targets, .. }, Some(name)) if targets.are_fixed() => {
                Some(Teacher { name: name.clone(), sha256: source_of(name)?.sha256 })
            }
            (Recipe::Uat { targets, .. }, None) if targets.are_fixed() => {
                bail!("--targets {targets} are the classes that another model gives: name it with --teacher")
            }
            (_, Some(_)) => bail!("--teacher belongs to --targets fixed and both"),
            (_, None) => None,
        };
        let batch_size = args.batch_size.unwrap_or(base.batch_size);
        let config = TrainConfig {
            epochs: args.epochs.unwrap_or(base.epochs),
            batch_size,
            micro_batch: args.micro_batch.unwrap_or(batch_size),
            peak_learning_rate: args.lr.unwrap_or(base.peak_learning_rate),
            recipe,
            inner,
            ramp: if method == Method::Natural { 0.0 } else { args.ramp.unwrap_or(base.ramp) },
            precision: args.precision,
            average: args.ema,
            weight_perturbation: args.awp,
            ..base
        };
        let attack = args.dataset.recommended().preset().attack;
        let measured = Pgd { epsilon: args.epsilon.unwrap_or(attack.epsilon), ..attack };
        measured.check()?;
        let id = args.id.clone().unwrap_or_else(|| format!("{architecture}-{}-{method}", args.dataset));
        let simple = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        ensure!(
            !id.is_empty() && !id.starts_with('.') && id.chars().all(simple),
            "an id is made of letters, digits, hyphens, underscores and dots, not `{id}`"
        );
        Ok(Self {
            id,
            architecture,
            dataset: args.dataset,
            method,
            config,
            teacher,
            samples: args.samples,
            check_images: args.check_images,
            seed: args.seed,
            half: args.half,
            measured,
        })
    }

    /// What has to stay the same when a run goes on.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            architecture: self.architecture,
            dataset: self.dataset,
            config: self.config,
            teacher: self.teacher.clone(),
            samples: self.samples,
            check_images: self.check_images,
            seed: self.seed,
            extended: Vec::new(),
        }
    }

    /// For people: `MNIST, robust (small CNN, adversarially trained)`.
    pub(super) fn name(&self) -> String {
        let dataset = self.dataset.title();
        let net = match self.architecture {
            Architecture::FastMnistCnn => "small CNN".to_owned(),
            Architecture::PreActResNet { width: 64, blocks: 2, .. } => "PreActResNet-18".to_owned(),
            Architecture::PreActResNet { width, .. } if width < 64 => "narrow PreActResNet".to_owned(),
            other => other.to_string(),
        };
        match self.method {
            Method::Natural => format!("{dataset} ({net}, trained without attacks)"),
            Method::Fast | Method::Pgd => format!("{dataset}, robust ({net}, adversarially trained)"),
            method => format!("{dataset}, robust ({net}, {})", source(method)),
        }
    }

    pub(super) fn title(&self) -> String {
        format!("{} of {} on {}", source(self.method), self.architecture, self.dataset)
    }

    /// The command that repeats the run.
    pub(super) fn command(&self) -> String {
        let TrainConfig { epochs, batch_size, micro_batch, peak_learning_rate, recipe, inner, ramp, precision, .. } = self.config;
        let mut command = format!(
            "riposte train --architecture {} --dataset {} --method {} --epochs {epochs} --batch-size {batch_size} \
             --lr {peak_learning_rate} --seed {}",
            self.architecture, self.dataset, self.method, self.seed
        );
        if self.method != Method::Natural {
            command += &format!(" --epsilon {}", print_pixels(inner.epsilon));
            if !recipe.steps_by_its_radius() {
                command += &format!(" --step-size {}", print_pixels(inner.step_size));
            }
            command += &format!(" --ramp {ramp}");
        }
        command += &format!(" --check-images {}", self.check_images);
        if inner.steps > 1 {
            command += &format!(" --steps {}", inner.steps);
        }
        match recipe {
            Recipe::Trades { beta: weight } | Recipe::Kurakin { weight, .. } | Recipe::LogitPairing { weight } => {
                command += &format!(" --weight {weight}");
            }
            Recipe::Free { replays: count } | Recipe::Yopo { passes: count } => command += &format!(" --replays {count}"),
            Recipe::Uat { labelled, targets, weight } => {
                command += &format!(" --labelled {labelled} --targets {targets} --weight {weight}");
            }
            Recipe::Max { radius } | Recipe::Average { radius } => command += &format!(" --radius {radius}"),
            Recipe::Adversarial | Recipe::NoiseFgsm { .. } => {}
        }
        if let Some(teacher) = &self.teacher {
            command += &format!(" --teacher {}", quoted(&teacher.name));
        }
        for (flag, share) in [("ema", self.config.average), ("awp", self.config.weight_perturbation)] {
            command += &share.map(|share| format!(" --{flag} {share}")).unwrap_or_default();
        }
        if micro_batch < batch_size {
            command += &format!(" --micro-batch {micro_batch}");
        }
        if precision == Precision::Mixed {
            command += " --precision mixed";
        }
        if self.half {
            command += " --half";
        }
        if let Some(samples) = self.samples {
            command += &format!(" --samples {samples}");
        }
        command + &format!(" --id {} --out runs/{}", quoted(&self.id), quoted(&self.id))
    }

    /// Of the samples that were held out, how many a model gets right: attacked ones, unless it was trained without attacks.
    pub(super) fn score(&self, natural: usize, robust: Option<usize>) -> usize {
        match self.method {
            Method::Natural => natural,
            _ => robust.unwrap_or(natural),
        }
    }

    pub(super) fn attack_in_words(&self) -> String {
        let Pgd { epsilon, step_size, steps, start, stop, .. } = self.measured;
        let (epsilon, step_size) = (print_pixels(epsilon), print_pixels(step_size));
        format!("pgd epsilon {epsilon} step-size {step_size} steps {steps} start {start} stop {stop}")
    }

    pub(super) fn attack_flags(&self) -> String {
        let Pgd { epsilon, step_size, steps, start, stop, .. } = self.measured;
        let (epsilon, step_size) = (print_pixels(epsilon), print_pixels(step_size));
        format!(
            "--attack pgd --epsilon {epsilon} --step-size {step_size} --steps {steps} --start {start} --stop {stop} --seed {} --riposte none",
            self.seed
        )
    }
}

/// What the literature calls it.
fn source(method: Method) -> &'static str {
    match method {
        Method::Fast => "Fast-FGSM adversarial training",
        Method::Pgd => "PGD adversarial training",
        Method::Natural => "ordinary training",
        Method::NoiseFgsm => "N-FGSM adversarial training",
        Method::Trades => "TRADES training",
        Method::Free => "Free adversarial training",
        Method::Kurakin => "one-step adversarial training after Kurakin et al.",
        Method::LogitPairing => "adversarial logit pairing",
        Method::Yopo => "YOPO training",
        Method::Uat => "UAT training",
        Method::Max => "MAX adversarial training",
        Method::Average => "AVG adversarial training",
    }
}
