//! The background threads. One only writes touches and deferred commits, which have a deadline, so
//! nothing delays it. The other sweeps, runs the engine's background work, and tells if a flush
//! hangs.
//!
//! Invariant: they hold the store's core and nothing above it, so the last handle can stop them. No
//! failure, not even a panic, ends a thread: it is counted and the work is tried again.

mod bulk;
mod flushing;
mod signal;
mod watch;

use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::caught::caught;
use crate::engine::waker::Waker;
use crate::error::{Error, Result};
use crate::random;
use crate::store::core::StoreCore;
use crate::store::maintenance::signal::Signal;
use crate::store::maintenance::watch::Watch;

const FLUSHING: &str = "sessile-flush";
const BULK: &str = "sessile-maintenance";

/// The intervals of the background work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    /// How long a touch, or a deferred commit, may be in memory only.
    pub(crate) flush: Duration,
    pub(crate) sweep: Duration,
    /// Whether other hosts sweep the same sessions.
    pub(crate) sweeps_with_others: bool,
}

impl Intervals {
    /// The time until the next sweep. Hosts that were started together would sweep together each
    /// time, so each of their intervals is up to a fifth shorter or longer.
    fn until_next_sweep(self) -> Duration {
        match self.sweeps_with_others {
            true => self.sweep.mul_f32(0.8 + 0.4 * random::fraction()),
            false => self.sweep,
        }
    }
}

/// The running threads. Dropping it stops and joins them, which a forked process must not do.
#[derive(Debug)]
pub(crate) struct Maintenance {
    signal: Arc<Signal>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Maintenance {
    pub(crate) fn start(core: &Arc<StoreCore>, intervals: Intervals) -> Result<Self> {
        let maintenance = Self { signal: Arc::default(), threads: Mutex::default() };
        let wake = |signal: &Signal| signal.tell(|told| told.work = true);
        core.engine.set_waker(Waker::of(&maintenance.signal, wake));
        let watch = Arc::new(Watch::default());
        let watched = Arc::clone(&watch);
        maintenance.spawn(core, FLUSHING, move |core, signal| {
            flushing::run(core, intervals.flush, signal, &watched);
        })?;
        maintenance.spawn(core, BULK, move |core, signal| {
            bulk::run(core, intervals, signal, &watch);
        })?;
        Ok(maintenance)
    }

    /// If the second thread cannot be started, the drop stops the first.
    fn spawn(
        &self,
        core: &Arc<StoreCore>,
        name: &'static str,
        run: impl FnOnce(&StoreCore, &Signal) + Send + 'static,
    ) -> Result<()> {
        let (core, signal) = (Arc::clone(core), Arc::clone(&self.signal));
        let thread = thread::Builder::new().name(name.into()).spawn(move || run(&core, &signal));
        let failed = |error| Error::io("start the maintenance thread", name, error);
        self.threads.lock().push(thread.map_err(failed)?);
        Ok(())
    }

    /// Stops the threads and waits for them; a running step completes first.
    pub(crate) fn stop(&self) {
        self.signal.tell(|told| told.stop = true);
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A clock or an engine may drop the last handle on one of these threads.
            if thread.thread().id() != thread::current().id() {
                // The thread catches its panics, so its result says nothing.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The result of a step whose failure is of no interest. The drop of an engine's error is the
/// engine's code, and may panic.
fn answer<T>(step: impl FnOnce() -> Result<T>) -> Option<T> {
    caught(|| step().ok()).flatten()
}

fn guarded<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(step).unwrap_or_else(|| {
        Err(Error::engine(std::io::Error::other("the clock or the engine panicked")))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn hosts_of_one_server_do_not_sweep_in_step() {
        let (flush, sweep) = (Duration::from_secs(1), Duration::from_secs(100));
        let times = |sweeps_with_others| {
            let intervals = Intervals { flush, sweep, sweeps_with_others };
            (0..100).map(|_| intervals.until_next_sweep()).collect::<BTreeSet<_>>()
        };
        assert_eq!(times(false), BTreeSet::from([sweep]));
        let spread = times(true);
        assert!(spread.len() > 50, "{spread:?}");
        let bounds = Duration::from_secs(80)..=Duration::from_millis(120_001);
        assert!(spread.iter().all(|time| bounds.contains(time)), "{spread:?}");
        let (first, last) = (spread.first().unwrap(), spread.last().unwrap());
        assert!(*last - *first > Duration::from_secs(20), "{first:?} {last:?}");
    }
}
