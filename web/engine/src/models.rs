//! Models that are open, with their images.

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::Device;
use riposte::data::pool::ClassPools;
use riposte::models::{Architecture, Model};
use riposte::weights::StateDict;
use riposte_protocol::{DatasetEntry, ModelEntry};

use crate::images::Numbered;
use crate::store;
use crate::trouble::Trouble;

/// A model that is ready.
pub struct Ready {
    pub model: Model,
    pub architecture: Architecture,
    pub test: Numbered,
    base: String,
    pub entry: DatasetEntry,
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
        let architecture = model.card.architecture;
        let bytes = store::load(&base, &model.weights, "the classifier", fresh).await?;
        let weights = StateDict::from_safetensors(&bytes)?;
        let model = Model::from_weights(architecture, &weights, device)?;
        let test = Numbered::test(&base, &entry, fresh).await?;
        Ok(Self { model, architecture, test, base, entry, pools: RefCell::default() })
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
