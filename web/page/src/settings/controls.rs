//! The controls of the settings.

use leptos::prelude::*;
use riposte_protocol::{Loss, Preset, Start, Stop};

use super::codec::{self, MOST_ITERATIONS, MOST_STEPS, batch, count, rate, unit};
use crate::parts::{Choice, Number, Slide};
use crate::state::{Arena, Load};
use crate::words::{about, pixel_units, short};

/// What a visitor wants at hand: how strong, how long, towards what.
#[component]
pub fn AttackControls() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let attack = arena.attack;
    let is_fgsm = Memo::new(move |_| attack.with(|attack| attack.steps == 1 && attack.step_size == attack.epsilon));
    let color = Memo::new(move |_| arena.dataset().channels > 1);
    let choose_method = move |method: String| {
        let preset = preset(arena);
        attack.update(|attack| {
            if method == "fgsm" {
                (attack.steps, attack.step_size, attack.start) = (1, attack.epsilon, Start::Zero);
            } else if let Some(preset) = preset {
                (attack.steps, attack.step_size, attack.start) =
                    (preset.attack.steps, preset.attack.step_size, preset.attack.start);
            }
        });
    };
    let set_epsilon = move |epsilon: f64| {
        attack.update(|attack| {
            let fgsm = is_fgsm.get_untracked();
            attack.epsilon = epsilon as f32;
            if fgsm {
                attack.step_size = attack.epsilon;
            }
        });
    };
    let targets = move || {
        let any = ("any".to_owned(), "any other class".to_owned());
        let class = arena.class();
        let named = arena.dataset().classes.into_iter().enumerate().filter(move |(index, _)| Some(*index) != class);
        std::iter::once(any)
            .chain(named.map(|(index, name)| (index.to_string(), format!("only \u{201c}{name}\u{201d}"))))
            .collect::<Vec<_>>()
    };
    // From the image itself, the steps may not lead as far as the strength allows.
    let reach = move || {
        attack.with(|attack| {
            let reach = attack.step_size * attack.steps as f32;
            (attack.start == Start::Zero && reach < 0.999 * attack.epsilon).then_some((attack.steps, attack.step_size, reach))
        })
    };
    let short_of = move || {
        reach().map(|(steps, size, reach)| {
            let set = arena.dataset();
            let units = |value: f32| pixel_units(value, Some(&set));
            let steps = if steps == 1 { "1 step".to_owned() } else { format!("{steps} steps") };
            format!(
                "{steps} of {} change a pixel by {} at most: more strength than that has no effect.",
                units(size),
                units(reach)
            )
        })
    };
    let lengthen = move |_| attack.update(|attack| attack.step_size = attack.epsilon / attack.steps as f32);
    view! {
        <Slide
            label="Strength \u{03b5}"
            hint="The most that any pixel may change, where black is 0 and white is 1."
            value=Signal::derive(move || f64::from(attack.get().epsilon))
            shown=Signal::derive(move || pixel_units(attack.get().epsilon, Some(&arena.dataset())))
            range=Signal::derive(move || if color.get() { (0.0, 32.0 / 255.0, 1.0 / 255.0) } else { (0.0, 0.5, 0.01) })
            set=set_epsilon
        />
        <Show when=move || reach().is_some()>
            <div class="short-of" role="status">
                <p class="hint">{short_of}</p>
                <button type="button" class="small" on:click=lengthen>"Take longer steps"</button>
            </div>
        </Show>
        <div class="pair">
            <Choice
                label="Method"
                hint="Many small steps find more than one large one."
                options=Signal::stored(vec![("pgd".to_owned(), "PGD, many steps".to_owned()), ("fgsm".to_owned(), "FGSM, one step".to_owned())])
                value=Signal::derive(move || if is_fgsm.get() { "fgsm" } else { "pgd" }.to_owned())
                set=choose_method
            />
            <Choice
                label="Make it see"
                hint="A targeted attack wants one certain mistake."
                options=Signal::derive(targets)
                value=Signal::derive(move || attack.get().target.map_or_else(|| "any".to_owned(), |target| target.to_string()))
                set=move |target| attack.update(|attack| attack.target = target.parse().ok())
            />
        </div>
    }
}

/// The rest of the attack's settings, in the field's terms.
#[component]
pub fn MoreAttackControls() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let attack = arena.attack;
    view! {
        <PresetChoice/>
        <div class="pair">
            <Number
                label="Steps"
                hint="Gradient steps of the attack."
                value=Signal::derive(move || attack.get().steps.to_string())
                set=move |text| put(attack, count(text, MOST_STEPS), |attack, steps| attack.steps = steps)
            />
            <Number
                label="Step size"
                hint="How far one step moves a pixel."
                value=Signal::derive(move || short(attack.get().step_size))
                set=move |text| put(attack, unit(text), |attack, size| attack.step_size = size)
            />
        </div>
        <div class="pair">
            <Choice
                label="Start"
                hint="At the image itself, or at a random point of the ball around it."
                options=names(&[("zero", "the image"), ("uniform", "random")])
                value=Signal::derive(move || codec::name(&codec::STARTS, attack.get().start))
                set=move |name| _ = put(attack, codec::named(&codec::STARTS, &name), |attack, start| attack.start = start)
            />
            <Choice
                label="Stop"
                hint="Stopping at success leaves the image just past the boundary: easier to undo."
                options=names(&[("never", "after all steps"), ("success", "at success")])
                value=Signal::derive(move || codec::name(&codec::STOPS, attack.get().stop))
                set=move |name| _ = put(attack, codec::named(&codec::STOPS, &name), |attack, stop: Stop| attack.stop = stop)
            />
        </div>
        <div class="pair">
            <Choice
                label="Loss"
                hint="What the attack climbs."
                options=names(&[("ce", "cross-entropy"), ("margin", "margin")])
                value=Signal::derive(move || codec::name(&codec::LOSSES, attack.get().loss))
                set=move |name| _ = put(attack, codec::named(&codec::LOSSES, &name), |attack, loss: Loss| attack.loss = loss)
            />
            <Number
                label="Seed"
                hint="The same seed makes the same random draws, here and on the command line."
                value=Signal::derive(move || arena.seed.get().to_string())
                set=move |text| text.parse().map(|seed| arena.seed.set(seed)).is_ok()
            />
        </div>
    }
}

/// Seconds that a visitor waits gladly.
const PATIENCE: f64 = 5.0;

/// Iterations and samples in each of less post-training than the paper's, the most first.
const LESS: [(usize, usize); 6] = [(50, 128), (50, 64), (50, 32), (30, 32), (20, 32), (10, 32)];

/// As much post-training as this device does in a few seconds, by what was measured on it; the least, where nothing was or even that
/// takes longer.
pub fn light(arena: Arena) -> (usize, usize) {
    let seconds = |amount: &(usize, usize)| arena.post_training_seconds(amount.0 * amount.1);
    LESS.into_iter().find(|amount| seconds(amount).is_some_and(|seconds| seconds <= PATIENCE)).unwrap_or(LESS[LESS.len() - 1])
}

/// How much post-training: as the preset has it, or less, each with the time it will take on this device.
#[component]
pub fn AmountControl() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let amount = move || arena.riposte.with(|riposte| (riposte.iterations, riposte.batch));
    let full = Memo::new(move |_| {
        arena.preset.track();
        preset(arena).map(|preset| (preset.riposte.iterations, preset.riposte.batch))
    });
    let told = move |(iterations, batch): (usize, usize)| {
        let time = arena.post_training_seconds(iterations * batch).map(about);
        format!("{iterations} \u{00d7} {batch}{}", time.map_or_else(String::new, |time| format!(", {time}")))
    };
    let options = move || {
        let mut options = Vec::new();
        if let Some(full) = full.get() {
            options.push(("full".to_owned(), format!("full: {}", told(full))));
        }
        // A device that does the preset's amount in a few seconds has nothing lighter to offer.
        if full.get() != Some(light(arena)) {
            options.push(("light".to_owned(), format!("light: {}", told(light(arena)))));
        }
        if Some(amount()) != full.get() && amount() != light(arena) {
            options.push(("own".to_owned(), format!("your own: {}", told(amount()))));
        }
        options
    };
    let value = move || match amount() {
        now if Some(now) == full.get() => "full",
        now if now == light(arena) => "light",
        _ => "own",
    };
    let choose = move |name: String| {
        let chosen = match name.as_str() {
            "full" => full.get_untracked(),
            "light" => Some(untrack(|| light(arena))),
            _ => None,
        };
        if let Some((iterations, batch)) = chosen {
            arena.riposte.update(|riposte| (riposte.iterations, riposte.batch) = (iterations, batch));
        }
    };
    let less = move || {
        let ((iterations, batch), (all, whole)) = (amount(), full.get()?);
        let share = (all * whole) as f64 / (iterations * batch) as f64;
        (share > 1.05).then(|| view! { <p class="hint">{format!("Less than in the paper, which trains on {} times as many images.", short((share as f32 * 10.0).round() / 10.0))}</p> })
    };
    view! {
        <Choice
            label="Post-training"
            hint="Minibatches and samples in each."
            options=Signal::derive(options)
            value=Signal::derive(move || value().to_owned())
            set=choose
        />
        {less}
    }
}

/// The settings of the defense.
#[component]
pub fn RiposteControls() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let riposte = arena.riposte;
    let kinds = [
        ("fixed-both", "fixed, both ways"),
        ("fixed-positive", "fixed, added"),
        ("fixed-negative", "fixed, subtracted"),
        ("fast", "fast (FGSM)"),
        ("pgd", "pgd"),
        ("normal", "none"),
    ];
    let kind = move || codec::perturbation_value(riposte.get().perturbation).split(':').next().unwrap_or_default().to_owned();
    let choose_kind = move |kind: String| {
        let Some(preset) = preset(arena) else { return };
        let (mut attack, mut settings) = (arena.attack.get_untracked(), riposte.get_untracked());
        match kind.as_str() {
            "fast" => settings.perturbation = preset.fast,
            "pgd" => settings.perturbation = preset.pgd,
            kind => _ = codec::apply("train", kind, &mut attack, &mut settings),
        }
        riposte.set(settings);
    };
    view! {
        <div class="pair">
            <Choice
                label="Perturbation of the samples"
                hint="Fixed: the step from the input to its neighbor, on every sample. The paper's own."
                options=names(&kinds)
                value=Signal::derive(kind)
                set=choose_kind
            />
            <Choice
                label="Training samples"
                hint="The method takes the original and the neighbor class."
                options=names(&[("neighbor", "original + neighbor"), ("random", "original + random"), ("all", "all classes")])
                value=Signal::derive(move || codec::name(&codec::POOLS, riposte.get().pool))
                set=move |name| _ = put(riposte, codec::named(&codec::POOLS, &name), |riposte, pool| riposte.pool = pool)
            />
        </div>
        <div class="quad">
            <Number
                label="K"
                hint="Minibatches of post-training."
                value=Signal::derive(move || riposte.get().iterations.to_string())
                set=move |text| put(riposte, count(text, MOST_ITERATIONS), |riposte, iterations| riposte.iterations = iterations)
            />
            <Number
                label="M"
                hint="Samples in each; even."
                value=Signal::derive(move || riposte.get().batch.to_string())
                set=move |text| put(riposte, batch(text), |riposte, batch| riposte.batch = batch)
            />
            <Number
                label="Learning rate"
                hint="Of plain SGD."
                value=Signal::derive(move || riposte.get().learning_rate.to_string())
                set=move |text| put(riposte, rate(text), |riposte, rate| riposte.learning_rate = rate)
            />
            <Number
                label="Momentum"
                hint="Nesterov's; below 1."
                value=Signal::derive(move || riposte.get().momentum.to_string())
                set=move |text| put(riposte, codec::momentum(text), |riposte, momentum| riposte.momentum = momentum)
            />
        </div>
        <div class="quad">
            <Choice
                label="Search"
                hint="Away from the class, or towards each other."
                options=names(&[("untargeted", "untargeted"), ("targeted", "targeted")])
                value=Signal::derive(move || codec::name(&codec::SEARCHES, riposte.get().search_kind))
                set=move |name| _ = put(riposte, codec::named(&codec::SEARCHES, &name), |riposte, kind| riposte.search_kind = kind)
            />
            <Number
                label="Search \u{03b5}"
                hint="Radius around the input."
                value=Signal::derive(move || short(riposte.get().search.epsilon))
                set=move |text| put(riposte, unit(text), |riposte, epsilon| riposte.search.epsilon = epsilon)
            />
            <Number
                label="Search step"
                hint="Longer than \u{03b5}: straight to the corners."
                value=Signal::derive(move || short(riposte.get().search.step_size))
                set=move |text| put(riposte, unit(text), |riposte, size| riposte.search.step_size = size)
            />
            <Number
                label="Search steps"
                hint="At most."
                value=Signal::derive(move || riposte.get().search.steps.to_string())
                set=move |text| put(riposte, count(text, MOST_STEPS), |riposte, steps| riposte.search.steps = steps)
            />
        </div>
    }
}

#[component]
fn PresetChoice() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let options = move || presets(arena).into_iter().map(|preset| (preset.name, preset.title)).collect::<Vec<_>>();
    let about = move || presets(arena).into_iter().find(|preset| preset.name == arena.preset.get()).map(|preset| preset.about);
    let choose = move |name: String| {
        if let Some(preset) = untrack(|| presets(arena)).into_iter().find(|preset| preset.name == name) {
            arena.attack.set(preset.attack);
            arena.riposte.set(preset.riposte);
            arena.preset.set(name);
        }
    };
    view! {
        <Choice label="Preset" options=Signal::derive(options) value=arena.preset set=choose/>
        <p class="hint">{about}</p>
    }
}

fn presets(arena: Arena) -> Vec<Preset> {
    arena.load.with(|load| match load {
        Load::Ready(opened) => opened.presets.clone(),
        Load::Waiting | Load::Failed { .. } => Vec::new(),
    })
}

fn preset(arena: Arena) -> Option<Preset> {
    untrack(|| presets(arena).into_iter().find(|preset| preset.name == arena.preset.get()))
}

fn names(names: &[(&str, &str)]) -> Signal<Vec<(String, String)>> {
    Signal::stored(names.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect())
}

/// Changes a setting where the value means something.
fn put<S: Send + Sync + 'static, T>(settings: RwSignal<S>, value: Option<T>, change: impl FnOnce(&mut S, T)) -> bool {
    let Some(value) = value else { return false };
    settings.update(|settings| change(settings, value));
    true
}
