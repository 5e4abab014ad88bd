//! The background thread: flushes touches, sweeps expired sessions, does what an engine wakes it for,
//! and never gives up.
//!
//! Invariant: it holds the store's core and nothing above it, so the last handle can stop it; and
//! no failure, not even a panic, ends it: the step is counted and tried again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::engine::waker::Waker;
use crate::error::{Error, Result};
use crate::store::core::StoreCore;

const THREAD_NAME: &str = "sessile-maintenance";

/// How often which step is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    pub(crate) flush: Duration,
    pub(crate) sweep: Duration,
}

/// The running thread; stopped and joined when dropped, which a forked process must not do.
#[derive(Debug)]
pub(crate) struct Maintenance {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Signal {
    told: Mutex<Told>,
    changed: Condvar,
}

/// What the thread has been told while it waited, or worked.
#[derive(Debug, Default)]
struct Told {
    stop: bool,
    work: bool,
}

impl Signal {
    fn tell(&self, what: impl FnOnce(&mut Told)) {
        what(&mut self.told.lock());
        self.changed.notify_all();
    }
}

impl Maintenance {
    #[allow(clippy::disallowed_methods, reason = "the one home of background threads")]
    pub(crate) fn start(core: Arc<StoreCore>, intervals: Intervals) -> Result<Self> {
        let signal = Arc::new(Signal::default());
        let (listening, waking) = (Arc::clone(&signal), Arc::clone(&signal));
        core.engine.set_waker(Waker::new(move || waking.tell(|told| told.work = true)));
        let thread = thread::Builder::new()
            .name(THREAD_NAME.into())
            .spawn(move || run(&core, intervals, &listening))
            .map_err(|error| Error::io("start the maintenance thread of", THREAD_NAME, error))?;
        Ok(Self { signal, thread: Mutex::new(Some(thread)) })
    }

    /// Stops the thread and waits for it; a step under way is finished first.
    pub(crate) fn stop(&self) {
        self.signal.tell(|told| told.stop = true);
        let Some(thread) = self.thread.lock().take() else { return };
        // A clock or an engine that drops the last handle does so on this very thread.
        if thread.thread().id() != thread::current().id() {
            // It catches its panics, so there is nothing to learn from its result.
            let _ = thread.join();
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(core: &StoreCore, intervals: Intervals, signal: &Signal) {
    // The first flush is the time for what an engine prepares in the background.
    let mut flush_due = now();
    let mut sweep_due = now() + intervals.sweep;
    loop {
        let mut told = signal.told.lock();
        if !(told.stop || told.work) {
            signal.changed.wait_until(&mut told, flush_due.min(sweep_due));
        }
        if told.stop {
            return;
        }
        let work = std::mem::take(&mut told.work);
        drop(told);
        let mut failure = None;
        if work {
            failure = guarded(|| core.engine.run_background_work()).err();
        }
        let due = now() >= flush_due || now() >= sweep_due;
        if now() >= flush_due {
            failure = failure.or(guarded(|| core.engine.flush()).err());
            flush_due = now() + intervals.flush;
        }
        if now() >= sweep_due {
            let result = guarded(|| core.sweep());
            // A failed sweep is due again with the next flush, rather than a whole interval later.
            let pause = if result.is_ok() { intervals.sweep } else { intervals.flush };
            sweep_due = now() + pause.min(intervals.sweep);
            failure = failure.or(result.err());
        }
        if failure.is_some() {
            core.counters.maintenance_failures.fetch_add(1, Ordering::Relaxed);
        }
        if due || failure.is_some() {
            // The one before is dropped once the lock is not held: an engine's error may do anything.
            let before =
                std::mem::replace(&mut *core.counters.last_maintenance_failure.lock(), failure);
            drop(before);
        }
    }
}

fn guarded<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| {
        Err(Error::engine(std::io::Error::other("the clock or the engine panicked")))
    })
}

#[allow(clippy::disallowed_methods, reason = "the one home of the monotonic clock")]
fn now() -> Instant {
    Instant::now()
}
