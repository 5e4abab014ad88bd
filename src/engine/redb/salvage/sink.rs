//! The new store while records arrive. Records wait until there are enough for a transaction.
//!
//! Invariant: of several versions of a session the one with the highest revision is kept; among
//! equal revisions, the one that was active last. `Tables` writes the indexes with each record.

use std::collections::HashSet;
use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTableMetadata};

use crate::engine::redb::database::schema::SESSIONS;
use crate::engine::redb::database::tables::Tables;
use crate::engine::redb::error;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::keyed::Change;
use crate::engine::redb::log::last_of;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;

const BATCH: usize = 1_000;
/// The most bytes of content in one transaction. Without this limit, a batch of the largest records
/// would have 16 GB.
const BATCH_BYTES: usize = 32 * 1024 * 1024;

pub(super) struct Sink<'d> {
    database: &'d Database,
    path: &'d Path,
    waiting: Vec<(SessionKey, Record)>,
    waiting_bytes: usize,
}

impl<'d> Sink<'d> {
    pub(super) const fn new(database: &'d Database, path: &'d Path) -> Self {
        Self { database, path, waiting: Vec::new(), waiting_bytes: 0 }
    }

    pub(super) fn put(&mut self, key: SessionKey, record: Record) -> Result<()> {
        self.waiting_bytes += record.stored_len();
        self.waiting.push((key, record));
        if self.waiting.len() >= BATCH || self.waiting_bytes >= BATCH_BYTES {
            self.write_waiting(&[])?;
        }
        Ok(())
    }

    /// Whether a session is in the new store, or among the waiting records.
    pub(super) fn contains(&mut self, key: &SessionKey) -> Result<bool> {
        if !self.waiting.is_empty() {
            self.write_waiting(&[])?;
        }
        self.guarded(|| {
            let transaction = self.database.begin_read()?;
            Ok(transaction.open_table(SESSIONS)?.get(key.as_bytes())?.is_some())
        })
    }

    /// Applies a log's changes to the records so far, and returns the sessions that they removed.
    pub(super) fn apply(&mut self, changes: Vec<Change>) -> Result<HashSet<SessionKey>> {
        self.write_waiting(&[])?;
        self.guarded(|| {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::None)?;
            let changes = last_of(changes)?;
            let mut changes: Vec<_> = changes.iter().collect();
            changes.sort_unstable_by_key(|(key, _)| **key);
            let removed = changes.iter().filter(|(_, record)| record.is_none());
            let removed = removed.map(|(key, _)| **key).collect();
            let changes = changes.into_iter().map(|(key, record)| (key, record.as_ref()));
            Tables::open(&transaction)?.put_all(changes)?;
            transaction.commit()?;
            Ok(removed)
        })
    }

    /// Writes the waiting records, makes everything durable, and returns the number of sessions.
    pub(super) fn finish(mut self, meta: &[(String, Vec<u8>)]) -> Result<u64> {
        self.write_waiting(meta)?;
        self.guarded(|| {
            let mut transaction = self.database.begin_write()?;
            // The commit stores which pages are in use, so that all of them can be verified.
            transaction.set_quick_repair(true);
            let len = transaction.open_table(SESSIONS)?.len()?;
            transaction.commit()?;
            Ok(len)
        })
    }

    fn write_waiting(&mut self, meta: &[(String, Vec<u8>)]) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.guarded(|| {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::None)?;
            let mut tables = Tables::open(&transaction)?;
            for (key, record) in &waiting {
                let is_newest = match tables.get(key)? {
                    Some(Ok(old)) => version(&old) < version(record),
                    Some(Err(_)) => false,
                    None => true,
                };
                if is_newest {
                    tables.put(key, Some(record))?;
                }
            }
            for (name, value) in meta {
                tables.store_meta(name, value)?;
            }
            drop(tables);
            Ok(transaction.commit()?)
        })
    }

    fn guarded<T>(&self, write: impl FnOnce() -> RedbResult<T>) -> Result<T> {
        write().map_err(|error| error::from_redb("write", self.path, error))
    }
}

fn version(record: &Record) -> (u64, u64) {
    (record.revision(), record.last_active().as_millis())
}
