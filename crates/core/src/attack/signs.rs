//! How much two estimates of a gradient agree, of a defense whose answers are drawn (the paper, Table 6).

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte_spec::attack::Loss;
use riposte_spec::queries::{Drawn, Estimate, Signs};

use super::goal::Goal;
use super::opt_attack::Probe;
use super::pgd::input_gradient;
use super::zoo;
use crate::classifier::read;
use crate::defense::{Answer, Defense};
use crate::post_train::Progress;
use crate::rng::{Draws, Purpose};
use crate::{Error, Result};

/// An image at which gradients of a defense are compared.
#[derive(Debug)]
pub struct Compared<'a, D: Defense> {
    /// Who answers.
    pub defense: &'a D,
    /// The classifier behind it, at rest.
    pub model: &'a D::Model,
    /// `[1, channel, height, width]` in `[0, 1]`
    pub image: Tensor<4>,
    /// Its class.
    pub label: usize,
    /// What all draws follow from.
    pub draws: Draws,
    /// At which pixel ZOO estimates, by its number in the flattened image, and by what change.
    pub pixel: (usize, f32),
    /// Along what Opt-Attack estimates; `None` leaves it nothing to compare.
    pub probe: Option<Probe>,
}

impl<D: Defense> Compared<'_, D> {
    /// Makes an estimate twice and compares the signs.
    ///
    /// The gradient is that of the cross-entropy with respect to all pixels, and ZOO's the difference at one. Opt-Attack's is a multiple of
    /// its probe, so that all its signs differ or none.
    ///
    /// # Errors
    /// As [`Defense::answer`]; [`Error::Cancelled`] if `observe` breaks.
    pub async fn signs(
        &self,
        estimate: Estimate,
        drawn: Drawn,
        observe: &mut impl AsyncFnMut(Progress<'_, D::Model>) -> ControlFlow<()>,
    ) -> Result<Signs> {
        let mut asked = 0;
        let mut estimates = Vec::with_capacity(2);
        for which in 0..2 {
            estimates.push(match estimate {
                Estimate::Gradient => {
                    let answer = self.answer(self.image.clone(), drawn, which, &mut asked, observe).await?;
                    let goal = Goal::Untargeted { labels: vec![self.label] };
                    let (_, gradient) = match &answer.adapted {
                        Some(copy) => input_gradient(copy, self.image.clone(), &goal, Loss::CrossEntropy),
                        None => input_gradient(self.model, self.image.clone(), &goal, Loss::CrossEntropy),
                    };
                    read(gradient).await?.into_iter().map(f64::from).collect()
                }
                Estimate::Zoo => {
                    let (pixel, half) = self.pixel;
                    let mut ask = async |image| read(self.answer(image, drawn, which, &mut asked, observe).await?.logits).await;
                    vec![zoo::difference(self.image.clone(), self.label, pixel, half, &mut ask).await?]
                }
                Estimate::OptAttack => {
                    let Some(probe) = &self.probe else { break };
                    let ask =
                        async |image| Ok(vec![read(self.answer(image, drawn, which, &mut asked, observe).await?.logits).await?]);
                    let (difference, _) = probe.difference(self.image.clone(), self.label, ask).await?;
                    probe.probe.iter().map(|along| f64::from(difference * along)).collect::<Vec<f64>>()
                }
            });
        }
        // Without a probe there are none.
        let [first, second]: [Vec<f64>; 2] = estimates.try_into().unwrap_or_default();
        let differing = first.iter().zip(&second).filter(|(a, b)| sign(**a) != sign(**b)).count();
        Ok(Signs { input: self.draws.input, estimate, draws: drawn, pixels: first.len(), differing, answers: asked })
    }

    async fn answer(
        &self,
        image: Tensor<4>,
        drawn: Drawn,
        which: u32,
        asked: &mut usize,
        observe: &mut impl AsyncFnMut(Progress<'_, D::Model>) -> ControlFlow<()>,
    ) -> Result<Answer<D::Model>> {
        // Over both estimates, the number of an answer says with what it is drawn.
        let number = match drawn {
            Drawn::Fresh => u32::try_from(*asked).map_err(|_| Error::Config("too many answers".to_owned()))?,
            Drawn::Common => which,
            Drawn::Same => 0,
        };
        *asked += 1;
        let draws = self.draws.again(Purpose::Selection, number);
        self.defense.answer(image, draws, async |progress: Progress<'_, D::Model>| observe(progress).await).await
    }
}

/// -1, 0 or 1; 0 for what is no number.
fn sign(value: f64) -> i8 {
    i8::from(value > 0.0) - i8::from(value < 0.0)
}
