//! The thread that writes touches and deferred commits by their deadline.

use std::time::Duration;

use crate::store::core::StoreCore;
use crate::store::core::failing::Task;
use crate::store::maintenance::signal::Signal;
use crate::store::maintenance::watch::Watch;
use crate::store::maintenance::{answer, guarded};
use crate::time::ticks;

/// Flushes twice an interval. A touch that comes just after a flush began waits half an interval
/// for the next flush, which has another half to write it.
pub(super) fn run(core: &StoreCore, interval: Duration, signal: &Signal, watch: &Watch) {
    let period = interval / 2;
    let mut due = ticks::now() + period;
    // When the last successful flush began, and when it ended.
    let mut last = (ticks::now(), ticks::now());
    // How many changes, by the engine's count, an earlier flush has written late.
    let mut late = 0;
    while signal.goes_on_at(due) {
        // The period runs from beginning to beginning: a slow flush is followed at once by the
        // next.
        let begun = ticks::now();
        due = begun + period;
        // Changes that came after the last flush began may also wait for the time of its commit.
        let begins_late = begun.saturating_duration_since(last.1) > interval;
        if begins_late {
            core.note_missed_promise(interval, begun.saturating_duration_since(last.0));
        }
        watch.begins(begun, begins_late);
        let flushed = guarded(|| core.engine.flush());
        let is_told = watch.ends();
        let ended = ticks::now();
        if flushed.is_ok() {
            // No change is older than the start of the last flush, so the engine is asked only
            // after a late flush.
            let waited = ended.saturating_duration_since(last.0);
            if waited > interval
                && let Some(now) = answer(|| core.late_writes())
            {
                if now > late && !is_told {
                    core.note_missed_promise(interval, waited);
                }
                late = now;
            }
            last = (begun, ended);
        }
        core.note_time(Task::Flush, ended.saturating_duration_since(begun));
        core.note(Task::Flush, flushed);
    }
}
