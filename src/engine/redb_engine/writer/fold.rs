//! Folding: redb takes over what the log holds, in one commit, while others go on writing.
//!
//! A fold writes thousands of pages, and takes as long as hundreds of entries of the log. So it is
//! no part of anybody's commit: the log is folded when it is half full, by a thread whose own commit
//! is over, and what comes meanwhile goes into the other half.
//!
//! Invariant: the commit of a fold holds what the log held when it began, and nothing else. So it makes
//! no difference to what a crash leaves whether it has come to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::connection::Connection;
use super::super::ledger::{Keys, Ledger};
use super::super::overlay::Changes;
use super::super::shared::Shared;
use super::super::tables::Outer;
use super::super::unwinding::holding;
use super::{LostByPanic, State, Writer};
use crate::Durability;
use crate::sync::atomic::Ordering;

/// What a fold takes along.
struct Fold {
    connection: Connection,
    /// What the tables are behind with.
    behind: Keys,
    /// What the snapshot afterwards shows and the last one does not.
    shown: Changes,
    number: u64,
}

impl Writer {
    /// After a commit: whether somebody ought to fold the log. Where that failed, the next commit
    /// that needs the tables tries first, and its caller learns of it.
    pub(super) fn note_fold(&self, ledger: &Ledger) {
        let due = !self.fold_failed.load(Ordering::Acquire) && ledger.log.wants_fold();
        if due && !ledger.unlogged {
            self.fold_due.store(true, Ordering::Release);
        }
    }

    /// Folds the log if that is due and nobody else does. An error ends redb's handle, which the
    /// next call that needs it learns; nothing that was acknowledged hangs on it.
    pub(in super::super) fn fold_if_due(&self, shared: &Shared) {
        let due = self.fold_due.load(Ordering::Acquire);
        if !due || !self.fold_due.swap(false, Ordering::AcqRel) {
            return;
        }
        let Some(Fold { connection, behind, shown, number }) = self.begin_fold(shared) else {
            return;
        };
        let folded = catch_unwind(AssertUnwindSafe(|| {
            holding(connection, |connection| {
                connection.put(behind, &shown)?;
                connection.commit_to_disk(Durability::Immediate, Some(number))
            })
        }));
        // A panic here would be some caller's, who has nothing to do with it.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _lost_by_panic = LostByPanic(shared);
            self.end_fold(shared, folded.ok(), &shown);
        }));
        self.folded.notify_all();
    }

    fn begin_fold(&self, shared: &Shared) -> Option<Fold> {
        let mut state = self.state.lock();
        if self.is_forked() || shared.is_handle_lost() {
            return None;
        }
        match std::mem::replace(&mut *state, State::Closed) {
            State::Open(connection, mut ledger) if !ledger.unlogged && ledger.log.wants_fold() => {
                let behind = std::mem::take(&mut ledger.behind);
                let number = ledger.log.begin_fold();
                *state = State::Folding(ledger);
                Some(Fold { connection, behind, shown: shared.overlay.all(), number })
            }
            other => {
                *state = other;
                None
            }
        }
    }

    /// `folded` is what became of it; `None` after a panic.
    fn end_fold(&self, shared: &Shared, folded: Option<(Connection, Outer<()>)>, shown: &Changes) {
        let mut state = self.state.lock();
        // Nobody else ends the folding.
        let State::Folding(mut ledger) = std::mem::replace(&mut *state, State::Broken(None)) else {
            return;
        };
        match folded {
            Some((connection, Ok(()))) => {
                ledger.log.end_fold();
                let published = self.publish_folded(shared, &connection.database, shown);
                self.note_fold(&ledger);
                *state = State::Open(connection, ledger);
                if published.is_ok() {
                    return;
                }
            }
            Some((connection, Err(_))) => *state = State::Broken(Some(connection)),
            None => {}
        }
        self.fold_failed.store(true, Ordering::Release);
        shared.handle_lost.store(true, Ordering::Release);
        self.give_up(&mut state);
    }
}
