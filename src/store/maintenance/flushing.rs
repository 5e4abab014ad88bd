//! The thread that writes what has a deadline.

use std::time::Duration;

use crate::store::core::StoreCore;
use crate::store::core::failing::Task;
use crate::store::maintenance::guarded;
use crate::store::maintenance::signal::Signal;
use crate::time::ticks;

/// Flushes two times an interval. What comes when a flush has just begun is the next one's, half an
/// interval later, and that one has as long again to write it.
pub(super) fn run(core: &StoreCore, interval: Duration, signal: &Signal) {
    let period = interval / 2;
    let mut due = ticks::now() + period;
    while signal.goes_on_at(due) {
        // From its beginning to the next one's: a flush that takes long is followed at once.
        due = ticks::now() + period;
        core.note(Task::Flush, guarded(|| core.engine.flush()));
    }
}
