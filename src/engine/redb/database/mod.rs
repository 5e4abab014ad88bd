//! redb's handle, with its open transaction.
//!
//! Invariant: one transaction of redb serves many commits of ours. redb writes a page of
//! bookkeeping for each of its transactions, even for one in memory. So the transaction stays open
//! until a snapshot is needed, or a durable commit.

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
    /// Stands before the database, so that it is dropped first.
    transaction: Option<WriteTransaction>,
    pub(in crate::engine::redb) database: Database,
}

/// What a commit changes besides records.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct OffRecord<'c> {
    /// Whether every record goes.
    pub(in crate::engine::redb) cleared: bool,
    /// Values by name.
    pub(in crate::engine::redb) meta: &'c [(String, Vec<u8>)],
    /// Index entries that go.
    pub(in crate::engine::redb) strays: &'c [IndexEntry],
}

impl Connection {
    pub(in crate::engine::redb) const fn new(database: Database) -> Self {
        Self { transaction: None, database }
    }

    /// The tables as every change so far left them. Changes stay for the next commit when these are
    /// closed.
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

    /// Puts changes into the tables.
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

    /// Changes what is no record, and puts changes into the tables.
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

    /// Ends the transaction in memory, so that a snapshot can be taken.
    pub(in crate::engine::redb) fn commit_in_memory(&mut self) -> RedbResult<()> {
        let Some(mut transaction) = self.transaction.take() else { return Ok(()) };
        transaction.set_durability(redb::Durability::None)?;
        Ok(transaction.commit()?)
    }

    /// Ends the transaction on the disk, with a number. By the number, entries that follow it are
    /// told from entries that follow an earlier one, in any process.
    pub(in crate::engine::redb) fn commit_to_disk(
        &mut self,
        durability: Durability,
        number: u64,
    ) -> RedbResult<()> {
        let mut transaction = self.begun()?;
        Tables::open(&transaction)?.store_meta(SEQUENCE, &number.to_le_bytes())?;
        transaction.set_two_phase_commit(true);
        // A record of the pages in use saves a second pass after a crash. With `TwoPhase` every
        // write would pay for it.
        transaction.set_quick_repair(durability != Durability::TwoPhase);
        Ok(transaction.commit()?)
    }

    /// Lets go of the file.
    pub(in crate::engine::redb) fn close(mut self) -> RedbResult<()> {
        drop(self.transaction.take());
        Ok(self.database.close()?)
    }
}
