//! Closes the file: every change goes into redb's part, and the lock is released.

use crate::caught::caught;
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::commit::{State, Writer};
use crate::engine::redb::database::Connection;
use crate::engine::redb::error;
use crate::engine::redb::view::View;
use crate::error::{Error, Result};

impl Writer {
    /// Closes the file. Later calls return [`Error::Closed`].
    pub(in crate::engine::redb) fn close(&self, view: &View) -> Result<()> {
        let mut state = self.state.lock();
        self.wait_for_checkpoint(&mut state);
        view.snapshot.store(None);
        view.cache.invalidate_all(u64::MAX);
        view.filter.forget();
        let state = std::mem::replace(&mut *state, State::Closed);
        let closed = match state {
            State::Open(connection, committed) => self.close_open(view, connection, committed),
            State::Broken(_) if view.overlay.is_volatile() => {
                let cause = std::io::Error::other(
                    "the file could not be reopened after an error, so what was acknowledged since \
                     the last flush is lost",
                );
                Err(Error::io("close", view.file.path(), cause))
            }
            State::Checkpointing(_) | State::Broken(_) | State::Closed => Ok(()),
        };
        view.overlay.clear();
        closed
    }

    fn close_open(
        &self,
        view: &View,
        mut connection: Connection,
        mut committed: Committed,
    ) -> Result<()> {
        if let Err(error) = view.file.ensure_as_left() {
            // Nothing more is written to this file; closing releases the lock. redb may panic on
            // pages that somebody else wrote.
            let _ = caught(|| connection.close());
            return Err(error);
        }
        let (in_memory, in_log) = (view.overlay.is_volatile(), committed.log.is_in_use());
        let written = match in_memory || in_log {
            true => committed
                .catch_up(&mut connection, &view.overlay)
                .and_then(|()| committed.commit_to_disk(&mut connection, view.options.durability)),
            false => Ok(()),
        };
        committed.log.release_on_close();
        let closed = written.and(connection.close());
        let path = view.file.path();
        match closed.map_err(|error| error::from_redb("close", path, error)) {
            // If redb's part has no room for the changes, they stay in the log.
            Err(Error::StorageFull { .. }) if in_log && !in_memory => Ok(()),
            closed => closed,
        }
    }
}
