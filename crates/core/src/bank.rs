//! The bank: copies that have adapted before any input came.
//!
//! Where the samples are perturbed by `fast`, `pgd` or not at all, no pixel of an input enters the adaptation: a copy depends on the
//! input through its two classes alone. So 45 copies of a classifier of ten classes, made once, answer every input by one search
//! and one forward pass. What that gives up: copies that are the same for all inputs can be known to an attacker.

mod answers;
mod difference;
mod files;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use burn::tensor::Tensor;
pub use riposte_spec::bank::{BankCard, BankUse, Pick};

pub use answers::{Banked, Riposte};
pub use difference::Difference;

use crate::data::pool::ClassPools;
use crate::post_train::{PostTrain, PostTraining, Progress};
use crate::rng::{Purpose, Seed};
use crate::{Classifier, Error, Result};
use difference::moved;

/// Two different classes, whichever of them is y'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    low: usize,
    high: usize,
}

/// Copies of a classifier, some for each pair of classes, as their differences to it.
#[derive(Debug, Clone)]
pub struct Bank<C> {
    base: C,
    settings: PostTrain,
    copies: BTreeMap<Pair, Vec<Difference>>,
}

impl Pair {
    /// Of y' and y''; `None` if they are the same.
    pub fn of(original: usize, neighbor: usize) -> Option<Self> {
        (original != neighbor).then(|| Self { low: original.min(neighbor), high: original.max(neighbor) })
    }

    /// All of `classes` classes, in ascending order.
    pub fn all(classes: usize) -> Vec<Self> {
        (0..classes).flat_map(|low| (low + 1..classes).map(move |high| Self { low, high })).collect()
    }

    /// Both, in ascending order.
    pub fn classes(self) -> [usize; 2] {
        [self.low, self.high]
    }
}

/// `3-5`
impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.low, self.high)
    }
}

impl<C: Classifier> Bank<C> {
    /// A bank of copies of `base` (at rest, without autodiff) that adapt with `settings`; still without copies.
    ///
    /// # Errors
    /// [`Error::Config`] for settings out of range, and for such with which copies depend on more than two classes.
    pub fn new(base: C, settings: PostTrain) -> Result<Self> {
        riposte_spec::bank::check(&settings)?;
        Ok(Self { base, settings, copies: BTreeMap::new() })
    }

    /// Adapts copy number `draw` of `pair` on samples of `pools`, and gives its difference to the base model; the bank stays as it is.
    ///
    /// The batch holds the samples of the lower class first, whichever is y', so that (a, b) and (b, a) are one copy.
    ///
    /// # Errors
    /// As [`PostTraining::adapt`].
    pub async fn make(
        &self,
        pools: &ClassPools,
        pair: Pair,
        draw: usize,
        seed: Seed,
        observe: impl AsyncFnMut(Progress<'_, C>) -> ControlFlow<()>,
    ) -> Result<Difference> {
        let images = pools.samples().images();
        // None of the perturbations that a bank allows reads it.
        let fixed = Tensor::zeros([1, images.channels(), images.height(), images.width()], &self.base.device());
        let stream = seed.stream(Purpose::Bank, (pair.low as u64) << 40 | (pair.high as u64) << 20 | draw as u64);
        let defense = PostTraining { model: &self.base, pools, settings: self.settings };
        let adapted = defense.adapt(pair.classes(), fixed, stream, observe).await?;
        Difference::between(&self.base, &adapted).await
    }

    /// Takes the copies of a pair in, in the order of their draws.
    pub fn insert(&mut self, pair: Pair, copies: Vec<Difference>) {
        self.copies.insert(pair, copies);
    }

    /// The base model.
    pub fn base(&self) -> &C {
        &self.base
    }

    /// How its copies adapted.
    pub fn settings(&self) -> &PostTrain {
        &self.settings
    }

    /// Pairs that it has copies of, in ascending order.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.copies.keys().copied()
    }

    /// How many copies of `pair` it has.
    pub fn draws(&self, pair: Pair) -> usize {
        self.copies.get(&pair).map_or(0, Vec::len)
    }

    /// Copy number `draw` of `pair`, at rest.
    ///
    /// # Errors
    /// [`Error::Config`] if the bank does not have it.
    pub fn copy(&self, pair: Pair, draw: usize) -> Result<C> {
        let copies = self.copies.get(&pair).and_then(|copies| copies.get(draw..=draw));
        copies.map(|copies| moved(&self.base, copies)).ok_or_else(|| missing(pair, draw))
    }

    /// The copy whose parameters are the mean of those of all copies of `pair`, at rest. Copies move by so little that its logits
    /// are nearly the mean of theirs.
    ///
    /// # Errors
    /// [`Error::Config`] if the bank has none.
    pub fn mean(&self, pair: Pair) -> Result<C> {
        let copies = self.copies.get(&pair).filter(|copies| !copies.is_empty());
        copies.map(|copies| moved(&self.base, copies)).ok_or_else(|| missing(pair, 0))
    }
}

fn missing(pair: Pair, draw: usize) -> Error {
    Error::Config(format!(
        "the bank has no copy number {draw} of classes {pair}: `riposte bank` with the same settings goes on with it"
    ))
}
