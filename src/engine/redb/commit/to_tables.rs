//! A commit that needs the tables: what it does is not told by the sessions that it names, or the
//! log has no room for it.
//!
//! Invariant: the tables have caught up with the log before anything else is done to them.

use crate::engine::durability::Durability;
use crate::engine::redb::commit::decide::Decider;
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::operation::{Operation, Outcome};
use crate::engine::redb::commit::route::{Route, forget_written_touches};
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::commit::{Done, Failed, Writer};
use crate::engine::redb::database::Connection;
use crate::engine::redb::error;
use crate::engine::redb::view::View;
use crate::error::{Error, Result};
use crate::sync::atomic::Ordering;

impl Writer {
    /// Carries out the rest of a batch, of which `outcomes` are there and not committed, and commits
    /// all of it.
    pub(super) fn commit_on_tables(
        &self,
        view: &View,
        connection: &mut Connection,
        ledger: &mut Committed,
        mut outcomes: Vec<Result<Outcome>>,
        rest: impl Iterator<Item = Operation>,
        effects: &mut Effects<'_>,
    ) -> Result<Done, Failed> {
        let path = view.file.path();
        let before = |error: redb::Error| Failed::Before(error::from_redb("write", path, error));
        ledger.catch_up(connection, &view.overlay).map_err(before)?;
        if view.overlay.is_full() {
            self.publish_in_memory(view, connection, ledger).map_err(Failed::Before)?;
        }
        if !effects.changed.is_empty() {
            connection.put(effects.changed.keys().copied(), &effects.changed).map_err(before)?;
        }

        let tables = connection.tables().map_err(before)?;
        let mut state = Decider::new(tables, &view.touches, effects);
        for operation in rest {
            let (next, outcome) = state.apply(operation).map_err(before)?;
            state = next;
            outcomes.push(outcome);
        }
        let changed = state.into_tables().changed();
        effects.wrote |= changed;
        ledger.stored = effects.stored;
        // What is in the log is on the disk.
        let in_memory = ledger.unlogged || view.options.durability != Durability::Immediate;
        effects.sync &= in_memory || self.needs_sync();
        let committed = effects.wrote || effects.sync;
        if committed {
            self.commit_changes(view, connection, ledger, effects)?;
        } else {
            // What the touches say is in an earlier commit.
            let held_by = if self.needs_sync() { Route::Memory } else { Route::Database };
            forget_written_touches(view, &mut ledger.unsynced, effects, held_by);
        }
        let published = match effects.publish && !view.overlay.is_empty() {
            true => self.publish_in_memory(view, connection, ledger),
            false => Ok(()),
        };
        Ok(Done { outcomes, committed, published })
    }

    fn commit_changes(
        &self,
        view: &View,
        connection: &mut Connection,
        ledger: &mut Committed,
        effects: &mut Effects<'_>,
    ) -> Result<(), Failed> {
        let path = view.file.path();
        let during = |error: redb::Error| Failed::During(error::from_redb("commit", path, error));
        let durability = view.options.durability;
        let route = Route::of(durability, &mut ledger.log, effects)
            .map_err(|error| Failed::During(Error::io("write the log of", path, error)))?;
        if route == Route::Database {
            ledger.commit_to_disk(connection, durability).map_err(during)?;
            self.checkpoint_failed.store(false, Ordering::Release);
        }
        match route {
            Route::Memory => {
                self.needs_sync.store(true, Ordering::Release);
                ledger.unlogged = true;
            }
            Route::Database => self.needs_sync.store(false, Ordering::Release),
            // What was in memory only still is.
            Route::Log => self.note_checkpoint(ledger),
        }
        if route != Route::Database && effects.in_bulk {
            connection.commit_in_memory().map_err(during)?;
        }
        // The overlay does not show everything that is done in bulk.
        match route == Route::Database || effects.in_bulk {
            true => {
                let snapshot = self.take_snapshot(view, &connection.database);
                let snapshot = snapshot.map_err(Failed::During)?;
                view.show_all(snapshot, &effects.changed, effects.cleared, ledger.stored);
            }
            false => view.show_changes(&effects.changed, ledger.stored),
        }
        forget_written_touches(view, &mut ledger.unsynced, effects, route);
        Ok(())
    }
}
