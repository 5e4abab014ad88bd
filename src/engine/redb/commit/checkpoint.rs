//! Checkpointing: redb takes over what the log holds, in one commit, while others go on writing.
//!
//! A checkpoint writes thousands of pages, and takes as long as hundreds of entries of the log. So it is
//! no part of anybody's commit: the log is checkpointed when it is half full, by the thread that tends to
//! the engine or one whose own commit is over, and what comes meanwhile goes into the other half.
//!
//! Invariant: the commit of a checkpoint holds what the log held when it began, and nothing else. So it makes
//! no difference to what a crash leaves whether it has come to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::engine::durability::Durability;
use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::commit::{Due, Failed, State, Writer, losing_handle_by_panic};
use crate::engine::redb::database::Connection;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::file::unwinding::holding;
use crate::engine::redb::keyed::{Changes, Keys};
use crate::engine::redb::view::View;
use crate::error::Result;
use crate::sync::atomic::Ordering;

/// So many keys are put into the tables before a commit rather than by it.
const WORTHWHILE: usize = 2;

/// What a thread has that works on the tables while others go on.
struct Aside {
    connection: Connection,
    /// What the tables are behind with.
    behind: Keys,
    /// With it all else that the last snapshot does not show, if a commit is to end the checkpoint.
    changes: Changes,
    /// The number of that commit.
    number: Option<u64>,
}

impl Writer {
    /// After a commit: notes whether somebody ought to checkpoint the log. Where that failed, the next
    /// commit that needs the tables tries first, and its caller learns of it.
    pub(super) fn note_checkpoint(&self, view: &View, committed: &Committed) {
        self.checkpoint_due.store(self.due(view, committed) as u8, Ordering::Release);
    }

    /// Deferred commits make one due as well, where so much of them is in memory alone that they ought
    /// not to wait for the next flush.
    fn due(&self, view: &View, committed: &Committed) -> Due {
        match self.checkpoint_failed.load(Ordering::Acquire) {
            true => Due::No,
            false if view.overlay.is_much_volatile() => Due::Soon,
            false => committed.log.checkpoint_due(),
        }
    }

    /// Whether the log ought to be checkpointed; whoever is told so once has to see to it.
    pub(in crate::engine::redb) fn take_due(&self) -> Due {
        match self.checkpoint_due.load(Ordering::Acquire) {
            0 => Due::No,
            _ => Due::of(self.checkpoint_due.swap(0, Ordering::AcqRel)),
        }
    }

    /// Checkpoints the log, if that is due and nobody else does. An error ends redb's handle, which the
    /// next call that needs it learns; nothing that was acknowledged hangs on it.
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
        // A checkpoint holds what the log holds; so the log has to hold everything when it begins.
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
            self.fail(view, &mut state, &effects, failed);
            self.checkpoint_failed.store(true, Ordering::Release);
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

    /// After a step of work that can wait: leaves what room there is in the log to others. Who tends
    /// to the engine may be the one who is at work; so it does not wait for that one for long.
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

    /// Lets the tables catch up with the log, for who is about to commit on them: the less there is
    /// left to do then, the less others have to wait for that commit.
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

    /// Takes the connection, if it is there and `wanted` says with what and for what.
    fn begin(
        &self,
        view: &View,
        state: &mut State,
        wanted: impl FnOnce(&mut Committed) -> Option<(Changes, Option<u64>)>,
    ) -> Option<Aside> {
        // A file that somebody has put a copy over is not spoiled by what this one's pages were.
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
        let done = catch_unwind(AssertUnwindSafe(|| {
            holding(connection, |connection| {
                connection.put(behind, &changes)?;
                match number {
                    Some(number) => connection.commit_to_disk(Durability::Immediate, number),
                    None => Ok(()),
                }
            })
        }));
        // A panic here would be some caller's, who has nothing to do with it.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            losing_handle_by_panic(view, || self.end(view, done.ok(), number.map(|_| &changes)));
        }));
        self.checkpointed.notify_all();
    }

    /// `done` is what became of it, `None` after a panic; `shown` is what a commit has brought.
    fn end(
        &self,
        view: &View,
        done: Option<(Connection, RedbResult<()>)>,
        shown: Option<&Changes>,
    ) {
        let mut state = self.state.lock();
        // Nobody else ends the checkpointing.
        let State::Checkpointing(mut committed) =
            std::mem::replace(&mut *state, State::Broken(None))
        else {
            return;
        };
        match done {
            Some((connection, Ok(()))) => {
                let Some(shown) = shown else {
                    *state = State::Open(connection, committed);
                    return;
                };
                committed.log.end_checkpoint();
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
            Some((connection, Err(_))) => *state = State::Broken(Some(connection)),
            None => {}
        }
        self.checkpoint_failed.store(true, Ordering::Release);
        view.handle_lost.store(true, Ordering::Release);
    }
}
