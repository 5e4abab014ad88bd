//! What Linux has and other systems have not: a look at one thing about a file, a sync of one
//! range, a cache that can be told to forget.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, fstat, makedev, statat, statx};

use crate::engine::redb::storage::WriteFailure;
use crate::engine::redb::storage::identity::Identity;

/// Drops the file's pages from memory, but those that are still to be written.
pub(in crate::engine::redb) fn forget_cached(file: &File) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};
    Ok(fadvise(file, 0, None, Advice::DontNeed)?)
}

/// What a kernel answers to a call that it does not know, and a filter of calls to one that it was
/// made without: a container's may be older than the kernel.
fn is_unknown(error: rustix::io::Errno) -> bool {
    matches!(error, rustix::io::Errno::NOSYS | rustix::io::Errno::PERM)
}

/// The file's length, and nothing else of it: see [`Identity::at`].
pub(in crate::engine::redb) fn len_of(file: &File) -> io::Result<u64> {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::SIZE) {
        Ok(found) => Ok(found.stx_size),
        Err(error) if is_unknown(error) => Ok(fstat(file)?.st_size.cast_unsigned()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a name leads to the file, as far as the system tells.
pub(in crate::engine::redb) fn has_name(file: &File) -> bool {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
        Ok(found) => found.stx_nlink > 0,
        Err(_) => fstat(file).is_ok_and(|found| found.st_nlink > 0),
    }
}

/// The same file, opened once more: with a place of its own, and errors of its own to be told of.
pub(in crate::engine::redb) fn open_apart(file: &File) -> Option<File> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let apart = OpenOptions::new().read(true).write(true).open(path).ok()?;
    // There may be anything in the place of /proc.
    let same = Identity::of(&apart).ok()? == Identity::of(file).ok()?;
    same.then_some(apart)
}

/// Writes, and syncs the range that was written and no other. `Unsupported` where the kernel or the
/// file system cannot; nothing is promised of what is written then.
pub(in crate::engine::redb) fn write_synced(
    file: &File,
    mut offset: u64,
    mut data: &[u8],
) -> Result<(), WriteFailure> {
    use std::os::unix::fs::FileExt;

    use rustix::io::{Errno, ReadWriteFlags, pwritev2};
    // By itself first, so that an error of the next call is one of the sync: where a file system
    // finds no room for data, it mostly says so here.
    file.write_all_at(data, offset).map_err(WriteFailure::Write)?;
    let unsupported = Err(WriteFailure::Write(io::ErrorKind::Unsupported.into()));
    while !data.is_empty() {
        match pwritev2(file, &[io::IoSlice::new(data)], offset, ReadWriteFlags::DSYNC) {
            Ok(written @ 1..) => {
                data = data.get(written..).unwrap_or_default();
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            // One that writes nothing, and says so, is no better than none.
            Ok(0) | Err(Errno::OPNOTSUPP | Errno::INVAL) => return unsupported,
            Err(error) if is_unknown(error) => return unsupported,
            Err(error) => return Err(WriteFailure::Sync(error.into())),
        }
    }
    Ok(())
}

impl Identity {
    /// Which file a name leads to; a link is a file itself.
    ///
    /// Asks for nothing else, above all not for the file's times. Linux remembers that somebody has
    /// seen them, and dates the next write exactly. Then the next sync has one more block to write,
    /// which made a commit a third slower.
    pub(in crate::engine::redb) fn at(path: &Path) -> io::Result<Self> {
        Self::beneath(CWD, path)
    }

    pub(super) fn beneath(folder: impl AsFd + Copy, name: &Path) -> io::Result<Self> {
        match statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO) {
            Ok(found) => {
                let device = makedev(found.stx_dev_major, found.stx_dev_minor);
                Ok(Self { device, inode: found.stx_ino })
            }
            Err(error) if is_unknown(error) => {
                Ok(Self::in_stat(&statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?))
            }
            Err(error) => Err(error.into()),
        }
    }
}
