//! How much post-training: as in the paper, or one of the light forms.

use leptos::prelude::*;
use riposte_spec::Choice as _;
use riposte_spec::post_train::{Parameters, PostTrain};
use riposte_spec::preset::PresetName;

use crate::parts::Choice;
use crate::state::{Arena, samples_worth};
use crate::words::{about, short};

/// How much post-training: the forms of the preset, each with the time that it will take on this device.
#[component]
pub fn AmountControl() -> impl IntoView {
    let arena = expect_context::<Arena>();
    let is_own = move || arena.riposte.get() != arena.preset.get().preset().post_train;
    let told = move |what: &str, riposte: &PostTrain| {
        let time = arena.post_training_seconds(riposte).map_or_else(String::new, |time| format!(", {}", about(time)));
        let part = match riposte.parameters {
            Parameters::All => "",
            Parameters::LastStage => "last stage alone, ",
            Parameters::Head => "head alone, ",
            Parameters::Normalization => "normalization alone, ",
        };
        format!("{what}: {part}{} \u{00d7} {} images{time}", riposte.iterations, riposte.batch_size)
    };
    let options = move || {
        let forms = arena.preset.get().forms().iter().zip(["full", "light", "instant"]);
        let mut options: Vec<(String, String)> =
            forms.map(|(form, what)| (form.name().to_owned(), told(what, &form.preset().post_train))).collect();
        if is_own() {
            options.push((OWN.to_owned(), told("your own", &arena.riposte.get())));
        }
        options
    };
    let choose = move |name: String| {
        if let Ok(form) = PresetName::named(&name) {
            arena.take_form(form);
        }
    };
    let less = move || {
        let full = arena.preset.get().forms()[0].preset().post_train;
        let worth = |riposte: &PostTrain| samples_worth(riposte, arena.model_entry().card.architecture);
        let times = (worth(&full) / worth(&arena.riposte.get()).max(1e-9)) as f32;
        let times = if times < 10.0 { short((times * 10.0).round() / 10.0) } else { times.round().to_string() };
        (times != "1").then(
            || view! { <p class="hint">{format!("Less than in the paper, whose form trains for {times} times as long.")}</p> },
        )
    };
    view! {
        <Choice
            label="Post-training"
            hint=Signal::derive(move || format!("{}.", arena.preset.get().title()))
            options=Signal::derive(options)
            value=Signal::derive(move || if is_own() { OWN } else { arena.preset.get().name() }.to_owned())
            set=choose
        />
        {less}
    }
}

/// Stands for settings that are no preset's.
const OWN: &str = "own";

impl Arena {
    /// Takes another form of the preset: its post-training. The attack stays as it is.
    pub fn take_form(self, form: PresetName) {
        self.preset.set(form);
        self.riposte.set(form.preset().post_train);
    }
}
