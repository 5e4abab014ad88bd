//! The flush that is under way, for the other thread to look at: a flush that hangs tells nothing.
//!
//! The lock is the standard library's, for the reason that `signal.rs` gives.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::core::StoreCore;
use crate::store::maintenance::answer;
use crate::time::ticks;

#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When the flush under way began.
    begun: Option<Instant>,
    /// Whether it was told that this flush is late.
    is_told: bool,
    /// The greatest delay of a deferred commit that has been told.
    commits_late_by: Duration,
}

impl Watch {
    /// Records that a flush begins, and whether it was told that changes are late.
    pub(super) fn begins(&self, at: Instant, is_told: bool) {
        let mut state = self.state();
        (state.begun, state.is_told) = (Some(at), is_told);
    }

    /// Records that the flush has ended. Returns whether it was told that changes are late.
    pub(super) fn ends(&self) -> bool {
        let mut state = self.state();
        state.begun = None;
        state.is_told
    }

    /// Records the greatest delay of a deferred commit so far.
    pub(super) fn note(&self, commits_late_by: Duration) {
        self.state().commits_late_by = commits_late_by;
    }

    /// If the flush under way takes longer than `interval`, and changes that wait for it are late,
    /// tells so once.
    pub(super) fn tell_if_late(&self, core: &StoreCore, interval: Duration) {
        let (begun, known) = {
            let state = self.state();
            (state.begun.filter(|_| !state.is_told), state.commits_late_by)
        };
        let Some(begun) = begun else { return };
        let waited = ticks::now().saturating_duration_since(begun);
        if waited <= interval {
            return;
        }
        // The engine is asked without a lock held.
        let Some(stats) = answer(|| core.engine.stats()) else { return };
        let is_late = stats.oldest_pending_touch.is_some_and(|waits| waits > interval)
            || stats.commits_late_by > known;
        if is_late && self.is_first_to_tell(begun) {
            core.note_missed_promise(interval, waited);
        }
    }

    fn is_first_to_tell(&self, begun: Instant) -> bool {
        let mut state = self.state();
        let is_first = state.begun == Some(begun) && !state.is_told;
        state.is_told |= is_first;
        is_first
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
