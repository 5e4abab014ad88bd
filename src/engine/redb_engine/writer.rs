//! The writing side: one batch, one transaction, one commit.
//!
//! Invariant: one thread at a time is in here, and what a caller is told is what a reader sees. A
//! commit that failed is answered as unknown to everybody in it, unless it is seen to be rolled
//! back; and redb's handle, which does not outlive an I/O error, is opened anew.

use std::sync::Arc;

use redb::Database;

use super::batch::{Batch, Effects};
use super::failure;
use super::operation::{Operation, Outcome};
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::tables::Tables;
use crate::engine::EngineStats;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::{Durability, Error, Result};

pub(super) struct Writer {
    connection: Mutex<Connection>,
    /// Whether something acknowledged is in memory only, or the handle needs opening anew.
    needs_sync: AtomicBool,
    opened_by: u32,
    /// Published snapshots since the file was opened.
    published: AtomicU64,
    commits: AtomicU64,
    operations: AtomicU64,
}

/// redb's handle, as it stands.
enum Connection {
    Open(Database),
    /// An I/O error has ended it. Reads of what is in memory go on; the next commit opens the file
    /// anew, for which the old handle, and with it the lock, has to go first.
    Broken(Option<Database>),
    Closed,
}

/// Why a batch did not commit.
enum Failed {
    /// Nothing was written.
    Before(Error),
    /// It may have been.
    During(Error),
}

impl Writer {
    pub(super) fn new(database: Database) -> Self {
        Self {
            connection: Mutex::new(Connection::Open(database)),
            needs_sync: AtomicBool::new(false),
            opened_by: std::process::id(),
            published: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            operations: AtomicU64::new(0),
        }
    }

    pub(super) fn needs_sync(&self) -> bool {
        self.needs_sync.load(Ordering::Acquire)
    }

    pub(super) fn stats(&self) -> EngineStats {
        EngineStats {
            commits: self.commits.load(Ordering::Relaxed),
            committed_operations: self.operations.load(Ordering::Relaxed),
            ..EngineStats::default()
        }
    }

    /// Carries out a batch in one transaction, and answers each operation.
    pub(super) fn commit(&self, shared: &Shared, batch: Vec<Operation>) -> Vec<Result<Outcome>> {
        let len = batch.len();
        let mut effects = Effects::new(&shared.touches);
        match self.transact(shared, batch, &mut effects) {
            Ok(outcomes) => outcomes,
            Err(Failed::Before(error)) => (0..len).map(|_| Err(error.clone())).collect(),
            Err(Failed::During(error)) => {
                (0..len).map(|_| Err(failure::outcome_unknown(&error))).collect()
            }
        }
    }

    /// Lets go of the file. What comes later is answered with [`Error::Closed`].
    pub(super) fn close(&self, shared: &Shared) -> Result<()> {
        let mut connection = self.connection.lock();
        shared.snapshot.store(None);
        shared.cache.invalidate_all(u64::MAX);
        let connection = std::mem::replace(&mut *connection, Connection::Closed);
        if self.is_forked() {
            // Closing would write to the file, and release the lock, of the process that owns it.
            std::mem::forget(connection);
            return Err(Error::Forked { opened_by: self.opened_by });
        }
        match connection {
            Connection::Open(database) => database
                .close()
                .map_err(|error| failure::from_redb("close", shared.file.path(), error.into())),
            Connection::Broken(_) | Connection::Closed => Ok(()),
        }
    }

    /// Makes this the writer of another process, as far as it can tell.
    #[cfg(test)]
    pub(super) fn pretend_forked(&mut self) {
        self.opened_by = self.opened_by.wrapping_add(1);
    }

    fn is_forked(&self) -> bool {
        std::process::id() != self.opened_by
    }

    fn transact(
        &self,
        shared: &Shared,
        batch: Vec<Operation>,
        effects: &mut Effects<'_>,
    ) -> Result<Vec<Result<Outcome>>, Failed> {
        let mut connection = self.connection.lock();
        self.check(shared, &mut connection).map_err(Failed::Before)?;
        let Connection::Open(database) = &*connection else {
            return Err(Failed::Before(Error::Closed));
        };
        let operations = batch.len() as u64;
        let result = self.run(shared, database, batch, effects);
        match result {
            Ok((outcomes, committed)) => {
                if committed {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    self.operations.fetch_add(operations, Ordering::Relaxed);
                }
                Ok(outcomes)
            }
            Err(failed) => {
                // redb refuses everything after an I/O error; a fresh handle goes on.
                self.needs_sync.store(true, Ordering::Release);
                if let Connection::Open(broken) =
                    std::mem::replace(&mut *connection, Connection::Closed)
                {
                    *connection = Connection::Broken(Some(broken));
                }
                Err(self.recover(shared, &mut connection, effects, failed))
            }
        }
    }

    /// Opens the file anew, so that reads go on, and looks whether it holds what failed to commit.
    /// A commit is all or nothing: one key that is not as the batch would have left it shows that
    /// nothing of it is there, nor ever will be.
    fn recover(
        &self,
        shared: &Shared,
        connection: &mut Connection,
        effects: &Effects<'_>,
        failed: Failed,
    ) -> Failed {
        let Failed::During(error) = failed else {
            // Whether this works or not, nothing was written; the next commit tries again.
            let _ = self.check(shared, connection);
            return failed;
        };
        if self.check(shared, connection).is_err() {
            return Failed::During(error);
        }
        let rolled_back = effects.changed.iter().any(|(key, record)| {
            let stored = shared.look(|snapshot| snapshot.get(key));
            matches!(stored.and_then(Option::transpose), Ok(stored) if stored != *record)
        });
        if rolled_back { Failed::Before(error) } else { Failed::During(error) }
    }

    /// Makes sure that a commit would go to the right file, from the right process.
    fn check(&self, shared: &Shared, connection: &mut Connection) -> Result<()> {
        if self.is_forked() {
            return Err(Error::Forked { opened_by: self.opened_by });
        }
        shared.file.check_in_place()?;
        if let Connection::Broken(broken) = connection {
            if shared.file.sync_failed() {
                let cause = std::io::Error::other(
                    "an earlier sync failed, so the operating system may hold pages for written \
                     that are not on the disk; close the store, see to the disk, and open it again",
                );
                return Err(Error::io("go on writing to", shared.file.path(), cause));
            }
            drop(broken.take());
            let database = shared.file.reopen(&shared.options)?;
            // What the failed commit left is not known; nothing cached may outlive it.
            let mut effects = Effects::new(&shared.touches);
            effects.cleared = true;
            self.publish(shared, &database, &effects)?;
            *connection = Connection::Open(database);
        }
        Ok(())
    }

    fn run(
        &self,
        shared: &Shared,
        database: &Database,
        batch: Vec<Operation>,
        effects: &mut Effects<'_>,
    ) -> Result<(Vec<Result<Outcome>>, bool), Failed> {
        let path = shared.file.path();
        let before = |error: redb::Error| Failed::Before(failure::from_redb("write", path, error));
        let during = |error: redb::Error| Failed::During(failure::from_redb("commit", path, error));

        let sync = batch.iter().any(|operation| matches!(operation, Operation::Sync));
        let mut transaction = database.begin_write().map_err(|error| before(error.into()))?;
        let durable = match shared.options.durability {
            Durability::TwoPhase => {
                transaction.set_two_phase_commit(true);
                true
            }
            Durability::Deferred { .. } if !sync => {
                transaction
                    .set_durability(redb::Durability::None)
                    .map_err(|error| before(error.into()))?;
                false
            }
            _ => true,
        };
        let mut outcomes = Vec::with_capacity(batch.len());
        let tables = Tables::open(&transaction).map_err(before)?;
        let mut state = Batch::new(tables, &shared.touches, effects);
        for operation in batch {
            let (next, outcome) = state.apply(operation).map_err(before)?;
            state = next;
            outcomes.push(outcome);
        }
        let changed = state.changed();
        drop(state);
        if !changed && !sync {
            transaction.abort().map_err(|error| before(error.into()))?;
            settle(shared, effects);
            return Ok((outcomes, false));
        }
        transaction.commit().map_err(|error| during(error.into()))?;
        self.publish(shared, database, effects).map_err(Failed::During)?;
        settle(shared, effects);
        self.needs_sync.store(!durable, Ordering::Release);
        Ok((outcomes, true))
    }

    /// Lets readers see the last commit: first the cache forgets what has changed, then the
    /// snapshot is replaced, then the cache learns what is written now.
    fn publish(&self, shared: &Shared, database: &Database, effects: &Effects<'_>) -> Result<()> {
        let commit = self.published.fetch_add(1, Ordering::AcqRel) + 1;
        let snapshot = Snapshot::of(database, commit)
            .map_err(|error| failure::from_redb("read", shared.file.path(), error))?;
        if effects.cleared {
            shared.cache.invalidate_all(commit);
        }
        for key in effects.changed.keys() {
            shared.cache.invalidate(key, commit);
        }
        shared.snapshot.store(Some(Arc::new(snapshot)));
        for (key, record) in &effects.changed {
            if let Some(record) = record {
                shared.cache.fill(key, record, commit);
            }
        }
        Ok(())
    }
}

/// Forgets the touches that the published commit holds or has made void.
fn settle(shared: &Shared, effects: &Effects<'_>) {
    shared.touches.settle(&effects.touched);
    for (key, record) in &effects.changed {
        if record.is_none() {
            shared.touches.forget(key);
        }
    }
    if effects.cleared {
        shared.touches.forget_absent(|key| {
            matches!(shared.look(|snapshot| snapshot.contains(key)), Ok(false))
        });
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Writer").field("opened_by", &self.opened_by).finish_non_exhaustive()
    }
}
