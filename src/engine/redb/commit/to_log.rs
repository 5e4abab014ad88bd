//! A commit that needs no more than what readers see, and the log.
//!
//! Invariant: nothing of it shows before its entry is on the disk; and if that has no room, or the
//! batch has something in it that needs the tables, what was carried out holds there as well.

use crate::engine::durability::Durability;
use crate::engine::redb::commit::decide::{AsRead, Decider};
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::operation::{OnSessions, Operation, Outcome};
use crate::engine::redb::commit::route::{Route, forget_written_touches};
use crate::engine::redb::commit::{Done, Failed, State, Writer};
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::view::View;
use crate::error::{Error, Result};
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

/// A batch as far as it could be carried out without the tables.
pub(super) enum InView {
    Done(Done),
    /// So much is carried out, and not committed; the operation is the next, if there is one.
    NeedsTables(Vec<Result<Outcome>>, Option<Operation>),
}

impl Writer {
    /// Carries out what needs no more than readers see, and writes what it changes to the log.
    pub(super) fn commit_in_view(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        batch: &mut impl Iterator<Item = Operation>,
        effects: &mut Effects<'_>,
    ) -> Result<InView, Failed> {
        let ledger = state.ledger().map_err(Failed::Before)?;
        effects.begin(ledger, self.openings.load(Ordering::Acquire));
        let mut outcomes = Vec::new();
        // With another durability the log takes nothing; and a snapshot is due now and then.
        if view.options.durability != Durability::Immediate || view.overlay.is_full() {
            return Ok(InView::NeedsTables(outcomes, batch.next()));
        }
        for operation in batch {
            match operation {
                Operation::OnSessions(operation) => {
                    let carried_out = !outcomes.is_empty();
                    outcomes.push(self.view(view, state, operation, effects, carried_out)?);
                }
                other => return Ok(InView::NeedsTables(outcomes, Some(other))),
            }
        }
        let committed = effects.wrote;
        if committed && !self.append(view, state, effects)? {
            return Ok(InView::NeedsTables(outcomes, None));
        }
        let ledger = state.ledger().map_err(Failed::Before)?;
        if committed {
            ledger.behind.extend(effects.changed.keys());
            ledger.stored = effects.stored;
            view.show_changes(&effects.changed, effects.stored);
            self.note_checkpoint(ledger);
        }
        forget_written_touches(view, &mut ledger.unsynced, effects, Route::Log);
        Ok(InView::Done(Done { outcomes, committed, published: Ok(()) }))
    }

    /// Carries out one operation in view of what readers see; once more, in view of a file that is
    /// opened anew, if a checkpoint has just failed and ended the handle.
    fn view(
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
    fn append(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects<'_>,
    ) -> Result<bool, Failed> {
        let path = view.file.path();
        if view.file.sync_failed() {
            let cause = std::io::Error::other("an earlier sync failed");
            return Err(Failed::Before(Error::io("write the log of", path, cause)));
        }
        loop {
            let ledger = state.ledger().map_err(Failed::Before)?;
            let appended = ledger.log.append(effects.entry());
            let appended = appended
                .map_err(|error| Failed::During(Error::io("write the log of", path, error)))?;
            if appended || !matches!(**state, State::Checkpointing(_)) {
                return Ok(appended);
            }
            self.wait_again(view, state, effects, true)?;
        }
    }

    /// Waits for the end of a checkpoint in the middle of a batch. What was carried out of it rests on what
    /// the log says, and holds in a file that had to be opened anew, too.
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
