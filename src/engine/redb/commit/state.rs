//! What was committed, and where it is: in the log, and later in the database.
//!
//! Invariant: the tables, changed by what the overlay has of the keys that they are behind with,
//! are what was committed.

use crate::engine::durability::Durability;
use crate::engine::redb::database::Connection;
use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::keyed::{Changes, Keys};
use crate::engine::redb::log::WriteAheadLog;
use crate::engine::redb::view::overlay::Overlay;

pub(in crate::engine::redb) struct Committed {
    pub(in crate::engine::redb) log: WriteAheadLog,
    /// The keys that the tables are behind with; the overlay has them.
    pub(in crate::engine::redb) behind: Keys,
    /// How many records there are.
    pub(in crate::engine::redb) stored: u64,
}

impl Committed {
    /// Of changes in the log and in memory, to the database of this snapshot.
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

    /// Has the tables catch up with what was acknowledged.
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

    /// Makes the tables durable, and with them everything that was acknowledged. The log starts
    /// over.
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
