//! How much post-training: what the device does in a few seconds, or all of it.

use leptos::prelude::*;
use riposte_spec::post_train::PostTrain;

use crate::parts::Choice;
use crate::state::Arena;
use crate::words::{about, short};

/// Seconds that a visitor waits gladly.
const PATIENCE: f64 = 5.0;

/// Iterations and samples in each of less post-training than the paper's, the most first.
const LESS: [(usize, usize); 6] = [(50, 128), (50, 64), (50, 32), (30, 32), (20, 32), (10, 32)];

/// As much post-training as this device does in a few seconds, by what was measured on it; the least, where nothing was or even that
/// takes longer.
pub fn light(arena: Arena) -> (usize, usize) {
    let seconds = |amount: &(usize, usize)| of_amount(arena, *amount);
    LESS.into_iter().find(|amount| seconds(amount).is_some_and(|seconds| seconds <= PATIENCE)).unwrap_or(LESS[LESS.len() - 1])
}

/// How long it takes with so many iterations, and samples in each.
pub fn of_amount(arena: Arena, (iterations, batch_size): (usize, usize)) -> Option<f64> {
    arena.post_training_seconds(&PostTrain { iterations, batch_size, ..arena.riposte.get() })
}

/// How much post-training: as the preset has it, or less, each with the time it will take on this device.
#[component]
pub fn AmountControl() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let amount = move || arena.riposte.with(|riposte| (riposte.iterations, riposte.batch_size));
    let full = Memo::new(move |_| {
        let preset = arena.preset.get().preset().post_train;
        (preset.iterations, preset.batch_size)
    });
    let told = move |(iterations, batch): (usize, usize)| {
        let time = of_amount(arena, (iterations, batch)).map(about);
        format!("{iterations} \u{00d7} {batch}{}", time.map_or_else(String::new, |time| format!(", {time}")))
    };
    let options = move || {
        let mut options = vec![("full".to_owned(), format!("full: {}", told(full.get())))];
        // A device that does the preset's amount in a few seconds has nothing lighter to offer.
        if full.get() != light(arena) {
            options.push(("light".to_owned(), format!("light: {}", told(light(arena)))));
        }
        if amount() != full.get() && amount() != light(arena) {
            options.push(("own".to_owned(), format!("your own: {}", told(amount()))));
        }
        options
    };
    let value = move || match amount() {
        now if now == full.get() => "full",
        now if now == light(arena) => "light",
        _ => "own",
    };
    let choose = move |name: String| {
        let chosen = match name.as_str() {
            "full" => Some(full.get_untracked()),
            "light" => Some(untrack(|| light(arena))),
            _ => None,
        };
        if let Some((iterations, batch)) = chosen {
            arena.riposte.update(|riposte| (riposte.iterations, riposte.batch_size) = (iterations, batch));
        }
    };
    let less = move || {
        let ((iterations, batch), (all, whole)) = (amount(), full.get());
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
