//! A commit that needs the tables: what it does is not told by the sessions that it names, or the
//! log has no room for it.
//!
//! Invariant: the tables have caught up with the log before anything else is done to them.

use crate::engine::durability::Durability;
use crate::engine::redb::commit::decide::Batch;
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::operation::{Operation, Outcome};
use crate::engine::redb::commit::route::{Way, settle};
use crate::engine::redb::commit::state::Ledger;
use crate::engine::redb::commit::{Done, Failed, Writer};
use crate::engine::redb::database::Connection;
use crate::engine::redb::error;
use crate::engine::redb::view::Shared;
use crate::error::{Error, Result};
use crate::sync::atomic::Ordering;

impl Writer {
    /// Carries out the rest of a batch, of which `outcomes` are there and not committed, and commits
    /// all of it.
    pub(super) fn commit_on_tables(
        &self,
        shared: &Shared,
        connection: &mut Connection,
        ledger: &mut Ledger,
        mut outcomes: Vec<Result<Outcome>>,
        rest: impl Iterator<Item = Operation>,
        effects: &mut Effects<'_>,
    ) -> Result<Done, Failed> {
        let path = shared.file.path();
        let before = |error: redb::Error| Failed::Before(error::from_redb("write", path, error));
        ledger.catch_up(connection, &shared.overlay).map_err(before)?;
        if shared.overlay.is_full() {
            self.publish_in_memory(shared, connection).map_err(Failed::Before)?;
        }
        if !effects.changed.is_empty() {
            connection.put(effects.changed.keys().copied(), &effects.changed).map_err(before)?;
        }

        let tables = connection.tables().map_err(before)?;
        let mut state = Batch::new(tables, &shared.touches, effects);
        for operation in rest {
            let (next, outcome) = state.apply(operation).map_err(before)?;
            state = next;
            outcomes.push(outcome);
        }
        let changed = state.into_tables().changed();
        effects.wrote |= changed;
        ledger.stored = effects.stored;
        // What is in the log is on the disk.
        let in_memory = ledger.unlogged || shared.options.durability != Durability::Immediate;
        effects.sync &= in_memory || self.needs_sync();
        let committed = effects.wrote || effects.sync;
        if committed {
            self.commit_changes(shared, connection, ledger, effects)?;
        } else {
            // What the touches say is in an earlier commit.
            let held_by = if self.needs_sync() { Way::Memory } else { Way::Database };
            settle(shared, &mut ledger.unsynced, effects, held_by);
        }
        let published = match effects.publish && !shared.overlay.is_empty() {
            true => self.publish_in_memory(shared, connection),
            false => Ok(()),
        };
        Ok(Done { outcomes, committed, published })
    }

    fn commit_changes(
        &self,
        shared: &Shared,
        connection: &mut Connection,
        ledger: &mut Ledger,
        effects: &mut Effects<'_>,
    ) -> Result<(), Failed> {
        let path = shared.file.path();
        let during = |error: redb::Error| Failed::During(error::from_redb("commit", path, error));
        let durability = shared.options.durability;
        let way = Way::of(durability, &mut ledger.log, effects)
            .map_err(|error| Failed::During(Error::io("write the log of", path, error)))?;
        if way == Way::Database {
            ledger.commit_to_disk(connection, durability).map_err(during)?;
            self.fold_failed.store(false, Ordering::Release);
        }
        shared.overlay.add(&effects.changed, effects.cleared);
        match way {
            Way::Memory => {
                self.needs_sync.store(true, Ordering::Release);
                ledger.unlogged = true;
            }
            Way::Database => self.needs_sync.store(false, Ordering::Release),
            // What was in memory only still is.
            Way::Log => self.note_fold(ledger),
        }
        if way != Way::Database && effects.in_bulk {
            connection.commit_in_memory().map_err(during)?;
        }
        // The overlay does not show everything that is done in bulk.
        if way == Way::Database || effects.in_bulk {
            let published = self.publish(shared, &connection.database, effects.cleared);
            published.map_err(Failed::During)?;
        }
        settle(shared, &mut ledger.unsynced, effects, way);
        Ok(())
    }
}
