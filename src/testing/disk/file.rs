//! An open file on the disk, as redb uses it: bytes, syncs and locks.

use std::io;
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use redb::{BackendError, StorageBackend};

use crate::engine::redb::storage::{StorageFile, WriteFailure};
use crate::testing::disk::history::Event;
use crate::testing::disk::image::PAGE;
use crate::testing::disk::{DiskFault, SimulatedDisk, State, beginning};

/// The faults that make a write, or a change of length, fail.
const WRITING: &[DiskFault] = &[DiskFault::Full, DiskFault::Write, DiskFault::Late];

#[derive(Debug)]
pub(super) struct OpenFile {
    disk: SimulatedDisk,
    file: u64,
    /// The owner of its locks.
    handle: u64,
    /// The number of failed syncs reported to whole-file syncs, and to range syncs. The two stand
    /// for two separate handles.
    told: [AtomicU64; 2],
}

/// Locked ranges of bytes.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Vec<Lock>,
    handles: u64,
}

#[derive(Debug)]
struct Lock {
    file: u64,
    handle: u64,
    range: Range<u128>,
    shared: bool,
}

impl OpenFile {
    pub(super) fn new(disk: &SimulatedDisk, file: u64) -> Self {
        let mut state = disk.state.lock();
        state.locks.handles += 1;
        let handle = state.locks.handles;
        let told = [(); 2].map(|()| AtomicU64::new(state.failed_syncs));
        Self { disk: disk.clone(), file, handle, told }
    }

    fn state(&self) -> &Arc<Mutex<State>> {
        &self.disk.state
    }

    /// Syncs the whole file, or a range of its bytes. Each failure is reported once to each of the
    /// two kinds of sync, whichever of them met it.
    fn sync(&self, range: Option<Range<u64>>) -> io::Result<()> {
        let mut state = self.disk.until_released(range.is_none());
        let file = self.file;
        let [of_file, of_range] = &self.told;
        let told = if range.is_some() { of_range } else { of_file };
        let Some((_, error)) = state.strike(&[DiskFault::Sync, DiskFault::Panic]) else {
            state.history.push(Event::Sync { file, range });
            return match told.swap(state.failed_syncs, Ordering::Relaxed) == state.failed_syncs {
                true => Ok(()),
                false => Err(io::Error::other("simulated: an earlier sync failed")),
            };
        };
        state.failed_syncs += 1;
        told.store(state.failed_syncs, Ordering::Relaxed);
        let dropped: Vec<_> = state.history.pages_to_sync(file, range.as_ref()).collect();
        state.dropped.extend(dropped);
        let seed = state.history.len();
        state.history.push(Event::SyncFailed { file, range, seed });
        Err(error)
    }

    fn try_lock(&self, range: Range<u128>, shared: bool) -> bool {
        let locks = &mut self.state().lock().locks;
        let free = locks.is_free(self.file, self.handle, &range, shared);
        if free {
            locks.held.push(Lock { file: self.file, handle: self.handle, range, shared });
        }
        free
    }

    /// No call waits for a lock in these tests: a taken lock is an error.
    fn lock(&self, range: Range<u128>, shared: bool) -> Result<(), BackendError> {
        match self.try_lock(range, shared) {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::WouldBlock).into()),
        }
    }
}

impl Locks {
    fn is_free(&self, file: u64, handle: u64, range: &Range<u128>, shared: bool) -> bool {
        !self.held.iter().any(|lock| {
            let overlap = lock.range.start < range.end && range.start < lock.range.end;
            lock.file == file && lock.handle != handle && overlap && !(shared && lock.shared)
        })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl StorageFile for OpenFile {
    /// A write, and then a sync of its bytes, as two operations of the disk.
    fn write_synced(&self, offset: u64, data: &[u8]) -> Option<Result<(), WriteFailure>> {
        if !self.state().lock().syncs_ranges {
            return None;
        }
        let written = self.write(offset, data).map_err(WriteFailure::Write);
        let range = offset..offset + data.len() as u64;
        Some(written.and_then(|()| self.sync(Some(range)).map_err(WriteFailure::Sync)))
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.state().lock().forget_cached();
        Ok(())
    }
}

impl StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().lock().seen.files.get(&self.file).map_or(0, |image| image.len()))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state().lock();
        let struck = state.strike(&[DiskFault::Read]);
        state.reads += 1;
        match (struck, state.seen.files.get(&self.file)) {
            (Some((_, error)), _) => Err(error),
            (None, Some(image)) if image.read(offset, out) => Ok(()),
            (None, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state().lock();
        state.change(Event::SetLen { file: self.file, len }, WRITING)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state().lock();
        let (file, seed) = (self.file, state.history.len());
        let len = state.seen.files.get(&file).map_or(0, |image| image.len());
        let end = offset + data.len() as u64;
        let grown_to = (end > len).then_some(end);
        let struck = state.strike(WRITING);
        let mut event = match struck {
            None | Some((DiskFault::Late, _)) => {
                Event::Write { file, offset, data: data.into(), grown_to }
            }
            Some(_) => beginning(file, offset, data, grown_to, seed),
        };
        state.seen.apply(&event);
        state.rewrite_dropped(&mut event);
        state.history.push(event);
        struck.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn close(&self) -> io::Result<()> {
        let held = &mut self.state().lock().locks.held;
        held.retain(|lock| lock.handle != self.handle);
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        Ok(self.try_lock(range(start, end), false))
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        Ok(self.try_lock(range(start, end), true))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.lock(range(start, end), false)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.lock(range(start, end), true)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        let range = range(start, end);
        let held = &mut self.state().lock().locks.held;
        held.retain(|lock| lock.handle != self.handle || lock.range != range);
        Ok(())
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        let locks = &self.state().lock().locks;
        Ok(!locks.is_free(self.file, self.handle, &range(start, end), false))
    }
}

impl State {
    /// Drops the pages of failed syncs from the cache, so that they are read from the disk again.
    /// Pending writes stay.
    pub(super) fn forget_cached(&mut self) {
        self.seen = self.history.seen();
        self.dropped.clear();
    }

    /// After a failed sync dropped a page, a write to it makes the whole page pending.
    fn rewrite_dropped(&mut self, event: &mut Event) {
        let Event::Write { file, offset, data, .. } = event else { return };
        if self.dropped.is_empty() || data.is_empty() {
            return;
        }
        let Some(image) = self.seen.files.get(file) else { return };
        let mut bytes = Vec::new();
        let mut dropped = false;
        let covered = pages(*offset, data.len());
        let start = covered.start * PAGE as u64;
        for page in covered {
            dropped |= self.dropped.remove(&(*file, page));
            bytes.extend(image.page(page));
        }
        if dropped {
            (*offset, *data) = (start, bytes.into());
        }
    }
}

pub(super) fn pages(offset: u64, len: usize) -> Range<u64> {
    offset / PAGE as u64..(offset + len as u64).div_ceil(PAGE as u64)
}

fn range(start: Bound<u64>, end: Bound<u64>) -> Range<u128> {
    let start = match start {
        Bound::Unbounded => 0,
        Bound::Included(at) => u128::from(at),
        Bound::Excluded(at) => u128::from(at) + 1,
    };
    let end = match end {
        Bound::Unbounded => u128::MAX,
        Bound::Included(at) => u128::from(at) + 1,
        Bound::Excluded(at) => u128::from(at),
    };
    start..end
}
