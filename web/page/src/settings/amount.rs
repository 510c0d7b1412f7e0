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
        format!("{what}: {part}{} \u{00d7} {}{time}", riposte.iterations, riposte.batch_size)
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
        let (full, own) = (worth(&full), worth(&arena.riposte.get()));
        let times = |ratio: f64| match ratio as f32 {
            ratio if ratio < 10.0 => short((ratio * 10.0).round() / 10.0),
            ratio => ratio.round().to_string(),
        };
        let words = match (own, full / own) {
            (0.0, _) => "Without iterations nothing is trained: the copy is the classifier.".to_owned(),
            (_, less) if times(less) == "1" => return None,
            (_, less) if less > 1.0 => format!("Less than in the paper, whose form trains for {} times as long.", times(less)),
            (_, less) => format!("More than in the paper: it trains for {} times as long.", times(1.0 / less)),
        };
        Some(view! { <p class="hint">{words}</p> })
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
