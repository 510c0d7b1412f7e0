//! Banks of copies that have adapted before any input came.

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::choice::choices;
use crate::dataset::DatasetId;
use crate::error::refused;
use crate::post_train::{Perturbation, PostTrain, TrainingData};
use crate::preset::Preset;
use crate::{Error, Result};

/// What a card says the folder is.
pub const FORMAT: &str = "riposte bank 1";

/// The card of a bank, a file beside those of its pairs of classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankCard {
    /// [`FORMAT`].
    pub format: String,
    /// Version of the program that began it.
    pub version: String,
    /// What the base model's weights belong to.
    pub architecture: Architecture,
    /// SHA-256 of the base model's weights file, in lower-case hexadecimal.
    pub weights_sha256: String,
    /// Whose training samples the copies adapted on.
    pub dataset: DatasetId,
    /// The copies drew from the first so many training samples; `None`: from all.
    pub post_samples: Option<usize>,
    /// SHA-256 of those samples and of their labels, in lower-case hexadecimal; `None`: they are drawn by the program, or an earlier version
    /// of it began the bank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_sha256: Option<String>,
    /// Seed of every draw.
    pub seed: u64,
    /// Copies of each pair.
    pub draws: usize,
    /// How they adapted. The search is the answering program's affair: copies do not depend on it.
    pub riposte: PostTrain,
}

choices! {
    /// Which of the copies of a pair answers.
    pub enum Pick: "copy" {
        /// One of them, drawn for each input
        Drawn = "drawn",
        /// The mean of their parameters
        Mean = "mean",
    }
}

/// A bank, as far as answers depend on it beside the settings of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankUse {
    /// Seed of its draws.
    pub seed: u64,
    /// Copies of each pair.
    pub draws: usize,
    /// Which of them answers.
    pub pick: Pick,
    /// SHA-256 of [`BankCard::of_copies`], in lower-case hexadecimal: what the copies adapted on, and how; `None`: an earlier version of the
    /// program wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_sha256: Option<String>,
}

impl BankUse {
    /// Whether it is the same bank, whose copies are picked alike, as far as both know.
    pub fn is_same(&self, other: &Self) -> bool {
        let known = self.card_sha256.is_some() && other.card_sha256.is_some();
        let other = if known { other.clone() } else { Self { card_sha256: self.card_sha256.clone(), ..other.clone() } };
        *self == other
    }
}

impl BankCard {
    /// The card as far as its copies depend on it: of any version, with any search.
    pub fn of_copies(&self) -> Self {
        let riposte = PostTrain { search: Preset::F_MNIST.post_train.search, ..self.riposte };
        Self { version: String::new(), riposte, ..self.clone() }
    }

    /// Parses a card.
    ///
    /// # Errors
    /// [`Error::Card`] naming what is wrong with it.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let card: Self = serde_json::from_slice(bytes).map_err(|error| Error::Card(error.to_string()))?;
        match card.format == FORMAT {
            true => Ok(card),
            false => Err(Error::Card(format!("its format is `{}`, not `{FORMAT}`", card.format))),
        }
    }
}

/// Whether a copy that adapts with `settings` depends on the input through its two classes alone, so that a bank can hold it.
///
/// # Errors
/// [`Error::Setting`] that says on what else it depends.
pub fn check(settings: &PostTrain) -> Result<()> {
    settings.check()?;
    if !settings.exit.is_never() {
        return refused(format!("a bank cannot hold copies of `post-exit` {}: when that is depends on the input", settings.exit));
    }
    match (settings.perturbation, settings.data) {
        (Perturbation::Fixed(_), _) => refused(
            "a bank cannot hold copies of `riposte` fixed: they depend on the perturbation x'' - x' of each input; take fast, pgd or normal",
        ),
        (_, TrainingData::OriginalAndNeighbor) => Ok(()),
        (_, data @ (TrainingData::OriginalAndRandom | TrainingData::WholeSet)) => {
            refused(format!("a bank holds copies for two classes, and `post-data` is {data}; take original-and-neighbor"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::post_train::Exit;

    #[test]
    fn copies_are_told_apart_by_what_they_adapted_on_and_not_by_the_search() {
        let riposte = PostTrain { perturbation: Preset::F_MNIST.fast, ..Preset::F_MNIST.post_train };
        let card = BankCard {
            format: FORMAT.to_owned(),
            version: "1".to_owned(),
            architecture: Architecture::FastMnistCnn,
            weights_sha256: "00".to_owned(),
            dataset: DatasetId::Mnist,
            post_samples: None,
            pool_sha256: None,
            seed: 0,
            draws: 1,
            riposte,
        };
        let mut search = riposte.search;
        search.attack.steps += 1;
        let searched = BankCard { version: "2".to_owned(), riposte: PostTrain { search, ..riposte }, ..card.clone() };
        assert_eq!(searched.of_copies(), card.of_copies());
        let fewer = BankCard { post_samples: Some(500), ..card.clone() };
        let longer = BankCard { riposte: PostTrain { iterations: riposte.iterations + 1, ..riposte }, ..card.clone() };
        assert!(fewer.of_copies() != card.of_copies() && longer.of_copies() != card.of_copies());
    }

    #[test]
    fn banks_are_the_same_unless_they_are_known_to_differ() {
        let used = |card: Option<&str>| BankUse { seed: 0, draws: 2, pick: Pick::Drawn, card_sha256: card.map(str::to_owned) };
        assert!(
            used(None).is_same(&used(Some("aa")))
                && used(Some("aa")).is_same(&used(None))
                && used(Some("aa")).is_same(&used(Some("aa")))
        );
        assert!(!used(Some("aa")).is_same(&used(Some("bb"))));
        assert!(!used(None).is_same(&BankUse { pick: Pick::Mean, ..used(None) }));
    }

    #[test]
    fn a_bank_holds_what_depends_on_two_classes_alone() {
        for preset in Preset::ALL {
            assert!(check(&preset.post_train).unwrap_err().to_string().contains("x'' - x'"));
            for perturbation in [preset.fast, preset.pgd, Perturbation::Normal] {
                let settings = PostTrain { perturbation, ..preset.post_train };
                assert_eq!(check(&settings), Ok(()));
                let whole = PostTrain { data: TrainingData::WholeSet, ..settings };
                assert!(check(&whole).unwrap_err().to_string().contains("whole-set"));
                for exit in [Exit::Settled, Exit::Ahead] {
                    let early = PostTrain { exit, ..settings };
                    assert!(check(&early).unwrap_err().to_string().contains("post-exit"));
                }
            }
        }
    }
}
