//! Settings as short names and values in a link.

use riposte_protocol::{
    AttackSettings, Augmentation, BatchNorm, Direction, Loss, Perturbation, PoolChoice, RiposteSettings, SearchKind, Start, Stop,
};

use crate::words::parse_number;

/// What differs from a preset, by name.
pub fn differences(
    preset: (&AttackSettings, &RiposteSettings),
    chosen: (&AttackSettings, &RiposteSettings),
) -> Vec<(&'static str, String)> {
    let mut changed = values(chosen.0, chosen.1);
    for known in values(preset.0, preset.1) {
        changed.retain(|value| *value != known);
    }
    changed
}

/// The name in a link of a setting that an attribute names.
pub fn key_of(attribute: &str) -> Option<&'static str> {
    match attribute {
        "epsilon" => Some("eps"),
        "steps" => Some("steps"),
        _ => None,
    }
}

/// The attributes that are settings.
pub fn attribute_names() -> impl Iterator<Item = &'static str> {
    ["epsilon", "steps"].into_iter()
}

/// Takes over one value of a link; for a name or a value that means nothing, says what would.
pub fn apply(key: &str, value: &str, attack: &mut AttackSettings, riposte: &mut RiposteSettings) -> Result<(), &'static str> {
    if takes(key, value, attack, riposte) { Ok(()) } else { Err("a value that this setting takes") }
}

fn takes(key: &str, value: &str, attack: &mut AttackSettings, riposte: &mut RiposteSettings) -> bool {
    if let Some(key) = key.strip_prefix("s-") {
        return apply_attack(key, value, &mut riposte.search);
    }
    match key {
        "search" => set(&mut riposte.search_kind, named(&SEARCHES, value)),
        "train" => set(&mut riposte.perturbation, perturbation(value)),
        "pool" => set(&mut riposte.pool, named(&POOLS, value)),
        "augment" => {
            let padding = value.parse().ok().filter(|padding| *padding <= 16);
            set(
                &mut riposte.augmentation,
                padding.map(|padding| match padding {
                    0 => Augmentation::None,
                    padding => Augmentation::CropFlip { padding },
                }),
            )
        }
        "k" => set(&mut riposte.iterations, count(value, MOST_ITERATIONS)),
        "m" => set(&mut riposte.batch, batch(value)),
        "lr" => set(&mut riposte.learning_rate, rate(value)),
        "momentum" => set(&mut riposte.momentum, momentum(value)),
        "nesterov" => set(&mut riposte.nesterov, value.parse().ok()),
        "bn" => set(&mut riposte.batch_norm, named(&BATCH_NORMS, value)),
        _ => apply_attack(key, value, attack),
    }
}

fn apply_attack(key: &str, value: &str, attack: &mut AttackSettings) -> bool {
    match key {
        "eps" => set(&mut attack.epsilon, unit(value)),
        "step" => set(&mut attack.step_size, unit(value)),
        "steps" => set(&mut attack.steps, count(value, MOST_STEPS)),
        "start" => set(&mut attack.start, named(&STARTS, value)),
        "stop" => set(&mut attack.stop, named(&STOPS, value)),
        "loss" => set(&mut attack.loss, named(&LOSSES, value)),
        "target" => {
            let any = value == "any";
            attack.target = value.parse().ok();
            any || attack.target.is_some()
        }
        _ => false,
    }
}

/// Gradient steps of an attack or a search.
pub const MOST_STEPS: usize = 500;
/// Minibatches of post-training.
pub const MOST_ITERATIONS: usize = 1000;

/// A number from 1 to `most`.
pub fn count(text: &str, most: usize) -> Option<usize> {
    text.parse().ok().filter(|count| (1..=most).contains(count))
}

/// A number from 0 to 1; fractions too.
pub fn unit(text: &str) -> Option<f32> {
    parse_number(text).filter(|value| (0.0..=1.0).contains(value))
}

/// Samples of a minibatch: half of each class.
pub fn batch(text: &str) -> Option<usize> {
    count(text, 512).filter(|batch| batch % 2 == 0)
}

pub fn rate(text: &str) -> Option<f32> {
    parse_number(text).filter(|rate| *rate > 0.0 && *rate <= 100.0)
}

pub fn momentum(text: &str) -> Option<f32> {
    unit(text).filter(|momentum| *momentum < 1.0)
}

fn values(attack: &AttackSettings, riposte: &RiposteSettings) -> Vec<(&'static str, String)> {
    let search = &riposte.search;
    vec![
        ("eps", attack.epsilon.to_string()),
        ("step", attack.step_size.to_string()),
        ("steps", attack.steps.to_string()),
        ("start", name(&STARTS, attack.start)),
        ("stop", name(&STOPS, attack.stop)),
        ("loss", name(&LOSSES, attack.loss)),
        ("target", attack.target.map_or_else(|| "any".to_owned(), |target| target.to_string())),
        ("search", name(&SEARCHES, riposte.search_kind)),
        ("s-eps", search.epsilon.to_string()),
        ("s-step", search.step_size.to_string()),
        ("s-steps", search.steps.to_string()),
        ("s-start", name(&STARTS, search.start)),
        ("s-stop", name(&STOPS, search.stop)),
        ("s-loss", name(&LOSSES, search.loss)),
        ("train", perturbation_value(riposte.perturbation)),
        ("pool", name(&POOLS, riposte.pool)),
        (
            "augment",
            match riposte.augmentation {
                Augmentation::None => "0".to_owned(),
                Augmentation::CropFlip { padding } => padding.to_string(),
            },
        ),
        ("k", riposte.iterations.to_string()),
        ("m", riposte.batch.to_string()),
        ("lr", riposte.learning_rate.to_string()),
        ("momentum", riposte.momentum.to_string()),
        ("nesterov", riposte.nesterov.to_string()),
        ("bn", name(&BATCH_NORMS, riposte.batch_norm)),
    ]
}

pub const STARTS: [(&str, Start); 2] = [("zero", Start::Zero), ("uniform", Start::Uniform)];
pub const STOPS: [(&str, Stop); 2] = [("never", Stop::Never), ("success", Stop::AtSuccess)];
pub const LOSSES: [(&str, Loss); 2] = [("ce", Loss::CrossEntropy), ("margin", Loss::Margin)];
pub const SEARCHES: [(&str, SearchKind); 2] = [("untargeted", SearchKind::Untargeted), ("targeted", SearchKind::Targeted)];
pub const POOLS: [(&str, PoolChoice); 3] =
    [("neighbor", PoolChoice::OriginalAndNeighbour), ("random", PoolChoice::OriginalAndRandom), ("all", PoolChoice::WholeSet)];
const BATCH_NORMS: [(&str, BatchNorm); 2] = [("frozen", BatchNorm::Frozen), ("batch", BatchNorm::BatchStatistics)];
const FIXED: [(&str, Direction); 3] =
    [("fixed-both", Direction::Both), ("fixed-positive", Direction::Positive), ("fixed-negative", Direction::Negative)];

/// `fixed-both`, `fast:0.3:0.375`, `pgd:0.3:0.01:40`, `normal`.
fn perturbation(value: &str) -> Option<Perturbation> {
    if let Some(direction) = named(&FIXED, value) {
        return Some(Perturbation::Fixed(direction));
    }
    let parts: Vec<&str> = value.split(':').collect();
    match parts[..] {
        ["normal"] => Some(Perturbation::Normal),
        ["fast", epsilon, step] => Some(Perturbation::Fast { epsilon: unit(epsilon)?, step_size: unit(step)? }),
        ["pgd", epsilon, step, steps] => {
            Some(Perturbation::Pgd { epsilon: unit(epsilon)?, step_size: unit(step)?, steps: count(steps, MOST_STEPS)? })
        }
        _ => None,
    }
}

pub fn perturbation_value(perturbation: Perturbation) -> String {
    match perturbation {
        Perturbation::Fixed(direction) => name(&FIXED, direction),
        Perturbation::Fast { epsilon, step_size } => format!("fast:{epsilon}:{step_size}"),
        Perturbation::Pgd { epsilon, step_size, steps } => format!("pgd:{epsilon}:{step_size}:{steps}"),
        Perturbation::Normal => "normal".to_owned(),
    }
}

/// The value behind a name.
pub fn named<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    names.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// The name of a value.
pub fn name<T: Copy + PartialEq>(names: &[(&str, T)], value: T) -> String {
    names.iter().find(|(_, known)| *known == value).map(|(name, _)| (*name).to_owned()).unwrap_or_default()
}

fn set<T>(place: &mut T, value: Option<T>) -> bool {
    let Some(value) = value else { return false };
    *place = value;
    true
}
