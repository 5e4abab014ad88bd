//! The thread that writes touches and deferred commits by their deadline.

use std::time::Duration;

use crate::store::core::StoreCore;
use crate::store::core::failing::Task;
use crate::store::maintenance::guarded;
use crate::store::maintenance::signal::Signal;
use crate::time::ticks;

/// Flushes two times an interval. A touch that comes just after a flush began belongs to the next
/// one, half an interval later. That one has half an interval to write it.
pub(super) fn run(core: &StoreCore, interval: Duration, signal: &Signal) {
    let period = interval / 2;
    let mut due = ticks::now() + period;
    // When the last flush that went well began, and when it ended.
    let mut last = (ticks::now(), ticks::now());
    while signal.goes_on_at(due) {
        // From its beginning to the next one's: a flush that takes long is followed at once.
        let begun = ticks::now();
        due = begun + period;
        // What came when the last one had begun may wait for as long as that commit took, besides.
        if begun.saturating_duration_since(last.1) > interval {
            core.note_missed_promise(interval, begun.saturating_duration_since(last.0));
        }
        let flushed = guarded(|| core.engine.flush());
        let ended = ticks::now();
        if flushed.is_ok() {
            last = (begun, ended);
        }
        core.note_time(Task::Flush, ended.saturating_duration_since(begun));
        core.note(Task::Flush, flushed);
    }
}
