//! Times of the MNIST network's steps, its layers computed by this project's kernels or by Burn's own operations.

use burn::tensor::{Device, Tensor};
use riposte::attack::{Attacks, Goal, Pgd};
use riposte::classifier::read;
use riposte::models::{Architecture, LayerPath, Model};
use riposte::post_train::{Adaptation, Perturbation, PostTrain};
use riposte::presets::Preset;
use riposte::rng::Seed;
use wasm_bindgen::prelude::*;

use crate::Checks;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

/// Milliseconds of each step, after which its result is read.
#[wasm_bindgen]
impl Checks {
    /// Post-training.
    pub async fn train(&self, stock: bool, batch_size: usize, steps: usize) -> Result<Vec<f64>, String> {
        let config = PostTrain { batch_size, perturbation: Perturbation::Normal, ..Preset::M_MNIST.post_train };
        let mut copy = Adaptation::new(&model(stock, &self.0), config);
        let (images, fixed) = (images(batch_size, &self.0), images(1, &self.0));
        let labels: Vec<usize> = (0..batch_size).map(|index| index * 2 / batch_size).collect();
        let mut spent = Vec::with_capacity(steps);
        for _ in 0..steps {
            let began = now();
            read(copy.step(images.clone(), &labels, fixed.clone(), None)).await.map_err(|error| error.to_string())?;
            spent.push(now() - began);
        }
        Ok(spent)
    }

    /// An attack on one image.
    pub async fn attack(&self, stock: bool, steps: usize) -> Result<Vec<f64>, String> {
        let model = model(stock, &self.0);
        let config = Pgd { steps, ..Pgd::MNIST };
        let goal = Goal::Untargeted { labels: vec![3] };
        let attack = config.attack(&model, images(1, &self.0), &goal, &[Seed(0).input(0)]).map_err(|error| error.to_string())?;
        let mut spent = Vec::with_capacity(steps);
        let mut began = now();
        for step in attack {
            read(step.images).await.map_err(|error| error.to_string())?;
            let ended = now();
            spent.push(ended - began);
            began = ended;
        }
        Ok(spent)
    }
}

fn model(stock: bool, device: &Device) -> Model {
    let path = if stock { LayerPath::Stock } else { LayerPath::Kernels };
    Model::random_by(path, Architecture::FastMnistCnn, Seed(0), device)
}

fn images(count: usize, device: &Device) -> Tensor<4> {
    let values = crate::noise(1, count * 28 * 28).iter().map(|value| value.abs()).collect::<Vec<_>>();
    crate::random::tensor(&values, [count, 1, 28, 28], device)
}
