//! How far a computation is, and whether to stop it.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use crate::interrupt::Interrupt;

/// What whoever waits for a computation and the threads that compute it share.
#[derive(Debug, Default)]
pub struct Watch {
    pub interrupt: Interrupt,
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Watch {
    /// Steps so far.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Steps in all; 0 where it is not known.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Says how many steps there will be.
    pub fn expect(&self, steps: usize) {
        self.total.store(steps, Ordering::Relaxed);
    }

    /// Says that so many steps are done.
    pub fn reach(&self, steps: usize) {
        self.done.store(steps, Ordering::Relaxed);
    }

    /// Says that a step is done; whether to go on.
    pub fn step(&self) -> ControlFlow<()> {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.flow()
    }

    /// Whether to go on.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.interrupt.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// # Errors
    /// [`riposte::Error::Cancelled`] if it is time to stop.
    pub fn check(&self) -> Result<()> {
        self.interrupt.check()
    }
}
