//! A device and the threads that work on it.

use std::ops::Range;

use anyhow::{Context, Result};
use rayon::ThreadPool;

use crate::device::{self, Found};
use crate::run;
use crate::workers::Workers;

/// What computes.
pub struct Machine {
    pub device: Found,
    pub threads: usize,
    pub(super) workers: Workers,
    /// Of all threads, for what is one batch; none on a GPU.
    pool: Option<ThreadPool>,
}

impl Machine {
    /// The device with its threads.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn new(device: Found, threads: Option<usize>) -> Result<Self> {
        let threads = device::threads(threads);
        let pool = match device.is_cpu() {
            true => Some(rayon::ThreadPoolBuilder::new().num_threads(threads).build().context("cannot start the threads")?),
            false => None,
        };
        Ok(Self { workers: run::workers(&device, threads)?, device, threads, pool })
    }

    /// Does `work` on all threads.
    pub(super) fn together<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Does `work` on the numbers from 0 to `count`, `batch` of them at a time: on all threads if that is one batch, else a batch on each.
    pub(super) fn in_batches<R: Send>(
        &self,
        count: usize,
        batch: usize,
        work: impl Fn(Range<usize>) -> Result<R> + Sync,
        mut sink: impl FnMut(R) -> Result<()>,
    ) -> Result<()> {
        if count <= batch {
            return sink(self.together(|| work(0..count))?);
        }
        let batches = (0..count).step_by(batch).map(|start| start..count.min(start + batch)).collect();
        self.workers.run(batches, work, sink)
    }
}
