//! Duels that were fought when the site was built: they are shown before anything is computed.

use riposte_spec::dataset::DatasetId;
use riposte_spec::outcome::Outcome;
use riposte_spec::preset::PresetName;
use riposte_spec::setup::Setup;
use riposte_spec::units::print_pixels;
use serde::{Deserialize, Serialize};

/// Prepared cases of a model, one of each way in which a duel can end, and how often each happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    pub odds: Odds,
    /// In the order of [`Outcome`]'s values. A way to end of which there is no case is left out.
    pub cases: Vec<Case>,
}

/// How often a duel ended in each way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Odds {
    /// The settings that it was measured with.
    pub preset: PresetName,
    /// Test images that were attacked.
    pub images: usize,
    /// Of them, those that ended so.
    pub ended: Vec<(Outcome, usize)>,
}

/// A duel over a test image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub outcome: Outcome,
    /// Number of the test image.
    pub image: u32,
    pub label: usize,
    pub seed: u32,
    pub preset: PresetName,
    /// Settings that differ from the preset's, by their names.
    pub settings: Vec<(String, String)>,
    /// The classifier on the image, the classifier on the attacked image, the defense on the attacked image.
    pub said: [Said; 3],
    /// Files of the site: the image, the change, the attacked image.
    pub pictures: [String; 3],
}

/// A class, and how probable it was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    pub class: usize,
    pub probability: f32,
}

impl Odds {
    /// How many ended so.
    pub fn of(&self, outcome: Outcome) -> usize {
        self.ended.iter().find(|(known, _)| *known == outcome).map_or(0, |(_, count)| *count)
    }
}

impl Case {
    /// The attack and the defense.
    pub fn setup(&self) -> Setup {
        self.preset.preset().for_duel().with_link(self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()))).0
    }

    /// Under the pictures: what the classifier sees in the image, how large the change is, what it sees in the attacked image; last, what
    /// the defense answers.
    pub fn captions(&self, dataset: DatasetId) -> [(&'static str, String); 4] {
        let [natural, attacked, answer] = self.said.map(|said| said.told(dataset));
        let epsilon = self.setup().pgd().map_or(0.0, |attack| attack.epsilon);
        [
            ("The image, seen as", natural),
            ("A change of at most", print_pixels(epsilon)),
            ("Attacked, seen as", attacked),
            ("The defense answers", answer),
        ]
    }

    /// How it ended and why, in a sentence or two.
    pub fn verdict(&self, dataset: DatasetId) -> String {
        let name = |class: usize| format!("\u{201c}{}\u{201d}", dataset.classes().get(class).copied().unwrap_or_default());
        let [_, attacked, answer] = self.said.map(|said| name(said.class));
        let label = name(self.label);
        let attack = match self.outcome {
            Outcome::Answered | Outcome::Failed | Outcome::NoNeighbor => {
                format!("The attack makes the classifier say {attacked}.")
            }
            Outcome::NotFooled | Outcome::Spoiled => format!("The attack fails: the classifier still says {attacked}."),
        };
        let defense = match self.outcome {
            Outcome::Answered => format!("The defense adapts and answers {answer}, and {label} is right."),
            Outcome::Failed => format!("The defense adapts and answers {answer}, and the image shows {label}."),
            Outcome::NoNeighbor => {
                format!("The defense finds no other class within its reach: it stays with {answer}, and the image shows {label}.")
            }
            Outcome::NotFooled => format!("The defense answers {answer}, too."),
            Outcome::Spoiled => format!("But the defense adapts and answers {answer}, and {label} was right."),
        };
        format!("{}. {attack} {defense}", name_of(self.outcome))
    }
}

impl Said {
    fn told(self, dataset: DatasetId) -> String {
        let name = dataset.classes().get(self.class).copied().unwrap_or_default();
        format!("{name} ({})", percent(self.probability))
    }
}

/// A way to end, for a button.
pub fn name_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "Saved",
        Outcome::Failed => "Not saved",
        Outcome::NoNeighbor => "No neighbor",
        Outcome::NotFooled => "Not needed",
        Outcome::Spoiled => "Spoiled",
    }
}

/// Whether the defense's answer is right.
pub fn ends_well(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Answered | Outcome::NotFooled)
}

/// `93 %`; never a false 0 or 100.
pub fn percent(probability: f32) -> String {
    let percent = probability * 100.0;
    match percent {
        p if p.is_nan() => "not a number".to_owned(),
        p if p > 0.0 && p < 0.5 => "<1\u{202f}%".to_owned(),
        p if p < 100.0 && p > 99.5 => ">99\u{202f}%".to_owned(),
        p => format!("{p:.0}\u{202f}%"),
    }
}
