//! The writing side: one batch, one transaction, one commit.
//!
//! Invariant: one thread at a time is in here, and what a caller is told is what a reader sees. A
//! commit that failed is answered as unknown to everybody in it, unless it is seen to be rolled
//! back; and redb's handle, which does not outlive an I/O error, is opened anew.

mod publishing;
mod reopening;
mod way;

use self::way::{Way, settle};
use super::batch::{Batch, Effects};
use super::connection::Connection;
use super::failure;
use super::operation::{Operation, Outcome};
use super::shared::Shared;
use super::unwinding::holding;
use crate::engine::EngineStats;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::{Durability, Error, Result};

pub(super) struct Writer {
    state: Mutex<State>,
    /// Whether something acknowledged is in memory only, or the handle needs opening anew.
    needs_sync: AtomicBool,
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

/// What became of a batch.
struct Done {
    outcomes: Vec<Result<Outcome>>,
    /// Whether there was anything to commit.
    committed: bool,
    /// Whether a snapshot shows it, where one was asked for.
    published: Result<()>,
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

    pub(super) fn stats(&self) -> EngineStats {
        EngineStats {
            commits: self.commits.load(Ordering::Relaxed),
            committed_operations: self.operations.load(Ordering::Relaxed),
            ..EngineStats::default()
        }
    }

    /// Carries out a batch in one transaction, and answers each operation.
    pub(super) fn commit(
        &self,
        shared: &Shared,
        batch: impl Iterator<Item = Operation>,
    ) -> Result<Vec<Result<Outcome>>> {
        let mut effects = Effects::new(&shared.touches);
        self.transact(shared, batch, &mut effects).map_err(|failed| match failed {
            Failed::Before(error) => error,
            Failed::During(error) => failure::outcome_unknown(&error),
        })
    }

    /// Lets go of the file. What comes later is answered with [`Error::Closed`].
    pub(super) fn close(&self, shared: &Shared) -> Result<()> {
        let mut state = self.state.lock();
        shared.snapshot.store(None);
        shared.cache.invalidate_all(u64::MAX);
        shared.filter.forget();
        shared.overlay.clear();
        let state = std::mem::replace(&mut *state, State::Closed);
        if self.is_forked() {
            // Closing would write to the file, and release the lock, of the process that owns it.
            std::mem::forget(state);
            return Err(Error::Forked { opened_by: self.opened_by });
        }
        match state {
            State::Open(connection) => {
                let in_memory = self.needs_sync();
                let in_log = connection.log.is_in_use();
                let closed = match in_memory || in_log {
                    true => connection.close_with_commit(shared.options.durability),
                    false => connection.close(),
                };
                let path = shared.file.path();
                match closed.map_err(|error| failure::from_redb("close", path, error)) {
                    // What did not find room in the database stays in the log.
                    Err(Error::StorageFull { .. }) if in_log && !in_memory => Ok(()),
                    closed => closed,
                }
            }
            State::Broken(_) | State::Closed => Ok(()),
        }
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
        batch: impl Iterator<Item = Operation>,
        effects: &mut Effects<'_>,
    ) -> Result<Vec<Result<Outcome>>, Failed> {
        let mut state = self.state.lock();
        self.check(shared, &mut state).map_err(Failed::Before)?;
        // Whoever panics on the way leaves a file that is opened anew, with what its log says.
        let _lost_by_panic = LostByPanic(shared);
        let connection = match std::mem::replace(&mut *state, State::Broken(None)) {
            State::Open(connection) => connection,
            other => {
                *state = other;
                return Err(Failed::Before(Error::Closed));
            }
        };
        let (connection, result) =
            holding(connection, |connection| self.run(shared, connection, batch, effects));
        match result {
            Ok(Done { mut outcomes, committed, published }) => {
                if committed {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    self.operations.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
                }
                *state = State::Open(connection);
                if published.is_err() {
                    self.give_up(&mut state);
                    // A file that was opened anew shows everything.
                    if let Err(error) = self.check(shared, &mut state) {
                        let asked =
                            outcomes.iter_mut().filter(|it| matches!(it, Ok(Outcome::Published)));
                        asked.for_each(|outcome| *outcome = Err(error.clone()));
                    }
                }
                Ok(outcomes)
            }
            Err(failed) => {
                *state = State::Open(connection);
                self.give_up(&mut state);
                Err(self.recover(shared, &mut state, effects, failed))
            }
        }
    }

    fn run(
        &self,
        shared: &Shared,
        connection: &mut Connection,
        batch: impl Iterator<Item = Operation>,
        effects: &mut Effects<'_>,
    ) -> Result<Done, Failed> {
        let path = shared.file.path();
        let before = |error: redb::Error| Failed::Before(failure::from_redb("write", path, error));
        let during = |error: redb::Error| Failed::During(failure::from_redb("commit", path, error));
        if shared.overlay.is_full() {
            self.publish_in_memory(shared, connection).map_err(Failed::Before)?;
        }

        let tables = connection.tables().map_err(before)?;
        let mut state = Batch::new(tables, &shared.touches, effects);
        let mut outcomes = Vec::new();
        for operation in batch {
            let (next, outcome) = state.apply(operation).map_err(before)?;
            state = next;
            outcomes.push(outcome);
        }
        let changed = state.into_tables().changed();
        // A sweep that a crash may undo must not be what a promise rests on: who is told that a
        // session is gone already was told that it stays so.
        effects.sync |= connection.swept && effects.ends_unseen;
        let rests_on_sweep = connection.swept && effects.promised && !effects.changed.is_empty();
        let committed = changed || rests_on_sweep || effects.sync;
        if committed {
            let way = Way::of(&shared.options, &mut connection.log, effects)
                .map_err(|error| Failed::During(Error::io("write the log of", path, error)))?;
            if way == Way::Database {
                connection.commit_to_disk(shared.options.durability).map_err(during)?;
            }
            shared.overlay.add(&effects.changed, effects.cleared);
            match way {
                Way::Memory => {
                    self.needs_sync.store(true, Ordering::Release);
                    connection.swept |=
                        effects.swept && shared.options.durability == Durability::Immediate;
                }
                Way::Database => self.needs_sync.store(false, Ordering::Release),
                // What was in memory only still is.
                Way::Log => {}
            }
            if way != Way::Database && effects.in_bulk {
                connection.commit_in_memory().map_err(during)?;
            }
            // The overlay does not show everything that is done in bulk.
            if way == Way::Database || effects.in_bulk {
                let published = self.publish(shared, &connection.database, effects.cleared);
                published.map_err(Failed::During)?;
            }
            settle(shared, &mut connection.unsynced, effects, way);
        } else {
            // What the touches say is in an earlier commit.
            let held_by = if self.needs_sync() { Way::Memory } else { Way::Database };
            settle(shared, &mut connection.unsynced, effects, held_by);
        }
        let published = match effects.publish && !shared.overlay.is_empty() {
            true => self.publish_in_memory(shared, connection),
            false => Ok(()),
        };
        Ok(Done { outcomes, committed, published })
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

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Writer").field("opened_by", &self.opened_by).finish_non_exhaustive()
    }
}
