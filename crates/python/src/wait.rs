//! A computation on another thread, while the caller's hears Ctrl-C and moves a bar.

use std::process;
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use riposte_cli::session::Watch;

use crate::errors::exception;

/// How long nobody looks for Ctrl-C.
const TICK: Duration = Duration::from_millis(50);

/// What is told how far a computation is: the steps so far, and in all (0: unknown).
pub type Bar = Option<Py<PyAny>>;

/// The outcome of `work`, for which other threads of the interpreter go on.
///
/// # Errors
/// What a signal's handler or the bar raises, as soon as the work has stopped; the error of the work.
pub fn wait<R: Send>(py: Python<'_>, bar: &Bar, watch: &Watch, work: impl FnOnce() -> anyhow::Result<R> + Send) -> PyResult<R> {
    refuse_fork()?;
    let tell = |py: Python<'_>| match bar {
        Some(bar) => bar.call1(py, (watch.done(), watch.total())).map(drop),
        None => Ok(()),
    };
    let outcome = py.detach(|| {
        thread::scope(|scope| {
            let (sender, ended) = mpsc::channel();
            let worker = scope.spawn(move || {
                // Dropped at the end, and also where the work panics.
                let _sender: mpsc::Sender<()> = sender;
                work()
            });
            let mut raised = None;
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if raised.is_none()
                    && let Err(error) = Python::attach(|py| py.check_signals().and_then(|()| tell(py)))
                {
                    watch.interrupt.press();
                    raised = Some(error);
                }
            }
            let outcome = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match raised {
                Some(error) => Err(error),
                None => outcome.map_err(exception),
            }
        })
    })?;
    tell(py)?;
    Ok(outcome)
}

/// A process that was forked has none of the threads that this one computes with: it would wait for them forever.
fn refuse_fork() -> PyResult<()> {
    static FIRST: OnceLock<u32> = OnceLock::new();
    if *FIRST.get_or_init(process::id) == process::id() {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(
        "this process was forked from one that has computed with riposte, whose threads it lacks: start processes by \
         multiprocessing's `spawn` or `forkserver`",
    ))
}
