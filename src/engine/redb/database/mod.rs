//! redb's handle, with its open transaction.
//!
//! Invariant: one redb transaction serves many of the engine's commits. redb writes a bookkeeping
//! page for each of its transactions, even for one in memory, and copies the path to each changed
//! page. So the transaction stays open until a snapshot or a durable commit is needed.
//!
//! A durable commit stores the list of pages in use (quick repair), except with `TwoPhase`: a file
//! that was not closed has no other list. The cost is a sync and a few pages. Durable commits have
//! two phases, so no crash tears one: damage in a commit is an error.

pub(in crate::engine::redb) mod check;
pub(in crate::engine::redb) mod schema;
pub(in crate::engine::redb) mod snapshot;
pub(in crate::engine::redb) mod tables;

use redb::{Database, WriteTransaction};

use crate::engine::durability::Durability;
use crate::engine::redb::database::schema::{IndexEntry, SEQUENCE};
use crate::engine::redb::database::tables::Tables;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::keyed::Changes;
use crate::key::SessionKey;

pub(in crate::engine::redb) struct Connection {
    /// Declared before the database, so that it is dropped first.
    transaction: Option<WriteTransaction>,
    pub(in crate::engine::redb) database: Database,
}

/// The changes of a commit besides records.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct OffRecord<'c> {
    /// Whether every record is removed.
    pub(in crate::engine::redb) cleared: bool,
    /// Named values to store.
    pub(in crate::engine::redb) meta: &'c [(String, Vec<u8>)],
    /// Index entries to remove.
    pub(in crate::engine::redb) strays: &'c [IndexEntry],
}

impl Connection {
    pub(in crate::engine::redb) const fn new(database: Database) -> Self {
        Self { transaction: None, database }
    }

    /// The tables with every change so far. When they are closed, their changes wait for the next
    /// commit.
    pub(in crate::engine::redb) fn tables(&mut self) -> RedbResult<Tables<'_>> {
        let transaction = self.begun()?;
        Tables::open(self.transaction.insert(transaction))
    }

    fn begun(&mut self) -> RedbResult<WriteTransaction> {
        match self.transaction.take() {
            Some(transaction) => Ok(transaction),
            None => Ok(self.database.begin_write()?),
        }
    }

    /// Writes changes to the tables.
    pub(in crate::engine::redb) fn put(
        &mut self,
        keys: impl IntoIterator<Item = SessionKey>,
        changes: &Changes,
    ) -> RedbResult<()> {
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort_unstable();
        let changes = keys.iter().filter_map(|key| Some((key, changes.get(key)?.as_ref())));
        self.tables()?.put_all(changes)
    }

    /// Makes the changes besides records, and then writes the changed records to the tables.
    pub(in crate::engine::redb) fn change(
        &mut self,
        off_record: &OffRecord<'_>,
        keys: impl IntoIterator<Item = SessionKey>,
        changes: &Changes,
    ) -> RedbResult<()> {
        let mut tables = self.tables()?;
        if off_record.cleared {
            tables = tables.cleared()?;
        }
        for (deadline, key) in off_record.strays {
            tables.remove_stray_entry(*deadline, key)?;
        }
        for (name, value) in off_record.meta {
            tables.store_meta(name, value)?;
        }
        drop(tables);
        self.put(keys, changes)
    }

    /// Commits the transaction to the disk, with a number. By the number, any process distinguishes
    /// entries that follow this commit from entries that follow an earlier one.
    pub(in crate::engine::redb) fn commit_to_disk(
        &mut self,
        durability: Durability,
        number: u64,
    ) -> RedbResult<()> {
        let mut transaction = self.begun()?;
        Tables::open(&transaction)?.store_meta(SEQUENCE, &number.to_le_bytes())?;
        transaction.set_two_phase_commit(true);
        // A stored list of the pages in use saves a second pass after a crash. With `TwoPhase`
        // every write would pay for it.
        transaction.set_quick_repair(durability != Durability::TwoPhase);
        Ok(transaction.commit()?)
    }

    /// Closes the file.
    pub(in crate::engine::redb) fn close(mut self) -> RedbResult<()> {
        drop(self.transaction.take());
        Ok(self.database.close()?)
    }
}
