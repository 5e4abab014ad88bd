//! The thread for work without a deadline: sweeps, step by step, and the engine's background work.

use std::time::Duration;

use crate::error::Result;
use crate::store::core::failing::Task;
use crate::store::core::{PAUSE, StoreCore};
use crate::store::maintenance::signal::Signal;
use crate::store::maintenance::watch::Watch;
use crate::store::maintenance::{Intervals, guarded};
use crate::time::ticks;

/// Runs the engine's work first, because writers may need the room that it makes. Between any two
/// steps the thread checks whether to stop. Once in a flush interval it looks for a flush that
/// hangs.
pub(super) fn run(core: &StoreCore, intervals: Intervals, signal: &Signal, watch: &Watch) {
    let mut due = ticks::now() + intervals.until_next_sweep();
    let mut begins_round = true;
    // The work that an engine prepares once it is open.
    signal.tell(|told| told.work = true);
    loop {
        let told = signal.work_until(due.min(ticks::now() + intervals.flush));
        if told.stop {
            return;
        }
        watch.tell_if_late(core, intervals.flush);
        if told.work {
            let begun = ticks::now();
            let done = guarded(|| core.engine.run_background_work());
            core.note_time(Task::Work, ticks::now().saturating_duration_since(begun));
            core.note(Task::Work, done.and(tell_of_engine(core)));
        }
        if ticks::now() >= due {
            let begun = ticks::now();
            let step = guarded(|| core.sweep_step_by_thread(begins_round, &|| signal.goes_on()));
            core.note_time(Task::Sweep, ticks::now().saturating_duration_since(begun));
            // A round continues after a failed step, and does not count as a new one.
            begins_round = step.as_ref().is_ok_and(|step| !step.more);
            let pause = match &step {
                Ok(step) if step.more => {
                    if step.busy {
                        PAUSE
                    } else {
                        Duration::ZERO
                    }
                }
                Ok(_) => intervals.until_next_sweep(),
                // A failed sweep is due again at the next flush, not a whole interval later.
                Err(_) => intervals.flush.min(intervals.sweep),
            };
            due = ticks::now() + pause;
            let told = if begins_round { tell_of_engine(core) } else { Ok(()) };
            core.note(Task::Sweep, step.map(drop).and(told));
        }
    }
}

fn tell_of_engine(core: &StoreCore) -> Result<()> {
    guarded(|| {
        core.note_engine();
        Ok(())
    })
}
