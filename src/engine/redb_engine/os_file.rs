//! An open file of the operating system: redb's own access to it, and one more for the log.
//!
//! Invariant: both are the same open file, so a lock that one of them holds is the other's, too.

use std::fs::File;
use std::io;
use std::ops::Bound;

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

use super::medium::{MediumFile, Unwritten};
use super::platform::write_synced;
use crate::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub(super) struct OsFile {
    redb: FileBackend,
    log: File,
    /// Whether the system syncs a range of a file, until it says that it does not.
    syncs_ranges: AtomicBool,
}

impl OsFile {
    pub(super) fn new(file: File) -> Result<Self, DatabaseError> {
        let log = file.try_clone().map_err(|error| DatabaseError::Storage(error.into()))?;
        Ok(Self { redb: FileBackend::new(file)?, log, syncs_ranges: AtomicBool::new(true) })
    }
}

impl MediumFile for OsFile {
    /// Where the system can, it writes and syncs this range alone: what redb writes meanwhile all
    /// over the same file would otherwise have to get to the disk first.
    fn write_synced(&self, offset: u64, data: &[u8]) -> Result<(), Unwritten> {
        if self.syncs_ranges.load(Ordering::Relaxed) {
            match write_synced(&self.log, offset, data) {
                Err(Unwritten::Write(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    self.syncs_ranges.store(false, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        self.write(offset, data).map_err(Unwritten::Write)?;
        self.sync_data().map_err(Unwritten::Sync)
    }
}

impl StorageBackend for OsFile {
    fn len(&self) -> io::Result<u64> {
        self.redb.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.redb.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.redb.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.redb.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.redb.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.redb.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.redb.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.redb.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.redb.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.redb.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.redb.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.redb.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_and_synced_in_one_is_where_it_belongs_whether_or_not_the_system_can() {
        let mut file = OsFile::new(tempfile::tempfile().unwrap()).unwrap();
        file.set_len(10_000).unwrap();
        file.write_synced(5_000, &[1; 600]).unwrap();
        *file.syncs_ranges.get_mut() = false;
        file.write_synced(5_600, &[2; 600]).unwrap();
        let mut read = [0; 1_300];
        file.read(4_950, &mut read).unwrap();
        assert_eq!(read[..50], [0; 50]);
        assert_eq!(read[50..650], [1; 600]);
        assert_eq!(read[650..1_250], [2; 600]);
        assert_eq!(file.len().unwrap(), 10_000);
    }

    #[test]
    fn a_lock_that_is_held_by_one_access_is_let_go_of_with_it_and_not_with_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let open = || {
            let mut options = File::options();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path);
            OsFile::new(file.unwrap()).unwrap()
        };
        let (first, second) = (open(), open());
        let lock = |file: &OsFile| file.try_lock_range(Bound::Included(0), Bound::Excluded(1));
        assert!(lock(&first).unwrap());
        assert!(!lock(&second).unwrap());
        first.close().unwrap();
        assert!(lock(&second).unwrap(), "though the first is not dropped");
    }
}
