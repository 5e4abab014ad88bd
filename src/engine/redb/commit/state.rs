//! What was committed, and where it stands: in the log, and sooner or later in the database.
//!
//! Invariant: the database's tables, changed by what the overlay says of the keys that they are
//! behind with, are what was committed.

use crate::engine::durability::Durability;
use crate::engine::redb::database::Connection;
use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::keyed::{Changes, Keys};
use crate::engine::redb::log::WriteAheadLog;
use crate::engine::redb::view::overlay::Overlay;
use crate::engine::redb::view::touches::Touches;

pub(in crate::engine::redb) struct Committed {
    pub(in crate::engine::redb) log: WriteAheadLog,
    /// What the log has and the tables have not; the overlay has it, too.
    pub(in crate::engine::redb) behind: Keys,
    /// How many records there are.
    pub(in crate::engine::redb) stored: u64,
    /// Whether the tables have anything that is neither in the log nor on the disk.
    pub(in crate::engine::redb) unlogged: bool,
    /// Touches that are among it.
    pub(in crate::engine::redb) unsynced: Touches,
}

impl Committed {
    /// Of a log that says so much more than a database of which this is a snapshot.
    pub(in crate::engine::redb) fn new(
        log: WriteAheadLog,
        logged: &Changes,
        snapshot: &Snapshot,
    ) -> RedbResult<Self> {
        let mut stored = snapshot.len()?;
        for (key, record) in logged {
            match (snapshot.contains(key)?, record.is_some()) {
                (false, true) => stored += 1,
                (true, false) => stored = stored.saturating_sub(1),
                _ => {}
            }
        }
        Ok(Self {
            log,
            behind: logged.keys().copied().collect(),
            stored,
            unlogged: false,
            unsynced: Touches::default(),
        })
    }

    /// Lets the tables catch up with the log.
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

    /// Writes what the tables have into the database's file, and everything that was acknowledged
    /// with it, so that the log begins again.
    pub(in crate::engine::redb) fn commit_to_disk(
        &mut self,
        connection: &mut Connection,
        durability: Durability,
    ) -> RedbResult<()> {
        connection.commit_to_disk(durability, self.log.next_number())?;
        self.unlogged = false;
        self.log.restart();
        Ok(())
    }
}
