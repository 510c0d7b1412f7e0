//! The search for a test image that the attack wins against: most hold.

use leptos::prelude::*;
use riposte_protocol::Sample;

#[derive(Clone, Copy, PartialEq)]
pub enum Chase {
    Off,
    /// So many held so far.
    On(usize),
    /// One fell, after so many that held.
    Found(usize),
}

#[derive(Clone, Copy)]
pub struct Hunt {
    pub chase: RwSignal<Chase>,
    /// Images that were fetched, the next one last.
    prey: StoredValue<Vec<Sample>>,
    /// The place in each class from which the next ones come.
    skip: StoredValue<usize>,
}

impl Hunt {
    pub fn new() -> Self {
        Self { chase: RwSignal::new(Chase::Off), prey: StoredValue::default(), skip: StoredValue::new(0) }
    }

    /// The next image, where one is at hand.
    pub fn next(self) -> Option<Sample> {
        self.prey.try_update_value(Vec::pop).flatten()
    }

    pub fn skip(self) -> usize {
        self.skip.get_value()
    }

    /// Takes in images that were fetched; the ones after them come from place `skip` on.
    pub fn stock(self, mut samples: Vec<Sample>, skip: usize) {
        samples.sort_by_key(|sample| std::cmp::Reverse(sample.number));
        self.prey.set_value(samples);
        self.skip.set_value(skip);
    }

    pub fn is_on(self) -> bool {
        matches!(self.chase.get(), Chase::On(_))
    }

    /// Ends it, and forgets the images: another model's images are others.
    pub fn reset(self) {
        self.chase.set(Chase::Off);
        self.stock(Vec::new(), 0);
    }
}
