//! What is seen of a post-training, step by step, by whoever watches it.

use anyhow::Result;
use burn::tensor::Tensor;
use riposte::Classifier;
use riposte::models::Model;
use riposte::post_train::Progress;

use crate::host::floats;

/// What the observer of an answer collects.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// The adapting model's logits on the input: before the post-training, and after each step. Empty where no neighbor was found.
    pub race: Vec<Vec<f32>>,
    /// Mean loss of each batch before its step.
    pub losses: Vec<f32>,
    /// Numbers of the first batch's samples in the training set: half of y', half of the other class.
    pub samples: Vec<usize>,
}

impl Watched {
    /// Takes in a step of the answer to `input` `[1, channel, height, width]`; its loss, where the model adapted.
    ///
    /// # Errors
    /// [`riposte::Error::Device`] if the device fails.
    pub fn see(&mut self, input: &Tensor<4>, progress: Progress<'_, Model>) -> Result<Option<f32>> {
        match progress {
            Progress::Searched(neighbors) => {
                if neighbors.original[0] != neighbors.neighbor[0] {
                    self.race.push(floats(neighbors.logits.clone())?);
                }
                Ok(None)
            }
            Progress::Adapted(iteration) => {
                if iteration.index == 0 {
                    self.samples = iteration.samples.to_vec();
                }
                self.race.push(floats(iteration.adaptation.model().forward(input.clone()))?);
                let loss = floats(iteration.losses)?.iter().sum();
                self.losses.push(loss);
                Ok(Some(loss))
            }
        }
    }
}
