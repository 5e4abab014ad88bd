//! The backend that redb writes to. It forwards every call, and remembers failures that redb does
//! not report.
//!
//! redb reports that *some* I/O failed. The right reaction depends on which: after a failed sync
//! the kernel may mark pages as clean that never reached the disk. If locks are not supported, redb
//! continues without them; this backend refuses.
//!
//! redb owns its backend and drops it with a handle, while the log continues. So the backend is
//! thin, and [`SharedFile`] has the state of both.

use std::io;
use std::ops::Bound;
use std::sync::Arc;

use redb::{BackendError, StorageBackend};

use crate::engine::redb::error::LocksUnsupported;
use crate::engine::redb::log::SharedFile;

/// The file, as redb sees it.
#[derive(Debug)]
pub(in crate::engine::redb) struct Backend {
    disk: Arc<SharedFile>,
}

impl Backend {
    pub(in crate::engine::redb) const fn new(disk: Arc<SharedFile>) -> Self {
        Self { disk }
    }
}

/// redb first asks for locks of parts and then for the whole file; only a refusal of the latter is
/// final.
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
        self.disk.database_len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_database_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(offset, data)
    }

    /// The last call. After a failed sync the cached pages are dropped before the locks are
    /// released, so that the next process does not build on pages that are only in memory.
    fn close(&self) -> io::Result<()> {
        let given_back = self.disk.give_back_released();
        let forgotten = match self.disk.sync_failed() {
            true => self.disk.inner().forget_cached(),
            false => Ok(()),
        };
        let closed = self.disk.inner().close();
        given_back.and(forgotten).and(closed)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        refuse_without_locks(self.disk.inner().try_lock_range(start, end), start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        refuse_without_locks(self.disk.inner().try_lock_shared_range(start, end), start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.disk.inner().lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.disk.inner().lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.disk.inner().unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.disk.inner().query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::redb::storage::sync_failed::SyncFailed;
    use std::sync::Mutex;

    use super::*;
    use crate::engine::redb::storage::StorageFile;

    /// Records the calls, and supports no lock of the whole file.
    #[derive(Clone, Debug, Default)]
    struct Asked(Arc<Mutex<Vec<&'static str>>>);

    impl Asked {
        fn note<T>(&self, what: &'static str, answer: T) -> T {
            self.0.lock().unwrap().push(what);
            answer
        }
    }

    type Bounds = (Bound<u64>, Bound<u64>);
    const PART: Bounds = (Bound::Included(1), Bound::Excluded(2));
    const WHOLE: Bounds = (Bound::Unbounded, Bound::Unbounded);

    fn answer<T>(bounds: Bounds, part: T) -> Result<T, BackendError> {
        if bounds == PART { Ok(part) } else { Err(BackendError::Unsupported) }
    }

    impl StorageFile for Asked {}

    impl StorageBackend for Asked {
        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Ok(())
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }

        fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn try_lock_range(&self, a: Bound<u64>, b: Bound<u64>) -> Result<bool, BackendError> {
            self.note("try", answer((a, b), true))
        }

        fn try_lock_shared_range(
            &self,
            a: Bound<u64>,
            b: Bound<u64>,
        ) -> Result<bool, BackendError> {
            self.note("try shared", answer((a, b), true))
        }

        fn lock_range(&self, a: Bound<u64>, b: Bound<u64>) -> Result<(), BackendError> {
            self.note("lock", answer((a, b), ()))
        }

        fn lock_shared_range(&self, a: Bound<u64>, b: Bound<u64>) -> Result<(), BackendError> {
            self.note("lock shared", answer((a, b), ()))
        }

        fn unlock_range(&self, a: Bound<u64>, b: Bound<u64>) -> Result<(), BackendError> {
            self.note("unlock", answer((a, b), ()))
        }

        fn query_lock_range(&self, a: Bound<u64>, b: Bound<u64>) -> Result<bool, BackendError> {
            self.note("query", answer((a, b), true))
        }
    }

    #[test]
    fn every_lock_is_asked_of_the_file_and_none_of_the_whole_is_done_without() {
        let asked = Asked::default();
        let disk = SharedFile::open(Box::new(asked.clone()), Arc::default(), SyncFailed::default())
            .unwrap();
        let backend = Backend::new(Arc::new(disk));
        let (start, end) = PART;
        assert!(backend.try_lock_range(start, end).unwrap());
        assert!(backend.try_lock_shared_range(start, end).unwrap());
        assert!(backend.query_lock_range(start, end).unwrap());
        backend.lock_range(start, end).unwrap();
        backend.lock_shared_range(start, end).unwrap();
        backend.unlock_range(start, end).unwrap();
        let expected = ["try", "try shared", "query", "lock", "lock shared", "unlock"];
        assert_eq!(*asked.0.lock().unwrap(), expected);

        // redb may do without a lock of another part, but not of the whole file.
        let other = backend.try_lock_range(Bound::Included(5), Bound::Unbounded);
        assert!(matches!(other, Err(BackendError::Unsupported)));
        for (start, end) in [WHOLE, (Bound::Included(0), Bound::Unbounded)] {
            for tried in
                [backend.try_lock_range(start, end), backend.try_lock_shared_range(start, end)]
            {
                let Err(BackendError::Other(cause)) = tried else { panic!("{tried:?}") };
                assert!(cause.is::<LocksUnsupported>());
            }
        }
    }
}
