//! Any attack run to its end on what is still right, and the standard ensemble of four (Croce & Hein 2020, "AutoAttack").

use std::ops::ControlFlow;

use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

use super::checks::{self, Flag};
use super::goal::{Goal, Loss};
use super::norm::Norm;
use super::pgd::{Attacked, Step};
use super::standing::{Ball, Standing};
use super::subject::Subject;
use super::{Apgd, Cw, DeepFool, Fab, Square};
use crate::classifier::read;
use crate::rng::Seed;
use crate::{Error, Result};

/// The standard ensemble: APGD with the cross-entropy, APGD with the targeted DLR loss, FAB-T, Square. Each attacks only what the
/// ones before it have left right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auto {
    /// Radius of the ball, in pixel units (`[0, 1]`).
    pub epsilon: f32,
    /// Steps of a run of the attacks with gradients.
    pub steps: usize,
    /// Targets of the targeted attacks.
    pub targets: usize,
    /// Queries of the attack without.
    pub queries: usize,
}

impl Auto {
    /// AutoAttack's standard version, at MNIST's usual radius.
    pub const STANDARD: Self = Self { epsilon: 0.3, steps: 100, targets: 9, queries: 5000 };

    /// The attacks in order.
    pub fn parts(self) -> [Single; 4] {
        let Self { epsilon, steps, targets, queries } = self;
        [
            Single::Apgd(Apgd { epsilon, steps, ..Apgd::STANDARD }),
            Single::Apgd(Apgd { epsilon, steps, targets, ..Apgd::STANDARD_TARGETED }),
            Single::Fab(Fab { epsilon, steps, targets }),
            Single::Square(Square { epsilon, queries, ..Square::STANDARD }),
        ]
    }
}

/// One of the attacks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Single {
    Apgd(Apgd),
    Fab(Fab),
    Square(Square),
    Cw(Cw),
    DeepFool(DeepFool),
}

/// How far a campaign is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The attack under way.
    pub attack: Single,
    /// Its number in the campaign, from 0.
    pub index: usize,
    /// Which run of it, from 0: a target or a start.
    pub run: usize,
    /// Steps or queries of the run so far.
    pub step: usize,
    /// Images of the batch that were right when the run began.
    pub right: usize,
}

/// What a campaign ends with.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Of each image the point that fooled the subject, else the one of the largest margin; and the logits there.
    pub end: Attacked,
    /// Which images no attack has fooled.
    pub right: Vec<bool>,
    /// How many images were right before the first attack and after each.
    pub counts: Vec<usize>,
    /// What makes the result doubtful.
    pub flags: Vec<Flag>,
    /// Points that an attack claimed and the subject, asked again, did not confirm.
    pub unconfirmed: usize,
}

/// Attacks `images` `[batch, channel, height, width]` in `[0, 1]` of the given labels with one attack after the other, each on the
/// images that are still right. `inputs` numbers the images in their data set: they and the seed make all draws.
///
/// # Errors
/// [`Error::Config`] if a setting is out of its range or numbers differ; [`Error::Cancelled`] if the observer breaks;
/// [`Error::Device`] if the device fails.
pub async fn campaign<S: Subject>(
    attacks: &[Single],
    subject: &S,
    images: Tensor<4>,
    labels: &[usize],
    seed: Seed,
    inputs: &[u64],
    observe: impl AsyncFnMut(Progress) -> ControlFlow<()>,
) -> Result<Outcome> {
    let [batch, ..] = images.dims();
    if labels.len() != batch || inputs.len() != batch {
        let (labels, inputs) = (labels.len(), inputs.len());
        return Err(Error::Config(format!("{batch} images need as many labels ({labels}) and input numbers ({inputs})")));
    }
    let mut flags = checks::look(subject, images.clone(), labels).await?;
    let standing = Standing::new(subject, images, labels, inputs).await?;
    let mut counts = vec![standing.count()];
    let mut campaign = Campaign { standing, seed, zero_gradients: 0, observe, at: None };
    for (index, attack) in attacks.iter().enumerate() {
        let suited = attack.suited(subject.class_count());
        if suited != *attack {
            let flag = Flag::FewClasses { classes: subject.class_count() };
            flags.extend((!flags.contains(&flag)).then_some(flag));
        }
        campaign.attack(index, suited).await?;
        let before = counts[index];
        counts.push(campaign.standing.count());
        if matches!(attack, Single::Square(_)) && index > 0 {
            flags.extend(checks::square_wins(before - counts[index + 1], batch));
        }
    }
    flags.extend((campaign.zero_gradients > 0).then_some(Flag::ZeroGradients { runs: campaign.zero_gradients }));
    let unconfirmed = campaign.standing.unconfirmed;
    let (_, end, right) = campaign.standing.end();
    Ok(Outcome { end, right, counts, flags, unconfirmed })
}

/// Queries of the Square attack between two looks at which images are fooled, steps of the others.
const QUERIES_BETWEEN: usize = 50;
const STEPS_BETWEEN: usize = 100;

struct Campaign<'a, S, O> {
    standing: Standing<'a, S>,
    seed: Seed,
    zero_gradients: usize,
    observe: O,
    at: Option<Progress>,
}

impl<S: Subject, O: AsyncFnMut(Progress) -> ControlFlow<()>> Campaign<'_, S, O> {
    async fn attack(&mut self, index: usize, attack: Single) -> Result<()> {
        for run in 0..attack.runs() {
            let right = self.standing.count();
            self.at = Some(Progress { attack, index, run, step: 0, right });
            if right == 0 {
                return Ok(());
            }
            match attack {
                Single::Apgd(apgd) => self.apgd(apgd, run).await?,
                Single::Fab(fab) => self.fab(fab, run).await?,
                Single::Square(square) => self.square(square, run).await?,
                Single::Cw(cw) => self.cw(cw).await?,
                Single::DeepFool(deep_fool) => self.deep_fool(deep_fool).await?,
            }
        }
        Ok(())
    }

    async fn apgd(&mut self, apgd: Apgd, run: usize) -> Result<()> {
        let Some(part) = self.standing.part() else { return Ok(()) };
        let labels = part.labels.clone();
        let goal = match apgd.targets {
            0 => Goal::Untargeted { labels },
            _ => Goal::Toward { labels, targets: self.standing.targets(&part, run / apgd.restarts) },
        };
        let subject = self.standing.subject;
        // The first target's first start is not the untargeted attack's.
        let number = if apgd.targets == 0 { run } else { run + 256 };
        let mut path = apgd.attack(subject, part.images.clone(), &goal, self.seed, &part.inputs, number as u16)?;
        self.follow(&mut path, usize::MAX).await?;
        let ascended = path.end();
        if apgd.loss == Loss::Dlr {
            self.zero_gradients += count(ascended.flat).await?;
        }
        self.standing.take(&part, ascended.end, within(apgd.epsilon)).await
    }

    async fn fab(&mut self, fab: Fab, run: usize) -> Result<()> {
        let Some(part) = self.standing.part() else { return Ok(()) };
        let targets = self.standing.targets(&part, run);
        let mut path = fab.attack(self.standing.subject, part.images.clone(), &part.labels, &targets)?;
        self.follow(&mut path, usize::MAX).await?;
        self.standing.take(&part, path.end().0, within(fab.epsilon)).await
    }

    async fn square(&mut self, square: Square, run: usize) -> Result<()> {
        let Some(mut part) = self.standing.part() else { return Ok(()) };
        let subject = self.standing.subject;
        let mut path = square.attack(subject, part.images.clone(), &part.labels, self.seed, &part.inputs, run as u16)?;
        while self.follow(&mut path, QUERIES_BETWEEN).await? {
            let Some((best, fooled)) = path.best() else { continue };
            if count(fooled).await? == 0 {
                continue;
            }
            self.standing.take(&part, best, within(square.epsilon)).await?;
            let Some(left) = self.standing.part() else { return Ok(()) };
            let keep: Vec<usize> = (0..part.rows.len()).filter(|index| left.rows.contains(&part.rows[*index])).collect();
            path.retain(&keep);
            part = left;
        }
        self.standing.take(&part, path.end(), within(square.epsilon)).await
    }

    async fn cw(&mut self, cw: Cw) -> Result<()> {
        let Some(part) = self.standing.part() else { return Ok(()) };
        let mut path = cw.attack(self.standing.subject, part.images.clone(), &part.labels)?;
        while self.follow(&mut path, STEPS_BETWEEN).await? && count(path.finished()).await? < part.rows.len() {}
        self.standing.take(&part, path.end().0, Ball { norm: cw.norm, radius: None }).await
    }

    async fn deep_fool(&mut self, deep_fool: DeepFool) -> Result<()> {
        let Some(part) = self.standing.part() else { return Ok(()) };
        let mut path = deep_fool.attack(self.standing.subject, part.images.clone(), &part.labels)?;
        self.follow(&mut path, usize::MAX).await?;
        self.standing.take(&part, path.end().0, Ball { norm: deep_fool.norm, radius: None }).await
    }

    /// Goes so many steps on; whether there may be more.
    async fn follow(&mut self, path: &mut impl Iterator<Item = Step>, steps: usize) -> Result<bool> {
        for _ in 0..steps {
            let Some(step) = path.next() else { return Ok(false) };
            let at = self.at.map(|at| Progress { step: step.step, ..at }).expect("an attack is under way");
            if (self.observe)(at).await.is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(true)
    }
}

impl Single {
    /// How many runs it is: targets times starts.
    fn runs(self) -> usize {
        match self {
            Self::Apgd(Apgd { targets, restarts, .. }) => targets.max(1) * restarts,
            Self::Fab(Fab { targets, .. }) => targets,
            Self::Square(Square { restarts, .. }) => restarts,
            Self::Cw(_) | Self::DeepFool(_) => 1,
        }
    }

    /// The same attack on a subject of so many classes: fewer targets, and the margin in place of a loss that needs more classes.
    fn suited(self, classes: usize) -> Self {
        match self {
            Self::Apgd(apgd) => {
                let least = if apgd.targets == 0 { 3 } else { 4 };
                let loss = if apgd.loss == Loss::Dlr && classes < least { Loss::Margin } else { apgd.loss };
                Self::Apgd(Apgd { loss, targets: apgd.targets.min(classes - 1), ..apgd })
            }
            Self::Fab(fab) => Self::Fab(Fab { targets: fab.targets.min(classes - 1), ..fab }),
            Self::Square(_) | Self::Cw(_) | Self::DeepFool(_) => self,
        }
    }
}

fn within(epsilon: f32) -> Ball {
    Ball { norm: Norm::LInfinity, radius: Some(epsilon) }
}

/// How many of a mask `[batch]` are set.
async fn count(mask: Tensor<1, Bool>) -> Result<usize> {
    Ok(read(mask.float()).await?.iter().filter(|value| **value > 0.5).count())
}
