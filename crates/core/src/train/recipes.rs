//! What distinguishes the recipes: how samples are perturbed, and which loss is followed.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use riposte_kernels::{SignedStep, cross_entropy};
use riposte_spec::attack::Norm;
use riposte_spec::post_train::Precision;
use riposte_spec::train::{InnerAttack, Recipe};

use crate::Classifier;
use crate::attack::{Ascent, choose};
use crate::models::Model;
use crate::optimizer::ParameterGradients;
use crate::precision::Computes;
use crate::rng::{self, Stream};

/// The loss of a batch by a recipe, `[1]`: of `natural` samples and their `perturbed` form, both `[batch, channel, height, width]` in
/// `[0, 1]`, with one-hot `targets` `[batch, class]`. The model is in training.
///
/// With [`Recipe::Kurakin`] the samples that count as moved are the first of `perturbed`, which has the others as they are; with
/// [`Recipe::Average`] it has both perturbations of all samples, one after the other. With [`Recipe::Uat`] a row of `targets` is one-hot for
/// a sample with a label, the weight at another model's class or zero for one without.
pub fn loss<C: Classifier>(
    recipe: Recipe,
    precision: Precision,
    model: &C,
    natural: Tensor<4>,
    perturbed: Tensor<4>,
    targets: Tensor<2>,
) -> Tensor<1> {
    match recipe {
        Recipe::Adversarial | Recipe::NoiseFgsm { .. } | Recipe::Free { .. } | Recipe::Yopo { .. } | Recipe::Max { .. } => {
            cross_entropy(precision.forward(model, perturbed), targets).mean()
        }
        Recipe::Average { .. } => {
            let targets = Tensor::cat(vec![targets.clone(), targets], 0);
            cross_entropy(precision.forward(model, perturbed), targets).mean()
        }
        Recipe::Uat { targets: of_others, weight, .. } => {
            let perturbed = precision.forward(model, perturbed);
            let known = cross_entropy(perturbed.clone(), targets).mean();
            if !of_others.are_online() {
                return known;
            }
            let natural = model.valid().forward(natural).autodiff();
            known + divergence(natural, perturbed).mean() * weight
        }
        Recipe::Trades { beta } => {
            let [natural, perturbed] = [natural, perturbed].map(|images| precision.forward(model, images));
            let divergence = divergence(natural.clone(), perturbed);
            cross_entropy(natural, targets).mean() + divergence.mean() * beta
        }
        Recipe::Kurakin { share, weight } => {
            let [batch, ..] = perturbed.dims();
            let moved = moved(share, batch);
            let losses = cross_entropy(precision.forward(model, perturbed), targets);
            let sum = match moved {
                moved if moved == batch => losses.sum() * weight,
                moved => losses.clone().narrow(0, 0, moved).sum() * weight + losses.narrow(0, moved, batch - moved).sum(),
            };
            sum / (weight * moved as f32 + (batch - moved) as f32)
        }
        Recipe::LogitPairing { weight } => {
            let [natural, perturbed] = [natural, perturbed].map(|images| precision.forward(model, images));
            let distance = (natural.clone() - perturbed.clone()).square().sum_dim(1).mean();
            let [natural, perturbed] = [natural, perturbed].map(|logits| cross_entropy(logits, targets.clone()).mean());
            (natural + perturbed) * 0.5 + distance * weight
        }
    }
}

/// KL divergence of what the second logits say from what the first ones do, both `[batch, class]`: `[batch]`, differentiable in both.
fn divergence(natural: Tensor<2>, perturbed: Tensor<2>) -> Tensor<1> {
    let (natural, perturbed) = (log_softmax(natural, 1), log_softmax(perturbed, 1));
    (natural.clone().exp() * (natural - perturbed)).sum_dim(1).flatten(0, 1)
}

/// What a recipe draws for the perturbation of samples of `shape`, and the shape of it.
pub(super) fn noise(
    recipe: Recipe,
    attack: InnerAttack,
    shape: [usize; 4],
    stream: &mut Stream,
) -> Option<(Vec<f32>, [usize; 4])> {
    let InnerAttack { epsilon, steps, .. } = attack;
    let count: usize = shape.iter().product();
    match recipe {
        Recipe::Free { .. } => None,
        Recipe::Adversarial | Recipe::LogitPairing { .. } if steps == 0 => None,
        Recipe::Adversarial
        | Recipe::LogitPairing { .. }
        | Recipe::Yopo { .. }
        | Recipe::Uat { .. }
        | Recipe::Max { .. }
        | Recipe::Average { .. } => Some(((0..count).map(|_| rng::symmetric(stream, epsilon)).collect(), shape)),
        Recipe::NoiseFgsm { noise } => Some(((0..count).map(|_| rng::symmetric(stream, noise * epsilon)).collect(), shape)),
        Recipe::Trades { .. } => Some(((0..count).map(|_| TRADES_START * rng::normal(stream)).collect(), shape)),
        // A size for each sample: normal with a deviation of half of epsilon, in [0, epsilon], drawn anew until it is.
        Recipe::Kurakin { .. } => {
            let mut size = || loop {
                let size = 0.5 * epsilon * rng::normal(stream).abs();
                if size <= epsilon {
                    return size;
                }
            };
            Some(((0..shape[0]).map(|_| size()).collect(), [shape[0], 1, 1, 1]))
        }
    }
}

/// The standard deviation of the start of TRADES's attack: at the sample itself the divergence has no gradient.
const TRADES_START: f32 = 0.001;

/// The perturbed form of `images` by what was drawn. The model is in training: except with TRADES, batch normalization takes the
/// statistics of the batch and its running ones move, as in the sources' code.
pub(super) fn perturb<C: Classifier>(
    recipe: Recipe,
    model: &C,
    images: Tensor<4>,
    targets: &Tensor<2>,
    noise: Option<Tensor<4>>,
    attack: InnerAttack,
) -> Tensor<4> {
    let Some(noise) = noise else { return images };
    let InnerAttack { epsilon, step_size, steps, clip_start } = attack;
    let step = SignedStep { step_size, epsilon, range: [0.0, 1.0] };
    // No gradients of weights.
    let still = || model.clone().no_grad();
    let start = |images: Tensor<4>, noise: Tensor<4>| {
        let start = images + noise;
        if clip_start { start.clamp(0.0, 1.0) } else { start }
    };
    match recipe {
        Recipe::Adversarial | Recipe::LogitPairing { .. } | Recipe::Free { .. } | Recipe::Yopo { .. } => {
            let start = start(images.clone(), noise);
            Ascent::new(images, start, step).climb(&still(), steps, |logits| cross_entropy(logits, targets.clone()))
        }
        Recipe::Uat { targets: of_others, .. } => {
            let start = start(images.clone(), noise);
            let said = match of_others.are_online() {
                true => log_softmax(model.valid().forward(images.clone()), 1).exp(),
                false => targets.zeros_like(),
            };
            // Away from the label, and from what is said of the natural sample, which alone counts where there is no label.
            let aim = targets.clone() + said;
            Ascent::new(images, start, step).climb(&still(), steps, |logits| cross_entropy(logits, aim.clone()))
        }
        Recipe::Max { radius } | Recipe::Average { radius } => {
            let still = still();
            let climb = |ascent: Ascent| ascent.climb(&still, steps, |logits| cross_entropy(logits, targets.clone()));
            let of_box = climb(Ascent::new(images.clone(), start(images.clone(), noise), step));
            let step = SignedStep { step_size: 2.5 * radius / steps.max(1) as f32, epsilon: radius, range: [0.0, 1.0] };
            let of_ball = climb(Ascent::new(images.clone(), images, step).measured_by(Norm::L2));
            if let Recipe::Average { .. } = recipe {
                return Tensor::cat(vec![of_box, of_ball], 0);
            }
            let loss = |images: Tensor<4>| cross_entropy(model.valid().forward(images), targets.clone());
            let worse = loss(of_ball.clone()).greater(loss(of_box.clone()));
            choose(&worse, of_ball, of_box)
        }
        Recipe::NoiseFgsm { .. } => {
            let start = (images + noise).clamp(0.0, 1.0);
            // One step from the noise, in no other ball than the step's own.
            let step = SignedStep { step_size, epsilon: step_size, range: [0.0, 1.0] };
            Ascent::new(start.clone(), start, step).climb(&still(), 1, |logits| cross_entropy(logits, targets.clone()))
        }
        Recipe::Trades { .. } => {
            let resting = model.valid();
            let said = log_softmax(resting.forward(images.clone()), 1).exp();
            let start = images.clone() + noise;
            // With what is said of the natural sample fixed, the divergence and the cross-entropy differ by a constant.
            Ascent::new(images, start, step).climb(&resting, steps, |logits| cross_entropy(logits, said.clone()))
        }
        Recipe::Kurakin { share, .. } => {
            let [batch, channels, height, width] = images.dims();
            let moved = moved(share, batch);
            let first = images.clone().narrow(0, 0, moved);
            let still = still();
            let least = still.forward(first.clone()).argmin(1);
            let classes = targets.dims()[1];
            let numbers = Tensor::<1, burn::tensor::Int>::arange(0..classes as i64, &first.device()).reshape([1, classes]);
            let least = numbers.equal(least).float();
            // Toward a class is down its cross-entropy; a step of 1 in a ball of 1 has the sign alone.
            let unit = SignedStep { step_size: -1.0, epsilon: 1.0, range: [f32::NEG_INFINITY, f32::INFINITY] };
            let end =
                Ascent::new(first.clone(), first.clone(), unit).climb(&still, 1, |logits| cross_entropy(logits, least.clone()));
            let sizes = noise.narrow(0, 0, moved).expand([moved, channels, height, width]);
            let moved_images = (first.clone() + (end - first) * sizes).clamp(0.0, 1.0);
            match batch - moved {
                0 => moved_images,
                rest => Tensor::cat(vec![moved_images, images.narrow(0, moved, rest)], 0),
            }
        }
    }
}

/// How many samples of a batch are moved: at least one.
fn moved(share: f32, batch: usize) -> usize {
    ((share * batch as f32).round() as usize).clamp(1, batch)
}

/// Mean cross-entropy `[1]`, its gradient with respect to the images (of the sum, so that the size of the batch is no matter), and those
/// with respect to the parameters: all of one backward pass.
pub(super) fn free<C: Classifier>(
    model: &C,
    images: Tensor<4>,
    targets: Tensor<2>,
) -> (Tensor<1>, Tensor<4>, ParameterGradients) {
    let point = images.autodiff().require_grad();
    let loss = cross_entropy(model.forward(point.clone()), targets).mean();
    let mut gradients = loss.backward();
    let gradient = point.grad_remove(&mut gradients).expect("the loss depends on the images");
    (loss.inner(), gradient, ParameterGradients::of(model, gradients))
}

/// One batch of YOPO (Zhang et al. 2019, algorithm 1): `passes` times the network on `images` moved by `noise`, and after each of them
/// the attack's steps through the first layer, with the slope of the loss at its output held fixed. Mean cross-entropy `[1]` of the last
/// pass, and gradients of the parameters summed over the passes: the first layer's where its steps end. `images` and `noise` are `[batch, channel,
/// height, width]`, `targets` one-hot `[batch, class]`; the model is in training.
pub fn yopo(
    model: &Model,
    images: Tensor<4>,
    targets: Tensor<2>,
    noise: Tensor<4>,
    attack: InnerAttack,
    passes: usize,
) -> (Tensor<1>, ParameterGradients) {
    let InnerAttack { epsilon, step_size, steps, clip_start } = attack;
    let step = SignedStep { step_size, epsilon, range: [0.0, 1.0] };
    let still = model.clone().no_grad();
    let [network, still] = [model, &still].map(|model| model.stages().expect("a model names its parts"));
    let start = images.clone() + noise;
    let mut point = if clip_start { start.clamp(0.0, 1.0) } else { start };
    let mut total: Option<(Tensor<1>, ParameterGradients)> = None;
    for _ in 0..passes {
        let maps = network.first(point.clone().autodiff()).inner().autodiff().require_grad();
        let logits = network.head(network.last_stage(network.after_first(maps.clone())));
        let loss = cross_entropy(logits, targets.clone()).mean();
        let mut gradients = loss.backward();
        let slope = maps.grad_remove(&mut gradients).expect("the loss depends on the first layer").autodiff();
        let later = ParameterGradients::of(model, gradients);
        for _ in 0..steps {
            let moving = point.clone().autodiff().require_grad();
            let mut gradients = (still.first(moving.clone()) * slope.clone()).sum().backward();
            let gradient = moving.grad_remove(&mut gradients).expect("the first layer depends on the images");
            point = riposte_kernels::signed_step(moving.inner(), gradient, images.clone(), None, step);
        }
        let first = (network.first(point.clone().autodiff()) * slope).sum();
        let gradients = later.plus(ParameterGradients::of(model, first.backward()));
        total = Some(match total {
            Some((_, before)) => (loss.inner(), before.plus(gradients)),
            None => (loss.inner(), gradients),
        });
    }
    total.expect("checked: at least one pass")
}
