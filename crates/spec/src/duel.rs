//! One duel: an image attacked and defended, as the page saves it. What `riposte duel --json` prints, too, has the same name there.

use serde::{Deserialize, Serialize};

use crate::attack::{Attack, Pgd};
use crate::bank::BankUse;
use crate::class::Prediction;
use crate::counter::Course;
use crate::dataset::DatasetId;
use crate::keys;
use crate::outcome::Outcome;
use crate::post_train::PostTrain;
use crate::preset::PresetName;
use crate::quantize::Quantize;
use crate::setup::Setup;

/// A duel as far as it went: what was not done is `None` or empty. Lengths are in pixel units, times in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Duel {
    /// The program's version.
    pub version: String,
    /// When it was, in UTC: `2026-11-28T12:34:56Z`.
    pub date: Option<String>,
    /// What computed.
    pub device: Option<Device>,
    /// The command that repeats it; none for an image that is in no test set.
    pub command: Option<String>,
    /// The address of a page that repeats it; from the native program, which has no page, its end from `#` on.
    pub link: Option<String>,
    /// Whose classes these are, and whose test image.
    pub dataset: DatasetId,
    /// The names of its classes.
    pub classes: Vec<String>,
    /// Number in the test set; none for an image that is in none.
    pub index: Option<u64>,
    /// The ground truth; none where nobody said it.
    pub label: Option<usize>,
    /// The model's name.
    pub model: String,
    /// SHA-256 of its weights file, in lower-case hexadecimal.
    pub weights_sha256: String,
    /// The preset that the settings come from.
    pub preset: PresetName,
    /// Seed of every draw.
    pub seed: u64,
    /// The attack.
    pub attack: Pgd,
    /// The class that it leads to; none: any but the label.
    pub target: Option<usize>,
    /// Which values the pixels of attacked images have.
    #[serde(default, skip_serializing_if = "Quantize::is_none")]
    pub quantize: Quantize,
    /// The defense.
    pub riposte: PostTrain,
    /// It draws its samples from the first so many training images; none: from all.
    #[serde(default)]
    pub post_samples: Option<usize>,
    /// The bank whose copy answers; none: the input has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<BankUse>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The base model on the image.
    pub natural: Option<Opinion>,
    /// The base model on the attacked image.
    pub attacked: Option<Opinion>,
    /// Largest absolute change that the attack made to a pixel.
    pub perturbation: Option<f32>,
    /// The first step of the attack after which the base model erred; none where it did not.
    pub fooled_after: Option<usize>,
    /// y': the class that the base model gives the defense's input.
    pub original: Option<usize>,
    /// y'': the neighbor class; equal to y' where there is none.
    pub neighbor: Option<usize>,
    /// Whether a copy was trained.
    pub riposted: Option<bool>,
    /// The defense on its input.
    pub answer: Option<Opinion>,
    /// Logits of the adapting model on the input, before the post-training and after each step.
    pub race: Vec<Vec<f32>>,
    /// Mean loss of each batch before its step.
    pub losses: Vec<f32>,
    /// The attack on the defense by someone who knows that it adapts, round by round; none where there was none.
    #[serde(default)]
    pub counter: Option<Course>,
    /// What it took.
    pub seconds: f64,
}

/// What computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// `cpu`, `webgpu`; on the command line what `--device` takes.
    pub id: String,
    /// `cpu`, `discrete-gpu`, ...; `unknown` where a browser does not say.
    pub kind: String,
    /// As the hardware names itself.
    pub name: String,
}

/// What a classifier says of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// The most likely class.
    pub class: usize,
    /// One for each class.
    pub probabilities: Vec<f32>,
}

impl From<&Prediction> for Opinion {
    fn from(prediction: &Prediction) -> Self {
        Self { class: prediction.class, probabilities: prediction.probabilities() }
    }
}

/// The native command of a duel over a test image.
pub fn command(
    dataset: DatasetId,
    model: &str,
    index: u64,
    preset: PresetName,
    seed: u64,
    post_samples: Option<usize>,
    setup: &Setup,
) -> String {
    let mut command = format!("riposte duel --dataset {dataset} --model {model} --index {index} --preset {preset} --seed {seed}");
    let samples = post_samples.map(|samples| ("post-samples", samples.to_string()));
    for (name, value) in samples.into_iter().chain(keys::differences(&preset.preset().for_duel(), setup)) {
        command.push_str(&format!(" --{name} {value}"));
    }
    command
}

impl Duel {
    /// What differs from the preset, as in a duel's command and address: names and values.
    pub fn differences(&self) -> Vec<(&'static str, String)> {
        keys::differences(&self.preset.preset().for_duel(), &self.setup())
    }

    /// The native command that repeats it, but for the folder of a bank; none for an image that is in no test set.
    pub fn repeating(&self) -> Option<String> {
        Some(command(self.dataset, &self.model, self.index?, self.preset, self.seed, self.post_samples, &self.setup()))
    }

    /// The attack, the defense, and the attack on that.
    pub fn setup(&self) -> Setup {
        let counter = self.counter.as_ref().map(|course| course.settings);
        let Self { attack, target, quantize, riposte, .. } = *self;
        Setup { attack: Some(Attack::Pgd(attack)), target, quantize, riposte: Some(riposte), counter }
    }
}
