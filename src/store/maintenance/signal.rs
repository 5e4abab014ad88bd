//! The signals to the maintenance threads.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

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
        what(&mut self.told.lock());
        self.changed.notify_all();
    }

    /// Waits until `due`. Returns whether to go on.
    pub(super) fn goes_on_at(&self, due: Instant) -> bool {
        let mut told = self.told.lock();
        while !told.stop {
            if self.changed.wait_until(&mut told, due).timed_out() {
                break;
            }
        }
        !told.stop
    }

    /// Waits until `due`, or until there is work or a stop. Returns the signals; the caller then
    /// does the work.
    pub(super) fn work_until(&self, due: Instant) -> Told {
        let mut told = self.told.lock();
        while !(told.stop || told.work) {
            if self.changed.wait_until(&mut told, due).timed_out() {
                break;
            }
        }
        let now = *told;
        told.work = false;
        now
    }
}
