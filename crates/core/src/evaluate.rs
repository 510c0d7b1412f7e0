//! Evaluation: inputs are attacked in batches and defended one by one, and what is found of each becomes a record.

use std::ops::ControlFlow;

use burn::tensor::{Bool, Tensor, TensorData};
use riposte_spec::class::argmax;
pub use riposte_spec::record::{Defended, Record};
pub use riposte_spec::summary::{Gain, Summary, paired_gain, wilson_interval};

use crate::attack::{Attacks, Goal, Pgd};
use crate::classifier::read;
use crate::defense::{Answer, Defense};
use crate::post_train::Progress;
use crate::rng::Draws;
use crate::{Classifier, Error, Result};

/// What is evaluated.
#[derive(Debug)]
pub struct Evaluation<'a, D: Defense> {
    /// The base model, which is attacked. It should rest (no autodiff).
    pub model: &'a D::Model,
    /// `None`: the natural images alone.
    pub attack: Option<Pgd>,
    /// The class that the attack leads to; `None`: any but the label.
    pub target: Option<usize>,
    /// `None`: the base model alone.
    pub defense: Option<D>,
    /// Whether the natural images are defended, too. Without an attack they always are.
    pub natural: bool,
}

/// An input after all that was done for its whole batch: what [`Evaluation::defend`] goes on with.
#[derive(Debug, Clone)]
pub struct Prepared<P> {
    record: Record,
    draws: Draws,
    /// The natural and the attacked image, where they are to be defended.
    natural: Option<P>,
    attacked: Option<P>,
}

impl<D: Defense> Evaluation<'_, D> {
    /// Evaluates a batch: [`prepare`](Self::prepare), then [`defend`](Self::defend) for one input after the other. The records are
    /// in the order of the images.
    ///
    /// # Errors
    /// As these two.
    pub async fn run(
        &self,
        images: Tensor<4>,
        labels: &[usize],
        draws: &[Draws],
        mut observe: impl AsyncFnMut(Progress<'_, D::Model>) -> ControlFlow<()>,
    ) -> Result<Vec<Record>> {
        let mut records = Vec::with_capacity(labels.len());
        for input in self.prepare(images, labels, draws).await? {
            records.push(self.defend(input, &mut observe).await?);
        }
        Ok(records)
    }

    /// What is done for a whole batch of `images` `[batch, channel, height, width]` in `[0, 1]`, with a label and the draws of each:
    /// the base model's answers, the attack, the first half of the defense.
    ///
    /// # Errors
    /// [`Error::Config`] if the numbers of images, labels and draws differ; as [`Attacks::attack`] and [`Defense::prepare`].
    pub async fn prepare(&self, images: Tensor<4>, labels: &[usize], draws: &[Draws]) -> Result<Vec<Prepared<D::Prepared>>> {
        let [batch, ..] = images.dims();
        if labels.len() != batch || draws.len() != batch {
            let (labels, draws) = (labels.len(), draws.len());
            return Err(Error::Config(format!("{batch} images need as many labels ({labels}) and draws ({draws})")));
        }
        let mut records = self.classify(&images, labels, draws).await?;
        let attacked = match self.attack {
            Some(attack) => Some(self.perturb(attack, &images, labels, draws, &mut records).await?),
            None => None,
        };
        let natural = (self.natural || attacked.is_none()).then_some(images);
        let (natural, attacked) = (self.first_half(natural, draws).await?, self.first_half(attacked, draws).await?);
        let inputs = records.into_iter().zip(draws).zip(natural.into_iter().zip(attacked));
        Ok(inputs.map(|((record, draws), (natural, attacked))| Prepared { record, draws: *draws, natural, attacked }).collect())
    }

    /// What is done for one input: the second half of the defense. An adapting defense tells `observe` of its progress, first on the
    /// natural image, if it is defended, then on the attacked one.
    ///
    /// # Errors
    /// As [`Defense::respond`]; [`Error::Cancelled`] if `observe` breaks.
    pub async fn defend(
        &self,
        input: Prepared<D::Prepared>,
        mut observe: impl AsyncFnMut(Progress<'_, D::Model>) -> ControlFlow<()>,
    ) -> Result<Record> {
        let Prepared { mut record, draws, natural, attacked } = input;
        let Some(defense) = &self.defense else { return Ok(record) };
        if let Some(prepared) = natural {
            let answer = defense.respond(prepared, draws, &mut observe).await?;
            let base = record.natural;
            record.riposte_natural = Some(defended(answer, base, &mut record.nan).await?);
        }
        if let Some(prepared) = attacked {
            let answer = defense.respond(prepared, draws, &mut observe).await?;
            let base = record.attacked.unwrap_or(record.natural);
            record.riposte_attacked = Some(defended(answer, base, &mut record.nan).await?);
        }
        Ok(record)
    }

    /// A record for each image, with the base model's class.
    async fn classify(&self, images: &Tensor<4>, labels: &[usize], draws: &[Draws]) -> Result<Vec<Record>> {
        let logits = read(self.model.forward(images.clone())).await?;
        let rows = logits.chunks_exact(self.model.classes()).zip(labels.iter().zip(draws));
        Ok(rows
            .map(|(row, (label, draws))| Record {
                input: draws.input,
                label: *label,
                natural: argmax(row),
                attacked: None,
                perturbation: None,
                nan: row.iter().any(|logit| logit.is_nan()),
                riposte_natural: None,
                riposte_attacked: None,
            })
            .collect())
    }

    /// The attacked images; the records take what the base model says of them.
    async fn perturb(
        &self,
        attack: Pgd,
        images: &Tensor<4>,
        labels: &[usize],
        draws: &[Draws],
        records: &mut [Record],
    ) -> Result<Tensor<4>> {
        let goal = match self.target {
            Some(target) => Goal::Targeted { targets: vec![target; labels.len()] },
            None => Goal::Untargeted { labels: labels.to_vec() },
        };
        let end = attack.attack(self.model, images.clone(), &goal, draws)?.finish();
        // No change leads an image to the class that it shows: it stays as it is.
        let stays: Vec<bool> = labels.iter().map(|label| self.target == Some(*label)).collect();
        let attacked = if stays.contains(&true) {
            let mask: Tensor<4, Bool> =
                Tensor::from_data(TensorData::new(stays.clone(), [labels.len(), 1, 1, 1]), &images.device());
            end.images.mask_where(mask.expand(images.dims()), images.clone())
        } else {
            end.images
        };
        let distances = (attacked.clone() - images.clone()).abs().flatten::<2>(1, 3).max_dim(1).flatten::<1>(0, 1);
        let distances = read(distances).await?;
        let logits = read(end.logits).await?;
        let rows = logits.chunks_exact(self.model.classes());
        for (((record, row), distance), stays) in records.iter_mut().zip(rows).zip(distances).zip(stays) {
            record.attacked = Some(if stays { record.natural } else { argmax(row) });
            record.perturbation = Some(distance);
            record.nan |= row.iter().any(|logit| logit.is_nan());
        }
        Ok(attacked)
    }

    /// The first half of the defense of each image, if there are images and a defense.
    async fn first_half(&self, images: Option<Tensor<4>>, draws: &[Draws]) -> Result<Vec<Option<D::Prepared>>> {
        match (&self.defense, images) {
            (Some(defense), Some(images)) => Ok(defense.prepare(images, draws).await?.into_iter().map(Some).collect()),
            _ => Ok(draws.iter().map(|_| None).collect()),
        }
    }
}

/// The defense's part of a record, for an input of which the base model says `base`. `nan` is set if a logit is not a number.
async fn defended<C>(answer: Answer<C>, base: usize, nan: &mut bool) -> Result<Defended> {
    let logits = read(answer.logits).await?;
    *nan |= logits.iter().any(|logit| logit.is_nan());
    let (original, neighbor) = match answer.neighbors {
        Some(neighbors) => (neighbors.original[0], neighbors.neighbor[0]),
        None => (base, base),
    };
    Ok(Defended { original, neighbor, answer: argmax(&logits) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToTensor;
    use crate::data::digits::{self, Split};
    use crate::data::pool::ClassPools;
    use crate::defense::Static;
    use crate::models::{Architecture, Model};
    use crate::post_train::{PostTrain, PostTraining};
    use crate::presets::Preset;
    use crate::rng::Seed;
    use burn::tensor::Device;

    const ATTACK: Pgd = Pgd { steps: 5, step_size: 0.1, ..Pgd::MNIST };

    fn run<D: Defense>(
        evaluation: &Evaluation<'_, D>,
        observe: impl AsyncFnMut(Progress<'_, D::Model>) -> ControlFlow<()>,
    ) -> Result<Vec<Record>> {
        let digits = digits::generate(Seed(0), Split::Test, 0..6);
        let labels: Vec<usize> = (0..6).map(|index| digits.label(index)).collect();
        let images = digits.images().to_tensor(0..6, &Device::flex());
        pollster::block_on(evaluation.run(images, &labels, &Seed(1).inputs(0..6), observe))
    }

    #[test]
    fn a_static_defense_answers_as_the_base_model() {
        let model = Model::random(Architecture::FastMnistCnn, Seed(0), &Device::flex());
        let evaluation =
            Evaluation { model: &model, attack: Some(ATTACK), target: None, defense: Some(Static(&model)), natural: true };
        let records = run(&evaluation, async |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(records.iter().map(|record| record.input).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        for record in records {
            let as_base = |class: usize| Some(Defended { original: class, neighbor: class, answer: class });
            assert_eq!(record.riposte_natural, as_base(record.natural));
            assert_eq!(record.riposte_attacked, as_base(record.attacked.unwrap()));
            assert!(record.perturbation.unwrap() <= 0.3 + 1.2e-7, "one rounding of `x + epsilon` in [0, 2)");
        }
    }

    #[test]
    fn an_image_of_the_target_class_is_left_as_it_is() {
        let model = Model::random(Architecture::FastMnistCnn, Seed(0), &Device::flex());
        let defense = None::<Static<'_, Model>>;
        let digits = digits::generate(Seed(0), Split::Test, 0..6);
        let target = digits.label(2);
        let evaluation = Evaluation { model: &model, attack: Some(ATTACK), target: Some(target), defense, natural: true };
        let records = run(&evaluation, async |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((records[2].perturbation, records[2].attacked), (Some(0.0), Some(records[2].natural)));
        assert!(records.iter().filter(|record| record.label != target).all(|record| record.perturbation > Some(0.0)));
        assert!(records.iter().all(|record| record.riposte_natural.is_none() && record.riposte_attacked.is_none()));
    }

    #[test]
    fn an_observer_that_breaks_ends_the_evaluation() {
        let model = Model::random(Architecture::FastMnistCnn, Seed(0), &Device::flex());
        let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..100));
        let settings = PostTrain { iterations: 2, batch_size: 8, ..Preset::M_MNIST.post_train };
        let defense = Some(PostTraining { model: &model, pools: &pools, settings });
        let evaluation = Evaluation { model: &model, attack: Some(ATTACK), target: None, defense, natural: false };
        assert!(matches!(run(&evaluation, async |_| ControlFlow::Break(())), Err(Error::Cancelled)));
    }
}
