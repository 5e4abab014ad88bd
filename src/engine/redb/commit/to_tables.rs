//! Commits of redb's: of a group for which the log is no place or has no room, and of an operation on
//! the store as a whole.
//!
//! Invariant: the tables have caught up with what was acknowledged before anything else is done to them.
//! So a durable commit of redb's holds everything.

use crate::engine::redb::commit::decide::Decider;
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::operation::{OnStore, Outcome};
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::commit::{Failed, State, Writer, losing_handle_by_panic};
use crate::engine::redb::database::Connection;
use crate::engine::redb::error;
use crate::engine::redb::file::unwinding::holding;
use crate::engine::redb::view::View;
use crate::error::{Error, Result};
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

impl Writer {
    /// Commits what was decided, and everything before it, to the disk.
    pub(super) fn write_to_tables(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Failed> {
        self.wait_again(view, state, effects, true)?;
        self.with_tables(state, |connection, ledger| {
            self.catch_up_in_place(view, connection, ledger)?;
            let put = connection.put(effects.changed.keys().copied(), &effects.changed);
            put.map_err(|error| before(view, error))?;
            self.commit_to_disk(view, connection, ledger, effects)
        })
    }

    /// Carries out an operation on the store as a whole, as a commit of its own.
    pub(super) fn commit_on_store(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        operation: OnStore,
    ) -> Result<Outcome> {
        let mut effects = Effects::new(&view.touches);
        let done = losing_handle_by_panic(view, || match operation {
            OnStore::Sync => self.sync(view, state).map(|()| Outcome::Done),
            OnStore::Publish => self.publish_everything(view, state),
            operation => self.change_store(view, state, operation, &mut effects),
        });
        match done {
            Ok(outcome) => {
                self.count(&effects, 1);
                Ok(outcome)
            }
            Err(failed) => Err(self.fail(view, state, &effects, failed)),
        }
    }

    fn change_store(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        operation: OnStore,
        effects: &mut Effects<'_>,
    ) -> Result<Outcome, Failed> {
        self.wait_again(view, state, effects, false)?;
        effects
            .begin(state.ledger().map_err(Failed::Before)?, self.openings.load(Ordering::Acquire));
        self.with_tables(state, |connection, ledger| {
            self.catch_up_in_place(view, connection, ledger)?;
            let tables = connection.tables().map_err(|error| before(view, error))?;
            let decided = Decider::new(tables, &view.touches, effects).apply(operation);
            let (tables, outcome) = decided.map_err(|error| before(view, error))?;
            let changed = tables.changed();
            drop(tables);
            effects.wrote |= changed;
            if effects.wrote {
                self.commit_to_disk(view, connection, ledger, effects)?;
            }
            Ok(outcome)
        })
    }

    /// Lets readers see everything so far in a snapshot, though it is not all in redb's part of the
    /// file.
    fn publish_everything(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
    ) -> Result<Outcome, Failed> {
        self.wait_for_checkpoint(state);
        self.ensure_open(view, state).map_err(Failed::Before)?;
        self.with_tables(state, |connection, ledger| {
            self.catch_up_in_place(view, connection, ledger)?;
            connection.commit_in_memory().map_err(|error| before(view, error))?;
            let snapshot = self.take_snapshot(view, &connection.database);
            view.show_in_memory(snapshot.map_err(Failed::Before)?);
            Ok(Outcome::Published)
        })
    }

    /// Commits everything that was acknowledged to the disk.
    pub(super) fn commit_everything(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
    ) -> Result<(), Failed> {
        let mut effects = Effects::new(&view.touches);
        effects
            .begin(state.ledger().map_err(Failed::Before)?, self.openings.load(Ordering::Acquire));
        self.with_tables(state, |connection, ledger| {
            self.catch_up_in_place(view, connection, ledger)?;
            self.commit_to_disk(view, connection, ledger, &effects)
        })
    }

    fn catch_up_in_place(
        &self,
        view: &View,
        connection: &mut Connection,
        ledger: &mut Committed,
    ) -> Result<(), Failed> {
        let caught_up = ledger.catch_up(connection, &view.overlay);
        caught_up.map_err(|error| before(view, error))
    }

    /// Makes redb's transaction durable, and shows what it holds.
    fn commit_to_disk(
        &self,
        view: &View,
        connection: &mut Connection,
        ledger: &mut Committed,
        effects: &Effects<'_>,
    ) -> Result<(), Failed> {
        self.unconfirmed.store(ledger.log.next_number(), Ordering::Release);
        let committed = ledger.commit_to_disk(connection, view.options.durability);
        committed
            .map_err(|error| Failed::During(error::from_redb("commit", view.file.path(), error)))?;
        self.checkpoint_failed.store(false, Ordering::Release);
        ledger.stored = effects.stored;
        let snapshot = self.take_snapshot(view, &connection.database).map_err(Failed::During)?;
        view.show_all(snapshot, &effects.changed, effects.cleared, ledger.stored);
        self.unconfirmed.store(0, Ordering::Release);
        effects.settle(view);
        self.note_checkpoint(view, ledger);
        Ok(())
    }

    /// Does something with the tables, which nobody else has meanwhile.
    fn with_tables<T>(
        &self,
        state: &mut MutexGuard<'_, State>,
        act: impl FnOnce(&mut Connection, &mut Committed) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let open = match std::mem::replace(&mut **state, State::Broken(None)) {
            State::Open(connection, ledger) => (connection, ledger),
            other => {
                **state = other;
                return Err(Failed::Before(Error::Closed));
            }
        };
        let ((connection, ledger), result) =
            holding(open, |(connection, ledger)| act(connection, ledger));
        **state = State::Open(connection, ledger);
        result
    }
}

fn before(view: &View, error: redb::Error) -> Failed {
    Failed::Before(error::from_redb("write", view.file.path(), error))
}
