//! The committed state, and where it is: in the log, and later in the tables.
//!
//! Invariant: the tables, with the overlay's changes of the keys in `behind`, equal the committed
//! state.

use crate::engine::durability::Durability;
use crate::engine::redb::database::Connection;
use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::keyed::{Changes, Keys};
use crate::engine::redb::log::WriteAheadLog;
use crate::engine::redb::view::overlay::Overlay;

pub(in crate::engine::redb) struct Committed {
    pub(in crate::engine::redb) log: WriteAheadLog,
    /// The keys whose latest changes the tables lack; the overlay has them.
    pub(in crate::engine::redb) behind: Keys,
    /// The number of records.
    pub(in crate::engine::redb) stored: u64,
}

impl Committed {
    /// The committed state: this snapshot's database, changed by the log and by memory.
    pub(in crate::engine::redb) fn new(
        log: WriteAheadLog,
        changes: &Changes,
        snapshot: &Snapshot,
    ) -> RedbResult<Self> {
        let mut stored = snapshot.len()?;
        for (key, record) in changes {
            match (snapshot.contains(key)?, record.is_some()) {
                (false, true) => stored += 1,
                (true, false) => stored = stored.saturating_sub(1),
                _ => {}
            }
        }
        Ok(Self { log, behind: changes.keys().copied().collect(), stored })
    }

    /// Writes to the tables every acknowledged change that they lack.
    pub(in crate::engine::redb) fn catch_up(
        &mut self,
        connection: &mut Connection,
        overlay: &Overlay,
    ) -> RedbResult<()> {
        if self.behind.is_empty() {
            return Ok(());
        }
        let changes = overlay.of(&self.behind);
        self.behind.clear();
        connection.put(changes.keys().copied(), &changes)
    }

    /// Commits the tables durably, and with them every acknowledged change. The log restarts.
    pub(in crate::engine::redb) fn commit_to_disk(
        &mut self,
        connection: &mut Connection,
        durability: Durability,
    ) -> RedbResult<()> {
        connection.commit_to_disk(durability, self.log.next_number())?;
        self.log.restart();
        Ok(())
    }
}
