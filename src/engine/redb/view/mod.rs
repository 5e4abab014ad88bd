//! The state that readers and the writer share, and the look-up of one session.
//!
//! Invariant: a look-up asks the touch buffer, then the overlay, then the cache, then the snapshot.
//! A touch leaves the buffer only after the overlay or a snapshot holds it. A change leaves the
//! overlay only after a snapshot holds it. So a look-up misses neither.

pub(in crate::engine::redb) mod cache;
pub(in crate::engine::redb) mod extend;
pub(in crate::engine::redb) mod filter;
pub(in crate::engine::redb) mod latest;
pub(in crate::engine::redb) mod listing;
pub(in crate::engine::redb) mod overlay;
pub(in crate::engine::redb) mod show;
pub(in crate::engine::redb) mod touches;
mod waiting;

use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::error;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::file::StoreFile;
use crate::engine::redb::keyed::Changes;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::view::cache::RecordCache;
use crate::engine::redb::view::filter::KeyFilter;
use crate::engine::redb::view::overlay::Overlay;
use crate::engine::redb::view::touches::TouchBuffer;
use crate::engine::redb::view::touches::activity::lengthen;
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{ArcSwapOption, RwLock};
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// An open file, as readers see it.
#[derive(Debug)]
pub(in crate::engine::redb) struct View {
    pub(in crate::engine::redb) file: StoreFile,
    pub(in crate::engine::redb) options: RedbOptions,
    pub(in crate::engine::redb) touches: TouchBuffer,
    pub(in crate::engine::redb) cache: RecordCache,
    pub(in crate::engine::redb) filter: KeyFilter,
    /// The changes committed since the snapshot was taken.
    pub(in crate::engine::redb) overlay: Overlay,
    /// The store as of an earlier commit; `None` once closed.
    pub(in crate::engine::redb) snapshot: ArcSwapOption<Snapshot>,
    /// Overlay, snapshot and this value change together under the lock, so its holder sees all of a
    /// commit or nothing. No I/O happens under it.
    shown: RwLock<Shown>,
    /// Whether an error has ended redb's handle, so that the snapshot reads nothing more from the
    /// file.
    pub(in crate::engine::redb) handle_lost: AtomicBool,
}

/// The counts that belong to the last commit that readers see.
#[derive(Debug)]
struct Shown {
    /// The number of records.
    stored: u64,
    /// How often readers were shown a change.
    times: u64,
}

impl Shown {
    fn show(&mut self, stored: u64) {
        self.stored = stored;
        self.times += 1;
    }
}

impl View {
    /// The view of an opened file: its snapshot, changed by its log.
    pub(in crate::engine::redb) fn new(
        file: StoreFile,
        options: &RedbOptions,
        snapshot: Snapshot,
        logged: &Changes,
        stored: u64,
    ) -> Self {
        let overlay = Overlay::new();
        overlay.add(logged, false, false);
        Self {
            file,
            options: options.for_reopening(),
            touches: TouchBuffer::new(),
            cache: RecordCache::new(options.record_cache_bytes()),
            filter: KeyFilter::new(),
            overlay,
            snapshot: ArcSwapOption::from_pointee(snapshot),
            shown: RwLock::new(Shown { stored, times: 0 }),
            handle_lost: AtomicBool::new(false),
        }
    }

    /// Reads the snapshot.
    pub(in crate::engine::redb) fn with_snapshot<T>(
        &self,
        look: impl FnOnce(&Snapshot) -> RedbResult<T>,
    ) -> Result<T> {
        let snapshot = self.snapshot.load();
        let snapshot = snapshot.as_deref().ok_or(Error::Closed)?;
        look(snapshot).map_err(|error| self.failed_to_read(error))
    }

    /// Whether reads that need the disk must first reopen the file.
    pub(in crate::engine::redb) fn is_handle_lost(&self) -> bool {
        self.handle_lost.load(Ordering::Acquire)
    }

    /// Maps a failed read: `Closed` if the store was closed, else an I/O error. After an I/O error
    /// the next call reopens the file.
    pub(in crate::engine::redb) fn failed_to_read(&self, error: redb::Error) -> Error {
        // redb reads nothing more after its first I/O error. A closed handle needs no mark: it has
        // been replaced, or is already marked as lost.
        if matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo) {
            self.handle_lost.store(true, Ordering::Release);
        }
        match self.snapshot.load().is_some() {
            true => error::from_redb("read", self.file.path(), error),
            false => Error::Closed,
        }
    }

    /// The record under a key with its activity, as every caller must see it.
    pub(in crate::engine::redb) fn load(
        &self,
        key: &SessionKey,
        moment: impl FnOnce() -> Moment,
    ) -> Result<Option<Record>> {
        let activity = self.touches.activity(key);
        let mut found = match self.get_in_memory(key) {
            Some(found) => Ok(found),
            None => self.load_from_snapshot(key).map(|(record, _)| record),
        };
        if let Ok(Some(record)) = &mut found {
            activity.touch(record, moment);
        }
        found
    }

    /// The record last committed under a key, without its pending touch; the outer `None` if only
    /// the snapshot knows.
    pub(in crate::engine::redb) fn get_in_memory(
        &self,
        key: &SessionKey,
    ) -> Option<Option<Record>> {
        if let Some(changed) = self.overlay.get(key) {
            return Some(changed);
        }
        match self.cache.get(key) {
            Some(record) => Some(Some(record)),
            None => (!self.filter.may_contain(key)).then_some(None),
        }
    }

    /// Whether the last commit left a record under a key; `None` if only the snapshot knows.
    pub(in crate::engine::redb) fn contains_in_memory(&self, key: &SessionKey) -> Option<bool> {
        match self.overlay.contains(key) {
            Some(there) => Some(there),
            None if self.cache.contains(key) => Some(true),
            None => (!self.filter.may_contain(key)).then_some(false),
        }
    }

    /// The record that the last snapshot holds under a key, and the snapshot's number. No answer
    /// comes from pages that another program wrote, for instance with a backup.
    fn load_from_snapshot(&self, key: &SessionKey) -> Result<(Option<Record>, u64)> {
        let read = self.with_snapshot(|snapshot| Ok((snapshot.get(key)?, snapshot.commit())));
        if !matches!(read, Err(Error::Closed)) {
            self.file.ensure_pages_as_left()?;
        }
        let (record, commit) = read?;
        let record = record.transpose()?;
        if let Some(record) = &record {
            self.cache.fill_read(key, record, commit);
        }
        Ok((record, commit))
    }

    /// Brings a listing's record, whose snapshot may be old, to the session's latest activity, and
    /// to later own timeouts if it lives longer by them.
    ///
    /// An example. A listing takes snapshot 7 at 10:00; it shows a session last active at 9:58. At
    /// 10:01 the session is touched: the touch is in the buffer, and is found here. At 10:02 a
    /// flush commits the touch, and it leaves the buffer. If the overlay has the key, or the last
    /// snapshot is no longer 7, the session is loaded again for its latest time. Otherwise the
    /// session has not changed since snapshot 7. Activity that is only announced spares no look-up:
    /// it may be earlier than a touch that was committed.
    pub(in crate::engine::redb) fn touch_latest(
        &self,
        commit: u64,
        key: &SessionKey,
        record: &mut Record,
        timeouts: impl Fn() -> Timeouts,
    ) -> Result<()> {
        // A listing has no moment: a save counts if it lets the session live longer.
        let moment = || Moment { now: Timestamp::from_millis(u64::MAX), timeouts: timeouts() };
        let activity = self.touches.activity(key);
        // The overlay is checked before the snapshot: a change that left the overlay is in a
        // snapshot.
        let is_latest = || self.overlay.contains(key).is_none() && self.is_last(commit);
        if activity.pending.is_none()
            && !is_latest()
            && let Some(latest) = self.load(key, moment)?
        {
            record.touch(latest.last_active());
            lengthen(record, &[latest.own_timeouts()], moment());
        }
        activity.touch(record, moment);
        Ok(())
    }

    fn is_last(&self, commit: u64) -> bool {
        self.snapshot.load().as_deref().is_some_and(|last| last.commit() == commit)
    }
}
