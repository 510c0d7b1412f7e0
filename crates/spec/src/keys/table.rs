//! The rows.

use super::Heading::{Attack, Riposte};
use super::Key;
use super::field::{Radius, WhichAttack, WhichRiposte, augmentation, class, count, pairs, pixels, rate, share, switch, word};
use crate::attack::{Loss, Start, Stop};
use crate::post_train::{Direction, Perturbation};
use crate::setup::Setup;

/// Steps that a link may ask for.
const STEPS: usize = 500;
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
    key!(Attack, "epsilon", ["eps"], "SIZE", "Radius of the L-infinity ball in pixel units: 0.3 or 8/255", "an attack", Radius),
    key!(Attack, "step-size", ["step"], "SIZE", "Length of a step in pixel units", "an attack",
        pixels(|s| Some(&mut s.attack.as_mut()?.step_size))),
    key!(Attack, "steps", [], "N", "Number of steps", "an attack",
        count::<0, STEPS>(|s| Some(&mut s.attack.as_mut()?.steps))),
    key!(Attack, "start", [], "WHERE", "Where the attack begins", "an attack",
        word::<Start>(|s| Some(&mut s.attack.as_mut()?.start))),
    key!(Attack, "stop", [], "WHEN", "When an image stops moving", "an attack",
        word::<Stop>(|s| Some(&mut s.attack.as_mut()?.stop))),
    key!(Attack, "restarts", [], "N", "Independent starts; the strongest result of each image counts", "an attack",
        count::<1, 16>(|s| Some(&mut s.attack.as_mut()?.restarts))),
    key!(Attack, "loss", [], "NAME", "What the attack ascends", "an attack",
        word::<Loss>(|s| Some(&mut s.attack.as_mut()?.loss))),
    key!(Attack, "target", ["targeted"], "CLASS", "The class that the attack leads to, by its number [default: any but the label]", "an attack",
        class(|s| s.attack.is_some().then_some(&mut s.target))),

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
];

fn direction(setup: &mut Setup) -> Option<&mut Direction> {
    match &mut setup.riposte.as_mut()?.perturbation {
        Perturbation::Fixed(direction) => Some(direction),
        Perturbation::Fast { .. } | Perturbation::Pgd { .. } | Perturbation::Normal => None,
    }
}

fn post_epsilon(setup: &mut Setup) -> Option<&mut f32> {
    match &mut setup.riposte.as_mut()?.perturbation {
        Perturbation::Fast { epsilon, .. } | Perturbation::Pgd { epsilon, .. } => Some(epsilon),
        Perturbation::Fixed(_) | Perturbation::Normal => None,
    }
}

fn post_step_size(setup: &mut Setup) -> Option<&mut f32> {
    match &mut setup.riposte.as_mut()?.perturbation {
        Perturbation::Fast { step_size, .. } | Perturbation::Pgd { step_size, .. } => Some(step_size),
        Perturbation::Fixed(_) | Perturbation::Normal => None,
    }
}

fn post_steps(setup: &mut Setup) -> Option<&mut usize> {
    match &mut setup.riposte.as_mut()?.perturbation {
        Perturbation::Pgd { steps, .. } => Some(steps),
        Perturbation::Fixed(_) | Perturbation::Fast { .. } | Perturbation::Normal => None,
    }
}
