//! Deciding in view of what readers see, and writing what was decided to the log.
//!
//! Invariant: nothing shows before its entry is on the disk. If the log has no room for the entry, what
//! was decided holds for the tables as well.

use crate::engine::redb::commit::decide::{AsRead, Decider};
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::operation::{OnSessions, Outcome};
use crate::engine::redb::commit::{Failed, State, Writer};
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::keyed::Change;
use crate::engine::redb::view::View;
use crate::error::{Error, Result};
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

impl Writer {
    /// Decides one operation in view of what readers see; once more, in view of a file that was
    /// reopened, if a checkpoint has just failed and ended the handle.
    pub(super) fn view(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        operation: OnSessions,
        effects: &mut Effects<'_>,
        carried_out: bool,
    ) -> Result<Result<Outcome>, Failed> {
        let (again, changed) = (operation.clone(), effects.changed.len());
        let mut outcome = apply_in_view(view, operation, effects);
        if matches!(outcome, Err(redb::Error::PreviousIo)) && effects.changed.len() == changed {
            view.handle_lost.store(true, Ordering::Release);
            self.wait_again(view, state, effects, carried_out)?;
            outcome = apply_in_view(view, again, effects);
        }
        outcome.map_err(|error| Failed::Before(view.failed_to_read(error)))
    }

    /// Writes an entry of the log; `false` if there is no room for it, nor a checkpoint under way that
    /// would make some.
    pub(super) fn append(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects<'_>,
    ) -> Result<bool, Failed> {
        loop {
            let appended = self.append_now(view, state, effects.entry())?;
            if appended || !matches!(**state, State::Checkpointing(_)) {
                return Ok(appended);
            }
            self.wait_again(view, state, effects, true)?;
        }
    }

    /// Writes an entry of the log; `false` if there is no room for it now.
    pub(super) fn append_now(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        entry: impl Iterator<Item = Change>,
    ) -> Result<bool, Failed> {
        let path = view.file.path();
        if view.file.sync_failed() {
            let cause = std::io::Error::other("an earlier sync failed");
            return Err(Failed::Before(Error::io("write the log of", path, cause)));
        }
        let ledger = state.ledger().map_err(Failed::Before)?;
        let appended = ledger.log.append(entry);
        appended.map_err(|error| Failed::During(Error::io("write the log of", path, error)))
    }

    /// Waits for the end of a checkpoint in the middle of a group. What was decided rests on what was
    /// acknowledged, and holds in a file that had to be reopened, too.
    pub(super) fn wait_again(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects<'_>,
        carried_out: bool,
    ) -> Result<(), Failed> {
        self.wait_for_checkpoint(state);
        self.ensure_open(view, state).map_err(Failed::Before)?;
        let openings = self.openings.load(Ordering::Acquire);
        if openings == effects.openings {
            return Ok(());
        }
        if !carried_out {
            effects.begin(state.ledger().map_err(Failed::Before)?, openings);
        }
        Ok(())
    }
}

fn apply_in_view(
    view: &View,
    operation: OnSessions,
    effects: &mut Effects<'_>,
) -> RedbResult<Result<Outcome>> {
    Decider::new(AsRead::of(view), &view.touches, effects).apply_keyed(operation)
}
