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

    /// If the flush under way takes longer than `interval`, and changes that wait for it are late,
    /// tells so once.
    pub(super) fn tell_if_late(&self, core: &StoreCore, interval: Duration) {
        let begun = {
            let state = self.state();
            state.begun.filter(|_| !state.is_told)
        };
        let Some(begun) = begun else { return };
        let waited = ticks::now().saturating_duration_since(begun);
        if waited <= interval {
            return;
        }
        // The engine is asked without a lock held. Its statistics may wait for the disk.
        let late_by = answer(|| Ok(core.engine.late_by())).unwrap_or_default();
        if late_by > Duration::ZERO && self.is_first_to_tell(begun) {
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
