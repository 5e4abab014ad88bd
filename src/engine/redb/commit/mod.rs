//! The write path: one group, one commit.
//!
//! A group is decided on what readers see. Its changes become an entry of the log, and then the
//! overlay shows them. redb's tables follow later, many commits at once. With `Deferred` the
//! changes stay in memory for a while and then become one entry together. A question on the store
//! as a whole is a group of its own, on the tables, which catch up first.
//!
//! Invariant: one thread at a time is in here, and a caller is told what a reader sees. A commit
//! that failed is an unknown outcome to everybody in it, unless it is seen not to have happened.
//! redb's handle ends with an I/O error and is replaced. What was acknowledged in memory alone
//! outlives the handle.

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
    /// Notified when a checkpoint has given the connection back.
    checkpointed: Condvar,
    /// A [`Due`] as a number, and whether the last checkpoint failed.
    checkpoint_due: AtomicU8,
    checkpoint_failed: AtomicBool,
    /// The number of a durable commit of redb that has begun and not finished; 0 if there is none.
    unconfirmed: AtomicU64,
    /// The number of a commit that may be on the disk, in the log or the tables, and that no reader
    /// was shown; 0 if there is none.
    in_doubt: AtomicU64,
    opened_by: Process,
    /// How often the file was reopened, and how often that failed.
    openings: AtomicU64,
    failed_reopenings: AtomicU64,
    /// Published snapshots since the file was opened.
    published: AtomicU64,
    commits: AtomicU64,
    operations: AtomicU64,
    checkpoints: AtomicU64,
}

/// The state of the connection to the file.
enum State {
    Open(Connection, Committed),
    /// A thread has the connection, and the tables catch up with the log. Commits that need no more
    /// than the log go on.
    Checkpointing(Committed),
    /// An I/O error or a panic ended it. Reads of what is in memory go on. The next call that needs
    /// the file reopens it; the old handle goes first, and with it the lock.
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

    /// Decides a group, commits what it changes, and answers each question. `Ok` says that the
    /// answer is in its place beside the question.
    pub(in crate::engine::redb) fn commit(
        &self,
        view: &View,
        group: impl Iterator<Item = Arc<dyn Question>>,
    ) -> Result<Vec<Result<()>>> {
        let _span = span!(TRACE, "commit");
        let mut effects = Effects::new(view);
        let mut state = self.state.lock();
        // Before anything else: a handle that works is kept when the file was moved.
        self.ensure_open(view, &mut state)?;
        // A panic leaves a file that is reopened, with what its log holds.
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

    /// Decides a group on what readers see. If a checkpoint has just failed and ended the handle,
    /// reopens the file and decides the question again.
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

    /// Waits for room, chooses the route of what was decided, writes it, and shows it.
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
        // Encoded once, even if the log is full.
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
                // The log has no room if it has just moved; then the route is another.
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
        effects.settle(view);
        Ok(())
    }

    /// Reopens the file after a failure; the error to answer with.
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

    /// From here on the commit of this number may be on the disk, unseen.
    fn begin_doubt(&self, number: u64, effects: &Effects<'_>) {
        // A flush writes what was shown before.
        let unseen = if effects.flush { 0 } else { number };
        self.in_doubt.store(unseen, Ordering::Release);
    }

    fn end_doubt(&self) {
        self.in_doubt.store(0, Ordering::Release);
    }

    /// Makes this the writer of another process, as far as it can tell.
    #[cfg(test)]
    pub(in crate::engine::redb) fn pretend_forked(&mut self) {
        self.opened_by = Process::pretended();
    }

    /// Whether a forked process came here that the engine's first look did not recognise.
    fn is_forked(&self) -> bool {
        !self.opened_by.is_same_by_id()
    }

    /// Waits for the end of a checkpoint. In a forked process no thread would end it.
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

/// Runs `act`, and notes that redb's handle is lost if it panics. The thread may already unwind by
/// another panic.
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
