//! The file that the database, at its beginning, and the log, at its end, share.
//!
//! Invariant: redb sees only its own part. When that part grows or shrinks, the log moves: its
//! entries are on the disk in the new place before the sector that points to them is written, and
//! that sector is on the disk before the old place is given up. The copy of the location at the
//! log's end is written only after a sector leads there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

// Not `crate::sync`'s mutex: redb calls this module while it holds its own locks.
use parking_lot::Mutex;

use crate::engine::redb::log::entry::Entry;
use crate::engine::redb::log::head::Head;
use crate::engine::redb::log::location;
use crate::engine::redb::log::location::{DamagedLocation, Location, Sector, capacity_beside};
use crate::engine::redb::log::place::Place;
use crate::engine::redb::log::ring::{Ring, Span};
use crate::engine::redb::storage::sync_failed::SyncFailed;
use crate::engine::redb::storage::{StorageFile, WriteFailure};
use crate::random::{RandomSource, SystemRandom};

const PAGE: u64 = 4_096;

/// An open file with a database and, after the first log entry, a log.
pub(in crate::engine::redb) struct SharedFile {
    inner: Box<dyn StorageFile>,
    head: Arc<Head>,
    sync_failed: SyncFailed,
    syncing: Mutex<()>,
    /// Whether the file holds no database yet, whatever bytes it has.
    is_unborn: AtomicBool,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    location: Option<Location>,
    /// The moves of the next location.
    next_moves: u64,
    /// The sectors' offsets, in the order in which they are overwritten.
    order: [u64; 2],
    /// The spans of the area that hold needed entries.
    ring: Ring,
    /// Whether a crash left the sectors different, no copy of them, or bytes behind the log.
    is_unsettled: bool,
    /// Whether closing the file gives the area back.
    released_on_close: bool,
    /// Whether a move failed half way. Then only reopening the file shows where the log is.
    place_unknown: bool,
}

impl Log {
    fn ensure_located(&self) -> io::Result<()> {
        match self.place_unknown {
            true => Err(io::Error::other("an earlier move of the write-ahead log failed")),
            false => Ok(()),
        }
    }
}

impl SharedFile {
    /// Takes over the file and its log, if it has one.
    pub(in crate::engine::redb) fn open(
        inner: Box<dyn StorageFile>,
        head: Arc<Head>,
        sync_failed: SyncFailed,
    ) -> io::Result<Self> {
        let len = inner.len()?;
        let mut place = Place::default();
        if len >= PAGE {
            let (mut first, mut last) = ([0; PAGE as usize], [0; location::SECTOR]);
            inner.read(0, &mut first)?;
            inner.read(len.saturating_sub(location::SECTOR as u64), &mut last)?;
            place = Place::of(&first, &last, len).map_err(damaged)?;
        }
        let Place { sector, order, is_unsettled } = place;
        let (location, next_moves) = (sector.log(), sector.next_moves());
        // Until the area is read, all of it may be needed.
        let ring = Ring::of(location.map(|location| Span { start: 0, len: location.room() }));
        let log = Log { location, next_moves, order, is_unsettled, ring, ..Log::default() };
        Ok(Self { log: Mutex::new(log), ..Self::unborn(inner, head, sync_failed)? }.born())
    }

    /// A file without a database and a log, though it may have bytes.
    pub(in crate::engine::redb) fn unborn(
        inner: Box<dyn StorageFile>,
        head: Arc<Head>,
        sync_failed: SyncFailed,
    ) -> io::Result<Self> {
        head.learn(&*inner)?;
        let log = Mutex::new(Log { order: location::OFFSETS, ..Log::default() });
        Ok(Self { inner, head, sync_failed, syncing: Mutex::new(()), is_unborn: true.into(), log })
    }

    fn born(self) -> Self {
        Self { is_unborn: false.into(), ..self }
    }

    pub(in crate::engine::redb) fn inner(&self) -> &dyn StorageFile {
        &*self.inner
    }

    /// Returns an error if somebody else has written to the file.
    pub(in crate::engine::redb) fn ensure_as_left(&self) -> io::Result<()> {
        self.head.ensure_as_left(&*self.inner)
    }

    /// Reads from the database's part.
    pub(in crate::engine::redb) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let read = self.inner.read(offset, out);
        self.head.note_read();
        read
    }

    /// Returns an error if somebody else has written to the pages that redb reads.
    pub(in crate::engine::redb) fn ensure_pages_as_left(&self) -> io::Result<()> {
        self.head.ensure_pages_as_left(&*self.inner)
    }

    /// The length of the database's part.
    pub(in crate::engine::redb) fn database_len(&self) -> io::Result<u64> {
        match self.log.lock().location {
            Some(location) => Ok(location.database_len),
            None if self.is_unborn.load(Ordering::Acquire) => Ok(0),
            None => self.inner.len(),
        }
    }

    /// The length of the log's area, and how much of it is needed. Waits for no write.
    pub(in crate::engine::redb) fn log_bytes(&self) -> Option<(u64, u64)> {
        let log = self.log.try_lock()?;
        Some((log.location?.capacity, log.ring.len()))
    }

    /// Changes the length of the database's part, and moves the log out of its way.
    pub(in crate::engine::redb) fn set_database_len(&self, len: u64) -> io::Result<()> {
        let mut log = self.log.lock();
        log.ensure_located()?;
        self.is_unborn.store(false, Ordering::Release);
        match log.location {
            // A released, unused log is given back instead of moved, since a move may find no room.
            Some(_) if log.released_on_close && log.ring.is_empty() => {
                self.give_back_now(&mut log)?;
                self.head.set_len(&*self.inner, len)
            }
            Some(old) => self.move_log(&mut log, old, len),
            None => self.head.set_len(&*self.inner, len),
        }
    }

    /// Writes to the database's part.
    pub(in crate::engine::redb) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_synced()?;
        self.head.write(&*self.inner, offset, data)
    }

    pub(in crate::engine::redb) fn sync_failed(&self) -> bool {
        self.sync_failed.get()
    }

    /// Returns an error after a failed sync: a later write may depend on bytes that the sync did
    /// not write.
    fn check_synced(&self) -> io::Result<()> {
        match self.sync_failed() {
            true => Err(io::Error::other("an earlier sync failed")),
            false => Ok(()),
        }
    }

    /// Syncs the whole file. Only one thread syncs at a time: if two syncs meet the same failed
    /// write, the system may report it to only one of them.
    pub(in crate::engine::redb) fn sync(&self) -> io::Result<()> {
        let _alone = self.syncing.lock();
        self.check_synced()?;
        let result = self.inner.sync_data();
        if result.is_err() {
            self.sync_failed.set();
        }
        result?;
        self.check_synced()
    }

    /// Gives the log's room back, if it was released. Only closing the file may follow.
    pub(in crate::engine::redb) fn give_back_released(&self) -> io::Result<()> {
        let mut log = self.log.lock();
        match log.released_on_close && !log.place_unknown && !self.sync_failed() {
            true => self.give_back_now(&mut log),
            false => Ok(()),
        }
    }

    fn give_back_now(&self, log: &mut Log) -> io::Result<()> {
        let Some(location) = log.location.take() else { return Ok(()) };
        log.place_unknown = true;
        self.head.forget_entry();
        let removed = Sector::Removed(location.moves).to_bytes();
        for offset in log.order {
            self.head.write(&*self.inner, offset, &removed)?;
            self.sync()?;
        }
        log.place_unknown = false;
        self.cut_behind(location.database_len)
    }

    /// All bytes of the log on the disk, without the copy of its location, and its salt; `None` if
    /// there is no log.
    pub(in crate::engine::redb) fn read_log(&self) -> io::Result<Option<(Vec<u8>, [u8; 16])>> {
        let Some(location) = self.log.lock().location else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(location.room()).map_err(io::Error::other)?];
        self.inner.read(location.start, &mut bytes)?;
        Ok(Some((bytes, location.salt)))
    }

    /// Whether the log has room for an entry of this length.
    pub(in crate::engine::redb) fn has_room_for(&self, len: u64) -> bool {
        let log = self.log.lock();
        match log.location {
            // A log whose place is unknown has no room; the file must be reopened.
            _ if log.place_unknown => false,
            Some(location) => log.ring.place_for(len, location.room()).is_some(),
            None => len <= capacity_beside(self.inner.len().unwrap_or(0)) - location::SECTOR as u64,
        }
    }

    /// Writes an entry after the others and syncs it; `false` if there is no room for it.
    pub(in crate::engine::redb) fn append(
        &self,
        entry: &mut Entry,
        number: u64,
    ) -> io::Result<bool> {
        let mut log = self.log.lock();
        self.check_synced()?;
        self.head.ensure_not_overwritten()?;
        if log.place_unknown {
            return Ok(false);
        }
        let location = match log.location {
            Some(location) => location,
            None => self.add_log(&mut log)?,
        };
        if log.is_unsettled {
            self.repair_sectors(&mut log, &location)?;
        }
        let len = entry.len();
        let Some(start) = log.ring.place_for(len, location.room()) else { return Ok(false) };
        let (offset, bytes) = (location.start + start, entry.numbered(number, &location.salt));
        self.head.give_away(offset..offset + len);
        match self.inner.write_synced(offset, bytes) {
            None => {
                self.inner.write(offset, bytes)?;
                self.sync()?;
            }
            Some(Ok(())) => self.check_synced()?,
            Some(Err(WriteFailure::Write(error))) => return Err(error),
            Some(Err(WriteFailure::Sync(error))) => {
                self.sync_failed.set();
                return Err(error);
            }
        }
        self.head.note_entry(offset, bytes);
        log.ring.push(Span { start, len });
        Ok(true)
    }

    /// Sets the needed entries, found in the bytes that [`read_log`](Self::read_log) returned.
    pub(in crate::engine::redb) fn resume(&self, needed: impl IntoIterator<Item = Span>) {
        self.log.lock().ring = Ring::of(needed);
    }

    /// Frees all entries: none is needed any more.
    pub(in crate::engine::redb) fn restart(&self) {
        self.log.lock().ring.restart();
    }

    /// Begins a checkpoint that will hold every entry so far.
    pub(in crate::engine::redb) fn begin_checkpoint(&self) {
        self.log.lock().ring.begin_checkpoint();
    }

    /// Ends the checkpoint, which is on the disk.
    pub(in crate::engine::redb) fn end_checkpoint(&self) {
        self.log.lock().ring.end_checkpoint();
    }

    /// The bytes that needed entries use, and the capacity in bytes, which is never zero.
    pub(in crate::engine::redb) fn used(&self) -> (u64, u64) {
        let log = self.log.lock();
        (log.ring.len(), log.location.map_or(u64::MAX / 8, |location| location.room()))
    }

    pub(in crate::engine::redb) fn release_on_close(&self) {
        self.log.lock().released_on_close = true;
    }

    /// Adds a log to a file that has none.
    fn add_log(&self, log: &mut Log) -> io::Result<Location> {
        let database_len = self.inner.len()?;
        let mut salt = [0; 16];
        SystemRandom.fill(&mut salt).map_err(io::Error::other)?;
        let capacity = capacity_beside(database_len);
        let (moves, start) = (log.next_moves, database_len);
        let location = Location { moves, database_len, start, capacity, salt };
        self.place_log(log, location, &[])?;
        Ok(location)
    }

    fn move_log(&self, log: &mut Log, old: Location, database_len: u64) -> io::Result<()> {
        let needed = (log.ring.len() + location::SECTOR as u64).next_multiple_of(PAGE);
        let capacity = capacity_beside(database_len).max(needed);
        // Needed entries stay in place until the sectors point to the new place.
        let overlaps = !log.ring.is_empty()
            && database_len < old.end()
            && database_len.saturating_add(capacity) > old.start;
        let start = if overlaps { database_len.max(old.end()) } else { database_len };
        let mut entries = vec![0; usize::try_from(log.ring.len()).map_err(io::Error::other)?];
        let mut rest = entries.as_mut_slice();
        for Span { start, len } in log.ring.needed() {
            let (entry, later) = rest.split_at_mut(rest.len().min(len as usize));
            self.inner.read(old.start + start, entry)?;
            rest = later;
        }
        let location = Location { moves: log.next_moves, database_len, start, capacity, ..old };
        self.place_log(log, location, &entries)?;
        log.ring.straighten();
        self.cut_behind(start + capacity)
    }

    /// Writes the log into an area, and then the sectors. The whole area is written once, so that
    /// no later entry waits for the file system to allocate room.
    fn place_log(&self, log: &mut Log, location: Location, entries: &[u8]) -> io::Result<()> {
        log.place_unknown = true;
        self.head.forget_entry();
        let filled = self.fill_area(&location, entries);
        if filled.is_err() && log.location.is_none() && !self.sync_failed() {
            // Without a sector the area would count as redb's part, and add to the next attempt.
            let _ = self.cut_behind(location.database_len);
        }
        filled?;
        let (sector, [losing, winning]) = (location.to_sector(), log.order);
        self.head.write(&*self.inner, losing, &sector)?;
        self.sync()?;
        // The copy comes only now: without sectors it would show that the log was lost.
        self.head.write(&*self.inner, winning, &sector)?;
        self.head.write(&*self.inner, location.copy_offset(), &sector)?;
        self.sync()?;
        log.location = Some(location);
        log.next_moves = location.moves + 1;
        log.is_unsettled = false;
        log.place_unknown = false;
        Ok(())
    }

    fn fill_area(&self, location: &Location, entries: &[u8]) -> io::Result<()> {
        if self.inner.len()? < location.end() {
            self.head.set_len(&*self.inner, location.end())?;
        }
        let mut bytes = entries.to_vec();
        bytes.resize(usize::try_from(location.capacity).map_err(io::Error::other)?, 0);
        self.head.write(&*self.inner, location.start, &bytes)?;
        self.sync()
    }

    /// Repairs what a crash left unsettled, so that no single damaged sector loses the log.
    fn repair_sectors(&self, log: &mut Log, location: &Location) -> io::Result<()> {
        let (sector, [losing, _]) = (location.to_sector(), log.order);
        self.cut_behind(location.end())?;
        self.head.write(&*self.inner, losing, &sector)?;
        self.head.write(&*self.inner, location.copy_offset(), &sector)?;
        self.sync()?;
        log.is_unsettled = false;
        Ok(())
    }

    fn cut_behind(&self, len: u64) -> io::Result<()> {
        if self.inner.len()? > len { self.head.set_len(&*self.inner, len) } else { Ok(()) }
    }
}

fn damaged(error: DamagedLocation) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl std::fmt::Debug for SharedFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SharedFile").field("log", &self.log).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
