//! Answers with copies that were made beforehand.

use std::ops::ControlFlow;

use burn::tensor::Tensor;
use riposte_spec::bank::Pick;

use super::{Bank, Pair};
use crate::attack::Start;
use crate::defense::{Answer, Defense, Gradients};
use crate::neighbor::{NeighborSearch, Neighbors, Searches};
use crate::post_train::{PostTraining, Progress};
use crate::rng::{self, Draws, Purpose};
use crate::{Classifier, Error, Result};

/// The defense with a bank: it searches the neighbor class of an input and lets a copy of the two classes answer.
#[derive(Debug)]
pub struct Banked<'a, C> {
    /// The copies, and the base model.
    pub bank: &'a Bank<C>,
    /// How the neighbor class is found.
    pub search: NeighborSearch,
    /// Which copy answers.
    pub pick: Pick,
}

// Derived, they would ask for a classifier that can be copied.
impl<C> Clone for Banked<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Banked<'_, C> {}

impl<C: Classifier> Defense for Banked<'_, C> {
    type Model = C;
    /// Of one input.
    type Prepared = Neighbors;

    fn gradients(&self) -> Gradients {
        Gradients::Detached
    }

    fn is_random(&self) -> bool {
        self.pick == Pick::Drawn && self.bank.pairs().any(|pair| self.bank.draws(pair) > 1)
    }

    /// An answer is drawn twice: in a search from a random start, and among the copies of the pair.
    fn is_settled(&self, neighbors: &Neighbors) -> bool {
        let pair = Pair::of(neighbors.original[0], neighbors.neighbor[0]);
        let one = pair.is_none_or(|pair| self.pick == Pick::Mean || self.bank.draws(pair) == 1);
        one && self.search.attack.start == Start::Zero
    }

    fn search(&self) -> Option<NeighborSearch> {
        Some(self.search)
    }

    fn bank(&self) -> Option<&Bank<C>> {
        Some(self.bank)
    }

    /// The neighbor search.
    async fn prepare(&self, images: Tensor<4>, draws: &[Draws]) -> Result<Vec<Neighbors>> {
        let neighbors = self.search.search(self.bank.base(), images, draws).await?;
        Ok((0..neighbors.original.len()).map(|index| neighbors.at(index)).collect())
    }

    /// One forward pass of a copy. It tells `observe` of the search alone.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `observe` breaks, [`Error::Config`] if the bank lacks the pair.
    async fn respond(
        &self,
        neighbors: Neighbors,
        draws: Draws,
        mut observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Answer<C>> {
        if observe(Progress::Searched(&neighbors)).await.is_break() {
            return Err(Error::Cancelled);
        }
        let Some(pair) = Pair::of(neighbors.original[0], neighbors.neighbor[0]) else {
            let logits = neighbors.logits.clone();
            return Ok(Answer { logits, adapted: None, neighbors: Some(neighbors) });
        };
        let copy = match (self.pick, self.bank.draws(pair)) {
            (Pick::Mean, _) => self.bank.mean(pair)?,
            (Pick::Drawn, 0 | 1) => self.bank.copy(pair, 0)?,
            (Pick::Drawn, count) => self.bank.copy(pair, rng::below(&mut draws.stream(Purpose::Pick), count))?,
        };
        let logits = copy.forward(neighbors.inputs.clone());
        Ok(Answer { logits, adapted: Some(copy), neighbors: Some(neighbors) })
    }
}

/// The riposte in either form.
#[derive(Debug)]
pub enum Riposte<'a, C> {
    /// Each input has a copy of its own.
    Adapting(PostTraining<'a, C>),
    /// Copies were made beforehand.
    Banked(Banked<'a, C>),
}

// Derived, they would ask for a classifier that can be copied.
impl<C> Clone for Riposte<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Riposte<'_, C> {}

impl<C: Classifier> Defense for Riposte<'_, C> {
    type Model = C;
    /// Of one input.
    type Prepared = Neighbors;

    fn gradients(&self) -> Gradients {
        match self {
            Self::Adapting(defense) => defense.gradients(),
            Self::Banked(defense) => defense.gradients(),
        }
    }

    fn is_random(&self) -> bool {
        match self {
            Self::Adapting(defense) => defense.is_random(),
            Self::Banked(defense) => defense.is_random(),
        }
    }

    fn is_settled(&self, neighbors: &Neighbors) -> bool {
        match self {
            Self::Adapting(defense) => defense.is_settled(neighbors),
            Self::Banked(defense) => defense.is_settled(neighbors),
        }
    }

    fn search(&self) -> Option<NeighborSearch> {
        match self {
            Self::Adapting(defense) => defense.search(),
            Self::Banked(defense) => defense.search(),
        }
    }

    fn bank(&self) -> Option<&Bank<C>> {
        match self {
            Self::Adapting(defense) => defense.bank(),
            Self::Banked(defense) => defense.bank(),
        }
    }

    async fn prepare(&self, images: Tensor<4>, draws: &[Draws]) -> Result<Vec<Neighbors>> {
        match self {
            Self::Adapting(defense) => defense.prepare(images, draws).await,
            Self::Banked(defense) => defense.prepare(images, draws).await,
        }
    }

    async fn respond(
        &self,
        neighbors: Neighbors,
        draws: Draws,
        observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Answer<C>> {
        match self {
            Self::Adapting(defense) => defense.respond(neighbors, draws, observe).await,
            Self::Banked(defense) => defense.respond(neighbors, draws, observe).await,
        }
    }
}
