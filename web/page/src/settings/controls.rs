//! One control for each setting.

use leptos::prelude::*;
use riposte_spec::Choice as _;
use riposte_spec::attack::Norm;
use riposte_spec::keys::{Heading, KEYS, Key, Kind, Word};
use riposte_spec::preset::PresetName;

use crate::link::left_out;
use crate::parts::{Choice, Number, Slide};
use crate::state::Arena;
use crate::words::strength;

/// What a visitor wants at hand: how strong, how long, towards what.
#[component]
pub fn AttackControls() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let attack = arena.attack;
    let color = Memo::new(move |_| arena.dataset().image_shape()[0] > 1);
    let set_epsilon = move |epsilon: f64| _ = arena.set("epsilon", &(epsilon as f32).to_string());
    let targets = move || {
        let any = ("any".to_owned(), "any other class".to_owned());
        let class = arena.class();
        let named = arena.dataset().classes().iter().enumerate().filter(move |(index, _)| Some(*index) != class);
        std::iter::once(any)
            .chain(named.map(|(index, name)| (index.to_string(), format!("only \u{201c}{name}\u{201d}"))))
            .collect::<Vec<_>>()
    };
    // Steps may not lead as far as the strength allows: more of it then has no effect.
    let warnings = Memo::new(move |_| arena.setup().warnings());
    let sentences = move || warnings.get().into_iter().map(|words| view! { <p class="hint">{words} "."</p> }).collect_view();
    let is_short = move || attack.with(|attack| attack.step_size * (attack.steps as f32) < 0.999 * attack.epsilon);
    let lengthen = move |_| attack.update(|attack| attack.step_size = attack.epsilon / attack.steps.max(1) as f32);
    view! {
        <Slide
            label="Strength \u{03b5}"
            hint=Signal::derive(move || match attack.get().norm {
                Norm::LInfinity => "The most that any pixel may change, where black is 0 and white is 1.",
                Norm::L2 => "The most that the whole image may move: the Euclidean length of the change, where black is 0 and white is 1.",
            })
            value=Signal::derive(move || f64::from(attack.get().epsilon))
            shown=Signal::derive(move || strength(&attack.get(), arena.dataset()))
            range=Signal::derive(move || match (attack.get().norm, color.get()) {
                (Norm::LInfinity, true) => (0.0, 32.0 / 255.0, 1.0 / 255.0),
                (Norm::LInfinity, false) => (0.0, 0.5, 0.01),
                (Norm::L2, true) => (0.0, 2.0, 0.05),
                (Norm::L2, false) => (0.0, 5.0, 0.1),
            })
            set=set_epsilon
        />
        <Show when=move || warnings.with(|warnings| !warnings.is_empty())>
            <div class="short-of" role="status">
                {sentences}
                <button type="button" class="small" hidden=move || !is_short() on:click=lengthen>"Take longer steps"</button>
            </div>
        </Show>
        <div class="pair">
            <Setting key=named("attack") label="Method"/>
            <Choice
                label="Make it see"
                hint="A targeted attack wants one certain mistake."
                options=Signal::derive(targets)
                value=Signal::derive(move || value(arena, named("target")).unwrap_or_default())
                set=move |target| _ = arena.set("target", &target)
            />
        </div>
    }
}

/// The rest of the attack's settings, in the field's terms.
#[component]
pub fn MoreAttackControls() -> impl IntoView {
    let arena = expect_context::<Arena>();
    view! {
        <PresetChoice/>
        <div class="pair">
            <Settings heading=Heading::Attack but=&["attack", "epsilon", "target"]/>
            <Number
                label="Seed"
                hint="The same seed makes the same random draws, here and on the command line."
                value=Signal::derive(move || arena.seed.get().to_string())
                set=move |text| text.parse().map(|seed| arena.seed.set(seed)).map_err(|_| format!("That is not a whole number from 0 to {}.", u32::MAX))
            />
        </div>
    }
}

/// The settings of the defense.
#[component]
pub fn RiposteControls() -> impl IntoView {
    view! { <div class="pair"><Settings heading=Heading::Riposte but=&[]/></div> }
}

/// Who attacks the defense, and how.
#[component]
pub fn CounterControls() -> impl IntoView {
    view! {
        <Setting key=named("counter") label="The attacker"/>
        <details class="more">
            <summary>"Settings of the attacker"</summary>
            <div class="pair"><Settings heading=Heading::Counter but=&["counter"]/></div>
        </details>
    }
}

/// The settings of the table under a heading, in its order, but for those that have a place of their own.
#[component]
fn Settings(heading: Heading, but: &'static [&'static str]) -> impl IntoView {
    let keys = KEYS.iter().filter(move |key| key.heading == heading && !but.contains(&key.name));
    keys.map(|key| view! { <Setting key/> }).collect_view()
}

/// The control of one setting; none while the setup has no place for it.
#[component]
fn Setting(
    key: &'static Key,
    /// Otherwise it is the setting's name.
    #[prop(optional)]
    label: Option<&'static str>,
) -> impl IntoView {
    let arena = expect_context::<Arena>();
    let label = label.map_or_else(|| title(key.name), str::to_owned);
    let shown = Memo::new(move |_| value(arena, key));
    let control = move || {
        // Another preset sets the value anew, also where it is the same.
        let value = Signal::derive(move || {
            arena.preset.track();
            shown.get().unwrap_or_default()
        });
        let label = label.clone();
        match key.kind() {
            Kind::Words(words) => {
                // The page always has an attack, a defense and an attack on that, the first one is by PGD, and it has no banks.
                let is_shown = |word: &Word| match key.name {
                    "attack" => ["pgd", "fgsm"].contains(&word.name),
                    "riposte" => word.name != "none",
                    "counter" => !["none", "bank"].contains(&word.name),
                    _ => true,
                };
                let offered: Vec<Word> = words.into_iter().filter(is_shown).collect();
                let known = offered.clone();
                let about = move || value.with(|value| known.iter().find(|word| word.name == value).map(|word| word.about));
                view! {
                    <Choice
                        label
                        hint=Signal::derive(move || about().unwrap_or(key.help).to_owned())
                        options=Signal::stored(offered.iter().map(|word| (word.name.to_owned(), word.name.to_owned())).collect())
                        value
                        set=move |text| {
                            if let Err(why) = arena.set(key.name, &text) {
                                arena.notices.update(|all| all.push(left_out(key.name, &text, why.trim_end_matches('.'))));
                            }
                        }
                    />
                }
                .into_any()
            }
            Kind::Pixels | Kind::Rate | Kind::Share | Kind::Part | Kind::Size | Kind::Count { .. } | Kind::Class => {
                view! { <Number label hint=key.help value set=move |text: &str| arena.set(key.name, text)/> }.into_any()
            }
        }
    };
    view! { <Show when=move || shown.with(Option::is_some)>{control.clone()}</Show> }
}

#[component]
fn PresetChoice() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let options = move || {
        let presets = arena.dataset().presets().iter();
        presets.map(|preset| (preset.name().to_owned(), preset.title().to_owned())).collect::<Vec<_>>()
    };
    let choose = move |name: String| {
        if let Ok(preset) = PresetName::named(&name) {
            arena.preset.set(preset);
            arena.take(preset.preset().setup());
        }
    };
    view! {
        <Choice
            label="Preset"
            hint=Signal::derive(move || format!("{}.", arena.preset.get().about()))
            options=Signal::derive(options)
            value=Signal::derive(move || arena.preset.get().name().to_owned())
            set=choose
        />
    }
}

fn named(name: &str) -> &'static Key {
    Key::named(name).expect("a setting of the table")
}

fn value(arena: Arena, key: &Key) -> Option<String> {
    key.get(&arena.setup_of(key.heading))
}

/// `Search step size`
fn title(name: &str) -> String {
    let mut words = name.replace('-', " ");
    words[..1].make_ascii_uppercase();
    words
}
