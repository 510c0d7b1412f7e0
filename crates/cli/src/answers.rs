//! Answers that were given before: an image that reaches the same defense again with the same draws is not answered twice.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Mutex;

use burn::tensor::{Tensor, TensorData};
use riposte::Result;
use riposte::bank::{Bank, Riposte};
use riposte::defense::{Answer, Defense, Gradients};
use riposte::models::Model;
use riposte::neighbor::{NeighborSearch, Neighbors};
use riposte::post_train::Progress;
use riposte::rng::Draws;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Logits by what they depend on. A process keeps it as long as it evaluates.
#[derive(Debug, Default)]
pub struct Answers(Mutex<HashMap<[u8; 32], Vec<f32>>>);

/// A riposte that remembers its answers, if there is where to. The copy that gave a remembered answer is gone: whoever needs
/// [`Answer::adapted`] must not have it remember.
pub struct Remembering<'a> {
    defense: Riposte<'a, Model>,
    /// What an attacker knows in place of the copies that answer.
    known: Option<&'a Bank<Model>>,
    answers: Option<&'a Answers>,
    /// Digest of everything but the image and the draws.
    subject: [u8; 32],
}

impl<'a> Remembering<'a> {
    /// `known` are copies that an attacker has; `subject` is what the answers depend on besides images and draws: weights, training samples, settings.
    ///
    /// # Errors
    /// Never: settings can be written.
    pub fn new(
        defense: Riposte<'a, Model>,
        known: Option<&'a Bank<Model>>,
        subject: &impl Serialize,
        answers: Option<&'a Answers>,
    ) -> anyhow::Result<Self> {
        let subject = Sha256::digest(serde_json::to_vec(subject)?).into();
        Ok(Self { defense, known, answers, subject })
    }
}

impl Defense for Remembering<'_> {
    type Model = Model;
    /// What the search found, and the digest of what the answer depends on, if it is to be remembered.
    type Prepared = (Neighbors, Option<[u8; 32]>);

    fn gradients(&self) -> Gradients {
        self.defense.gradients()
    }

    fn is_random(&self) -> bool {
        self.defense.is_random()
    }

    fn is_settled(&self, (neighbors, _): &Self::Prepared) -> bool {
        self.defense.is_settled(neighbors)
    }

    fn search(&self) -> Option<NeighborSearch> {
        self.defense.search()
    }

    fn bank(&self) -> Option<&Bank<Model>> {
        self.known.or(self.defense.bank())
    }

    async fn prepare(&self, images: Tensor<4>, draws: &[Draws]) -> Result<Vec<Self::Prepared>> {
        let digests = match self.answers {
            Some(_) => self.digests(images.clone(), draws).await?,
            None => vec![None; draws.len()],
        };
        Ok(self.defense.prepare(images, draws).await?.into_iter().zip(digests).collect())
    }

    async fn respond(
        &self,
        (neighbors, digest): Self::Prepared,
        draws: Draws,
        observe: impl AsyncFnMut(Progress<'_, Model>) -> ControlFlow<()>,
    ) -> Result<Answer<Model>> {
        let Some((answers, digest)) = self.answers.zip(digest) else {
            return self.defense.respond(neighbors, draws, observe).await;
        };
        if let Some(logits) = answers.find(&digest) {
            let shape = [1, logits.len()];
            let logits = Tensor::from_data(TensorData::new(logits, shape), &neighbors.inputs.device());
            return Ok(Answer { logits, adapted: None, neighbors: Some(neighbors) });
        }
        let answer = self.defense.respond(neighbors, draws, observe).await?;
        let logits = answer.logits.clone().into_data_async().await.map_err(|error| riposte::Error::Device(error.to_string()))?;
        let values = logits.try_into_vec::<f32>().map_err(|error| riposte::Error::Device(format!("{error:?}")))?;
        answers.keep(digest, values);
        Ok(answer)
    }
}

impl Remembering<'_> {
    async fn digests(&self, images: Tensor<4>, draws: &[Draws]) -> Result<Vec<Option<[u8; 32]>>> {
        let pixels = images.into_data_async().await.map_err(|error| riposte::Error::Device(error.to_string()))?;
        let size = pixels.bytes().len() / draws.len().max(1);
        let digest = |(image, draws): (&[u8], &Draws)| {
            let parts = [&self.subject[..], &draws.seed.0.to_le_bytes(), &draws.input.to_le_bytes(), image];
            let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part));
            Some(hash.finalize().into())
        };
        Ok(pixels.bytes().chunks(size.max(1)).zip(draws).map(digest).collect())
    }
}

impl Answers {
    fn find(&self, digest: &[u8; 32]) -> Option<Vec<f32>> {
        self.0.lock().expect("no thread panics while it has it").get(digest).cloned()
    }

    fn keep(&self, digest: [u8; 32], logits: Vec<f32>) {
        self.0.lock().expect("no thread panics while it has it").insert(digest, logits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use riposte::ToTensor;
    use riposte::data::digits::{self, Split};
    use riposte::data::pool::ClassPools;
    use riposte::models::Architecture;
    use riposte::post_train::{PostTrain, PostTraining};
    use riposte::presets::Preset;
    use riposte::rng::Seed;

    #[test]
    fn an_image_is_answered_once_for_each_defense_and_seed() {
        let device = Device::flex();
        let model = Model::random(Architecture::FastMnistCnn, Seed(0), &device);
        let pools = ClassPools::new(digits::generate(Seed(0), Split::Train, 0..200));
        let settings = PostTrain { iterations: 2, batch_size: 8, ..Preset::M_MNIST.post_train };
        let images = digits::generate(Seed(0), Split::Test, 0..1);
        let answers = Answers::default();
        // The number of steps that were taken, and the logits.
        let answer = |settings: PostTrain, seed: u64| {
            let defense = Riposte::Adapting(PostTraining { model: &model, pools: &pools, settings });
            let defense = Remembering::new(defense, None, &("subject", settings), Some(&answers)).unwrap();
            let mut steps = 0;
            let observe = async |progress: Progress<'_, Model>| {
                steps += usize::from(matches!(progress, Progress::Adapted(_)));
                ControlFlow::Continue(())
            };
            let image = images.images().to_tensor(0..1, &device);
            let answer = pollster::block_on(defense.answer(image, Seed(seed).input(0), observe)).unwrap();
            (steps, answer.logits.into_data().try_into_vec::<f32>().unwrap())
        };
        let (steps, logits) = answer(settings, 0);
        assert_eq!(steps, 2, "the search finds a neighbor of what random weights say");
        assert_eq!(answer(settings, 0), (0, logits));
        assert_eq!(answer(settings, 1).0, 2);
        assert_eq!(answer(PostTrain { iterations: 3, ..settings }, 0).0, 3);
    }
}
