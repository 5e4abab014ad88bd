//! Shows a commit to readers, all of it at once.
//!
//! Invariant: a change that no snapshot shows yet is in the overlay. Nothing kept in memory is
//! older than the snapshot beside it. A listing sees all of a commit or nothing of it, with the
//! matching count. This module reads and writes no file.

use std::sync::Arc;

use crate::engine::durability::Durability;
use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::keyed::Changes;
use crate::engine::redb::view::View;
use crate::engine::redb::view::listing::Listing;
use crate::error::{Error, Result};
use crate::session::user::UserKey;

/// How often a user's sessions are looked up again because a new snapshot was published meanwhile.
const READS: u32 = 4;

impl View {
    /// The store's present state.
    pub(in crate::engine::redb) fn listing(&self) -> Result<Listing> {
        let shown = self.shown.read();
        let snapshot = self.snapshot.load_full().ok_or(Error::Closed)?;
        Ok(Listing::new(snapshot, self.overlay.all(), shown.stored, shown.times))
    }

    /// A listing of one user's sessions at present.
    pub(in crate::engine::redb) fn listing_of(&self, user: &UserKey) -> Result<Listing> {
        for _ in 0..READS {
            // The index is read without a lock. The result is valid if this is still the last
            // snapshot.
            let snapshot = self.snapshot.load_full().ok_or(Error::Closed)?;
            let failed = |error| self.failed_to_read(error);
            let keys = snapshot.keys_of(user).map_err(failed)?;
            let shown = self.shown.read();
            if self.is_last(snapshot.commit()) {
                let changed = self.overlay.keys_of(user);
                let changes = self.overlay.of(keys.iter().chain(&changed));
                return Ok(Listing::new(snapshot, changes, shown.stored, shown.times));
            }
        }
        self.listing()
    }

    /// The number of records.
    pub(in crate::engine::redb) fn stored(&self) -> Result<u64> {
        let shown = self.shown.read();
        self.snapshot.load_full().map(|_| shown.stored).ok_or(Error::Closed)
    }

    /// Shows the changes of a commit, which are only in memory if `volatile`, and the number of
    /// records.
    pub(in crate::engine::redb) fn show_changes(
        &self,
        changes: &Changes,
        volatile: bool,
        stored: u64,
    ) {
        {
            let mut shown = self.shown.write();
            self.overlay.add(changes, false, volatile);
            shown.show(stored);
        }
        match self.options.durability {
            Durability::Deferred { interval } if volatile => self.touches.lateness.defer(interval),
            // Only a flush logs changes of such a store, and it logs all of them.
            _ => self.note_on_disk(),
        }
    }

    /// Publishes a snapshot of everything, including these changes, which become visible with it.
    /// All of it is on the disk.
    pub(in crate::engine::redb) fn show_all(
        &self,
        snapshot: Snapshot,
        changes: &Changes,
        cleared: bool,
        stored: u64,
    ) {
        let commit = snapshot.commit();
        if cleared {
            self.cache.invalidate_all(commit);
        }
        let mut before = self.overlay.all();
        before.extend(changes.iter().map(|(key, record)| (*key, record.clone())));
        self.forget_cached(&before, commit);
        {
            let mut shown = self.shown.write();
            self.overlay.add(changes, cleared, false);
            self.replace_snapshot(snapshot, &before);
            shown.show(stored);
        }
        self.fill_cache(&self.overlay.all(), commit);
        self.overlay.clear();
        self.note_on_disk();
    }

    /// Records that every acknowledged change is on the disk.
    pub(in crate::engine::redb) fn note_on_disk(&self) {
        self.touches.lateness.flushed();
    }

    /// Publishes a snapshot with these changes, which are already visible. Some of their keys may
    /// have changed since.
    pub(in crate::engine::redb) fn show_published(&self, snapshot: Snapshot, changes: &Changes) {
        let commit = snapshot.commit();
        self.forget_cached(changes, commit);
        {
            let _shown = self.shown.write();
            self.replace_snapshot(snapshot, changes);
        }
        self.fill_cache(changes, commit);
        self.overlay.drop_published(changes);
    }

    /// After a reopening, publishes the file's snapshot, changed by its log and by the changes that
    /// are only in memory. Nothing else in memory is kept, because the changes of a failed commit
    /// are unknown. `same` is true if readers see the same sessions as before: no commit was in
    /// doubt, or the file does not hold it.
    pub(in crate::engine::redb) fn show_reopened(
        &self,
        snapshot: Snapshot,
        logged: &Changes,
        stored: u64,
        same: bool,
    ) {
        let mut shown = self.shown.write();
        // Every published snapshot is durable, so the reopened file holds at least what the last
        // one held. A change of the log stays in the overlay, or enters it before the snapshot is
        // replaced. So a look-up at any moment finds each change in at least one of them.
        self.overlay.add_logged(logged);
        self.filter.forget();
        self.cache.invalidate_all(snapshot.commit());
        self.snapshot.store(Some(Arc::new(snapshot)));
        self.overlay.clear_durable_but(logged);
        if !same {
            shown.show(stored);
        }
    }

    /// Runs `act` while no change is shown.
    pub(in crate::engine::redb) fn while_nothing_is_shown<T>(&self, act: impl FnOnce() -> T) -> T {
        let _shown = self.shown.read();
        act()
    }

    /// First the cache forgets the changed keys; ...
    fn forget_cached(&self, changes: &Changes, commit: u64) {
        for key in changes.keys() {
            self.cache.invalidate(key, commit);
        }
    }

    /// ... then the filter learns the new keys, before the snapshot is replaced; ...
    fn replace_snapshot(&self, snapshot: Snapshot, changes: &Changes) {
        for (key, _) in changes.iter().filter(|(_, record)| record.is_some()) {
            self.filter.add(key);
        }
        self.snapshot.store(Some(Arc::new(snapshot)));
    }

    /// ... then the cache learns the new records.
    fn fill_cache(&self, changes: &Changes, commit: u64) {
        for (key, record) in changes {
            if let Some(record) = record {
                self.cache.fill(key, record, commit);
            }
        }
    }
}
