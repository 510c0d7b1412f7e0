//! Evaluation: inputs are attacked in batches and defended one by one, and what is found of each becomes a record.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte_spec::attack::{Attack, Norm};
use riposte_spec::class::argmax;
use riposte_spec::counter::Counter;
pub use riposte_spec::record::{Defended, Record};
pub use riposte_spec::summary::{Gain, Summary, paired_gain, wilson_interval};

use crate::attack::counter::{CounterAttack, Event, Subjected};
use crate::attack::{self, Attempt, Perturbed, Quantize, distance, perturb};
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
    pub attack: Option<Attack>,
    /// The class that the attack leads to; `None`: any but the label.
    pub target: Option<usize>,
    /// Which values the pixels of attacked images may have.
    pub quantize: Quantize,
    /// `None`: the base model alone.
    pub defense: Option<D>,
    /// Whether the natural images are defended, too. Without an attack they always are.
    pub natural: bool,
    /// The attack on the defense, in the ball of the attack on the base model; `None`: the defense meets that one alone.
    pub counter: Option<Counter>,
}

/// An input after all that was done for its whole batch: what [`Evaluation::defend`] goes on with.
#[derive(Debug, Clone)]
pub struct Prepared<P> {
    record: Record,
    draws: Draws,
    /// The natural and the attacked image, where they are to be defended.
    natural: Option<P>,
    attacked: Option<P>,
    /// For the attack on the defense.
    subjected: Option<Subjected>,
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
        mut observe: impl AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>,
    ) -> Result<Vec<Record>> {
        let mut records = Vec::with_capacity(labels.len());
        for input in self.prepare(images, labels, draws, async |_| ControlFlow::Continue(())).await? {
            records.push(self.defend(input, &mut observe).await?);
        }
        Ok(records)
    }

    /// What is done for a whole batch of `images` `[batch, channel, height, width]` in `[0, 1]`, with a label and the draws of each:
    /// the base model's answers, the attack, the first half of the defense. The attack tells `observe` of its progress.
    ///
    /// # Errors
    /// [`Error::Config`] if the numbers of images, labels and draws differ; [`Error::Cancelled`] if `observe` breaks; as
    /// [`perturb`] and [`Defense::prepare`].
    pub async fn prepare(
        &self,
        images: Tensor<4>,
        labels: &[usize],
        draws: &[Draws],
        observe: impl AsyncFnMut(attack::Progress) -> ControlFlow<()>,
    ) -> Result<Vec<Prepared<D::Prepared>>> {
        let [batch, ..] = images.dims();
        if labels.len() != batch || draws.len() != batch {
            let (labels, draws) = (labels.len(), draws.len());
            return Err(Error::Config(format!("{batch} images need as many labels ({labels}) and draws ({draws})")));
        }
        let mut records = self.classify(&images, labels, draws).await?;
        let attacked = match self.attack {
            Some(attack) => Some(self.perturb(attack, &images, labels, draws, &mut records, observe).await?),
            None => None,
        };
        let subjected = self.subjected(&images, attacked.as_ref(), labels, draws);
        let natural = (self.natural || attacked.is_none()).then_some(images);
        let (natural, attacked) = (self.first_half(natural, draws).await?, self.first_half(attacked, draws).await?);
        let halves = natural.into_iter().zip(attacked).zip(subjected);
        let inputs = records.into_iter().zip(draws).zip(halves).map(|((record, draws), ((natural, attacked), subjected))| {
            let draws = *draws;
            Prepared { record, draws, natural, attacked, subjected }
        });
        Ok(inputs.collect())
    }

    /// Each image as the attack on the defense takes it, if there is one.
    fn subjected(
        &self,
        images: &Tensor<4>,
        attacked: Option<&Tensor<4>>,
        labels: &[usize],
        draws: &[Draws],
    ) -> Vec<Option<Subjected>> {
        let row = |images: &Tensor<4>, index| images.clone().narrow(0, index, 1);
        let of_image = |index| Subjected {
            image: row(images, index),
            label: labels[index],
            draws: draws[index],
            attacked: attacked.map(|images| row(images, index)),
        };
        (0..labels.len()).map(|index| self.counter.map(|_| of_image(index))).collect()
    }

    /// What is done for one input: the second half of the defense, and the attack on it. An adapting defense tells `observe` of its
    /// progress, first on the natural image, if it is defended, then on the attacked one; then the attack on the defense does.
    ///
    /// # Errors
    /// As [`Defense::respond`] and [`CounterAttack::run`]; [`Error::Config`] if the defense is attacked and there is none, or no attack
    /// in a ball; [`Error::Cancelled`] if `observe` breaks.
    pub async fn defend(
        &self,
        input: Prepared<D::Prepared>,
        mut observe: impl AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>,
    ) -> Result<Record> {
        let Prepared { mut record, draws, natural, attacked, subjected } = input;
        let Some(defense) = &self.defense else { return Ok(record) };
        let mut progress = async |progress: Progress<'_, D::Model>| observe(Event::Answering(progress)).await;
        if let Some(prepared) = natural {
            let answer = defense.respond(prepared, draws, &mut progress).await?;
            let base = record.natural;
            record.riposte_natural = Some(defended(answer, base, &mut record.nan).await?);
        }
        if let Some(prepared) = attacked {
            let answer = defense.respond(prepared, draws, &mut progress).await?;
            let base = record.attacked.unwrap_or(record.natural);
            record.riposte_attacked = Some(defended(answer, base, &mut record.nan).await?);
        }
        if let (Some(subjected), Some(settings)) = (subjected, self.counter) {
            let epsilon = self.attack.and_then(|attack| attack.epsilon());
            let Some(epsilon) = epsilon else {
                return Err(Error::Config(
                    "an attack on the defense needs one on the base model, whose ball it takes".to_owned(),
                ));
            };
            let counter = CounterAttack { model: self.model, defense, settings, epsilon, quantize: self.quantize };
            let ended = counter.run(&subjected, &mut observe).await?;
            if let Some(image) = &ended.image {
                let _ = observe(Event::Ended { draws, image }).await;
            }
            record.counter = Some(ended.countered);
        }
        Ok(record)
    }

    /// A record for each image, with the base model's class.
    async fn classify(&self, images: &Tensor<4>, labels: &[usize], draws: &[Draws]) -> Result<Vec<Record>> {
        let logits = read(self.model.forward(images.clone())).await?;
        let rows = logits.chunks_exact(self.model.classes()).zip(labels.iter().zip(draws));
        Ok(rows
            .map(|(row, (label, draws))| Record {
                nan: row.iter().any(|logit| logit.is_nan()),
                ..Record::of_input(draws.input, *label, argmax(row))
            })
            .collect())
    }

    /// The attacked images; the records take what the base model says of them.
    async fn perturb(
        &self,
        attack: Attack,
        images: &Tensor<4>,
        labels: &[usize],
        draws: &[Draws],
        records: &mut [Record],
        observe: impl AsyncFnMut(attack::Progress) -> ControlFlow<()>,
    ) -> Result<Tensor<4>> {
        let attempt = Attempt { attack, target: self.target, quantize: self.quantize };
        let Perturbed { end, fates } = perturb(attempt, self.model, images.clone(), labels, draws, observe).await?;
        for (record, fate) in records.iter_mut().zip(fates.into_iter().flatten()) {
            (record.fooled_by, record.doubts) = (fate.fooled_by, fate.doubts);
        }
        let changes = read(distance(Norm::LInfinity, images.clone(), end.images.clone())).await?;
        if attack.norm() == Norm::L2 {
            let lengths = read(distance(Norm::L2, images.clone(), end.images.clone())).await?;
            records.iter_mut().zip(lengths).for_each(|(record, length)| record.distance = Some(length));
        }
        let logits = read(end.logits).await?;
        let rows = logits.chunks_exact(self.model.classes());
        for ((record, row), change) in records.iter_mut().zip(rows).zip(changes) {
            record.attacked = Some(argmax(row));
            record.perturbation = Some(change);
            record.nan |= row.iter().any(|logit| logit.is_nan());
        }
        Ok(end.images)
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
    let adapted = answer.adapted.is_some();
    let logits = read(answer.logits).await?;
    *nan |= logits.iter().any(|logit| logit.is_nan());
    let (original, neighbor) = match answer.neighbors {
        Some(neighbors) => (neighbors.original[0], neighbors.neighbor[0]),
        None => (base, base),
    };
    Ok(Defended { original, neighbor, answer: argmax(&logits), ahead: original != neighbor && !adapted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToTensor;
    use crate::attack::Pgd;
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
        observe: impl AsyncFnMut(Event<'_, D::Model>) -> ControlFlow<()>,
    ) -> Result<Vec<Record>> {
        let digits = digits::generate(Seed(0), Split::Test, 0..6);
        let labels: Vec<usize> = (0..6).map(|index| digits.label(index)).collect();
        let images = digits.images().to_tensor(0..6, &Device::flex());
        pollster::block_on(evaluation.run(images, &labels, &Seed(1).inputs(0..6), observe))
    }

    #[test]
    fn a_static_defense_answers_as_the_base_model() {
        let model = Model::random(Architecture::FastMnistCnn, Seed(0), &Device::flex());
        let evaluation = Evaluation {
            model: &model,
            attack: Some(Attack::Pgd(ATTACK)),
            target: None,
            quantize: Quantize::None,
            defense: Some(Static(&model)),
            natural: true,
            counter: None,
        };
        let records = run(&evaluation, async |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(records.iter().map(|record| record.input).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        for record in records {
            let as_base = |class: usize| Some(Defended { original: class, neighbor: class, answer: class, ahead: false });
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
        let evaluation = Evaluation {
            model: &model,
            attack: Some(Attack::Pgd(ATTACK)),
            target: Some(target),
            quantize: Quantize::None,
            defense,
            natural: true,
            counter: None,
        };
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
        let evaluation = Evaluation {
            model: &model,
            attack: Some(Attack::Pgd(ATTACK)),
            target: None,
            quantize: Quantize::None,
            defense,
            natural: false,
            counter: None,
        };
        assert!(matches!(run(&evaluation, async |_| ControlFlow::Break(())), Err(Error::Cancelled)));
    }
}
