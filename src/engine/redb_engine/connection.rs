//! What commits go through: the database with its open transaction, and the log in front of it.
//!
//! Invariant: the transaction holds what the log has acknowledged since redb's last commit. redb
//! writes a page of its own for every commit, even for one that it keeps in memory; so many commits
//! of ours are one of redb's.

use redb::{Database, WriteTransaction};

use super::tables::{Outer, Tables};
use super::touch_buffer::Touches;
use super::write_ahead_log::WriteAheadLog;
use crate::Durability;

pub(super) struct Connection {
    /// Before the database, so that it is dropped before it.
    transaction: Option<WriteTransaction>,
    pub(super) database: Database,
    pub(super) log: WriteAheadLog,
    /// Touches that are in memory only.
    pub(super) unsynced: Touches,
    /// Whether a sweep is in memory only.
    pub(super) swept: bool,
}

impl Connection {
    pub(super) fn new(database: Database, log: WriteAheadLog) -> Self {
        Self { transaction: None, database, log, unsynced: Touches::default(), swept: false }
    }

    /// The tables as everything so far has left them. Closed without a commit, they keep what was
    /// changed for the next one.
    pub(super) fn tables(&mut self) -> Outer<Tables<'_>> {
        let transaction = self.begun()?;
        Tables::open(self.transaction.insert(transaction))
    }

    fn begun(&mut self) -> Outer<WriteTransaction> {
        match self.transaction.take() {
            Some(transaction) => Ok(transaction),
            None => Ok(self.database.begin_write()?),
        }
    }

    /// Ends the transaction in memory, for a snapshot to be taken.
    pub(super) fn commit_in_memory(&mut self) -> Outer<()> {
        let Some(mut transaction) = self.transaction.take() else { return Ok(()) };
        transaction.set_durability(redb::Durability::None)?;
        Ok(transaction.commit()?)
    }

    /// Ends the transaction on the disk, with everything that is in the log or in memory only.
    pub(super) fn commit_to_disk(&mut self, durability: Durability) -> Outer<()> {
        let mut transaction = self.begun()?;
        // Where entries may follow they must be told from what follows an earlier commit.
        let is_numbered = durability == Durability::Immediate || self.log.is_in_use();
        if is_numbered {
            self.log.note_sequence(&mut Tables::open(&transaction)?)?;
        }
        transaction.set_two_phase_commit(true);
        // With what is in use on record, a file that was not closed need not be gone through twice.
        // Where every write is such a commit, that would be too dear.
        transaction.set_quick_repair(durability != Durability::TwoPhase);
        transaction.commit()?;
        self.swept = false;
        if is_numbered {
            self.log.restart();
        }
        Ok(())
    }

    /// Writes everything into the database, so that the log need not stay, and lets go of the file.
    pub(super) fn close_with_commit(mut self, durability: Durability) -> Outer<()> {
        let committed = self.commit_to_disk(durability);
        let closed = self.close();
        committed.and(closed)
    }

    /// Lets go of the file.
    pub(super) fn close(mut self) -> Outer<()> {
        drop(self.transaction.take());
        self.log.retire();
        Ok(self.database.close()?)
    }
}
