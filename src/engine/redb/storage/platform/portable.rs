//! Substitutes for Linux's special calls on other systems.

use std::fs::File;
use std::io;
#[cfg(unix)]
use std::os::fd::AsFd;
use std::path::Path;

#[cfg(unix)]
use rustix::fs::{AtFlags, CWD, fstat, statat};

use crate::engine::redb::storage::WriteFailure;
#[cfg(unix)]
use crate::engine::redb::storage::identity::Identity;

/// No call is known that drops cached pages.
pub(in crate::engine::redb) fn forget_cached(_: &File) -> io::Result<()> {
    Ok(())
}

/// No call is known that syncs the name of a file in a folder that cannot be opened.
#[cfg(unix)]
pub(in crate::engine::redb) fn sync_unlisted(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The system does not say whether two names of one file may be two files to it.
pub(in crate::engine::redb::storage) const fn gives_names_apart(_: &Path) -> bool {
    false
}

/// The system syncs no range, so no second handle is needed.
pub(in crate::engine::redb) fn open_apart(_: &File) -> Option<File> {
    None
}

pub(in crate::engine::redb) fn write_synced(
    _: &File,
    _: u64,
    _: &[u8],
) -> Result<(), WriteFailure> {
    Err(WriteFailure::Write(io::ErrorKind::Unsupported.into()))
}

#[cfg(unix)]
pub(in crate::engine::redb) fn len_of(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// On Windows, `metadata` also asks for the volume. Whoever reads at the file's position seeks
/// first.
#[cfg(windows)]
pub(in crate::engine::redb) fn len_of(mut file: &File) -> io::Result<u64> {
    io::Seek::seek(&mut file, io::SeekFrom::End(0))
}

/// Whether a name leads to the file, as far as the system can tell.
#[cfg(unix)]
pub(in crate::engine::redb) fn has_name(file: &File) -> bool {
    fstat(file).is_ok_and(|found| found.st_nlink > 0)
}

/// Windows denies access to a file's name, too, if the file is to be deleted with its last handle.
#[cfg(not(unix))]
pub(in crate::engine::redb) const fn has_name(_: &File) -> bool {
    false
}

#[cfg(unix)]
impl Identity {
    /// The identity of the file that a name leads to; a link counts as a file itself.
    pub(in crate::engine::redb) fn at(path: &Path) -> io::Result<Self> {
        Self::beneath(CWD, path)
    }

    pub(super) fn beneath(folder: impl AsFd, name: &Path) -> io::Result<Self> {
        Ok(Self::in_stat(&statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }
}
