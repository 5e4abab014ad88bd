//! The writing side: one group, one commit.
//!
//! The main flow: a group is decided in view of what readers see, its changes become an entry of the
//! log, and the overlay shows them. redb's tables follow later, many commits at once. With `Deferred`
//! the changes stay in memory for a while, and then become an entry together. An operation on the store
//! as a whole lets the tables catch up first.
//!
//! Invariant: one thread at a time is in here, and what a caller is told is what a reader sees. A
//! commit that failed is answered as unknown to everybody in it, unless it is seen to be rolled
//! back; and redb's handle, which does not outlive an I/O error, is replaced. What was acknowledged in
//! memory alone outlives the handle.

pub(in crate::engine::redb) mod bulk;
pub(in crate::engine::redb) mod checkpoint;
pub(in crate::engine::redb) mod closing;
pub(in crate::engine::redb) mod decide;
pub(in crate::engine::redb) mod deferred;
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
use crate::engine::redb::commit::operation::{OnStore, Operation, Outcome};
use crate::engine::redb::commit::route::{Route, decide_route};
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::database::Connection;
use crate::engine::redb::error;
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
    /// The number of a durable commit that takes everything along and has not come to its end; 0 if
    /// there is none.
    unconfirmed: AtomicU64,
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
            unconfirmed: AtomicU64::new(0),
            opened_by: process,
            openings: AtomicU64::new(0),
            failed_reopenings: AtomicU64::new(0),
            published: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            operations: AtomicU64::new(0),
        }
    }

    pub(in crate::engine::redb) fn stats(&self) -> EngineStats {
        EngineStats {
            commits: self.commits.load(Ordering::Relaxed),
            committed_operations: self.operations.load(Ordering::Relaxed),
            ..EngineStats::default()
        }
    }

    /// Carries out a group, commits what it changes, and answers each operation. One on the store as a
    /// whole ends the group, and is a commit of its own: its failure is nobody else's.
    pub(in crate::engine::redb) fn commit(
        &self,
        view: &View,
        group: impl Iterator<Item = Operation>,
    ) -> Result<Vec<Result<Outcome>>> {
        let mut effects = Effects::new(&view.touches);
        let mut state = self.state.lock();
        // Nothing was written, and a handle that works is not given up for a file that was moved.
        self.ensure_open(view, &mut state)?;
        // Whoever panics on the way leaves a file that is reopened, with what its log says.
        let done = losing_handle_by_panic(view, || {
            let (outcomes, next) = self.decide(view, &mut state, group, &mut effects)?;
            self.write(view, &mut state, &mut effects)?;
            Ok((outcomes, next))
        });
        let (mut outcomes, next) =
            done.map_err(|failed| self.fail(view, &mut state, &effects, failed))?;
        self.count(&effects, outcomes.len());
        // What was condemned takes touches again.
        drop(effects);
        if let Some(operation) = next {
            outcomes.push(self.commit_on_store(view, &mut state, operation));
        }
        Ok(outcomes)
    }

    /// Carries out operations in view of what readers see, up to the first one on the store as a whole.
    fn decide(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        group: impl Iterator<Item = Operation>,
        effects: &mut Effects<'_>,
    ) -> Result<(Vec<Result<Outcome>>, Option<OnStore>), Failed> {
        let ledger = state.ledger().map_err(Failed::Before)?;
        effects.begin(ledger, self.openings.load(Ordering::Acquire));
        let mut outcomes = Vec::new();
        for operation in group {
            match operation {
                Operation::OnSessions(operation) => {
                    let carried_out = !outcomes.is_empty();
                    outcomes.push(self.view(view, state, operation, effects, carried_out)?);
                }
                Operation::OnStore(operation) => return Ok((outcomes, Some(operation))),
            }
        }
        Ok((outcomes, None))
    }

    /// Puts what was decided where it belongs, and shows it.
    fn write(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Failed> {
        if effects.wrote {
            // A checkpoint that ends makes room in memory.
            if view.overlay.is_full() {
                self.wait_again(view, state, effects, true)?;
            }
            let volatile = match decide_route(view.options.durability, view.overlay.is_full()) {
                Route::Database => return self.write_to_tables(view, state, effects),
                Route::Log if !self.append(view, state, effects)? => {
                    return self.write_to_tables(view, state, effects);
                }
                Route::Log => false,
                Route::Memory => true,
            };
            let ledger = state.ledger().map_err(Failed::Before)?;
            ledger.behind.extend(effects.changed.keys());
            ledger.stored = effects.stored;
            view.show_changes(&effects.changed, volatile, effects.stored);
            self.note_checkpoint(view, ledger);
        }
        effects.settle(view);
        Ok(())
    }

    /// After a failure: what is to be told of it, once the file was reopened.
    fn fail(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &Effects<'_>,
        failed: Failed,
    ) -> Error {
        self.give_up(view, state);
        match self.recover(view, state, effects, failed) {
            Failed::Before(error) => error,
            Failed::During(error) => error::outcome_unknown(&error),
        }
    }

    fn count(&self, effects: &Effects<'_>, operations: usize) {
        if effects.wrote {
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.operations.fetch_add(operations as u64, Ordering::Relaxed);
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
