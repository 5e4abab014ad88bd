//! Every sync of a file or a folder.
//!
//! Invariant: a sync returns once the disk has the data, not only its cache. Both calls of the
//! standard library ensure that. On Apple's systems they are `fcntl` with `F_FULLFSYNC`, on Windows
//! `FlushFileBuffers`.

use std::fs::File;
use std::io;

/// Syncs a file's bytes and its length.
pub(in crate::engine::redb) fn sync_data(file: &File) -> io::Result<()> {
    #[cfg(test)]
    tests::count();
    file.sync_data()
}

/// Syncs all of a file, its owner too, or a folder's names.
pub(in crate::engine::redb) fn sync_all(file: &File) -> io::Result<()> {
    #[cfg(test)]
    tests::count();
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use redb::StorageBackend;

    use super::*;
    use crate::engine::redb::storage::os_file::OsFile;
    use crate::engine::redb::storage::platform::sync_folder_of;

    thread_local! {
        static SYNCS: Cell<u32> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        SYNCS.set(SYNCS.get() + 1);
    }

    /// How often this thread syncs while it does this.
    fn syncs_of(act: impl FnOnce()) -> u32 {
        SYNCS.set(0);
        act();
        SYNCS.get()
    }

    #[test]
    fn the_bytes_the_name_and_the_owner_of_a_file_are_synced_by_these_calls() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut open = File::options();
        let file = open.read(true).write(true).create_new(true).open(&path).unwrap();
        let opened = OsFile::new(file.try_clone().unwrap()).unwrap();
        assert_eq!(syncs_of(|| opened.sync_data().unwrap()), 1);
        assert_eq!(syncs_of(|| sync_folder_of(&path).unwrap()), 1);
        #[cfg(unix)]
        {
            use crate::engine::redb::storage::platform::{Owner, give_to};
            let somebody = Owner { user: 12_345, group: 12_345 };
            let mut is_given = false;
            let syncs = syncs_of(|| is_given = give_to(&file, somebody).is_ok());
            // Only root may give a file away.
            assert_eq!(syncs, u32::from(is_given));
        }
    }
}
