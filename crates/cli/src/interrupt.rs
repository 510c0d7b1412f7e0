//! Ctrl-C: the first asks for a clean stop, the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Exit code of a run that the user cancelled: 128 and the number of SIGINT, as shells count.
pub const CANCELLED: u8 = 130;

/// Whether Ctrl-C was pressed.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on. Once in a process.
    ///
    /// # Errors
    /// If the system does not let it listen.
    pub fn listen() -> Result<Self> {
        let interrupt = Self::default();
        let pressed = interrupt.0.clone();
        ctrlc::set_handler(move || {
            if pressed.swap(true, Ordering::SeqCst) {
                std::process::exit(i32::from(CANCELLED));
            }
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(interrupt)
    }

    pub fn pressed(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// # Errors
    /// [`riposte::Error::Cancelled`] if Ctrl-C was pressed.
    pub fn check(&self) -> Result<()> {
        if self.pressed() { Err(riposte::Error::Cancelled.into()) } else { Ok(()) }
    }
}
