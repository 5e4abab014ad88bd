//! An open file of the operating system: one handle for redb, and another for the log.
//!
//! Invariant: both handles lead to the same file, and no lock outlives `close`. The handles are
//! opened separately, because the system reports a failed write once to each opened handle. So a
//! sync through one cannot take away the other's error.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

use crate::descriptors::beside_standard_streams;
use crate::engine::redb::storage::platform::{
    LOCKS_FOR_REDB, Owner, forget_cached, has_name, len_of, make_private, open_apart, owner_of,
    sync_data, unlock, write_synced,
};
use crate::engine::redb::storage::{StorageFile, WriteFailure};

#[derive(Debug)]
pub(in crate::engine::redb) struct OsFile {
    redb: FileBackend,
    /// The lock of the whole file, taken when the file was opened. On Linux redb releases it with
    /// its own lock. Elsewhere redb does not know it, and it would last as long as any snapshot.
    lock: File,
    /// `None` if the system cannot open the file a second time, or cannot sync a range.
    log: Option<File>,
    /// Whether the file system has reported that it cannot sync a range.
    syncs_no_range: AtomicBool,
}

impl OsFile {
    pub(in crate::engine::redb) fn new(file: File) -> Result<Self, DatabaseError> {
        let file = beside_standard_streams(file);
        let log = open_apart(&file).map(beside_standard_streams);
        let lock = file.try_clone()?;
        let redb = FileBackend::new(file)?;
        Ok(Self { redb, lock, log, syncs_no_range: AtomicBool::new(false) })
    }
}

impl StorageFile for OsFile {
    /// Syncs only this range. A sync of the whole file would wait for every page that redb has
    /// written meanwhile.
    fn write_synced(&self, offset: u64, data: &[u8]) -> Option<Result<(), WriteFailure>> {
        let log = self.log.as_ref().filter(|_| !self.syncs_no_range.load(Ordering::Relaxed))?;
        match write_synced(log, offset, data) {
            Err(WriteFailure::Write(error)) if error.kind() == io::ErrorKind::Unsupported => {
                self.syncs_no_range.store(true, Ordering::Relaxed);
                None
            }
            result => Some(result),
        }
    }

    fn has_name(&self) -> bool {
        has_name(&self.lock)
    }

    fn forget_cached(&self) -> io::Result<()> {
        forget_cached(&self.lock)
    }

    fn make_private(&self) {
        make_private(&self.lock);
    }

    fn owner(&self) -> io::Result<Option<Owner>> {
        owner_of(&self.lock).map(Some)
    }
}

impl StorageBackend for OsFile {
    fn len(&self) -> io::Result<u64> {
        len_of(&self.lock)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.redb.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.redb.set_len(len)
    }

    /// Some file systems, such as gocryptfs, find no file without a name when they sync it. Nothing
    /// could find it after a crash either.
    fn sync_data(&self) -> io::Result<()> {
        match sync_data(&self.lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.has_name() => Ok(()),
            synced => synced,
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.redb.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        let closed = self.redb.close();
        closed.and(unlock(&self.lock))
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if LOCKS_FOR_REDB { Ok(true) } else { self.redb.try_lock_range(start, end) }
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        if LOCKS_FOR_REDB { Ok(true) } else { self.redb.try_lock_shared_range(start, end) }
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        if LOCKS_FOR_REDB { Ok(()) } else { self.redb.lock_range(start, end) }
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        if LOCKS_FOR_REDB { Ok(()) } else { self.redb.lock_shared_range(start, end) }
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        if LOCKS_FOR_REDB { Ok(()) } else { self.redb.unlock_range(start, end) }
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        if LOCKS_FOR_REDB { Ok(false) } else { self.redb.query_lock_range(start, end) }
    }
}

impl Drop for OsFile {
    /// A failed opening has closed nothing. A process that another thread is starting has inherited
    /// the file, and would keep its lock until it runs its program.
    fn drop(&mut self) {
        let _ = self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::redb::storage::platform::try_lock;

    /// Opens a separate handle each time.
    fn open(path: &Path) -> File {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    #[test]
    fn what_is_written_and_synced_in_one_is_where_it_belongs() {
        let file = OsFile::new(tempfile::tempfile().unwrap()).unwrap();
        file.set_len(10_000).unwrap();
        if let Some(written) = file.write_synced(5_000, &[1; 600]) {
            written.unwrap();
            let mut read = [0; 700];
            file.read(4_950, &mut read).unwrap();
            assert_eq!(read[..50], [0; 50]);
            assert_eq!(read[50..650], [1; 600]);
            assert_eq!(read[650..], [0; 50]);
        }
        assert_eq!(file.len().unwrap(), 10_000);
    }

    #[test]
    fn where_no_range_can_be_synced_nothing_is_written() {
        let mut file = OsFile::new(tempfile::tempfile().unwrap()).unwrap();
        file.set_len(100).unwrap();
        *file.syncs_no_range.get_mut() = true;
        assert!(file.write_synced(0, &[1; 100]).is_none());
        let mut read = [7; 100];
        file.read(0, &mut read).unwrap();
        assert_eq!(read, [0; 100]);
    }

    /// The filter makes the call fail as it does on such a file system, for this thread alone.
    #[cfg(all(target_os = "linux", target_arch = "x86_64", not(portable)))]
    #[test]
    fn a_file_without_a_name_is_as_good_as_synced_where_the_system_finds_it_no_more() {
        use std::collections::BTreeMap;

        use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

        let folder = tempfile::tempdir().unwrap();
        let named = OsFile::new(open(&folder.path().join("file"))).unwrap();
        let nameless = OsFile::new(tempfile::tempfile().unwrap()).unwrap();
        let filter = SeccompFilter::new(
            BTreeMap::from([(libc::SYS_fdatasync, vec![])]),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOENT.cast_unsigned()),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                apply_filter(&program).unwrap();
                nameless.sync_data().unwrap();
                let missing = named.sync_data().unwrap_err();
                assert_eq!(missing.kind(), io::ErrorKind::NotFound);
            });
        });
    }

    #[test]
    fn forgetting_what_is_cached_loses_nothing_that_was_written_whatever_the_name_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let [path, away] = ["file", "away"].map(|name| folder.path().join(name));
        let file = OsFile::new(open(&path)).unwrap();
        file.set_len(10_000).unwrap();
        file.write(0, &[7; 10_000]).unwrap();
        std::fs::rename(&path, &away).unwrap();
        file.forget_cached().unwrap();
        std::fs::write(&path, b"somebody's").unwrap();
        file.forget_cached().unwrap();
        assert_eq!(std::fs::read(&away).unwrap(), [7; 10_000]);
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody's");
    }

    #[test]
    fn the_lock_of_the_whole_file_does_not_outlive_the_closing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (first, second) = (open(&path), open(&path));
        assert!(try_lock(&path, &first).unwrap());
        let first = OsFile::new(first).unwrap();
        assert!(!try_lock(&path, &second).unwrap());
        first.close().unwrap();
        assert!(try_lock(&path, &second).unwrap());
        drop(first);
        assert!(!try_lock(&path, &open(&path)).unwrap(), "it gave back its own alone");
    }

    #[test]
    fn a_lock_ends_with_an_opening_that_failed_though_a_new_process_has_inherited_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (first, second) = (open(&path), open(&path));
        let inherited = first.try_clone().unwrap();
        assert!(try_lock(&path, &first).unwrap());
        drop(OsFile::new(first).unwrap());
        assert!(try_lock(&path, &second).unwrap());
        drop(inherited);
    }

    #[cfg(not(any(windows, target_os = "android")))]
    #[test]
    fn a_lock_that_is_held_by_one_access_is_let_go_of_with_it_and_not_with_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (first, second) = (open(&path), open(&path));
        let [first, second] = [first, second].map(|file| OsFile::new(file).unwrap());
        let lock = |file: &OsFile| file.try_lock_range(Bound::Included(0), Bound::Excluded(1));
        assert!(lock(&first).unwrap());
        assert!(!lock(&second).unwrap());
        first.close().unwrap();
        assert!(lock(&second).unwrap(), "though the first is not dropped");
    }
}
