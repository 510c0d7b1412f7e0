//! Models that are open, with their images.

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::Device;
use riposte::data::pool::ClassPools;
use riposte::models::{Architecture, Model, ModelCard};
use riposte::presets::Preset;
use riposte::spec::dataset::DatasetId;
use riposte::weights::StateDict;
use riposte_protocol::{DatasetEntry, ModelEntry, Opened};

use crate::convert;
use crate::images::Numbered;
use crate::run::Trouble;
use crate::store;

/// A model that is ready.
pub struct Ready {
    pub model: Model,
    pub architecture: Architecture,
    pub test: Numbered,
    base: String,
    pub entry: DatasetEntry,
    pub dataset: DatasetId,
    /// Fetched or drawn when a riposte first needs them.
    pools: RefCell<Option<Rc<ClassPools>>>,
}

impl Ready {
    /// Fetches and checks everything that an attack needs.
    pub async fn open(
        base: String,
        entry: DatasetEntry,
        model: &ModelEntry,
        fresh: bool,
        device: &Device,
    ) -> Result<Self, Trouble> {
        let card = ModelCard::from_json(model.card.as_bytes())?;
        let architecture = card.architecture;
        let bytes = store::load(&base, &model.weights, "the classifier", fresh).await?;
        let weights = StateDict::from_safetensors(&bytes)?;
        let model = Model::from_weights(architecture, &weights, device)?;
        let test = Numbered::test(&base, &entry, fresh).await?;
        Ok(Self { model, architecture, test, base, entry, dataset: card.dataset, pools: RefCell::default() })
    }

    /// What the page shows of it.
    pub fn describe(&self, id: String) -> Opened {
        let presets = self.dataset.presets().iter().map(|name| describe(&name.preset())).collect();
        let multiply_accumulates = self.architecture.multiply_accumulates() as f64;
        Opened { model: id, test_images: self.test.per_class(), multiply_accumulates, presets }
    }

    /// Whether the training images are still to come.
    pub fn lacks_pools(&self) -> bool {
        self.pools.borrow().is_none()
    }

    /// Whether they will be drawn, not fetched.
    pub fn draws_pools(&self) -> bool {
        self.entry.train.is_none()
    }

    pub async fn pools(&self) -> Result<Rc<ClassPools>, Trouble> {
        if let Some(pools) = &*self.pools.borrow() {
            return Ok(Rc::clone(pools));
        }
        let pools = Rc::new(Numbered::train(&self.base, &self.entry).await?);
        *self.pools.borrow_mut() = Some(Rc::clone(&pools));
        Ok(pools)
    }
}

/// Of one forward pass of one image, by the model's card alone.
pub fn multiply_accumulates(card: &str) -> Result<f64, Trouble> {
    let architecture: Architecture = ModelCard::from_json(card.as_bytes())?.architecture;
    Ok(architecture.multiply_accumulates() as f64)
}

fn describe(preset: &Preset) -> riposte_protocol::Preset {
    riposte_protocol::Preset {
        name: preset.name.to_string(),
        title: preset.name.title().to_owned(),
        about: format!("{}.", preset.name.about()),
        attack: convert::attack_settings(&preset.attack),
        riposte: convert::riposte_settings(&preset.post_train),
        fast: convert::perturbation(preset.fast),
        pgd: convert::perturbation(preset.pgd),
    }
}
