//! The writing side: one batch, one transaction, one commit.
//!
//! Invariant: one thread at a time is in here, and what a caller is told is what a reader sees. A
//! commit that failed is answered as unknown to everybody in it, unless it is seen to be rolled
//! back; and redb's handle, which does not outlive an I/O error, is opened anew.

use std::sync::Arc;

use super::batch::{Batch, Effects};
use super::failure;
use super::file::Connection;
use super::operation::{Operation, Outcome};
use super::options::RedbOptions;
use super::shared::Shared;
use super::snapshot::Snapshot;
use super::tables::Tables;
use super::write_ahead_log::WriteAheadLog;
use crate::engine::EngineStats;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::{Durability, Error, Result};

pub(super) struct Writer {
    state: Mutex<State>,
    /// Whether something acknowledged is in memory only, or the handle needs opening anew.
    needs_sync: AtomicBool,
    /// Whether something acknowledged is in the log, and not yet in redb's part of the file.
    uses_log: AtomicBool,
    opened_by: u32,
    /// How often the file could not be opened anew.
    failed_reopenings: AtomicU64,
    /// Published snapshots since the file was opened.
    published: AtomicU64,
    commits: AtomicU64,
    operations: AtomicU64,
}

/// The way to the file, as it stands.
enum State {
    Open(Connection),
    /// An I/O error, or a panic, has ended it. Reads of what is in memory go on; the next call that
    /// needs the file opens it anew, for which the old handle, and with it the lock, has to go first.
    Broken(Option<Connection>),
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
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            uses_log: AtomicBool::new(connection.log.is_in_use()),
            state: Mutex::new(State::Open(connection)),
            needs_sync: AtomicBool::new(false),
            opened_by: std::process::id(),
            failed_reopenings: AtomicU64::new(0),
            published: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            operations: AtomicU64::new(0),
        }
    }

    pub(super) fn needs_sync(&self) -> bool {
        self.needs_sync.load(Ordering::Acquire)
    }

    pub(super) fn uses_log(&self) -> bool {
        self.uses_log.load(Ordering::Acquire)
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
        let mut state = self.state.lock();
        shared.snapshot.store(None);
        shared.cache.invalidate_all(u64::MAX);
        shared.filter.forget();
        let state = std::mem::replace(&mut *state, State::Closed);
        if self.is_forked() {
            // Closing would write to the file, and release the lock, of the process that owns it.
            std::mem::forget(state);
            return Err(Error::Forked { opened_by: self.opened_by });
        }
        match state {
            State::Open(Connection { database, log }) => {
                log.retire();
                let closed = database.close();
                let path = shared.file.path();
                match closed.map_err(|error| failure::from_redb("close", path, error.into())) {
                    // What did not find room in the database is in the log.
                    Err(Error::StorageFull { .. }) if log.is_in_use() => Ok(()),
                    closed => closed,
                }
            }
            State::Broken(_) | State::Closed => Ok(()),
        }
    }

    /// Opens the file anew if its handle is lost, so that reads go on. Threads that waited while
    /// another one tried in vain do not try again.
    pub(super) fn reopen(&self, shared: &Shared) -> Result<()> {
        let failed_before = self.failed_reopenings.load(Ordering::Acquire);
        let mut state = self.state.lock();
        if !shared.is_handle_lost() {
            return Ok(());
        }
        if self.failed_reopenings.load(Ordering::Acquire) != failed_before {
            let cause = std::io::Error::other("it could not be opened anew after an error");
            return Err(Error::io("read", shared.file.path(), cause));
        }
        self.check(shared, &mut state)
    }

    /// Does something while no commit is under way.
    pub(super) fn between_commits<T>(&self, act: impl FnOnce() -> T) -> T {
        let _state = self.state.lock();
        act()
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
        let mut state = self.state.lock();
        self.check(shared, &mut state).map_err(Failed::Before)?;
        // Whoever panics on the way leaves a file that is opened anew, with what its log says.
        let _lost_by_panic = LostByPanic(shared);
        let mut connection = match std::mem::replace(&mut *state, State::Broken(None)) {
            State::Open(connection) => connection,
            other => {
                *state = other;
                return Err(Failed::Before(Error::Closed));
            }
        };
        let operations = batch.len() as u64;
        let result = self.run(shared, &mut connection, batch, effects);
        self.uses_log.store(connection.log.is_in_use(), Ordering::Release);
        match result {
            Ok((outcomes, committed)) => {
                if committed {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    self.operations.fetch_add(operations, Ordering::Relaxed);
                }
                *state = State::Open(connection);
                Ok(outcomes)
            }
            Err(failed) => {
                // redb refuses everything after an I/O error; a fresh handle goes on.
                self.needs_sync.store(true, Ordering::Release);
                *state = State::Broken(Some(connection));
                Err(self.recover(shared, &mut state, effects, failed))
            }
        }
    }

    /// Opens the file anew, so that reads go on, and looks whether it holds what failed to commit.
    /// A commit is all or nothing: one key that is not as the batch would have left it shows that
    /// nothing of it is there, nor ever will be.
    fn recover(
        &self,
        shared: &Shared,
        state: &mut State,
        effects: &Effects<'_>,
        failed: Failed,
    ) -> Failed {
        let Failed::During(error) = failed else {
            // Whether this works or not, nothing was written; the next commit tries again.
            let _ = self.check(shared, state);
            return failed;
        };
        if self.check(shared, state).is_err() {
            return Failed::During(error);
        }
        let rolled_back = effects.changed.iter().any(|(key, record)| {
            let stored = shared.look(|snapshot| snapshot.get(key));
            matches!(stored.and_then(Option::transpose), Ok(stored) if stored != *record)
        });
        if rolled_back { Failed::Before(error) } else { Failed::During(error) }
    }

    /// Makes sure that a commit would go to the right file, from the right process.
    fn check(&self, shared: &Shared, state: &mut State) -> Result<()> {
        if self.is_forked() {
            return Err(Error::Forked { opened_by: self.opened_by });
        }
        shared.file.check_in_place()?;
        if shared.is_handle_lost() {
            // By a read: nothing can be written through it either.
            *state = match std::mem::replace(state, State::Closed) {
                State::Open(connection) => State::Broken(Some(connection)),
                other => other,
            };
        }
        if let State::Broken(broken) = state {
            if shared.file.sync_failed() {
                let cause = std::io::Error::other(
                    "an earlier sync failed, so the operating system may hold pages for written \
                     that are not on the disk; close the store, see to the disk, and open it again",
                );
                return Err(Error::io("go on writing to", shared.file.path(), cause));
            }
            shared.handle_lost.store(true, Ordering::Release);
            drop(broken.take());
            let reopened = self.connect_anew(shared);
            if reopened.is_err() {
                self.failed_reopenings.fetch_add(1, Ordering::AcqRel);
            }
            *state = State::Open(reopened?);
        }
        Ok(())
    }

    fn connect_anew(&self, shared: &Shared) -> Result<Connection> {
        let connection = shared.file.reopen(&shared.options)?;
        // What the failed commit left is not known; nothing cached may outlive it.
        shared.filter.forget();
        let mut effects = Effects::new(&shared.touches);
        effects.cleared = true;
        self.publish(shared, &connection.database, &effects)?;
        self.uses_log.store(connection.log.is_in_use(), Ordering::Release);
        self.needs_sync.store(false, Ordering::Release);
        shared.handle_lost.store(false, Ordering::Release);
        Ok(connection)
    }

    fn run(
        &self,
        shared: &Shared,
        connection: &mut Connection,
        batch: Vec<Operation>,
        effects: &mut Effects<'_>,
    ) -> Result<(Vec<Result<Outcome>>, bool), Failed> {
        let path = shared.file.path();
        let before = |error: redb::Error| Failed::Before(failure::from_redb("write", path, error));
        let during = |error: redb::Error| Failed::During(failure::from_redb("commit", path, error));
        let Connection { database, log } = connection;

        let mut transaction = database.begin_write().map_err(|error| before(error.into()))?;
        let tables = Tables::open(&transaction).map_err(before)?;
        let mut state = Batch::new(tables, &shared.touches, effects);
        let mut outcomes = Vec::with_capacity(batch.len());
        for operation in batch {
            let (next, outcome) = state.apply(operation).map_err(before)?;
            state = next;
            outcomes.push(outcome);
        }
        let mut tables = state.into_tables();
        if !tables.changed() && !effects.sync {
            drop(tables);
            transaction.abort().map_err(|error| before(error.into()))?;
            settle(shared, effects);
            return Ok((outcomes, false));
        }
        let way = Way::of(&shared.options, log, effects)
            .map_err(|error| Failed::During(Error::io("write the log of", path, error)))?;
        if way == Way::Database && log.is_in_use() {
            log.note_sequence(&mut tables).map_err(before)?;
        }
        drop(tables);
        match way {
            Way::Database => {
                transaction.set_two_phase_commit(shared.options.durability == Durability::TwoPhase)
            }
            Way::Log | Way::Memory => transaction
                .set_durability(redb::Durability::None)
                .map_err(|error| during(error.into()))?,
        }
        transaction.commit().map_err(|error| during(error.into()))?;
        if way == Way::Database {
            log.restart();
        }
        self.publish(shared, database, effects).map_err(Failed::During)?;
        settle(shared, effects);
        self.needs_sync.store(way == Way::Memory, Ordering::Release);
        Ok((outcomes, true))
    }

    /// Lets readers see the last commit: first the cache forgets what has changed, then the
    /// snapshot is replaced, then the cache learns what is written now.
    fn publish(
        &self,
        shared: &Shared,
        database: &redb::Database,
        effects: &Effects<'_>,
    ) -> Result<()> {
        let commit = self.published.fetch_add(1, Ordering::AcqRel) + 1;
        let snapshot = Snapshot::of(database, commit)
            .map_err(|error| failure::from_redb("read", shared.file.path(), error))?;
        if effects.cleared {
            shared.cache.invalidate_all(commit);
        }
        for (key, record) in &effects.changed {
            shared.cache.invalidate(key, commit);
            if record.is_some() {
                shared.filter.add(key);
            }
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

/// Notes that the handle is lost where a panic takes it along.
struct LostByPanic<'a>(&'a Shared);

impl Drop for LostByPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.handle_lost.store(true, Ordering::Release);
        }
    }
}

/// How a commit gets to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In the log, already; redb keeps it in memory until a later commit takes it along.
    Log,
    /// In redb's pages, with everything that was in the log or in memory only.
    Database,
    /// Not at all, until a later commit takes it along.
    Memory,
}

impl Way {
    /// Decides, and writes what goes into the log.
    fn of(
        options: &RedbOptions,
        log: &mut WriteAheadLog,
        effects: &Effects<'_>,
    ) -> std::io::Result<Self> {
        match options.durability {
            Durability::Deferred { .. } if !effects.sync => return Ok(Self::Memory),
            Durability::Immediate if !effects.in_bulk => {}
            _ => return Ok(Self::Database),
        }
        let changes = effects.changed.iter().map(|(key, record)| {
            let bytes = record.as_ref().map(|record| record.encode(key));
            (*key, bytes)
        });
        Ok(if log.append(changes)? { Self::Log } else { Self::Database })
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
