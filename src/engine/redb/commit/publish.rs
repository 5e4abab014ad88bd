//! How readers come to see what was committed.
//!
//! Invariant: whatever a snapshot does not show yet is in the overlay, and nothing that is kept in
//! memory is older than the snapshot beside it.

use std::sync::Arc;

use crate::engine::redb::commit::{State, Writer};
use crate::engine::redb::database::Connection;
use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::error;
use crate::engine::redb::keyed::Changes;
use crate::engine::redb::view::View;
use crate::engine::redb::view::listing::Listing;
use crate::error::{Error, Result};
use crate::sync::atomic::Ordering;

impl Writer {
    /// Lets readers see everything so far in a snapshot, though it is not all in redb's part of the
    /// file.
    pub(super) fn publish_in_memory(&self, view: &View, connection: &mut Connection) -> Result<()> {
        let failed = |error| error::from_redb("commit", view.file.path(), error);
        connection.commit_in_memory().map_err(failed)?;
        self.publish(view, &connection.database, false)
    }

    /// Lets readers see redb's last commit, which holds everything.
    pub(super) fn publish(
        &self,
        view: &View,
        database: &redb::Database,
        cleared: bool,
    ) -> Result<()> {
        let snapshot = self.take_snapshot(view, database)?;
        if cleared {
            view.cache.invalidate_all(snapshot.commit());
        }
        show(view, snapshot, &view.overlay.all());
        view.overlay.clear();
        Ok(())
    }

    /// Lets readers see redb's last commit, which holds these changes. Some keys may have been
    /// changed again since.
    pub(super) fn publish_checkpoint(
        &self,
        view: &View,
        database: &redb::Database,
        shown: &Changes,
    ) -> Result<()> {
        show(view, self.take_snapshot(view, database)?, shown);
        view.overlay.drop_published(shown);
        Ok(())
    }

    /// The store as it is now. Opens the file anew first if its handle is lost.
    pub(in crate::engine::redb) fn listing(&self, view: &View) -> Result<Listing> {
        if view.is_handle_lost() {
            self.reopen(view)?;
        }
        // Nothing is committed or published meanwhile.
        let mut state = self.state.lock();
        if matches!(*state, State::Broken(_)) {
            self.ensure_open(view, &mut state)?;
        }
        let stored = state.ledger()?.stored;
        let snapshot = view.snapshot.load_full().ok_or(Error::Closed)?;
        Ok(Listing::new(snapshot, view.overlay.all(), stored))
    }

    pub(super) fn take_snapshot(&self, view: &View, database: &redb::Database) -> Result<Snapshot> {
        let commit = self.published.fetch_add(1, Ordering::AcqRel) + 1;
        Snapshot::of(database, commit)
            .map_err(|error| error::from_redb("read", view.file.path(), error))
    }
}

/// Puts a snapshot in place of the one before, from which it differs by these changes: first the
/// cache forgets what has changed, then the snapshot is replaced, then the cache learns what it
/// holds now.
fn show(view: &View, snapshot: Snapshot, changes: &Changes) {
    let commit = snapshot.commit();
    for (key, record) in changes {
        view.cache.invalidate(key, commit);
        if record.is_some() {
            view.filter.add(key);
        }
    }
    view.snapshot.store(Some(Arc::new(snapshot)));
    for (key, record) in changes {
        if let Some(record) = record {
            view.cache.fill(key, record, commit);
        }
    }
}

/// Lets readers see a file that was opened anew: a snapshot, changed by what its log says. What the
/// failed commit left in it is not known; nothing that is kept in memory may outlive it.
pub(super) fn show_anew(view: &View, snapshot: Snapshot, logged: &Changes) {
    // Before the snapshot, which may hold less than the last one; and no look in between must find
    // neither.
    view.overlay.add(logged, false);
    view.filter.forget();
    view.cache.invalidate_all(snapshot.commit());
    view.snapshot.store(Some(Arc::new(snapshot)));
    view.overlay.retain(logged);
}
