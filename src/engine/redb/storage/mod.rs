//! Where a store's file is kept: a folder of the operating system, or a test's simulated disk.
//!
//! A storage knows names, identities and bytes, and the bytes that mark a file that is being made.
//! It must not know redb's handle, and never writes to a file that it finds.

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
use crate::error::Result;

/// The place of one store, by its name; it may be empty.
pub(crate) trait Storage: Debug + Send + Sync {
    /// The path that error texts name.
    fn path(&self) -> &Path;

    /// What is there now, without opening it.
    fn found(&self) -> Result<Existing>;

    /// Opens the file and locks it; `None` if there is none any more.
    fn open(&self) -> Result<Option<Opened>>;

    /// Makes an empty file in the place and locks it; `None` if there is one by now.
    fn create(&self) -> Result<Option<Opened>>;

    /// Removes the file if the name leads to this one. An error is not reported.
    fn remove(&self, identity: Identity);

    /// Returns once the name is on the disk.
    fn sync_name(&self) -> Result<()>;

    /// Begins a new store beside the place. It is removed unless it is moved there.
    fn draft(&self) -> Result<Box<dyn Draft>>;

    /// Whether the name leads to this file now.
    fn leads_to(&self, identity: Identity) -> Result<bool>;

    /// The file's length in bytes now.
    fn len(&self) -> Result<u64>;

    /// Drops the pages that the system caches of the file and holds for written, so that the disk
    /// is read again. Does nothing where there is no file, or no way to do it.
    fn forget_cached(&self) -> io::Result<()>;
}

/// A new store that is not in its place yet.
pub(crate) trait Draft {
    /// The number in its name and in its mark.
    fn token(&self) -> [u8; 16];

    fn open(&self) -> Result<Opened>;

    /// Moves the store, which is on the disk, to its place, and syncs its name. An error if there
    /// is a file by now.
    fn move_in_place(self: Box<Self>) -> Result<()>;
}

/// The bytes of an open file, as redb and the log use them.
pub(crate) trait StorageFile: StorageBackend {
    /// Writes, and returns once these bytes are on the disk. It promises nothing of bytes that were
    /// written before. Where the system cannot do it, it writes nothing and answers `None`.
    ///
    /// The range must have been written and synced before, so that no length needs a sync. The
    /// failure of another write, which a sync reports too, may be reported here.
    fn write_synced(&self, _offset: u64, _data: &[u8]) -> Option<Result<(), WriteFailure>> {
        None
    }

    /// Whether a name leads to the file, as far as can be told.
    fn has_name(&self) -> bool {
        true
    }

    /// Gives the file the mode of a new one, where the process may: only its owner reads or writes
    /// it.
    fn make_private(&self) {}
}

/// How a synced write failed.
#[derive(Debug)]
pub(crate) enum WriteFailure {
    /// As a write: any part of it may be there, and it can be tried again.
    Write(io::Error),
    /// As a sync: the system may hold for written what is not on the disk.
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
    /// Whether it was made by this opening.
    pub(crate) is_new: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    Nothing,
    /// A file, empty or not. Opening it shows whether it is a store.
    File,
}
