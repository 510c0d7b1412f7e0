//! The models that come with the project, by name: small ones, with their weights in the program itself. With the feature `zoo`.
//!
//! ```
//! use riposte::burn::tensor::Device;
//! use riposte::zoo;
//!
//! let model = zoo::load("mnist-robust", &Device::flex())?;
//! assert_eq!(zoo::card("mnist-robust")?.architecture, model.architecture());
//! # Ok::<(), riposte::Error>(())
//! ```

use burn::tensor::Device;
use sha2::{Digest, Sha256};

use crate::models::{Model, ModelCard};
use crate::weights::StateDict;
use crate::{Error, Result};

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/zoo.rs"));
}

/// What is known of the models, the smallest one first: those that the page offers, too, then those that show what a recipe of training gives.
pub fn cards() -> Vec<ModelCard> {
    entries().map(|(card, _)| card).collect()
}

/// The card of the model `id`.
///
/// # Errors
/// [`Error::Config`] if there is no such model, naming those that there are.
pub fn card(id: &str) -> Result<ModelCard> {
    Ok(find(id)?.0)
}

/// Size of the weights of the model `id`, in bytes.
///
/// # Errors
/// As [`card`].
pub fn size(id: &str) -> Result<usize> {
    Ok(find(id)?.1.len())
}

/// The weights of the model `id`, for [`Model::from_weights`].
///
/// # Errors
/// As [`card`]; [`Error::Weights`] if they are not those of their card.
pub fn weights(id: &str) -> Result<StateDict> {
    let (card, bytes) = find(id)?;
    let sha256: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if card.sha256 != sha256 {
        return Err(Error::Weights(format!("the weights of `{id}` are not those of its card (SHA-256 {sha256})")));
    }
    StateDict::from_safetensors(bytes)
}

/// The model `id` on `device`, at rest.
///
/// # Errors
/// As [`weights`].
pub fn load(id: &str, device: &Device) -> Result<Model> {
    Model::from_weights(card(id)?.architecture, &weights(id)?, device)
}

fn find(id: &str) -> Result<(ModelCard, &'static [u8])> {
    entries().find(|(card, _)| card.id == id).ok_or_else(|| {
        let ids: Vec<String> = cards().into_iter().map(|card| card.id).collect();
        Error::Config(format!("there is no model `{id}` in the zoo: it has {}", ids.join(", ")))
    })
}

fn entries() -> impl Iterator<Item = (ModelCard, &'static [u8])> {
    let parsed = |card| ModelCard::from_json(card).expect("a test reads every card");
    embedded::EMBEDDED.iter().map(move |(card, weights)| (parsed(*card), *weights))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_fits_its_card_and_loads() {
        let cards = cards();
        assert!(cards.len() >= 3, "{cards:?}");
        for card in cards {
            assert_eq!(load(&card.id, &Device::flex()).unwrap().architecture(), card.architecture, "{}", card.id);
            assert_eq!(card.weights, format!("{}.safetensors", card.id));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = card("mnist").unwrap_err().to_string();
        assert!(error.contains("`mnist`") && error.contains("mnist-robust"), "{error}");
    }
}
