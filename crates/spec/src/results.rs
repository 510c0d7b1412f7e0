//! The head of a results file: JSON Lines, a header with all settings, then one [`Record`](crate::record::Record) for each input.
//!
//! What another device computed, or other batches, is a part with a header of its own: files of parts that follow each other are
//! joined by writing one after the other.

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::attack::Attack;
use crate::bank::BankUse;
use crate::choice::choices;
use crate::counter::Counter;
use crate::dataset::DatasetId;
use crate::normalization::Reading;
use crate::paper::Published;
use crate::post_train::PostTrain;
use crate::quantize::Quantize;
use crate::setup::Setup;
use crate::transform::Transform;

/// What a header says the file is.
pub const FORMAT: &str = "riposte results 1";

/// The first line of a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// The program's version.
    pub version: String,
    /// Everything that the records depend on.
    pub settings: Settings,
}

/// Everything that the records of a run depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the weights belong to.
    pub architecture: Architecture,
    /// SHA-256 of the weights file, in lower-case hexadecimal.
    pub weights_sha256: String,
    /// How that file is read, where it leaves a choice.
    #[serde(default, skip_serializing_if = "Reading::is_usual")]
    pub reading: Reading,
    /// Whose test images.
    pub dataset: DatasetId,
    /// SHA-256 of the test images that were there, and of their labels; `None`: they are drawn by the program, or an earlier version of
    /// it wrote the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_sha256: Option<String>,
    /// SHA-256 of the training samples that the defense draws from, and of their labels; `None`: it draws none, they are drawn by the
    /// program, or an earlier version of it wrote the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_sha256: Option<String>,
    /// Number of the first input.
    pub first: u64,
    /// Seed of every draw.
    pub seed: u64,
    /// What computed. Figures of the two agree within float tolerance, not bit for bit.
    pub device: Processor,
    /// Images attacked at once.
    pub batch: usize,
    /// Whether the natural images were defended, too.
    pub natural: bool,
    /// The attack, if there is one.
    pub attack: Option<Attack>,
    /// The class that the attack leads to; `None`: any but the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<usize>,
    /// Which values the pixels of attacked images have.
    #[serde(default, skip_serializing_if = "Quantize::is_none")]
    pub quantize: Quantize,
    /// The defense, if there is one.
    pub riposte: Option<PostTrain>,
    /// Another defense in the place of the riposte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defense: Option<Transform>,
    /// The attack on the defense, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<Counter>,
    /// The defense draws from the first so many training samples; `None`: from all.
    pub post_samples: Option<usize>,
    /// The bank whose copies answer; `None`: each input has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bank: Option<BankUse>,
    /// Another bank, which the attacker on the defense has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter_bank: Option<BankUse>,
    /// SHA-256 of the file that the attacked images are from, in lower-case hexadecimal; `None`: they are the attack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_sha256: Option<String>,
}

choices! {
    /// What computes.
    pub enum Processor: "device" {
        /// A processor
        Cpu = "cpu",
        /// A graphics processor
        Gpu = "gpu",
    }
}

/// Inputs in a row that were computed alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Number of the first input.
    pub first: u64,
    /// How many there are.
    pub images: u64,
    /// What computed.
    pub device: Processor,
    /// Images attacked at once.
    pub batch: usize,
}

impl Header {
    /// The header of a run of this version.
    pub fn new(settings: Settings) -> Self {
        Self { format: FORMAT.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), settings }
    }
}

impl Settings {
    /// The attack and the defense.
    pub fn setup(&self) -> Setup {
        let Self { attack, target, quantize, riposte, counter, .. } = *self;
        Setup { attack, target, quantize, riposte, counter }
    }

    /// Whether the riposte itself answers the images of the attack on the base model: no copies that a bank holds, no other defense, no
    /// images from a file, no attack on the defense. Everything else is no cell of a table of the paper, whatever attack and riposte are.
    pub fn is_plain(&self) -> bool {
        self.bank.is_none() && self.defense.is_none() && self.images_sha256.is_none() && self.counter.is_none()
    }

    /// What the paper reports for these settings.
    pub fn published(&self) -> Option<Published> {
        Published::of(&self.setup(), self.architecture, self.dataset).filter(|_| self.is_plain())
    }

    /// The part that a header with these settings begins, still without images.
    pub fn part(&self) -> Part {
        Part { first: self.first, images: 0, device: self.device, batch: self.batch }
    }

    /// Whether records of `other` may stand in the same file: all is the same but what a part has of its own, on which
    /// records depend in the rounding of floats alone. Images and banks whose hash one of them lacks count as the same.
    pub fn same_run(&self, other: &Self) -> bool {
        let same_or_unknown = |ours: &Option<String>, others: &Option<String>| match (ours, others) {
            (Some(_), Some(_)) => others.clone(),
            _ => ours.clone(),
        };
        let same_bank = |ours: &Option<BankUse>, others: &Option<BankUse>| match (ours, others) {
            (Some(our), Some(other)) if our.is_same(other) => ours.clone(),
            _ => others.clone(),
        };
        Self {
            first: self.first,
            device: self.device,
            batch: self.batch,
            test_sha256: same_or_unknown(&self.test_sha256, &other.test_sha256),
            pool_sha256: same_or_unknown(&self.pool_sha256, &other.pool_sha256),
            bank: same_bank(&self.bank, &other.bank),
            counter_bank: same_bank(&self.counter_bank, &other.counter_bank),
            ..other.clone()
        } == *self
    }
}

impl Part {
    /// Whether `other` is computed alike.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.device, self.batch) == (other.device, other.batch)
    }

    /// `cpu, batches of 128`
    pub fn how(&self) -> String {
        format!("{}, batches of {}", self.device, self.batch)
    }

    /// Number of the input after the last.
    pub fn end(&self) -> u64 {
        self.first + self.images
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bank::Pick;
    use crate::preset::Preset;

    fn settings() -> Settings {
        let Setup { attack, target, quantize, riposte, counter } = Preset::F_MNIST.setup();
        Settings {
            architecture: Architecture::FastMnistCnn,
            weights_sha256: "00".to_owned(),
            reading: Reading::default(),
            dataset: DatasetId::Mnist,
            test_sha256: None,
            pool_sha256: None,
            first: 0,
            seed: 0,
            device: Processor::Cpu,
            batch: 128,
            natural: true,
            attack,
            target,
            quantize,
            riposte,
            defense: None,
            counter,
            post_samples: None,
            bank: None,
            counter_bank: None,
            images_sha256: None,
        }
    }

    fn bank(card: Option<&str>) -> Option<BankUse> {
        Some(BankUse { seed: 0, draws: 1, pick: Pick::Drawn, card_sha256: card.map(str::to_owned) })
    }

    #[test]
    fn the_paper_is_quoted_for_the_riposte_itself_alone() {
        assert!(settings().published().is_some());
        let fewer = Settings { post_samples: Some(500), ..settings() };
        assert!(fewer.published().is_some());
        for other in [
            Settings { bank: bank(None), ..settings() },
            Settings { defense: Some(Transform::Median { side: 2 }), ..settings() },
            Settings { images_sha256: Some("11".to_owned()), ..settings() },
            Settings { counter: Some(Counter::STANDARD), ..settings() },
        ] {
            assert!(!other.is_plain() && other.published().is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_run_with_another_bank_is_another_run() {
        let with = |card| Settings { bank: bank(card), ..settings() };
        let attacked = |card| Settings { counter_bank: bank(card), ..settings() };
        for of in [&with as &dyn Fn(_) -> Settings, &attacked] {
            assert!(of(Some("aa")).same_run(&of(Some("aa"))) && of(None).same_run(&of(Some("aa"))));
            assert!(of(Some("aa")).same_run(&of(None)) && !of(Some("aa")).same_run(&of(Some("bb"))));
            assert!(!of(None).same_run(&settings()) && !settings().same_run(&of(None)));
        }
    }
}
