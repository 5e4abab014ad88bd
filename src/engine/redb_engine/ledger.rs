//! What was committed, and where it stands: in the log, and sooner or later in the database.
//!
//! Invariant: the database's tables, changed by what the overlay says of the keys that they are
//! behind with, are what was committed.

use std::collections::HashSet;

use crate::durability::Durability;
use crate::engine::redb_engine::connection::Connection;
use crate::engine::redb_engine::key_hasher::BuildKeyHasher;
use crate::engine::redb_engine::overlay::{Changes, Overlay};
use crate::engine::redb_engine::snapshot::Snapshot;
use crate::engine::redb_engine::tables::Outer;
use crate::engine::redb_engine::touch_buffer::Touches;
use crate::engine::redb_engine::write_ahead_log::WriteAheadLog;
use crate::id::SessionKey;

/// Keys, each once.
pub(super) type Keys = HashSet<SessionKey, BuildKeyHasher>;

pub(super) struct Ledger {
    pub(super) log: WriteAheadLog,
    /// What the log has and the tables have not; the overlay has it, too.
    pub(super) behind: Keys,
    /// How many records there are.
    pub(super) stored: u64,
    /// Whether the tables have anything that is neither in the log nor on the disk.
    pub(super) unlogged: bool,
    /// Touches that are among it.
    pub(super) unsynced: Touches,
}

impl Ledger {
    /// Of a log that says so much more than a database of which this is a snapshot.
    pub(super) fn new(log: WriteAheadLog, logged: &Changes, snapshot: &Snapshot) -> Outer<Self> {
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
    pub(super) fn catch_up(&mut self, connection: &mut Connection, overlay: &Overlay) -> Outer<()> {
        if self.behind.is_empty() {
            return Ok(());
        }
        let changes = overlay.of(&self.behind);
        self.behind.clear();
        connection.put(changes.keys().copied(), &changes)
    }

    /// Writes what the tables have into the database's file, and everything that was acknowledged
    /// with it, so that the log begins again.
    pub(super) fn commit_to_disk(
        &mut self,
        connection: &mut Connection,
        durability: Durability,
    ) -> Outer<()> {
        connection.commit_to_disk(durability, self.log.next_number())?;
        self.unlogged = false;
        self.log.restart();
        Ok(())
    }
}
