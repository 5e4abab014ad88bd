//! Deferred commits on their way to the disk: what they leave becomes one entry of the log.
//!
//! Invariant: an entry holds everything that is in memory alone, or nothing does; so a crash leaves the
//! state of one moment. Until it is on the disk what was acknowledged stays in the overlay, whatever
//! becomes of the file's handle.

use crate::engine::durability::Durability;
use crate::engine::redb::commit::effects::entry_of;
use crate::engine::redb::commit::{Failed, State, Writer};
use crate::engine::redb::view::View;
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

impl Writer {
    /// Writes what is in memory alone.
    pub(super) fn sync(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
    ) -> Result<(), Failed> {
        while !self.log_volatile(view, state)? {
            match **state {
                State::Checkpointing(_) => {
                    self.wait_for_checkpoint(state);
                    self.ensure_open(view, state).map_err(Failed::Before)?;
                }
                _ => return known(self.commit_everything(view, state)),
            }
        }
        Ok(())
    }

    /// The same, if the log has room for it now.
    pub(super) fn log_volatile(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
    ) -> Result<bool, Failed> {
        let volatile = view.overlay.volatile();
        if volatile.is_empty() {
            return Ok(true);
        }
        // The log is none of `TwoPhase`'s.
        let has_log = matches!(view.options.durability, Durability::Deferred { .. });
        if !has_log || !known(self.append_now(view, state, entry_of(&volatile)))? {
            return Ok(false);
        }
        view.overlay.harden();
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.checkpoint_failed.store(false, Ordering::Release);
        let ledger = state.ledger().map_err(Failed::Before)?;
        self.note_checkpoint(view, ledger);
        Ok(true)
    }
}

/// What was acknowledged is not lost by this, and is written again; so the cause is the answer.
fn known<T>(written: Result<T, Failed>) -> Result<T, Failed> {
    written.map_err(|failed| match failed {
        Failed::Before(error) | Failed::During(error) => Failed::Before(error),
    })
}
