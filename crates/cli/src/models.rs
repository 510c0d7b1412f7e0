//! Models: those that come with the program, and weights files with or without a card beside them.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use burn::tensor::Device;
use riposte::models::{Architecture, Model, ModelCard};
use riposte::spec::card::Opening;
use riposte::spec::dataset::DatasetId;
use riposte::spec::setup::Setup;
use riposte::weights::StateDict;
use riposte::zoo;
use sha2::{Digest, Sha256};

use crate::args::ModelArgs;
use crate::{file, weights_file};

/// Where a model comes from, before a device holds it.
#[derive(Debug, Clone)]
pub struct Source {
    pub architecture: Architecture,
    pub weights: StateDict,
    /// Of the weights file, hexadecimal.
    pub sha256: String,
    pub card: Option<ModelCard>,
    /// What to call it: the card's id, or the file's name.
    pub name: String,
    /// The flags that name it again.
    pub flags: String,
}

impl Source {
    /// The model that `args` ask for, or the smallest that comes with the program for `dataset` and was trained against attacks.
    ///
    /// # Errors
    /// If there is no such model, or a file cannot be read or is not what it should be.
    pub fn find(args: &ModelArgs, dataset: Option<DatasetId>) -> Result<Self> {
        match (&args.weights, &args.model) {
            (Some(path), _) => {
                Self::from_file(path, args.architecture.map(|architecture| args.width.of(architecture)).transpose()?)
            }
            (None, Some(id)) => Self::embedded(zoo::card(id).map_err(|error| anyhow!("{error}; for a file use --weights"))?),
            (None, None) => Self::smallest(dataset.unwrap_or(DatasetId::Digits)),
        }
    }

    /// The model on `device`.
    ///
    /// # Errors
    /// If the weights belong to another architecture.
    pub fn load(&self, device: &Device) -> Result<Model> {
        Model::from_weights(self.architecture, &self.weights, device).with_context(|| format!("cannot use `{}`", self.name))
    }

    /// The dataset that it was trained on, or that its architecture takes.
    pub fn dataset(&self) -> DatasetId {
        match &self.card {
            Some(card) => card.dataset,
            None if self.architecture.image_shape()[0] == 3 => DatasetId::Cifar10,
            None => DatasetId::Mnist,
        }
    }

    /// What the card opens with, if these are the images and the settings that it was measured with.
    pub fn opening(&self, dataset: DatasetId, setup: &Setup) -> Option<&Opening> {
        let card = self.card.as_ref().filter(|card| card.dataset == dataset)?;
        card.opening.as_ref().filter(|opening| opening.preset.preset().setup() == *setup)
    }

    fn from_file(path: &Path, architecture: Option<Architecture>) -> Result<Self> {
        let bytes = file::read(path)?;
        let weights = weights_file::parse(path, &bytes)?;
        let card = match std::fs::read(path.with_extension("json")) {
            Ok(json) => ModelCard::from_json(&json).ok(),
            Err(_) => None,
        };
        let sha256 = sha256(&bytes);
        // A card beside a file of the same name says nothing of it unless the checksum agrees.
        let card = card.filter(|card| card.sha256 == sha256);
        let architecture = match (architecture, &card) {
            (Some(architecture), _) => architecture,
            (None, Some(card)) => card.architecture,
            (None, None) => bail!(
                "which architecture has `{}`? Say it with --architecture fast-mnist-cnn, madry-mnist-cnn, trades-mnist-cnn, ...",
                path.display()
            ),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let flags = format!("--weights {} --architecture {architecture}", quoted(&path.to_string_lossy()));
        Ok(Self { architecture, weights, sha256, card, name, flags })
    }

    fn smallest(dataset: DatasetId) -> Result<Self> {
        // One that was trained without attacks has nothing to defend.
        let card = zoo::cards().into_iter().find(|card| card.dataset == dataset && !card.is_undefended()).with_context(|| {
            format!("no model for {dataset} comes with this program: name one with --weights FILE --architecture NAME")
        })?;
        Self::embedded(card)
    }

    fn embedded(card: ModelCard) -> Result<Self> {
        Ok(Self {
            architecture: card.architecture,
            weights: zoo::weights(&card.id)?,
            sha256: card.sha256.clone(),
            name: card.id.clone(),
            flags: format!("--model {}", card.id),
            card: Some(card),
        })
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `text` as one word of a shell's command line.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+:=@".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_model_of_a_dataset_is_taken_where_none_is_named() {
        let source = Source::smallest(DatasetId::Cifar10).unwrap();
        assert_eq!(source.dataset(), DatasetId::Cifar10);
        assert_eq!(source.card.unwrap().id, "cifar10-robust");
    }

    #[test]
    fn sha256_is_the_standard_one() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn words_with_spaces_are_quoted_for_the_shell() {
        assert_eq!(quoted("runs/fast.pth"), "runs/fast.pth");
        assert_eq!(quoted("my model.pth"), "'my model.pth'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
