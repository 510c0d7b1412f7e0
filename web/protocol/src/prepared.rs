//! Duels that were fought when the site was built: they are shown before anything is computed.

use riposte_spec::counter::Course;
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
    /// One that was saved, until the attacker knew of the defense.
    pub fell: Option<Case>,
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
    /// The attack on the defense by someone who knows that it adapts, where that is what the case shows.
    pub course: Option<Course>,
    /// Files of the site: the image, the change, the attacked image; where there is a course, the point that stands there.
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

    /// Under the pictures: what the classifier sees in the image, how large the change is and how it is shown, what the classifier sees in
    /// the attacked image.
    pub fn captions(&self, dataset: DatasetId) -> [(String, String); 3] {
        let [natural, attacked, _] = self.said.map(|said| said.told(dataset));
        let epsilon = self.setup().pgd().map_or(0.0, |attack| attack.epsilon);
        let last = match self.course.as_ref().and_then(Course::verdict) {
            Some(verdict) => {
                ("The knowing attacker\u{2019}s picture, seen as", name(dataset, verdict.judged.original).to_owned())
            }
            None => ("Attacked, seen as", attacked),
        };
        let magnified = match epsilon {
            epsilon if epsilon > 0.0 => format!(", magnified \u{d7}{}", (10.0 / epsilon).round() / 10.0),
            _ => String::new(),
        };
        [
            ("The image, seen as".to_owned(), natural),
            (format!("The change{magnified}; no pixel (0 black, 1 white) moves more than"), print_pixels(epsilon)),
            (last.0.to_owned(), last.1),
        ]
    }

    /// What the defense answers in the end, for the place after the pictures.
    pub fn answer(&self, dataset: DatasetId) -> (&'static str, String) {
        let answer = match self.course.as_ref().and_then(Course::verdict) {
            Some(verdict) => name(dataset, verdict.answer).to_owned(),
            None => self.said[2].told(dataset),
        };
        ("The defense answers", answer)
    }

    /// How the classifier stood alone, in two or three sentences: nothing defends it in what the case is shown for.
    pub fn verdict_alone(&self, dataset: DatasetId) -> String {
        let [attacked, label] = [self.said[1].class, self.label].map(|class| quoted(dataset, class));
        match self.is_fooled() {
            true => format!("Fooled. The classifier says {attacked}, and the image shows {label}. It has no defense."),
            false => format!("Held. The classifier still says {attacked}, and that is right."),
        }
    }

    /// Whether the attack makes the classifier err.
    pub fn is_fooled(&self) -> bool {
        self.said[1].class != self.label
    }

    /// How it ended and why, in a sentence or two.
    pub fn verdict(&self, dataset: DatasetId) -> String {
        let name = |class: usize| quoted(dataset, class);
        let [_, attacked, answer] = self.said.map(|said| name(said.class));
        let label = name(self.label);
        if let Some(course) = &self.course {
            let sentence = course.sentence(self.label, name).replace('\'', "\u{2019}");
            return format!("{FELL}. The attack of act I was answered with {answer}, and that is right. {sentence}");
        }
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
        format!("{} ({})", name(dataset, self.class), percent(self.probability))
    }
}

fn name(dataset: DatasetId, class: usize) -> &'static str {
    dataset.classes().get(class).copied().unwrap_or_default()
}

fn quoted(dataset: DatasetId, class: usize) -> String {
    format!("\u{201c}{}\u{201d}", name(dataset, class))
}

/// What a case with a course is called.
pub const FELL: &str = "Fell to an attacker who knows";

impl Case {
    /// Whether the defense's last answer is right.
    pub fn ends_well(&self) -> bool {
        match &self.course {
            Some(course) => !course.ending(self.label).is_a_fall(),
            None => ends_well(self.outcome),
        }
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
