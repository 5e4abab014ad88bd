//! How the writer continues after an error: with the same file, reopened.
//!
//! Invariant: nothing is written after a failed sync, to a file other than the opened one, or by
//! another process.

use crate::engine::redb::commit::effects::Effects;
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::commit::{Failed, State, Writer};
use crate::engine::redb::database::Connection;
use crate::engine::redb::error;
use crate::engine::redb::file::OpenFile;
use crate::engine::redb::file::unwinding::holding;
use crate::engine::redb::view::View;
use crate::error::{Error, Result};
use crate::sync::MutexGuard;
use crate::sync::atomic::Ordering;

impl Writer {
    /// Reopens the file if its handle is lost, so that reads continue. Threads that waited while
    /// another thread's reopening failed do not try again.
    pub(in crate::engine::redb) fn reopen(&self, view: &View) -> Result<()> {
        let failed_before = self.failed_reopenings.load(Ordering::Acquire);
        let mut state = self.state.lock();
        if !view.is_handle_lost() {
            return Ok(());
        }
        if self.failed_reopenings.load(Ordering::Acquire) != failed_before {
            let cause = std::io::Error::other("it could not be opened again after an error");
            return Err(Error::io("read", view.file.path(), cause));
        }
        self.ensure_open(view, &mut state)
    }

    /// Gives up redb's handle, which refuses every call after an I/O error.
    pub(super) fn give_up(&self, view: &View, state: &mut MutexGuard<'_, State>) {
        view.handle_lost.store(true, Ordering::Release);
        self.wait_for_checkpoint(state);
        **state = match std::mem::replace(&mut **state, State::Closed) {
            State::Open(connection, _) => State::Broken(Some(connection)),
            other => other,
        };
    }

    /// Reopens the file, so that reads continue, and checks whether it holds the failed commit. A
    /// commit is atomic, and its number identifies it.
    ///
    /// An example. A group was to become the entry 7, and its write failed. If the reopened file
    /// ends with the entry 6, nothing of the group happened, and the answer is the cause. If the
    /// file has the entry 7, that entry may or may not be on the disk, and the answer is
    /// `OutcomeUnknown`.
    pub(super) fn recover(
        &self,
        view: &View,
        state: &mut MutexGuard<'_, State>,
        effects: &Effects<'_>,
        failed: Failed,
    ) -> Failed {
        let Failed::During(error) = failed else {
            // Nothing was written, whether reopening succeeds or not; the next commit tries again.
            let _ = self.ensure_open(view, state);
            return failed;
        };
        if effects.flush {
            // The acknowledged changes are still in memory and will be written again, so the answer
            // is the cause.
            let _ = self.ensure_open(view, state);
            return Failed::Before(error);
        }
        let number = self.in_doubt.load(Ordering::Acquire);
        if self.ensure_open(view, state).is_err() {
            return Failed::During(error);
        }
        let there = state.committed().map_or(true, |committed| committed.log.holds(number));
        if there { Failed::During(error) } else { Failed::Before(error) }
    }

    /// Ensures that a commit goes to the right file, from the right process.
    pub(super) fn ensure_open(&self, view: &View, state: &mut MutexGuard<'_, State>) -> Result<()> {
        if self.is_forked() {
            return Err(self.opened_by.forked());
        }
        if matches!(**state, State::Closed) {
            return Err(Error::Closed);
        }
        view.file.check_in_place()?;
        if view.is_handle_lost() {
            // A read lost the handle; writing through it would fail too.
            self.give_up(view, state);
        }
        if let State::Broken(broken) = &mut **state {
            if view.file.sync_failed() {
                let cause = std::io::Error::other(
                    "an earlier sync failed, so the operating system may hold pages for written \
                     that are not on the disk; close the store, see to the disk, and open it again",
                );
                return Err(Error::io("go on writing to", view.file.path(), cause));
            }
            drop(broken.take());
            let reopened = self.connect_again(view);
            if reopened.is_err() {
                self.failed_reopenings.fetch_add(1, Ordering::AcqRel);
            }
            let (connection, committed) = reopened?;
            **state = State::Open(connection, committed);
        }
        Ok(())
    }

    fn connect_again(&self, view: &View) -> Result<(Connection, Committed)> {
        let OpenFile { database, log, logged } = view.file.reopen(&view.options)?;
        let (database, committed) = holding(database, |database| -> Result<Committed> {
            let snapshot = self.take_snapshot(view, database)?;
            // Reopening has synced the file.
            let unconfirmed = self.unconfirmed.load(Ordering::Acquire);
            if unconfirmed != 0 && log.checkpointed() >= unconfirmed {
                view.overlay.harden();
                view.note_on_disk();
            }
            // Changes that are only in memory are newer than the log.
            let mut changes = logged.clone();
            changes.extend(view.overlay.volatile());
            let committed = Committed::new(log, &changes, &snapshot);
            let committed =
                committed.map_err(|error| error::from_redb("read", view.file.path(), error))?;
            // The file shows a failed commit completely or not at all.
            let same = match self.in_doubt.load(Ordering::Acquire) {
                0 => true,
                number => !committed.log.holds(number),
            };
            view.show_reopened(snapshot, &logged, committed.stored, same);
            Ok(committed)
        });
        let committed = committed?;
        self.unconfirmed.store(0, Ordering::Release);
        self.end_doubt();
        self.openings.fetch_add(1, Ordering::AcqRel);
        view.handle_lost.store(false, Ordering::Release);
        Ok((Connection::new(database), committed))
    }
}
