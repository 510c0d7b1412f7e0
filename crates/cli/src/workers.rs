//! Independent pieces of work on all cores, their results in order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use anyhow::{Context, Result};
use rayon::ThreadPool;

/// Threads that work side by side.
///
/// On the CPU each worker has a rayon pool of one thread: the tensor operations inside a piece of work run on the current pool,
/// and as many pieces as there are cores keep them busier than one piece spread over all of them. On a GPU there is one
/// worker and no pool.
pub struct Workers {
    pools: Vec<Option<ThreadPool>>,
}

impl Workers {
    /// One worker for each of `threads` CPU threads.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn on_cpu(threads: usize) -> Result<Self> {
        let pool = |index: usize| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(move |_| format!("worker {index}"));
            builder.build().map(Some).context("cannot start the worker threads")
        };
        Ok(Self { pools: (0..threads.max(1)).map(pool).collect::<Result<_>>()? })
    }

    /// One worker, for a device that computes by itself.
    pub fn on_gpu() -> Self {
        Self { pools: vec![None] }
    }

    /// How many work side by side.
    pub fn count(&self) -> usize {
        self.pools.len()
    }

    /// Does `work` on each item and hands the results to `sink`, in the order of the items and on the calling thread.
    ///
    /// # Errors
    /// The first error of `work` or `sink`, in order; what was not begun by then is left.
    pub fn run<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> Result<R> + Sync,
        mut sink: impl FnMut(R) -> Result<()>,
    ) -> Result<()> {
        let queue = Mutex::new(items.into_iter().enumerate());
        let stopped = AtomicBool::new(false);
        let (sender, results) = mpsc::channel();
        thread::scope(|scope| {
            for pool in &self.pools {
                let (sender, queue, stopped, work) = (sender.clone(), &queue, &stopped, &work);
                let serve = move || {
                    while !stopped.load(Ordering::Relaxed) {
                        let Some((index, item)) = queue.lock().expect("no worker panics while it takes an item").next() else {
                            break;
                        };
                        if sender.send((index, work(item))).is_err() {
                            break;
                        }
                    }
                };
                scope.spawn(move || match pool {
                    Some(pool) => pool.install(serve),
                    None => serve(),
                });
            }
            drop(sender);
            let outcome = in_order(&results, &mut sink);
            stopped.store(true, Ordering::Relaxed);
            outcome
        })
    }
}

/// Hands results to `sink` as soon as all before them are there.
fn in_order<R>(results: &mpsc::Receiver<(usize, Result<R>)>, sink: &mut impl FnMut(R) -> Result<()>) -> Result<()> {
    let mut early = BTreeMap::new();
    let mut next = 0;
    for (index, result) in results {
        early.insert(index, result);
        while let Some(result) = early.remove(&next) {
            sink(result?)?;
            next += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let workers = Workers::on_cpu(4).unwrap();
        let mut seen = Vec::new();
        let slow_first = |item: usize| {
            thread::sleep(std::time::Duration::from_millis(if item == 0 { 30 } else { 1 }));
            Ok(item * item)
        };
        let collect = |result| {
            seen.push(result);
            Ok(())
        };
        workers.run((0..20).collect(), slow_first, collect).unwrap();
        assert_eq!(seen, (0..20).map(|item| item * item).collect::<Vec<_>>());
    }

    #[test]
    fn each_worker_computes_on_one_thread() {
        let workers = Workers::on_cpu(3).unwrap();
        let mut threads = Vec::new();
        let collect = |count| {
            threads.push(count);
            Ok(())
        };
        workers.run(vec![(); 6], |()| Ok(rayon::current_num_threads()), collect).unwrap();
        assert_eq!(threads, [1; 6]);
    }

    #[test]
    fn an_error_ends_the_run_after_the_results_before_it() {
        for workers in [Workers::on_cpu(2).unwrap(), Workers::on_gpu()] {
            let mut seen = Vec::new();
            let work = |item: usize| if item == 5 { bail!("no") } else { Ok(item) };
            let collect = |item| {
                seen.push(item);
                Ok(())
            };
            let error = workers.run((0..100).collect(), work, collect).unwrap_err();
            assert_eq!((error.to_string().as_str(), seen), ("no", vec![0, 1, 2, 3, 4]));
        }
    }
}
