//! The write path: one group of questions, one commit.
//!
//! A group is decided on the state that readers see. Its changes become one log entry, and then the
//! overlay shows them. A checkpoint later copies the changes of many commits to redb's tables. With
//! `Deferred` the changes stay in memory for a while and then share one log entry. A question about
//! the whole store is a group of its own and works on the tables, after the tables have caught up
//! with the log.
//!
//! Invariant: one thread at a time runs here, and each answer agrees with what a reader sees. A
//! failed commit is an unknown outcome for everybody in its group, unless the reopened file shows
//! that it did not happen. An I/O error ends redb's handle, and a new handle replaces it. Changes
//! that were acknowledged in memory outlive the handle.

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
use crate::trace::span;

pub(in crate::engine::redb) struct Writer {
    state: Mutex<State>,
    /// Notified when a checkpoint has returned the connection.
    checkpointed: Condvar,
    /// A [`Due`] as a number, and whether the last checkpoint failed.
    checkpoint_due: AtomicU8,
    checkpoint_failed: AtomicBool,
    /// Why the last checkpoint failed, until the maintenance thread tells of it.
    checkpoint_failure: Mutex<Option<Error>>,
    /// The number of a durable redb commit that has begun and not finished; 0 if there is none.
    unconfirmed: AtomicU64,
    /// The number of a commit that may be on the disk, in the log or the tables, but was not shown
    /// to readers; 0 if there is none.
    in_doubt: AtomicU64,
    opened_by: Process,
    /// How often the file was reopened, and how often a reopening failed.
    openings: AtomicU64,
    failed_reopenings: AtomicU64,
    /// The number of snapshots published since the file was opened.
    published: AtomicU64,
    commits: AtomicU64,
    operations: AtomicU64,
    checkpoints: AtomicU64,
}

/// The state of the connection to the file.
enum State {
    Open(Connection, Committed),
    /// A thread has the connection, and the tables catch up with the log. Commits that need only
    /// the log continue.
    Checkpointing(Committed),
    /// An I/O error or a panic ended the handle. Reads that memory answers continue. The next call
    /// that needs the file drops the old handle, which releases its lock, and reopens the file.
    Broken(Option<Connection>),
    Closed,
}

/// Why a group did not commit.
enum Failed {
    /// Nothing was written.
    Before(Error),
    /// Something may have been written.
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
            checkpoint_failure: Mutex::new(None),
            unconfirmed: AtomicU64::new(0),
            in_doubt: AtomicU64::new(0),
            opened_by: process,
            openings: AtomicU64::new(0),
            failed_reopenings: AtomicU64::new(0),
            published: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
        }
    }

    pub(in crate::engine::redb) fn stats(&self) -> EngineStats {
        EngineStats {
            commits: self.commits.load(Ordering::Relaxed),
            committed_operations: self.operations.load(Ordering::Relaxed),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
            reopenings: self.openings.load(Ordering::Relaxed),
            ..EngineStats::default()
        }
    }

    /// Decides a group, commits its changes, and answers each question. On `Ok`, each answer is
    /// stored beside its question. An error is for every question that waits.
    pub(in crate::engine::redb) fn commit(
        &self,
        view: &View,
        group: impl Iterator<Item = Arc<dyn Question>>,
    ) -> Result<Vec<Result<()>>> {
        let _span = span!(TRACE, "commit");
        let mut effects = Effects::new(view);
        let mut state = self.state.lock();
        // Checked first: if the file was moved, a working handle is kept.
        if let Err(error) = self.ensure_open(view, &mut state) {
            // Threads that waited meanwhile get the same error. None of them tries again.
            group.for_each(drop);
            return Err(error);
        }
        // After a panic the file is reopened, with the changes in its log.
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

    /// Decides a group on the state that readers see. If a failed checkpoint has just ended the
    /// handle, reopens the file and decides the question again, unless the question has already
    /// made a change.
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
            let made = effects.made;
            let mut answer = question.decide(&mut Decider { view, effects });
            if matches!(answer, Err(redb::Error::PreviousIo)) && effects.made == made {
                view.handle_lost.store(true, Ordering::Release);
                self.wait_again(view, state, effects, !answers.is_empty())?;
                answer = question.decide(&mut Decider { view, effects });
            }
            answers.push(answer.map_err(|error| Failed::Before(view.failed_to_read(error)))?);
        }
        Ok(answers)
    }

    /// Chooses the route of the decided changes, waiting for room if needed; writes the changes and
    /// shows them.
    fn write(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &mut Effects<'_>,
    ) -> Result<(), Failed> {
        let failed = |error| Failed::During(Error::io("write the log of", view.file.path(), error));
        // The changes are encoded once, even if the log is full.
        let mut entry = match effects.durability(view.options.durability) {
            Durability::Immediate if effects.is_entry() => Entry::of(&effects.changed),
            _ => None,
        };
        let volatile = loop {
            let commit = circumstances(view, state, effects, entry.as_ref())?;
            match (decide_route(commit), &mut entry) {
                (Route::Nothing, _) => {
                    effects.forget_written(view, false);
                    return Ok(());
                }
                (Route::Memory, _) => break true,
                // A log that has just moved may have no room; then the next turn takes another
                // route.
                (Route::Log, Some(entry)) => {
                    let log = &mut state.committed().map_err(Failed::Before)?.log;
                    self.begin_doubt(log.next_number(), effects);
                    if log.append(entry).map_err(failed)? {
                        break false;
                    }
                    self.end_doubt();
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
        self.end_doubt();
        self.note_checkpoint(view, committed);
        effects.forget_written(view, volatile);
        Ok(())
    }

    /// Reopens the file after a failure, and returns the error to answer with.
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

    /// From now on the commit with this number may be on the disk without being shown.
    fn begin_doubt(&self, number: u64, effects: &Effects<'_>) {
        // A flush writes changes that are already shown.
        let unseen = if effects.flush { 0 } else { number };
        self.in_doubt.store(unseen, Ordering::Release);
    }

    fn end_doubt(&self) {
        self.in_doubt.store(0, Ordering::Release);
    }

    /// Makes this writer look like another process's.
    #[cfg(test)]
    pub(in crate::engine::redb) fn pretend_forked(&mut self) {
        self.opened_by = Process::pretended();
    }

    /// Whether this is a forked process that the engine's first check missed.
    fn is_forked(&self) -> bool {
        !self.opened_by.is_same_by_id()
    }

    /// Waits for the end of a checkpoint. A forked process does not wait, because it has no thread
    /// that would end the checkpoint.
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

/// Runs `act`, and marks redb's handle as lost if `act` panics. The thread may already be unwinding
/// from another panic.
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
