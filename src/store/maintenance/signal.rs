//! The signals to the maintenance threads.
//!
//! The locks are the standard library's. parking_lot takes a process-wide lock when a thread starts
//! to wait. A child forked at that moment would hang, and these threads wait after every write.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::time::ticks;

#[derive(Debug, Default)]
pub(super) struct Signal {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) stop: bool,
    /// The engine has work to do.
    pub(super) work: bool,
}

impl Signal {
    pub(super) fn tell(&self, what: impl FnOnce(&mut Told)) {
        what(&mut self.told());
        self.changed.notify_all();
    }

    /// Whether to go on.
    pub(super) fn goes_on(&self) -> bool {
        !self.told().stop
    }

    /// Waits until `due`. Returns whether to go on.
    pub(super) fn goes_on_at(&self, due: Instant) -> bool {
        !self.wait(due, |told| told.stop).stop
    }

    /// Waits until `due`, or until there is work or a stop. Returns the signals; the caller then
    /// does the work.
    pub(super) fn work_until(&self, due: Instant) -> Told {
        let mut told = self.wait(due, |told| told.stop || told.work);
        let now = *told;
        told.work = false;
        now
    }

    fn wait(&self, due: Instant, is_over: impl Fn(&Told) -> bool) -> MutexGuard<'_, Told> {
        let left = due.saturating_duration_since(ticks::now());
        let waited = self.changed.wait_timeout_while(self.told(), left, |told| !is_over(told));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
