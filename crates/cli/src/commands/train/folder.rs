//! The folder of a training run: settings, checkpoint, log, and in the end the model with its card.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use riposte::evaluate::Summary;
use riposte::models::ModelCard;
use riposte::train::TrainConfig;
use riposte::weights::{Precision, StateDict};
use serde::{Deserialize, Serialize};

use super::Losses;
use super::plan::{Continuation, Plan, Settings};
use crate::{file, output, results};

const SETTINGS: &str = "run.json";
const CHECKPOINT: &str = "checkpoint.safetensors";
/// The weights of the best epoch so far.
const BEST: &str = "best.safetensors";
const LOG: &str = "log.jsonl";
const LOSSES: &str = "losses.json";
const LOCK: &str = ".lock";

/// A drop by more than one of this many held-out images ends a run.
const COLLAPSE: usize = 5;

pub(super) struct Folder {
    path: PathBuf,
    log: Vec<LogLine>,
    settings: Settings,
    continuation: Continuation,
    /// Keeps other runs out until this one ends.
    _lock: Option<File>,
}

/// The end of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LogLine {
    epoch: usize,
    step: usize,
    /// Mean loss on the perturbed batches of the epoch; of its part since the run went on where the losses before are not known.
    loss: Option<f64>,
    /// Held-out images looked at.
    images: usize,
    natural_correct: usize,
    robust_correct: Option<usize>,
    /// Since the run began or went on.
    seconds: f64,
}

impl Folder {
    /// Opens the folder at `path` for a new run, or for one that goes on.
    pub(super) fn open(path: &Path, plan: &Plan, resume: bool) -> Result<Self> {
        let known = path.join(CHECKPOINT).exists();
        ensure!(
            resume || !known,
            "`{}` already holds a run: --resume goes on with it, another --out begins a new one",
            path.display()
        );
        let lock = || -> Result<File> {
            std::fs::create_dir_all(path)?;
            let file = File::create(path.join(LOCK))?;
            results::lock(&file)?;
            Ok(file)
        };
        let lock = lock().with_context(|| format!("cannot train in `{}`", path.display()))?;
        let (mut settings, mut continuation) = (plan.settings(), Continuation::Same);
        if known {
            settings = serde_json::from_slice(&file::read(&path.join(SETTINGS))?)
                .with_context(|| format!("`{}` is damaged", path.join(SETTINGS).display()))?;
            let found = settings.continued(plan);
            continuation = found.map_err(|why| anyhow!("the run in `{}` {why}; give it a folder of its own", path.display()))?;
        } else {
            if resume {
                eprintln!("No checkpoint in `{}`: starting.", path.display());
            }
            write_settings(path, &settings)?;
        }
        [CHECKPOINT, BEST, LOG, LOSSES].iter().for_each(|name| file::remove_leftovers(&path.join(name)));
        let log = match std::fs::read_to_string(path.join(LOG)) {
            Ok(text) if known => text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
            _ => Vec::new(),
        };
        Ok(Self { path: path.to_owned(), log, settings, continuation, _lock: Some(lock) })
    }

    /// Gives a run that has made so many steps, of `per_epoch` to an epoch, the epochs that its plan wants, if those are more than it was to
    /// have; says on standard error what becomes of its learning rate.
    pub(super) fn extend(&mut self, plan: &Plan, step: usize, per_epoch: usize) -> Result<()> {
        let Continuation::Longer { before } = self.continuation else { return Ok(()) };
        let (then, now) = (before.epochs, plan.config.epochs);
        self.settings = self.settings.clone().extended(now, step);
        write_settings(&self.path, &self.settings)?;
        self.continuation = Continuation::Same;
        let rate = |config: &TrainConfig| config.learning_rate(step as f32 / (config.epochs * per_epoch) as f32);
        eprintln!(
            "{now} epochs in place of {then}: the learning rate, which is {:.2e} after step {step}, becomes that of a run of {now} epochs there, \
             {:.2e}, and falls to 0 at their end.",
            rate(&before),
            rate(&plan.config)
        );
        Ok(())
    }

    /// What a card tells of the epochs that were added.
    pub(super) fn extensions(&self) -> String {
        self.settings.extensions()
    }

    /// The checkpoint to go on from.
    pub(super) fn checkpoint(&self) -> Result<Option<StateDict>> {
        let path = self.path.join(CHECKPOINT);
        if !path.exists() {
            return Ok(None);
        }
        let dict = StateDict::from_safetensors(&file::read(&path)?);
        dict.map(Some).with_context(|| format!("the checkpoint `{}` is damaged", path.display()))
    }

    /// Writes the checkpoint of a step, and before it the losses since the last line of the log: beside those of the checkpoint before, which
    /// is what a run that is killed between the two goes on from.
    pub(super) fn save(&self, checkpoint: &StateDict, step: usize, losses: &Losses) -> Result<()> {
        let mut kept = self.kept_losses();
        kept.push((step, losses.clone()));
        let latest = &kept[kept.len().saturating_sub(2)..];
        file::write_atomically(&self.path.join(LOSSES), &serde_json::to_vec(latest)?)?;
        file::write_atomically(&self.path.join(CHECKPOINT), &checkpoint.to_safetensors(Precision::F32))
    }

    /// Those of the checkpoint of a step; none where they are not known.
    pub(super) fn losses(&self, step: usize) -> Losses {
        self.kept_losses().into_iter().rfind(|(of, _)| *of == step).map(|(_, losses)| losses).unwrap_or_default()
    }

    fn kept_losses(&self) -> Vec<(usize, Losses)> {
        std::fs::read(self.path.join(LOSSES)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(super) fn save_best(&self, weights: &StateDict) -> Result<()> {
        file::write_atomically(&self.path.join(BEST), &weights.to_safetensors(Precision::F32))
    }

    pub(super) fn best_weights(&self) -> Result<StateDict> {
        let path = self.path.join(BEST);
        StateDict::from_safetensors(&file::read(&path)?).with_context(|| format!("`{}` is damaged", path.display()))
    }

    /// The epoch with the highest score, of equals the latest.
    pub(super) fn best(&self, plan: &Plan) -> Option<&LogLine> {
        self.log.iter().max_by_key(|line| line.score(plan))
    }

    pub(super) fn would_be_best(&self, line: &LogLine, plan: &Plan) -> bool {
        self.best(plan).is_none_or(|best| line.score(plan) >= best.score(plan))
    }

    /// Whether the latest epoch is far below the best one: catastrophic overfitting (Wong et al. 2020), from which FGSM
    /// training does not come back.
    pub(super) fn has_collapsed(&self, plan: &Plan) -> bool {
        let best = self.best(plan).map_or(0, |line| line.score(plan));
        self.log.last().is_some_and(|last| last.score(plan) + last.images / COLLAPSE < best)
    }

    pub(super) fn has_logged(&self, step: usize) -> bool {
        self.log.iter().any(|line| line.step == step)
    }

    pub(super) fn log(&mut self, line: LogLine) -> Result<()> {
        self.log.push(line);
        self.write_log()
    }

    /// Forgets what was logged of steps that the checkpoint does not have: they will be made again.
    pub(super) fn drop_log_after(&mut self, step: usize) -> Result<()> {
        self.log.retain(|line| line.step <= step);
        self.write_log()
    }

    /// Writes the weights and then the card, and gives the path of the weights.
    pub(super) fn save_model(&self, card: &ModelCard, weights: &[u8]) -> Result<PathBuf> {
        let path = self.path.join(&card.weights);
        file::write_atomically(&path, weights)?;
        let json = serde_json::to_string_pretty(card)? + "\n";
        file::write_atomically(&self.path.join(format!("{}.json", card.id)), json.as_bytes())?;
        Ok(path)
    }

    /// Whole each time: an epoch is long and a log is short.
    fn write_log(&self) -> Result<()> {
        let mut text = String::new();
        for line in &self.log {
            text += &serde_json::to_string(line)?;
            text.push('\n');
        }
        file::write_atomically(&self.path.join(LOG), text.as_bytes())
    }
}

impl LogLine {
    pub(super) fn epoch(&self) -> usize {
        self.epoch
    }

    fn score(&self, plan: &Plan) -> usize {
        plan.score(self.natural_correct, self.robust_correct)
    }

    pub(super) fn new(step: usize, per_epoch: usize, loss: Option<f64>, summary: &Summary, elapsed: Duration) -> Self {
        Self {
            epoch: step / per_epoch,
            step,
            loss,
            images: summary.images,
            natural_correct: summary.natural_correct,
            robust_correct: summary.robust_correct,
            seconds: elapsed.as_secs_f64(),
        }
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |count: usize| output::percent(count as f64 / self.images as f64);
        write!(f, "Epoch {}: natural {}", self.epoch, share(self.natural_correct))?;
        if let Some(robust) = self.robust_correct {
            write!(f, ", robust {}", share(robust))?;
        }
        if let Some(loss) = self.loss {
            write!(f, ", loss {loss:.4}")?;
        }
        write!(f, " ({:.0} s)", self.seconds)
    }
}

fn write_settings(path: &Path, settings: &Settings) -> Result<()> {
    file::write_atomically(&path.join(SETTINGS), serde_json::to_string_pretty(settings)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn plan(method: &str) -> Plan {
        let words = ["riposte", "train", "--architecture", "fast-mnist-cnn", "--out", "none", "--method", method];
        let Some(Command::Train(args)) = Cli::parse_from(words).command else { panic!("a training command") };
        Plan::resolve(&args).unwrap()
    }

    fn line(epoch: usize, natural_correct: usize, robust: usize) -> LogLine {
        LogLine { epoch, step: epoch, loss: None, images: 100, natural_correct, robust_correct: Some(robust), seconds: 0.0 }
    }

    fn folder(log: Vec<LogLine>) -> Folder {
        Folder { path: PathBuf::new(), log, settings: plan("fast").settings(), continuation: Continuation::Same, _lock: None }
    }

    #[test]
    fn the_best_epoch_is_that_of_the_highest_accuracy_under_attack_of_equals_the_latest() {
        let log = vec![line(1, 99, 60), line(2, 90, 80), line(3, 89, 80), line(4, 99, 70)];
        assert_eq!(folder(log.clone()).best(&plan("fast")).map(LogLine::epoch), Some(3));
        assert_eq!(folder(log).best(&plan("natural")).map(LogLine::epoch), Some(4));
        let known = folder(vec![line(1, 99, 60)]);
        assert!(known.would_be_best(&line(2, 0, 60), &plan("pgd")) && !known.would_be_best(&line(2, 99, 59), &plan("pgd")));
    }

    #[test]
    fn a_run_has_collapsed_when_it_falls_by_more_than_a_fifth_of_the_images() {
        let after = |robust| folder(vec![line(1, 95, 80), line(2, 95, robust)]).has_collapsed(&plan("fast"));
        assert!(!after(60) && after(59) && after(0));
        assert!(!folder(Vec::new()).has_collapsed(&plan("fast")));
    }
}
