//! The writing side: one batch, one commit.
//!
//! The main flow: a batch is carried out in view of what readers see, its changes become an entry of
//! the log, and the overlay shows them. redb's tables follow later, many commits at once. What needs
//! the tables themselves lets them catch up first.
//!
//! Invariant: one thread at a time is in here, and what a caller is told is what a reader sees. A
//! commit that failed is answered as unknown to everybody in it, unless it is seen to be rolled
//! back; and redb's handle, which does not outlive an I/O error, is opened anew.

pub(in crate::engine::redb) mod bulk;
pub(in crate::engine::redb) mod checkpoint;
pub(in crate::engine::redb) mod decide;
pub(in crate::engine::redb) mod effects;
pub(in crate::engine::redb) mod end;
pub(in crate::engine::redb) mod expire;
pub(in crate::engine::redb) mod ground;
pub(in crate::engine::redb) mod operation;
pub(in crate::engine::redb) mod publish;
pub(in crate::engine::redb) mod queue;
pub(in crate::engine::redb) mod reopen;
pub(in crate::engine::redb) mod route;
pub(in crate::engine::redb) mod state;
pub(in crate::engine::redb) mod to_log;
pub(in crate::engine::redb) mod to_tables;

use crate::engine::outcome::EngineStats;
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::operation::{Operation, Outcome};
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::commit::to_log::InView;
use crate::engine::redb::database::Connection;
use crate::engine::redb::error;
use crate::engine::redb::file::unwinding::holding;
pub(in crate::engine::redb) use crate::engine::redb::log::Due;
use crate::engine::redb::view::View;
use crate::error::{Error, Result};
use crate::process::Process;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

pub(in crate::engine::redb) struct Writer {
    state: Mutex<State>,
    /// Told when a checkpoint has given the connection back.
    checkpointed: Condvar,
    /// Whether the log is to be checkpointed, as a number, and whether the last try to do so has failed.
    checkpoint_due: AtomicU8,
    checkpoint_failed: AtomicBool,
    /// Whether something acknowledged is in memory only, or the handle needs opening anew.
    needs_sync: AtomicBool,
    opened_by: Process,
    /// How often the file was opened anew, and how often it could not be.
    openings: AtomicU64,
    failed_reopenings: AtomicU64,
    /// Published snapshots since the file was opened.
    published: AtomicU64,
    commits: AtomicU64,
    operations: AtomicU64,
}

/// The way to the file, as it stands.
enum State {
    Open(Connection, Committed),
    /// A thread lets the tables catch up with the log, and has the connection. Commits that need
    /// no more than the log go on.
    Checkpointing(Committed),
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
    pub(in crate::engine::redb) fn new(
        process: Process,
        connection: Connection,
        ledger: Committed,
    ) -> Self {
        Self {
            state: Mutex::new(State::Open(connection, ledger)),
            checkpointed: Condvar::new(),
            checkpoint_due: AtomicU8::new(0),
            checkpoint_failed: AtomicBool::new(false),
            needs_sync: AtomicBool::new(false),
            opened_by: process,
            openings: AtomicU64::new(0),
            failed_reopenings: AtomicU64::new(0),
            published: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            operations: AtomicU64::new(0),
        }
    }

    pub(in crate::engine::redb) fn needs_sync(&self) -> bool {
        self.needs_sync.load(Ordering::Acquire)
    }

    pub(in crate::engine::redb) fn stats(&self) -> EngineStats {
        EngineStats {
            commits: self.commits.load(Ordering::Relaxed),
            committed_operations: self.operations.load(Ordering::Relaxed),
            ..EngineStats::default()
        }
    }

    /// Carries out a batch, commits what it changes, and answers each operation.
    pub(in crate::engine::redb) fn commit(
        &self,
        view: &View,
        batch: impl Iterator<Item = Operation>,
    ) -> Result<Vec<Result<Outcome>>> {
        let mut effects = Effects::new(&view.touches);
        let mut state = self.state.lock();
        // Nothing was written, and a handle that works is not given up for a file that was moved.
        self.ensure_open(view, &mut state)?;
        // Whoever panics on the way leaves a file that is reopened, with what its log says.
        let done =
            losing_handle_by_panic(view, || self.transact(view, &mut state, batch, &mut effects));
        let done = match done {
            Ok(done) => done,
            Err(failed) => {
                self.give_up(view, &mut state);
                return Err(match self.recover(view, &mut state, &effects, failed) {
                    Failed::Before(error) => error,
                    Failed::During(error) => error::outcome_unknown(&error),
                });
            }
        };
        let Done { mut outcomes, committed, published } = done;
        if committed {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.operations.fetch_add(outcomes.len() as u64, Ordering::Relaxed);
        }
        if published.is_err() {
            self.give_up(view, &mut state);
            // A file that was opened anew shows everything.
            if let Err(error) = self.ensure_open(view, &mut state) {
                let asked = outcomes.iter_mut().filter(|it| matches!(it, Ok(Outcome::Published)));
                asked.for_each(|outcome| *outcome = Err(error.clone()));
            }
        }
        Ok(outcomes)
    }

    /// Lets go of the file. What comes later is answered with [`Error::Closed`].
    pub(in crate::engine::redb) fn close(&self, view: &View) -> Result<()> {
        let mut state = self.state.lock();
        self.wait_for_checkpoint(&mut state);
        view.snapshot.store(None);
        view.cache.invalidate_all(u64::MAX);
        view.filter.forget();
        let state = std::mem::replace(&mut *state, State::Closed);
        let closed = match state {
            State::Open(connection, ledger) => self.close_open(view, connection, ledger),
            State::Checkpointing(_) | State::Broken(_) | State::Closed => Ok(()),
        };
        view.overlay.clear();
        closed
    }

    fn close_open(
        &self,
        view: &View,
        mut connection: Connection,
        mut ledger: Committed,
    ) -> Result<()> {
        if let Err(error) = view.file.ensure_as_left() {
            // Nothing is written to it any more; this gives the lock back.
            let _ = connection.close();
            return Err(error);
        }
        let (in_memory, in_log) = (self.needs_sync(), ledger.log.is_in_use());
        let committed = match in_memory || in_log {
            true => ledger
                .catch_up(&mut connection, &view.overlay)
                .and_then(|()| ledger.commit_to_disk(&mut connection, view.options.durability)),
            false => Ok(()),
        };
        ledger.log.release_on_close();
        let closed = committed.and(connection.close());
        let path = view.file.path();
        match closed.map_err(|error| error::from_redb("close", path, error)) {
            // What did not find room in the database stays in the log.
            Err(Error::StorageFull { .. }) if in_log && !in_memory => Ok(()),
            closed => closed,
        }
    }

    /// Makes this the writer of another process, as far as it can tell.
    #[cfg(test)]
    pub(in crate::engine::redb) fn pretend_forked(&mut self) {
        self.opened_by = Process::pretended();
    }

    /// Whether a process has come here that the engine's first look did not tell from its own.
    fn is_forked(&self) -> bool {
        !self.opened_by.is_same_by_id()
    }

    /// Waits until no checkpoint is under way. In a forked process there is nobody to end one.
    fn wait_for_checkpoint(&self, state: &mut MutexGuard<'_, State>) {
        while matches!(**state, State::Checkpointing(_)) && !self.is_forked() {
            self.checkpointed.wait(state);
        }
    }

    fn transact(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        mut batch: impl Iterator<Item = Operation>,
        effects: &mut Effects<'_>,
    ) -> Result<Done, Failed> {
        let (outcomes, next) = match self.commit_in_view(view, state, &mut batch, effects)? {
            InView::Done(done) => return Ok(done),
            InView::NeedsTables(outcomes, next) => (outcomes, next),
        };
        self.wait_again(view, state, effects, !outcomes.is_empty())?;
        let open = match std::mem::replace(&mut **state, State::Broken(None)) {
            State::Open(connection, ledger) => (connection, ledger),
            other => {
                **state = other;
                return Err(Failed::Before(Error::Closed));
            }
        };
        let rest = next.into_iter().chain(batch);
        let ((connection, ledger), result) = holding(open, |(connection, ledger)| {
            self.commit_on_tables(view, connection, ledger, outcomes, rest, effects)
        });
        **state = State::Open(connection, ledger);
        result
    }
}

impl State {
    fn ledger(&mut self) -> Result<&mut Committed> {
        match self {
            Self::Open(_, ledger) | Self::Checkpointing(ledger) => Ok(ledger),
            Self::Broken(_) | Self::Closed => Err(Error::Closed),
        }
    }
}

/// Does something that takes redb's handle along if it panics, and notes that the handle is lost
/// then. The thread may be unwinding already, by a panic that has nothing to do with this.
fn losing_handle_by_panic<T>(view: &View, act: impl FnOnce() -> T) -> T {
    struct Lost<'a>(Option<&'a View>);
    impl Drop for Lost<'_> {
        fn drop(&mut self) {
            if let Some(view) = self.0 {
                view.handle_lost.store(true, Ordering::Release);
            }
        }
    }
    let mut lost = Lost(Some(view));
    let done = act();
    lost.0 = None;
    done
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Writer").field("opened_by", &self.opened_by).finish_non_exhaustive()
    }
}
