//! The rows.

use super::Heading::{Attack, Counter, Riposte};
use super::Key;
use super::field::{
    Measure, Radius, StepSize, WhichAttack, WhichCounter, WhichRiposte, augmentation, class, count, pairs, part, pixels, rate,
    share, size, switch, word,
};
use super::places::{
    counter_queries, counter_rounds, counter_steps, cw, deep_fool, direction, loss, pgd, post_epsilon, post_step_size,
    post_steps, queries, restarts, square, steps, targets,
};
use crate::attack::{Loss, Start, Stop};
use crate::post_train::Direction;
use crate::quantize::Quantize;

/// Steps that a link may ask for.
const STEPS: usize = 500;
/// Queries that a link may ask for.
const QUERIES: usize = 5000;
/// Iterations of post-training that a link may ask for.
const ITERATIONS: usize = 1000;
/// Samples of a batch that a link may ask for.
const SAMPLES: usize = 512;

macro_rules! key {
    ($heading:ident, $name:literal, $aliases:expr, $value:literal, $help:literal, $belongs:literal, $field:expr) => {
        Key {
            name: $name,
            aliases: &$aliases,
            help: $help,
            value_name: $value,
            heading: $heading,
            belongs_to: $belongs,
            field: &$field,
        }
    };
}

/// Every setting. Those that decide whether others have a place come before them.
#[rustfmt::skip] // A table.
pub static KEYS: &[Key] = &[
    key!(Attack, "attack", [], "NAME", "The attack on the base model [default: pgd]", "", WhichAttack),
    key!(Attack, "norm", [], "NAME", "The norm in which the perturbation is bounded, or made small", "`attack` pgd, cw and deepfool", Measure),
    key!(Attack, "epsilon", ["eps"], "SIZE", "Radius of the ball in pixel units: 0.3 or 8/255; with `--norm l2` 2 or 0.5", "an attack in a ball", Radius),
    key!(Attack, "step-size", ["step"], "SIZE", "Length of a step in pixel units", "`attack` pgd", StepSize),
    key!(Attack, "steps", [], "N", "Number of steps", "an attack that takes steps", count::<0, STEPS>(steps)),
    key!(Attack, "start", [], "WHERE", "Where the attack begins", "`attack` pgd", word::<Start>(|s| Some(&mut pgd(s)?.start))),
    key!(Attack, "stop", [], "WHEN", "When an image stops moving", "`attack` pgd", word::<Stop>(|s| Some(&mut pgd(s)?.stop))),
    key!(Attack, "restarts", [], "N", "Independent starts; the strongest result of each image counts", "an attack that draws",
        count::<1, 16>(restarts)),
    key!(Attack, "loss", [], "NAME", "What the attack ascends", "`attack` pgd, fgsm, apgd and apgd-t", word::<Loss>(loss)),
    key!(Attack, "target", ["targeted"], "CLASS", "The class that the attack leads to, by its number [default: any but the label]", "an attack by PGD",
        class(|s| s.pgd().is_some().then_some(&mut s.target))),
    key!(Attack, "quantize", [], "BITS", "Which values the pixels of attacked images may have: 8 for those of a file of 8 bits", "an attack",
        word::<Quantize>(|s| s.attack.is_some().then_some(&mut s.quantize))),
    key!(Attack, "targets", [], "N", "Wrong classes that the attack leads to, one after the other, the likeliest first", "`attack` apgd-t, fab-t and auto",
        count::<1, 9>(targets)),
    key!(Attack, "queries", [], "N", "Windows that the Square attack tries", "`attack` square and auto", count::<1, QUERIES>(queries)),
    key!(Attack, "window-share", [], "SHARE", "Share of the image that its first windows take", "`attack` square",
        part(|s| Some(&mut square(s)?.share))),
    key!(Attack, "schedule", [], "NAME", "How that share falls", "`attack` square", word(|s| Some(&mut square(s)?.schedule))),
    key!(Attack, "colors", [], "NAME", "What its windows are filled with", "`attack` square", word(|s| Some(&mut square(s)?.colors))),
    key!(Attack, "candidates", [], "N", "Likeliest classes that DeepFool considers, the image's own among them", "`attack` deepfool",
        count::<2, 10>(|s| Some(&mut deep_fool(s)?.candidates))),
    key!(Attack, "rounds", [], "N", "Values of the constant that the Carlini-Wagner attack tries", "`attack` cw", count::<1, 100>(|s| Some(&mut cw(s)?.rounds))),
    key!(Attack, "constant", [], "WEIGHT", "The first of these values, the weight of the penalty for the right class", "`attack` cw",
        rate(|s| Some(&mut cw(s)?.constant))),
    key!(Attack, "confidence", [], "MARGIN", "By how much another logit should exceed the right one", "`attack` cw", size(|s| Some(&mut cw(s)?.confidence))),
    key!(Attack, "attack-learning-rate", ["attack-lr"], "RATE", "Adam's in the Carlini-Wagner attack", "`attack` cw",
        rate(|s| Some(&mut cw(s)?.learning_rate))),

    key!(Riposte, "riposte", ["train"], "NAME", "How the samples of the post-training are perturbed [default: fixed]", "", WhichRiposte),
    key!(Riposte, "direction", [], "WAY", "Which way the perturbation of `--riposte fixed` is added to the samples", "`riposte` fixed",
        word::<Direction>(direction)),
    key!(Riposte, "search", [], "NAME", "How the neighbor class is searched", "a riposte",
        word(|s| Some(&mut s.riposte.as_mut()?.search.method))),
    key!(Riposte, "search-epsilon", ["s-eps"], "SIZE", "Radius of the search around the input", "a riposte",
        pixels(|s| Some(&mut s.riposte.as_mut()?.search.attack.epsilon))),
    key!(Riposte, "search-step-size", ["s-step"], "SIZE", "Length of a step of the search", "a riposte",
        pixels(|s| Some(&mut s.riposte.as_mut()?.search.attack.step_size))),
    key!(Riposte, "search-steps", ["s-steps"], "N", "Steps of the search", "a riposte",
        count::<0, STEPS>(|s| Some(&mut s.riposte.as_mut()?.search.attack.steps))),
    key!(Riposte, "search-start", ["s-start"], "WHERE", "Where the search begins", "a riposte",
        word::<Start>(|s| Some(&mut s.riposte.as_mut()?.search.attack.start))),
    key!(Riposte, "search-stop", ["s-stop"], "WHEN", "When the search stops for an input", "a riposte",
        word::<Stop>(|s| Some(&mut s.riposte.as_mut()?.search.attack.stop))),
    key!(Riposte, "search-restarts", [], "N", "Independent starts of the search", "a riposte",
        count::<1, 16>(|s| Some(&mut s.riposte.as_mut()?.search.attack.restarts))),
    key!(Riposte, "search-loss", ["s-loss"], "NAME", "What the search ascends", "a riposte",
        word::<Loss>(|s| Some(&mut s.riposte.as_mut()?.search.attack.loss))),
    key!(Riposte, "post-iterations", ["k"], "N", "SGD steps of the post-training", "a riposte",
        count::<0, ITERATIONS>(|s| Some(&mut s.riposte.as_mut()?.iterations))),
    key!(Riposte, "post-batch-size", ["post-batch", "m"], "N", "Samples of a post-training batch, half of each class", "a riposte",
        pairs::<SAMPLES>(|s| Some(&mut s.riposte.as_mut()?.batch_size))),
    key!(Riposte, "post-learning-rate", ["post-lr", "lr"], "RATE", "Learning rate of the post-training", "a riposte",
        rate(|s| Some(&mut s.riposte.as_mut()?.learning_rate))),
    key!(Riposte, "post-momentum", ["momentum"], "SHARE", "Momentum of the post-training", "a riposte",
        share(|s| Some(&mut s.riposte.as_mut()?.momentum))),
    key!(Riposte, "post-nesterov", ["nesterov"], "SWITCH", "Whether that momentum is Nesterov's", "a riposte",
        switch(|s| Some(&mut s.riposte.as_mut()?.nesterov))),
    key!(Riposte, "post-epsilon", [], "SIZE", "Radius of the perturbation of `--riposte fast` and `pgd`", "`riposte` fast and pgd",
        pixels(post_epsilon)),
    key!(Riposte, "post-step-size", [], "SIZE", "Step of the perturbation of `--riposte fast` and `pgd`", "`riposte` fast and pgd",
        pixels(post_step_size)),
    key!(Riposte, "post-steps", [], "N", "Steps of the perturbation of `--riposte pgd`", "`riposte` pgd",
        count::<1, STEPS>(post_steps)),
    key!(Riposte, "post-data", ["pool"], "NAME", "Which training samples a batch holds", "a riposte",
        word(|s| Some(&mut s.riposte.as_mut()?.data))),
    key!(Riposte, "post-augmentation", ["augment"], "NAME", "How the samples are augmented", "a riposte",
        augmentation(|s| Some(&mut s.riposte.as_mut()?.augmentation))),
    key!(Riposte, "post-batch-norm", ["batch-norm", "bn"], "MODE", "Batch normalization while the model adapts", "a riposte",
        word(|s| Some(&mut s.riposte.as_mut()?.batch_norm))),
    key!(Riposte, "post-parameters", ["parameters"], "WHICH", "Which parameters adapt", "a riposte",
        word(|s| Some(&mut s.riposte.as_mut()?.parameters))),
    key!(Riposte, "post-draws", [], "WHEN", "Whether every iteration draws samples of its own", "a riposte",
        word(|s| Some(&mut s.riposte.as_mut()?.samples))),
    key!(Riposte, "post-exit", [], "WHEN", "When an adaptation ends", "a riposte",
        word(|s| Some(&mut s.riposte.as_mut()?.exit))),
    key!(Riposte, "post-precision", [], "NAME", "What the activations of the post-training are stored as", "a riposte",
        word(|s| Some(&mut s.riposte.as_mut()?.precision))),

    key!(Counter, "counter", [], "NAME", "The attack on the defense by someone who knows it [default: none]", "", WhichCounter),
    key!(Counter, "counter-steps", [], "N", "Gradient steps of each of its ascents", "an attack on the defense that climbs",
        count::<0, STEPS>(counter_steps)),
    key!(Counter, "counter-rounds", [], "N", "Rounds of ascent and adaptation", "`counter` trajectory, gmsa-average, gmsa-minimum, fixed-point and all",
        count::<1, 64>(counter_rounds)),
    key!(Counter, "counter-adaptations", [], "N", "Answers, each with other draws, by which the attacker chooses a point", "an attack on the defense",
        count::<1, 16>(|s| Some(&mut s.counter.as_mut()?.adaptations))),
    key!(Counter, "counter-queries", [], "N", "Answers that an attack which only asks may ask for", "`counter` square, rays and all",
        count::<0, QUERIES>(counter_queries)),
    key!(Counter, "counter-finalists", [], "N", "Best points about which the attacker asks once more, twice as often, before it chooses; 1: none", "an attack on the defense",
        count::<1, 64>(|s| Some(&mut s.counter.as_mut()?.finalists))),
    key!(Counter, "counter-judges", ["judges"], "N", "Answers, with draws that the attacker never saw, by which that point is judged", "an attack on the defense",
        count::<1, 64>(|s| Some(&mut s.counter.as_mut()?.judges))),
];
