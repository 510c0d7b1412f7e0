//! Models: those that come with the program, and weights files with or without a card beside them.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::Device;
use riposte::import::{Imported, Wanted};
use riposte::models::{Architecture, Model, ModelCard};
use riposte::spec::card::Opening;
use riposte::spec::dataset::DatasetId;
use riposte::spec::normalization::Reading;
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
    /// How that file was read, where it leaves a choice.
    pub reading: Reading,
    pub card: Option<ModelCard>,
    /// What to call it: the card's id, or the file's name.
    pub name: String,
    /// The flags that name it again.
    pub flags: String,
    /// What the user should know of the file.
    pub notes: Vec<String>,
}

impl Source {
    /// The model that `args` ask for, or the smallest that comes with the program for `dataset` and was trained against attacks. Says on
    /// standard error what the user should know of a file.
    ///
    /// # Errors
    /// If there is no such model, or a file cannot be read or is not what it should be.
    pub fn find(args: &ModelArgs, dataset: Option<DatasetId>) -> Result<Self> {
        let source = Self::look(args, dataset)?;
        source.notes.iter().for_each(|note| eprintln!("Note: {note}."));
        Ok(source)
    }

    /// [`find`](Self::find) in silence.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn look(args: &ModelArgs, dataset: Option<DatasetId>) -> Result<Self> {
        ensure!(
            args.weights.is_some() || !args.reading.is_given(),
            "--state, --mean, --std and --batch-norm-epsilon say how a weights file is read: name it with --weights"
        );
        match (&args.weights, &args.model) {
            (Some(path), _) => Self::from_file(path, &args.wanted()?),
            (None, Some(id)) => Self::named(id).map_err(|error| anyhow!("{error}; for a file use --weights")),
            (None, None) => Self::smallest(dataset.unwrap_or(DatasetId::Digits)),
        }
    }

    /// The model that comes with the program under `id`.
    ///
    /// # Errors
    /// If there is none, naming those that there are.
    pub fn named(id: &str) -> Result<Self> {
        Self::embedded(zoo::card(id)?)
    }

    /// The model on `device`.
    ///
    /// # Errors
    /// If the weights belong to another architecture.
    pub fn load(&self, device: &Device) -> Result<Model> {
        Model::from_weights(self.architecture, &self.weights, device).with_context(|| format!("cannot use `{}`", self.name))
    }

    /// SHA-256 that tells it from every model that computes something else: of its file, and of how that was read.
    ///
    /// # Errors
    /// Never: a reading can be written.
    pub fn identity(&self) -> Result<String> {
        match self.reading.is_usual() {
            true => Ok(self.sha256.clone()),
            false => Ok(sha256(format!("{} {}", self.sha256, serde_json::to_string(&self.reading)?).as_bytes())),
        }
    }

    /// The dataset that it was trained on, or that its architecture takes.
    pub fn dataset(&self) -> DatasetId {
        match &self.card {
            Some(card) => card.dataset,
            None if self.architecture.image_shape()[0] == 3 => DatasetId::Cifar10,
            None => DatasetId::Mnist,
        }
    }

    /// What it computes beside its weights, in words.
    pub fn computation(&self) -> String {
        let normalization = self.reading.normalization.clone().or(self.architecture.normalization());
        let normalization = normalization.filter(|normalization| !normalization.is_identity());
        let normalization = normalization.map_or_else(|| "raw pixels".to_owned(), |normalization| normalization.in_words());
        let beyond = self.architecture.beyond_weights().map(|beyond| format!(", {beyond}")).unwrap_or_default();
        format!("{}{beyond}, {normalization}", self.architecture)
    }

    /// What the card opens with, if these are the images and the settings that it was measured with.
    pub fn opening(&self, dataset: DatasetId, setup: &Setup) -> Option<&Opening> {
        let card = self.card.as_ref().filter(|card| card.dataset == dataset)?;
        card.opening.as_ref().filter(|opening| opening.preset.preset().setup() == *setup)
    }

    fn from_file(path: &Path, wanted: &Wanted) -> Result<Self> {
        let bytes = file::read(path)?;
        let sha256 = sha256(&bytes);
        let card = match std::fs::read(path.with_extension("json")) {
            Ok(json) => ModelCard::from_json(&json).ok(),
            Err(_) => None,
        };
        // A card beside a file of the same name says nothing of it unless the checksum agrees.
        let card = card.filter(|card| card.sha256 == sha256);
        if let (Some(asked), Some(card)) = (wanted.architecture, &card) {
            ensure!(
                asked == card.architecture,
                "--architecture {asked} is not that of the card of `{}`, {}",
                path.display(),
                card.architecture
            );
        }
        let known = wanted.architecture.or(card.as_ref().map(|card| card.architecture));
        let imported = weights_file::import(path, &bytes, &Wanted { architecture: known, ..wanted.clone() })?;
        let Imported { architecture, weights, notes, .. } = imported;
        let notes = card.is_none().then(|| format!("`{}`: {}", path.display(), notes.join("; "))).into_iter().collect();
        let normalization = weights.normalization(architecture)?.filter(|own| Some(own) != architecture.normalization().as_ref());
        let batch_norm_epsilon = weights.batch_norm_epsilon()?;
        let reading = Reading { state: wanted.state.clone(), normalization, batch_norm_epsilon };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Wanted { state, normalization, batch_norm_epsilon, .. } = wanted.clone();
        let asked = reading_flags(&Reading { state, normalization, batch_norm_epsilon });
        let flags = format!("--weights {} --architecture {architecture}{asked}", quoted(&path.to_string_lossy()));
        Ok(Self { architecture, weights, sha256, reading, card, name, flags, notes })
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
            reading: Reading::default(),
            name: card.id.clone(),
            flags: format!("--model {}", card.id),
            card: Some(card),
            notes: Vec::new(),
        })
    }
}

/// The flags that ask for this reading of a file, each after a space.
pub fn reading_flags(reading: &Reading) -> String {
    let list = |values: &[f32]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut flags = String::new();
    if let Some(state) = &reading.state {
        flags += &format!(" --state {}", quoted(state));
    }
    if let Some(normalization) = &reading.normalization {
        flags += &format!(" --mean={} --std={}", list(&normalization.mean), list(&normalization.std));
    }
    if let Some(epsilon) = reading.batch_norm_epsilon {
        flags += &format!(" --batch-norm-epsilon {epsilon}");
    }
    flags
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(Sha256::digest(bytes).into())
}

/// A hash as text.
pub fn hexadecimal(hash: [u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
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
