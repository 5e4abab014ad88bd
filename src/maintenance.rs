//! The background thread: flushes touches, sweeps expired sessions, and never gives up.
//!
//! Invariant: it holds the store's context and nothing above it, so the last handle can stop it; and
//! no failure, not even a panic, ends it: the step is counted and tried again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::context::Context;
use crate::{Error, Result};

const THREAD_NAME: &str = "sessile-maintenance";

/// How often which step is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    pub(crate) flush: Duration,
    pub(crate) sweep: Duration,
}

/// The running thread; stopped and joined when dropped.
#[derive(Debug)]
pub(crate) struct Maintenance {
    stop: Arc<StopSignal>,
    started_by: u32,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct StopSignal {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Maintenance {
    #[allow(clippy::disallowed_methods, reason = "the one home of background threads")]
    pub(crate) fn start(context: Arc<Context>, intervals: Intervals) -> Result<Self> {
        let stop = Arc::new(StopSignal::default());
        let signal = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name(THREAD_NAME.into())
            .spawn(move || run(&context, intervals, &signal))
            .map_err(|error| Error::io("start the maintenance thread of", THREAD_NAME, error))?;
        Ok(Self { stop, started_by: std::process::id(), thread: Mutex::new(Some(thread)) })
    }

    /// Stops the thread and waits for it; a step under way is finished first.
    pub(crate) fn stop(&self) {
        *self.stop.stopped.lock() = true;
        self.stop.changed.notify_all();
        let Some(thread) = self.thread.lock().take() else { return };
        // A clock or an engine that drops the last handle does so on this very thread; and in a
        // process that was forked there is no such thread.
        let joinable =
            thread.thread().id() != thread::current().id() && std::process::id() == self.started_by;
        if joinable {
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

fn run(context: &Context, intervals: Intervals, signal: &StopSignal) {
    // The first flush is the time for what an engine prepares in the background.
    let mut flush_due = now();
    let mut sweep_due = now() + intervals.sweep;
    loop {
        let mut stopped = signal.stopped.lock();
        if !*stopped {
            signal.changed.wait_until(&mut stopped, flush_due.min(sweep_due));
        }
        if *stopped {
            return;
        }
        drop(stopped);
        let mut failure = None;
        if now() >= flush_due {
            failure = guarded(|| context.engine.flush()).err();
            flush_due = now() + intervals.flush;
        }
        if now() >= sweep_due {
            let result = guarded(|| context.sweep());
            // A failed sweep is due again with the next flush, rather than a whole interval later.
            let pause = if result.is_ok() { intervals.sweep } else { intervals.flush };
            sweep_due = now() + pause.min(intervals.sweep);
            failure = failure.or(result.err());
        }
        if failure.is_some() {
            context.counters.maintenance_failures.fetch_add(1, Ordering::Relaxed);
        }
        *context.counters.last_maintenance_failure.lock() = failure;
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
