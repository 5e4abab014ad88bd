//! Durable redb commits, for changes that the log cannot hold or has no room for.
//!
//! Invariant: the tables first catch up with every acknowledged change. So a durable redb commit
//! holds everything.

use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::commit::{Failed, State, Writer};
use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::database::{Connection, OffRecord};
use crate::engine::redb::error;
use crate::engine::redb::file::unwinding::holding;
use crate::engine::redb::view::View;
use crate::error::{Error, Result};
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

impl Writer {
    /// Makes the decided changes, and everything before them, durable in the tables.
    pub(super) fn write_to_tables(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Failed> {
        self.wait_again(view, state, effects, true)?;
        self.with_tables(view, state, |connection, committed| {
            let Effects { cleared, meta, strays, .. } = &*effects;
            let off_record = OffRecord { cleared: *cleared, meta, strays };
            let keys = effects.changed.keys().copied();
            let put = connection.change(&off_record, keys, &effects.changed);
            put.map_err(|error| before(view, error))?;
            self.commit_to_disk(view, connection, committed, effects)
        })
    }

    /// Commits redb's transaction durably, and shows its changes.
    fn commit_to_disk(
        &self,
        view: &View,
        connection: &mut Connection,
        committed: &mut Committed,
        effects: &Effects<'_>,
    ) -> Result<(), Failed> {
        let number = committed.log.next_number();
        self.unconfirmed.store(number, Ordering::Release);
        self.begin_doubt(number, effects);
        committed
            .commit_to_disk(connection, view.options.durability)
            .map_err(|error| Failed::During(error::from_redb("commit", view.file.path(), error)))?;
        self.checkpoint_failed.store(false, Ordering::Release);
        committed.stored = effects.stored;
        let snapshot = self.take_snapshot(view, &connection.database).map_err(Failed::During)?;
        view.show_all(snapshot, &effects.changed, effects.cleared, effects.stored);
        self.unconfirmed.store(0, Ordering::Release);
        self.end_doubt();
        effects.forget_written(view, false);
        self.note_checkpoint(view, committed);
        Ok(())
    }

    pub(super) fn take_snapshot(&self, view: &View, database: &redb::Database) -> Result<Snapshot> {
        let commit = self.published.fetch_add(1, Ordering::AcqRel) + 1;
        Snapshot::of(database, commit)
            .map_err(|error| error::from_redb("read", view.file.path(), error))
    }

    /// Runs `act` on the tables. No other thread has them meanwhile.
    fn with_tables(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        act: impl FnOnce(&mut Connection, &mut Committed) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let open = match std::mem::replace(&mut **state, State::Broken(None)) {
            State::Open(connection, committed) => (connection, committed),
            other => {
                **state = other;
                return Err(Failed::Before(Error::Closed));
            }
        };
        let ((connection, committed), result) = holding(open, |(connection, committed)| {
            let caught_up = committed.catch_up(connection, &view.overlay);
            caught_up.map_err(|error| before(view, error))?;
            act(connection, committed)
        });
        **state = State::Open(connection, committed);
        result
    }
}

fn before(view: &View, error: redb::Error) -> Failed {
    Failed::Before(error::from_redb("write", view.file.path(), error))
}
