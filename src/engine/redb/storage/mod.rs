//! What a store's file is kept on: a folder of the operating system, or a disk of a test's making.
//!
//! A storage knows names, identities and bytes, and by what bytes a file is known that is being
//! made. It knows nothing of redb's handle, and never writes to what it finds.

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
    /// What error texts call the store.
    fn path(&self) -> &Path;

    /// What is there now, without opening it.
    fn found(&self) -> Result<Existing>;

    /// Opens what is there, and locks it; `None` if nothing is there any more.
    fn open(&self) -> Result<Option<Opened>>;

    /// Makes an empty file in the place, and locks it; `None` if there is something by now.
    fn create(&self) -> Result<Option<Opened>>;

    /// Removes the file, if the name leads to this one. Nobody waits for it.
    fn remove(&self, identity: Identity);

    /// Returns once the name is on the disk.
    fn sync_name(&self) -> Result<()>;

    /// Begins a new store beside the place, which goes away again unless it is moved there.
    fn draft(&self) -> Result<Box<dyn Draft>>;

    /// Whether the name leads to this file now.
    fn leads_to(&self, identity: Identity) -> Result<bool>;

    /// How many bytes the file has now.
    fn len(&self) -> Result<u64>;

    /// Gives up what the operating system keeps in memory of the file and holds for written, so
    /// that it is read from the disk again. Does nothing where there is no file, or no way to do it.
    fn forget_cached(&self) -> io::Result<()>;
}

/// A new store that is not in its place yet.
pub(crate) trait Draft {
    /// The number by which it is known, in its name and in its mark.
    fn token(&self) -> [u8; 16];

    fn open(&self) -> Result<Opened>;

    /// Puts the store, which is on the disk, in its place, and its name on the disk. An error if
    /// there is something by now.
    fn move_in_place(self: Box<Self>) -> Result<()>;
}

/// The bytes of an open file: what redb asks of it, and what the log does.
pub(crate) trait StorageFile: StorageBackend {
    /// Writes, and returns once what it wrote is on the disk; of anything else that was written
    /// before it promises nothing. `None`, and nothing is written, where there is no way to do it.
    ///
    /// Its range must have been written and synced before, so that no length has to be. A failure to
    /// write something else, of which a sync is told as well, may be told here, too.
    fn write_synced(&self, _offset: u64, _data: &[u8]) -> Option<Result<(), WriteFailure>> {
        None
    }

    /// Whether there is a name that leads to the file, as far as can be told.
    fn has_name(&self) -> bool {
        true
    }

    /// Gives the file the mode of a new one, where it may: nobody but its owner reads or writes it.
    fn make_private(&self) {}
}

/// How a write that was to be on the disk has failed.
#[derive(Debug)]
pub(crate) enum WriteFailure {
    /// As a write does: any part of it may be there, and it can be tried again.
    Write(io::Error),
    /// As a sync does: the system may hold for written what is not on the disk.
    #[cfg_attr(
        all(any(not(target_os = "linux"), portable), not(feature = "testing")),
        allow(dead_code, reason = "only Linux syncs a range")
    )]
    Sync(io::Error),
}

/// An open file: its bytes, and which file it is whatever its name.
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
    /// A file, with or without a byte; whether it is a store of ours shows when it is opened.
    File,
}
