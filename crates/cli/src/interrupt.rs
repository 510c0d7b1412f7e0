//! Ctrl-C: the first asks for a clean stop, the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};

/// Exit code of a run that the user cancelled: 128 and the number of SIGINT, as shells count.
pub const CANCELLED: u8 = 130;

/// Whether Ctrl-C was pressed, or the time is over.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    pressed: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Interrupt {
    /// Listens from now on. Once in a process.
    ///
    /// # Errors
    /// If the system does not let it listen.
    pub fn listen() -> Result<Self> {
        let interrupt = Self::default();
        let pressed = interrupt.pressed.clone();
        ctrlc::set_handler(move || {
            if pressed.swap(true, Ordering::SeqCst) {
                std::process::exit(i32::from(CANCELLED));
            }
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(interrupt)
    }

    /// The same Ctrl-C, and a time at which to stop as well.
    pub fn or_at(&self, deadline: Option<Instant>) -> Self {
        Self { pressed: self.pressed.clone(), deadline }
    }

    /// Whether Ctrl-C was pressed.
    pub fn pressed(&self) -> bool {
        self.pressed.load(Ordering::SeqCst)
    }

    /// Whether to stop.
    pub fn is_over(&self) -> bool {
        self.pressed() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// # Errors
    /// [`riposte::Error::Cancelled`] if it is time to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_over() { Err(riposte::Error::Cancelled.into()) } else { Ok(()) }
    }
}
