//! The writing side: one group, one commit.
//!
//! The main flow, each step once: decide in view of what readers see, which gives effects as data;
//! choose the route; write, which is one entry of the log, or redb's tables, or nothing yet; show; settle
//! the touches; answer. redb's tables follow the log later, many commits at once.
//!
//! Invariant: one thread at a time is in here, and what a caller is told is what a reader sees. A
//! commit that failed is answered as unknown to everybody in it, unless it is seen to be rolled
//! back; and redb's handle, which does not outlive an I/O error, is replaced. What was acknowledged in
//! memory alone outlives the handle.

pub(in crate::engine::redb) mod bulk;
pub(in crate::engine::redb) mod checkpoint;
pub(in crate::engine::redb) mod closing;
pub(in crate::engine::redb) mod decide;
pub(in crate::engine::redb) mod effects;
pub(in crate::engine::redb) mod end;
pub(in crate::engine::redb) mod expire;
pub(in crate::engine::redb) mod question;
pub(in crate::engine::redb) mod queue;
pub(in crate::engine::redb) mod reopen;
pub(in crate::engine::redb) mod route;
pub(in crate::engine::redb) mod state;
pub(in crate::engine::redb) mod to_log;
pub(in crate::engine::redb) mod to_tables;

use std::sync::Arc;

use crate::engine::durability::Durability;
use crate::engine::outcome::EngineStats;
use crate::engine::redb::commit::decide::Decider;
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::question::Question;
use crate::engine::redb::commit::route::{Route, decide_route};
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::commit::to_log::circumstances;
use crate::engine::redb::database::Connection;
use crate::engine::redb::error;
pub(in crate::engine::redb) use crate::engine::redb::log::Due;
use crate::engine::redb::log::Entry;
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
    /// How often the file was reopened, and how often it could not be.
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

/// Why a group did not commit.
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
        committed: Committed,
    ) -> Self {
        Self {
            state: Mutex::new(State::Open(connection, committed)),
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

    /// Decides a group, commits what it changes, and answers each question: by no error, which says that
    /// the answer stands beside it.
    pub(in crate::engine::redb) fn commit(
        &self,
        view: &View,
        group: impl Iterator<Item = Arc<dyn Question>>,
    ) -> Result<Vec<Result<()>>> {
        let mut effects = Effects::new(view);
        let mut state = self.state.lock();
        // Nothing was written, and a handle that works is not given up for a file that was moved.
        self.ensure_open(view, &mut state)?;
        // Whoever panics on the way leaves a file that is reopened, with what its log says.
        let done = losing_handle_by_panic(view, || {
            let answers = self.decide(view, &mut state, group, &mut effects)?;
            self.write(view, &mut state, &mut effects)?;
            Ok(answers)
        });
        if effects.change_anything() && done.is_ok() {
            self.commits.fetch_add(1, Ordering::Relaxed);
            let decided = if effects.flush { 0 } else { done.as_ref().map_or(0, Vec::len) };
            self.operations.fetch_add(decided as u64, Ordering::Relaxed);
        }
        done.map_err(|failed| self.fail(view, &mut state, &effects, failed))
    }

    /// Decides a group in view of what readers see. A question is decided once more, in view of a file
    /// that was reopened, if a checkpoint has just failed and ended the handle.
    fn decide<'v>(
        &self,
        view: &'v View,
        state: &mut MutexGuard<'_, State>,
        group: impl Iterator<Item = Arc<dyn Question>>,
        effects: &mut Effects<'v>,
    ) -> Result<Vec<Result<()>>, Failed> {
        let committed = state.committed().map_err(Failed::Before)?;
        effects.begin(committed, self.openings.load(Ordering::Acquire));
        let mut answers: Vec<Result<()>> = Vec::new();
        for question in group {
            let changed = effects.changed.len();
            let mut answer = question.decide(&mut Decider { view, effects });
            if matches!(answer, Err(redb::Error::PreviousIo)) && effects.changed.len() == changed {
                view.handle_lost.store(true, Ordering::Release);
                self.wait_again(view, state, effects, !answers.is_empty())?;
                answer = question.decide(&mut Decider { view, effects });
            }
            answers.push(answer.map_err(|error| Failed::Before(view.failed_to_read(error)))?);
        }
        Ok(answers)
    }

    /// Chooses the route of what was decided, once there is room for it; writes it, and shows it.
    fn write(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Failed> {
        if effects.publish {
            return self.publish_everything(view, state);
        }
        let failed = |error| Failed::During(Error::io("write the log of", view.file.path(), error));
        // Encoded once, whatever is full.
        let mut entry = match effects.durability(view.options.durability) {
            Durability::Immediate if effects.is_entry() => Entry::of(&effects.changed),
            _ => None,
        };
        let volatile = loop {
            let commit = circumstances(view, state, effects, entry.as_ref())?;
            match (decide_route(commit), &mut entry) {
                (Route::Nothing, _) => {
                    effects.settle(view);
                    return Ok(());
                }
                (Route::Memory, _) => break true,
                // If the log has just moved it has no room, and the route is another.
                (Route::Log, Some(entry)) => {
                    let log = &mut state.committed().map_err(Failed::Before)?.log;
                    if log.append(entry).map_err(failed)? {
                        break false;
                    }
                }
                (Route::AfterCheckpoint, _) => self.wait_again(view, state, effects, true)?,
                (Route::Database | Route::Log, _) => {
                    return self.write_to_tables(view, state, effects);
                }
            }
        };
        let committed = state.committed().map_err(Failed::Before)?;
        committed.behind.extend(effects.changed.keys());
        committed.stored = effects.stored;
        view.show_changes(&effects.changed, volatile, effects.stored);
        if effects.flush {
            self.checkpoint_failed.store(false, Ordering::Release);
        }
        self.note_checkpoint(view, committed);
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
    fn committed(&mut self) -> Result<&mut Committed> {
        match self {
            Self::Open(_, committed) | Self::Checkpointing(committed) => Ok(committed),
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
