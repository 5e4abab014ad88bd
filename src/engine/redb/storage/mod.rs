//! The place of a store's file: a folder of the operating system, or a test's simulated disk.
//!
//! A storage knows names, identities and bytes, and the mark of an unfinished file. It must not
//! know redb's handle, and never writes to an existing file.

pub(crate) mod platform;

pub(in crate::engine::redb) mod draft;
pub(in crate::engine::redb) mod folder;
pub(crate) mod identity;
pub(in crate::engine::redb) mod nameless;
pub(in crate::engine::redb) mod os_file;
pub(in crate::engine::redb) mod sync_failed;
pub(in crate::engine::redb) mod unfinished;

use std::fmt::Debug;
use std::io;
use std::path::Path;

use redb::StorageBackend;

use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::platform::Owner;
use crate::error::Result;

/// The place of one store, identified by its name; it may be empty.
pub(crate) trait Storage: Debug + Send + Sync {
    /// The path that error texts name.
    fn path(&self) -> &Path;

    /// What exists in the place now, without opening it.
    fn found(&self) -> Result<Existing>;

    /// Opens the file and locks it; `None` if it no longer exists.
    fn open(&self) -> Result<Option<Opened>>;

    /// Creates an empty file in the place and locks it; `None` if a file exists by now.
    fn create(&self) -> Result<Option<Opened>>;

    /// Removes the file if the name leads to this one. An error is not reported.
    fn remove(&self, identity: Identity);

    /// Returns once the name is on the disk.
    fn sync_name(&self) -> Result<()>;

    /// Begins a new store beside the place. It is removed unless it is moved there.
    fn draft(&self) -> Result<Box<dyn Draft>>;

    /// Whether the name leads to this file now.
    fn leads_to(&self, identity: Identity) -> Result<bool>;

    /// The file's present length in bytes.
    fn len(&self) -> Result<u64>;
}

/// A new store that is not in its place yet.
pub(crate) trait Draft {
    /// The number in the draft's name and in its mark.
    fn token(&self) -> [u8; 16];

    fn open(&self) -> Result<Opened>;

    /// Gives the draft to the owner of the store that it is to replace.
    fn give_to(&self, _owner: Owner) -> Result<()> {
        Ok(())
    }

    /// Moves the store, which is on the disk, to its place, and syncs its name. An error if a file
    /// exists there by now.
    fn move_in_place(self: Box<Self>) -> Result<()>;
}

/// The bytes of an open file, as redb and the log use them.
pub(crate) trait StorageFile: StorageBackend {
    /// Writes, and returns once these bytes are on the disk. Bytes that were written earlier may
    /// not be. If the system cannot do this, writes nothing and returns `None`.
    ///
    /// The range must have been written and synced before, so that no length needs a sync. This
    /// call may report the failure of another write, as a sync does.
    fn write_synced(&self, _offset: u64, _data: &[u8]) -> Option<Result<(), WriteFailure>> {
        None
    }

    /// Whether a name leads to the file, as far as the system can tell.
    fn has_name(&self) -> bool {
        true
    }

    /// Drops this file's pages that the system caches and regards as written, so that the next read
    /// comes from the disk. Does nothing if the system offers no way. The file's name does not
    /// matter, since it may lead to another file by now.
    fn forget_cached(&self) -> io::Result<()> {
        Ok(())
    }

    /// Gives the file the mode of a new one, if the process may: only its owner reads or writes it.
    fn make_private(&self) {}

    /// Whom the file belongs to; `None` if it is no file of the operating system.
    fn owner(&self) -> io::Result<Option<Owner>> {
        Ok(None)
    }
}

/// How a synced write failed.
#[derive(Debug)]
pub(crate) enum WriteFailure {
    /// As a write: any part of it may be in the file, and it can be tried again.
    Write(io::Error),
    /// As a sync: the system may regard pages as written that are not on the disk.
    #[cfg_attr(
        all(any(not(target_os = "linux"), portable), not(feature = "testing")),
        allow(dead_code, reason = "only Linux syncs a range")
    )]
    Sync(io::Error),
}

/// An open file: its bytes, and its identity.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) backend: Box<dyn StorageFile>,
    pub(crate) identity: Identity,
    /// Whether this opening created the file.
    pub(crate) is_new: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    Nothing,
    /// A file, empty or not. Opening it shows whether it is a store.
    File,
}
