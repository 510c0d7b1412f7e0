//! Ctrl-C: the first asks for a clean stop and is answered at once, the second ends the program.

use std::fmt;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Exit code of a run that the user cancelled: 128 and the number of SIGINT, as shells count.
pub const CANCELLED: u8 = 130;

/// How long what is being computed may go on after Ctrl-C.
const GRACE: Duration = Duration::from_millis(1500);

/// Whether Ctrl-C was pressed, or the time is over.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    pressed: Arc<AtomicBool>,
    deadline: Option<Instant>,
    farewell: Farewell,
}

/// What is said when the program ends before it came to a stop.
#[derive(Clone, Default)]
struct Farewell(Arc<Mutex<Option<Words>>>);

type Words = Box<dyn Fn() -> String + Send>;

impl Interrupt {
    /// Listens from now on, once in a process. What is being computed 1.5 seconds after Ctrl-C is dropped, and the program ends: for
    /// commands that have written whatever is finished.
    ///
    /// # Errors
    /// If the system does not let it listen.
    pub fn listen() -> Result<Self> {
        Self::listen_for(Some(GRACE))
    }

    /// [`listen`](Self::listen) for a command that has something to write first, however long what is being computed takes.
    ///
    /// # Errors
    /// As [`listen`](Self::listen).
    pub fn listen_patiently() -> Result<Self> {
        Self::listen_for(None)
    }

    fn listen_for(grace: Option<Duration>) -> Result<Self> {
        let interrupt = Self::default();
        let (pressed, farewell) = (interrupt.pressed.clone(), interrupt.farewell.clone());
        ctrlc::set_handler(move || {
            if pressed.swap(true, Ordering::SeqCst) {
                exit(i32::from(CANCELLED));
            }
            eprintln!("\nStopping; Ctrl-C once more ends the program at once.");
            let farewell = farewell.clone();
            if let Some(grace) = grace {
                thread::spawn(move || {
                    thread::sleep(grace);
                    eprintln!("{}", farewell.words());
                    exit(i32::from(CANCELLED));
                });
            }
        })
        .context("cannot listen for Ctrl-C")?;
        Ok(interrupt)
    }

    /// What to say if the program ends before it came to a stop.
    pub fn on_leaving(&self, words: impl Fn() -> String + Send + 'static) {
        *self.farewell.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(words));
    }

    /// The same Ctrl-C, and a time at which to stop as well.
    pub fn or_at(&self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// Asks for a stop, as Ctrl-C does.
    pub fn press(&self) {
        self.pressed.store(true, Ordering::SeqCst);
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

impl Farewell {
    fn words(&self) -> String {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        words
            .as_ref()
            .map_or_else(|| "Stopped; what was finished is kept, and what was not is dropped.".to_owned(), |words| words())
    }
}

impl fmt::Debug for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Farewell")
    }
}
