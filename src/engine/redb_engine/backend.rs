//! What stands between redb and the file: it passes everything on, and remembers what redb forgets.
//!
//! redb tells a caller that *some* I/O failed. How to go on depends on which: after a failed sync
//! the kernel may call pages clean that never reached the disk. And where locks are not supported,
//! redb goes on without; this refuses.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{BackendError, StorageBackend};

/// Whether a sync has failed; shared between a backend and the engine that opened it.
#[derive(Clone, Debug, Default)]
pub(super) struct SyncFailed(Arc<AtomicBool>);

impl SyncFailed {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
pub(super) struct Backend {
    inner: Box<dyn StorageBackend>,
    sync_failed: SyncFailed,
}

/// The error by which redb's open reports that the file system has no locks.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the file system does not support locks")]
pub(super) struct LocksUnsupported;

impl Backend {
    pub(super) fn new(inner: Box<dyn StorageBackend>, sync_failed: SyncFailed) -> Self {
        Self { inner, sync_failed }
    }
}

/// redb asks for parts of the file first and falls back to the whole; only the latter is final.
fn refuse_without_locks(
    result: Result<bool, BackendError>,
    start: Bound<u64>,
    end: Bound<u64>,
) -> Result<bool, BackendError> {
    let whole = matches!(start, Bound::Unbounded | Bound::Included(0)) && end == Bound::Unbounded;
    match result {
        Err(BackendError::Unsupported) if whole => {
            Err(BackendError::Other(Box::new(LocksUnsupported)))
        }
        other => other,
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let result = self.inner.sync_data();
        if result.is_err() {
            self.sync_failed.0.store(true, Ordering::Release);
        }
        result
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        refuse_without_locks(self.inner.try_lock_range(start, end), start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        refuse_without_locks(self.inner.try_lock_shared_range(start, end), start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
