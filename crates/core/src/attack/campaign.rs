//! Any attack run to its end on what is still right, with a second look at everything that it claims.

use std::ops::ControlFlow;

use burn::tensor::{Bool, Tensor};
use riposte_spec::attack::{Apgd, Attack, AttackKind, Cw, DeepFool, Fab, Loss, Norm, Pgd, Square};
use riposte_spec::doubt::Doubt;

use super::pgd::{Attacked, Attacks, Step};
use super::standing::{Ball, Standing};
use super::subject::Subject;
use super::{apgd, checks, square};
use crate::classifier::read;
use crate::rng::Draws;
use crate::{Error, Result};

/// How far a campaign is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The attack under way.
    pub attack: Attack,
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
    /// What became of each image.
    pub fates: Vec<Fate>,
}

/// What became of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// Whether the subject gives the point of the image its label.
    pub right: bool,
    /// The attack that fooled the subject; `None` if none did, and if the subject was wrong without.
    pub fooled_by: Option<AttackKind>,
    /// What makes this doubtful.
    pub doubts: Vec<Doubt>,
}

/// Attacks `images` `[batch, channel, height, width]` in `[0, 1]` away from the given labels; the ensemble with one attack after the
/// other, each on the images that are still right.
///
/// # Errors
/// [`Error::Config`] if a setting is out of its range or numbers differ; [`Error::Cancelled`] if the observer breaks;
/// [`Error::Device`] if the device fails.
pub async fn campaign<S: Subject>(
    attack: Attack,
    subject: &S,
    images: Tensor<4>,
    labels: &[usize],
    draws: &[Draws],
    observe: impl AsyncFnMut(Progress) -> ControlFlow<()>,
) -> Result<Outcome> {
    let [batch, ..] = images.dims();
    if labels.len() != batch || draws.len() != batch {
        let (labels, draws) = (labels.len(), draws.len());
        return Err(Error::Config(format!("{batch} images need as many labels ({labels}) and draws ({draws})")));
    }
    attack.check()?;
    let doubts = checks::look(subject, images.clone(), labels).await?;
    let standing = Standing::new(subject, images, labels, draws, doubts).await?;
    let parts = match attack {
        Attack::Auto(auto) => auto.parts().to_vec(),
        single => vec![single],
    };
    let mut campaign = Campaign { standing, observe };
    for (index, part) in parts.into_iter().enumerate() {
        campaign.attack(index, part).await?;
    }
    Ok(campaign.standing.end())
}

/// Queries of the Square attack between two looks at which images are fooled; steps of the Carlini-Wagner attack between two looks at
/// which are finished.
const QUERIES_BETWEEN: usize = 50;
const STEPS_BETWEEN: usize = 100;

struct Campaign<'a, S, O> {
    standing: Standing<'a, S>,
    observe: O,
}

impl<S: Subject, O: AsyncFnMut(Progress) -> ControlFlow<()>> Campaign<'_, S, O> {
    async fn attack(&mut self, index: usize, attack: Attack) -> Result<()> {
        let classes = self.standing.subject.class_count();
        let suited = suited(attack, classes);
        if suited != attack {
            self.standing.doubt_all(Doubt::FewClasses);
        }
        self.standing.begin(suited.kind(), index > 0);
        for run in 0..runs(suited) {
            let right = self.standing.count();
            if right == 0 {
                return Ok(());
            }
            let at = Progress { attack: suited, index, run, step: 0, right };
            match suited {
                Attack::Pgd(pgd) => self.pgd(pgd, at).await?,
                Attack::Apgd(apgd) => self.apgd(apgd, at).await?,
                Attack::Fab(fab) => self.fab(fab, at).await?,
                Attack::Square(square) => self.square(square, at).await?,
                Attack::Cw(cw) => self.cw(cw, at).await?,
                Attack::DeepFool(deep_fool) => self.deep_fool(deep_fool, at).await?,
                Attack::Auto(_) => unreachable!("the ensemble has no ensemble among its parts"),
            }
        }
        Ok(())
    }

    async fn pgd(&mut self, pgd: Pgd, at: Progress) -> Result<()> {
        let Some(part) = self.standing.part() else { return Ok(()) };
        let mut path = pgd.attack(self.standing.subject, part.images.clone(), &part.away(), &part.draws)?;
        self.follow(&mut path, usize::MAX, at).await?;
        self.standing.take(&part, path.finish(), within(pgd.epsilon)).await
    }

    async fn apgd(&mut self, apgd: Apgd, at: Progress) -> Result<()> {
        let Some(part) = self.standing.part() else { return Ok(()) };
        // The starts of the runs to a target are not those of the untargeted attack.
        let (goal, number) = match apgd.targets {
            0 => (part.away(), at.run),
            _ => (part.toward(self.standing.targets(&part, at.run / apgd.restarts)), at.run + 256),
        };
        let subject = self.standing.subject;
        let mut path = apgd::run(apgd, subject, part.images.clone(), &goal, &part.draws, number as u16)?;
        self.follow(&mut path, usize::MAX, at).await?;
        let ascended = path.end();
        // The cross-entropy of a class of probability 1 has no gradient in f32, whatever the subject.
        if apgd.loss != Loss::CrossEntropy {
            for index in set(ascended.flat).await? {
                self.standing.doubt(part.rows[index], Doubt::ZeroGradients);
            }
        }
        self.standing.take(&part, ascended.end, within(apgd.epsilon)).await
    }

    async fn fab(&mut self, fab: Fab, at: Progress) -> Result<()> {
        let Some(part) = self.standing.part() else { return Ok(()) };
        let goal = part.toward(self.standing.targets(&part, at.run));
        let mut path = fab.attack(self.standing.subject, part.images.clone(), &goal, &part.draws)?;
        self.follow(&mut path, usize::MAX, at).await?;
        self.standing.take(&part, path.end().0, within(fab.epsilon)).await
    }

    async fn square(&mut self, square: Square, at: Progress) -> Result<()> {
        let Some(mut part) = self.standing.part() else { return Ok(()) };
        let (subject, number) = (self.standing.subject, at.run as u16);
        let mut path = square::run(square, subject, part.images.clone(), &part.away(), &part.draws, number)?;
        while self.follow(&mut path, QUERIES_BETWEEN, at).await? {
            let Some((best, fooled)) = path.best() else { continue };
            if set(fooled).await?.is_empty() {
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

    async fn cw(&mut self, cw: Cw, at: Progress) -> Result<()> {
        let Some(part) = self.standing.part() else { return Ok(()) };
        let mut path = cw.attack(self.standing.subject, part.images.clone(), &part.away(), &part.draws)?;
        while self.follow(&mut path, STEPS_BETWEEN, at).await? && set(path.finished()).await?.len() < part.rows.len() {}
        self.standing.take(&part, path.end().0, Ball { norm: cw.norm, radius: None }).await
    }

    async fn deep_fool(&mut self, deep_fool: DeepFool, at: Progress) -> Result<()> {
        let Some(part) = self.standing.part() else { return Ok(()) };
        let mut path = deep_fool.attack(self.standing.subject, part.images.clone(), &part.away(), &part.draws)?;
        self.follow(&mut path, usize::MAX, at).await?;
        self.standing.take(&part, path.end().0, Ball { norm: deep_fool.norm, radius: None }).await
    }

    /// Goes so many steps on; whether there may be more.
    async fn follow(&mut self, path: &mut impl Iterator<Item = Step>, steps: usize, at: Progress) -> Result<bool> {
        for _ in 0..steps {
            let Some(step) = path.next() else { return Ok(false) };
            if (self.observe)(Progress { step: step.step, ..at }).await.is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(true)
    }
}

/// How many runs an attack is: targets times starts.
fn runs(attack: Attack) -> usize {
    match attack {
        Attack::Apgd(Apgd { targets, restarts, .. }) => targets.max(1) * restarts,
        Attack::Fab(Fab { targets, .. }) => targets,
        Attack::Square(Square { restarts, .. }) => restarts,
        Attack::Pgd(_) | Attack::Cw(_) | Attack::DeepFool(_) | Attack::Auto(_) => 1,
    }
}

/// The same attack on a subject of so many classes: fewer targets, and the margin in place of a loss that needs more classes.
fn suited(attack: Attack, classes: usize) -> Attack {
    let loss = |loss: Loss, least: usize| if loss == Loss::Dlr && classes < least { Loss::Margin } else { loss };
    match attack {
        Attack::Pgd(pgd) => Attack::Pgd(Pgd { loss: loss(pgd.loss, 3), ..pgd }),
        Attack::Apgd(apgd) => {
            let least = if apgd.targets == 0 { 3 } else { 4 };
            Attack::Apgd(Apgd { loss: loss(apgd.loss, least), targets: apgd.targets.min(classes - 1), ..apgd })
        }
        Attack::Fab(fab) => Attack::Fab(Fab { targets: fab.targets.min(classes - 1), ..fab }),
        Attack::Square(_) | Attack::Cw(_) | Attack::DeepFool(_) | Attack::Auto(_) => attack,
    }
}

fn within(epsilon: f32) -> Ball {
    Ball { norm: Norm::LInfinity, radius: Some(epsilon) }
}

/// Which of a mask `[batch]` are set.
async fn set(mask: Tensor<1, Bool>) -> Result<Vec<usize>> {
    let values = read(mask.float()).await?;
    Ok((0..values.len()).filter(|index| values[*index] > 0.5).collect())
}
