//! Calls that only Linux has: asking for one attribute of a file, syncing one range, and dropping
//! cached pages.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, fstat, makedev, statat, statx};

use crate::engine::redb::storage::WriteFailure;
use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::platform::no_follow;

/// Drops the file's pages from memory, except those still to be written.
pub(in crate::engine::redb) fn forget_cached(file: &File) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};
    Ok(fadvise(file, 0, None, Advice::DontNeed)?)
}

/// Syncs a file's name, with everything else on its file system: only a folder that is opened to be
/// read can be synced by itself.
pub(in crate::engine::redb) fn sync_unlisted(path: &Path) -> io::Result<()> {
    use rustix::fs::syncfs;
    let mut open = OpenOptions::new();
    Ok(syncfs(no_follow(open.read(true)).open(path)?)?)
}

/// The errors for an unknown call: a kernel's, and a system call filter's. A container's filter may
/// be older than the kernel.
fn is_unknown(error: rustix::io::Errno) -> bool {
    matches!(error, rustix::io::Errno::NOSYS | rustix::io::Errno::PERM)
}

/// The file's length and no other attribute: see [`Identity::at`].
pub(in crate::engine::redb) fn len_of(file: &File) -> io::Result<u64> {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::SIZE) {
        Ok(found) => Ok(found.stx_size),
        Err(error) if is_unknown(error) => Ok(fstat(file)?.st_size.cast_unsigned()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a name leads to the file, as far as the system can tell.
pub(in crate::engine::redb) fn has_name(file: &File) -> bool {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
        Ok(found) => found.stx_nlink > 0,
        Err(_) => fstat(file).is_ok_and(|found| found.st_nlink > 0),
    }
}

/// Whether two names of one file may be two files to the kernel, each with a length, cached pages
/// and locks of its own, as on a file system that a program serves.
pub(in crate::engine::redb::storage) fn gives_names_apart(path: &Path) -> bool {
    /// `FUSE_SUPER_MAGIC`.
    const SERVED: rustix::fs::FsWord = 0x6573_5546;
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == SERVED)
}

/// The same file, opened again: the new handle has its own position, and the system reports errors
/// to it separately.
pub(in crate::engine::redb) fn open_apart(file: &File) -> Option<File> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let apart = OpenOptions::new().read(true).write(true).open(path).ok()?;
    // Another file system may be mounted at /proc.
    let same = Identity::of(&apart).ok()? == Identity::of(file).ok()?;
    same.then_some(apart)
}

/// Writes, and syncs only the written range. `Unsupported` if the kernel or the file system cannot;
/// then the written bytes may not be on the disk.
pub(in crate::engine::redb) fn write_synced(
    file: &File,
    mut offset: u64,
    mut data: &[u8],
) -> Result<(), WriteFailure> {
    use std::os::unix::fs::FileExt;

    use rustix::io::{Errno, ReadWriteFlags, pwritev2};
    // The bytes are first written without a sync, so that an error of the next call is a sync's. A
    // file system without room for the data mostly reports that here.
    file.write_all_at(data, offset).map_err(WriteFailure::Write)?;
    let unsupported = Err(WriteFailure::Write(io::ErrorKind::Unsupported.into()));
    while !data.is_empty() {
        match pwritev2(file, &[io::IoSlice::new(data)], offset, ReadWriteFlags::DSYNC) {
            Ok(written @ 1..) => {
                data = data.get(written..).unwrap_or_default();
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            // A call that reports having written nothing is as good as unsupported.
            Ok(0) | Err(Errno::OPNOTSUPP | Errno::INVAL) => return unsupported,
            Err(error) if is_unknown(error) => return unsupported,
            Err(error) => return Err(WriteFailure::Sync(error.into())),
        }
    }
    Ok(())
}

impl Identity {
    /// The identity of the file that a name leads to; a link counts as a file itself.
    ///
    /// Asks for no other attribute, above all not the file's times. After a program has read them,
    /// Linux gives the next write an exact date. Then the next sync writes one more block, which
    /// made a commit a third slower.
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
