//! A checkpoint: one redb commit takes over the log's changes while other threads continue to
//! write.
//!
//! A checkpoint writes thousands of pages, and takes as long as hundreds of log entries. So no
//! caller's commit includes one. A checkpoint runs when the log is half full, in the maintenance
//! thread or in a thread whose own commit is over. Entries that arrive meanwhile go into the other
//! half of the log.
//!
//! Invariant: a checkpoint's commit holds what the log held when the checkpoint began, and nothing
//! else. So a crash leaves the same state whether the checkpoint finished or not.
//!
//! An example. The log holds the entries 5 and 6, and the tables lack the latest changes of the
//! keys A and B.
//!
//! 1. Begin, under the lock: the checkpoint takes the number 7, the connection, and A and B from
//!    the overlay. The state is `Checkpointing`; commits need no connection.
//! 2. Work, without the lock: A and B go into the tables, and redb commits with the number 7.
//!    Meanwhile a commit changes B again, in the entry 8.
//! 3. End, under the lock: the log frees the entries 5 and 6, and a snapshot with A and B is
//!    published. A leaves the overlay. B stays, because it has changed since.

use std::time::Duration;

use crate::caught::caught;
use crate::engine::durability::Durability;
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::commit::{Due, Failed, State, Writer, losing_handle_by_panic};
use crate::engine::redb::database::Connection;
use crate::engine::redb::error;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::file::unwinding::holding;
use crate::engine::redb::keyed::{Changes, Keys};
use crate::engine::redb::view::View;
use crate::error::{Error, Result};
use crate::sync::atomic::Ordering;
use crate::time::ticks;

/// If the tables lack at least this many keys, they catch up before a commit instead of within it.
const WORTHWHILE: usize = 2;

/// What a thread takes to work on the tables while other threads continue.
struct Aside {
    connection: Connection,
    /// The keys whose latest changes the tables lack.
    behind: Keys,
    /// The changes to write; all changes that the last snapshot lacks, if a durable commit ends the
    /// work.
    changes: Changes,
    /// The number of that durable commit.
    number: Option<u64>,
}

impl Writer {
    /// After a commit, records whether a checkpoint is due. After a failed checkpoint none is due
    /// until a commit to the tables has succeeded; the caller of such a commit learns of a failure.
    pub(super) fn note_checkpoint(&self, view: &View, committed: &Committed) {
        self.checkpoint_due.store(self.due(view, committed) as u8, Ordering::Release);
    }

    /// A checkpoint is also due if too many deferred changes are only in memory.
    fn due(&self, view: &View, committed: &Committed) -> Due {
        match self.checkpoint_failed.load(Ordering::Acquire) {
            true => Due::No,
            false if view.overlay.is_much_volatile() => Due::Soon,
            false => committed.log.checkpoint_due(),
        }
    }

    /// Whether a checkpoint is due. Only one caller is told so, and it must start the checkpoint.
    pub(in crate::engine::redb) fn take_due(&self) -> Due {
        match self.checkpoint_due.load(Ordering::Acquire) {
            0 => Due::No,
            _ => Due::of(self.checkpoint_due.swap(0, Ordering::AcqRel)),
        }
    }

    /// Whether a checkpoint is due, for a caller that does not start it.
    pub(in crate::engine::redb) fn is_due(&self) -> bool {
        self.checkpoint_due.load(Ordering::Acquire) != 0
    }

    /// Runs a checkpoint, if one is due and none is running. An error ends redb's handle, and fails
    /// no caller: acknowledged writes are durable without the checkpoint. The maintenance thread
    /// tells of it.
    pub(in crate::engine::redb) fn checkpoint(&self, view: &View) {
        let mut state = self.state.lock();
        let is_due = |state: &mut State| match state {
            State::Open(_, committed) => self.due(view, committed) != Due::No,
            _ => false,
        };
        if !is_due(&mut state) || self.is_forked() || view.is_handle_lost() {
            return;
        }
        if view.file.ensure_as_left().is_err() {
            return;
        }
        // The deferred changes are logged first: a checkpoint holds what the log holds, so the log
        // must hold everything.
        let mut effects = Effects::new(view);
        effects.flush(view);
        let flushed = losing_handle_by_panic(view, || {
            effects.begin(
                state.committed().map_err(Failed::Before)?,
                self.openings.load(Ordering::Acquire),
            );
            self.write(view, &mut state, &mut effects)
        });
        if let Err(failed) = flushed {
            let error = self.fail(view, &mut state, &effects, failed);
            self.note_failure(error);
            return;
        }
        if !is_due(&mut state) {
            return;
        }
        let begun = self.begin(view, &mut state, |committed| {
            Some((view.overlay.all(), Some(committed.log.begin_checkpoint())))
        });
        drop(state);
        if let Some(aside) = begun {
            self.work(view, aside);
        }
    }

    /// A failed checkpoint is not tried again before a commit to the tables has succeeded.
    fn note_failure(&self, error: Error) {
        self.checkpoint_failed.store(true, Ordering::Release);
        let earlier = self.checkpoint_failure.lock().replace(error);
        drop(earlier);
    }

    pub(in crate::engine::redb) fn has_failure(&self) -> bool {
        self.checkpoint_failure.lock().is_some()
    }

    /// Why the last checkpoint failed, if nobody was told yet.
    pub(in crate::engine::redb) fn take_failure(&self) -> Option<Error> {
        self.checkpoint_failure.lock().take()
    }

    /// Background work pauses while the log is half full, so that foreground commits have room. The
    /// caller may be the maintenance thread, so this never waits for that thread to start a
    /// checkpoint.
    pub(in crate::engine::redb) fn yield_log_room(&self, view: &View) {
        let mut state = self.state.lock();
        match &*state {
            State::Checkpointing(committed) if committed.log.is_half_full() => {
                self.wait_for_checkpoint(&mut state)
            }
            State::Open(_, committed) if committed.log.is_over_half_full() => {
                drop(state);
                self.checkpoint(view);
            }
            _ => {}
        }
    }

    /// As [`yield_log_room`](Self::yield_log_room), for work that must be done in time: runs no
    /// checkpoint, and waits for no longer than this, unless the log is nearly full. Its last
    /// quarter is for other commits; in a full log this work would wait for the checkpoint anyway.
    pub(in crate::engine::redb) fn yield_log_room_for(&self, most: Duration) {
        let until = ticks::now() + most;
        let mut state = self.state.lock();
        while let State::Checkpointing(committed) = &*state
            && committed.log.is_half_full()
            && !self.is_forked()
        {
            if committed.log.is_nearly_full() {
                self.checkpointed.wait(&mut state);
            } else if self.checkpointed.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }

    /// Has the tables catch up with the log, for a caller that is about to commit to them. Other
    /// threads then wait less for that commit.
    pub(in crate::engine::redb) fn catch_up(&self, view: &View) {
        let mut state = self.state.lock();
        self.wait_for_checkpoint(&mut state);
        let begun = self.begin(view, &mut state, |committed| {
            (committed.behind.len() >= WORTHWHILE)
                .then(|| (view.overlay.of(&committed.behind), None))
        });
        drop(state);
        if let Some(aside) = begun {
            self.work(view, aside);
        }
    }

    /// Takes the connection and the changes that `wanted` returns, if both are available.
    fn begin(
        &self,
        view: &View,
        state: &mut State,
        wanted: impl FnOnce(&mut Committed) -> Option<(Changes, Option<u64>)>,
    ) -> Option<Aside> {
        // If somebody copied another file over this one, this file's pages must not damage the
        // copy.
        if self.is_forked() || view.is_handle_lost() || view.file.ensure_as_left().is_err() {
            return None;
        }
        let State::Open(_, committed) = &mut *state else { return None };
        let (changes, number) = wanted(committed)?;
        match std::mem::replace(state, State::Closed) {
            State::Open(connection, mut committed) => {
                let behind = std::mem::take(&mut committed.behind);
                *state = State::Checkpointing(committed);
                Some(Aside { connection, behind, changes, number })
            }
            other => {
                *state = other;
                None
            }
        }
    }

    fn work(&self, view: &View, aside: Aside) {
        let Aside { connection, behind, changes, number } = aside;
        let done = caught(|| {
            holding(connection, |connection| {
                connection.put(behind, &changes)?;
                match number {
                    Some(number) => connection.commit_to_disk(Durability::Immediate, number),
                    None => Ok(()),
                }
            })
        });
        // A panic here would reach a caller that did not cause it.
        let _ = caught(|| {
            losing_handle_by_panic(view, || self.end(view, done, number.map(|_| &changes)));
        });
        self.checkpointed.notify_all();
    }

    /// Returns the connection and publishes a snapshot. `done` is `None` after a panic. `shown`
    /// holds the changes, if a durable commit ended the work.
    fn end(
        &self,
        view: &View,
        done: Option<(Connection, RedbResult<()>)>,
        shown: Option<&Changes>,
    ) {
        let mut state = self.state.lock();
        // No other thread leaves this state.
        let State::Checkpointing(mut committed) =
            std::mem::replace(&mut *state, State::Broken(None))
        else {
            return;
        };
        let failure = match done {
            Some((connection, Ok(()))) => {
                let Some(shown) = shown else {
                    *state = State::Open(connection, committed);
                    return;
                };
                committed.log.end_checkpoint();
                self.checkpoints.fetch_add(1, Ordering::Relaxed);
                self.note_checkpoint(view, &committed);
                let (connection, published): (_, Result<()>) = holding(connection, |connection| {
                    let snapshot = self.take_snapshot(view, &connection.database)?;
                    view.show_published(snapshot, shown);
                    Ok(())
                });
                *state = State::Open(connection, committed);
                if published.is_err() {
                    self.give_up(view, &mut state);
                }
                return;
            }
            Some((connection, Err(error))) => {
                *state = State::Broken(Some(connection));
                error::from_redb("run a checkpoint of", view.file.path(), error)
            }
            None => Error::engine(std::io::Error::other("a checkpoint panicked")),
        };
        view.handle_lost.store(true, Ordering::Release);
        match shown {
            Some(_) => self.note_failure(failure),
            // The commit that the tables were to catch up for tells its caller.
            None => self.checkpoint_failed.store(true, Ordering::Release),
        }
    }
}
