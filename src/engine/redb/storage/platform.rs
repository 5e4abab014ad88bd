//! What differs between operating systems: links, locks, modes, and which file a name leads to.

use std::fs::{File, OpenOptions};
#[cfg(unix)]
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::{fs, io};

#[cfg(unix)]
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, open, openat, statat};
#[cfg(target_os = "linux")]
use rustix::fs::{StatxFlags, makedev, statx};

use crate::engine::redb::storage::WriteFailure;
use crate::engine::redb::storage::identity::Identity;
use crate::error::{Error, Result};

pub(in crate::engine::redb) fn refused(
    action: &'static str,
    path: &Path,
    error: io::Error,
) -> Error {
    if is_link_error(&error) {
        return Error::NotARegularFile { path: path.into(), what: "a symbolic link" };
    }
    match error.kind() {
        io::ErrorKind::IsADirectory => {
            Error::NotARegularFile { path: path.into(), what: "a folder" }
        }
        _ => Error::io(action, path, error),
    }
}

/// What opening a symbolic link without following it fails with.
#[cfg(unix)]
fn is_link_error(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(unix)]
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

#[cfg(unix)]
pub(in crate::engine::redb) fn no_follow(open: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    open.custom_flags(NO_FOLLOW)
}

#[cfg(unix)]
pub(in crate::engine::redb) fn private(open: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    open.mode(0o600).custom_flags(NO_FOLLOW)
}

/// Takes the file's mode back to that of a new one. Where it is somebody else's, it stays.
#[cfg(unix)]
pub(in crate::engine::redb) fn make_private(file: &File) {
    use std::os::unix::fs::PermissionsExt;
    let _ = file.set_permissions(fs::Permissions::from_mode(0o600));
}

/// Locks the file as redb does; `false` if somebody else has.
pub(in crate::engine::redb) fn try_lock(path: &Path, file: &File) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Err(Error::LocksUnsupported { path: path.into() })
        }
        Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", path, error)),
    }
}

/// Gives back what [`try_lock`] took, though other handles of the same opening may live on.
#[cfg(unix)]
pub(in crate::engine::redb) fn unlock(file: &File) -> io::Result<()> {
    file.unlock()
}

/// Gives a file another name, under which there must be nothing.
pub(in crate::engine::redb) fn move_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    let moved = rename_to_nothing(from, to);
    if !matches!(&moved, Err(error) if error.kind() == io::ErrorKind::Unsupported) {
        return moved;
    }
    link_to_nothing(from, to)
}

/// The same by a second name.
fn link_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // No links either: an empty file of our own is what is replaced.
        Err(_) => {
            let mut open = OpenOptions::new();
            drop(private(open.write(true).create_new(true)).open(to)?);
            fs::rename(from, to)
        }
    }
}

/// `Unsupported` where the system or the file system has no such call.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // `PERM` is what a filter of system calls says of one that it does not know.
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        moved => Ok(moved?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_to_nothing(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Has the system remove a file with its last handle, where it can.
#[cfg(windows)]
pub(in crate::engine::redb) fn unnamed(open: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;
    open.custom_flags(FILE_FLAG_DELETE_ON_CLOSE)
}

#[cfg(not(windows))]
pub(in crate::engine::redb) fn unnamed(open: &mut OpenOptions) -> &mut OpenOptions {
    open
}

/// Whether [`unnamed`] does it all.
pub(in crate::engine::redb) const fn is_unnamed_by_system() -> bool {
    cfg!(windows)
}

/// Syncs the folder of a file whose path is absolute.
#[cfg(unix)]
pub(in crate::engine::redb) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

#[cfg(unix)]
impl Identity {
    pub(in crate::engine::redb) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::in_stat(&fstat(file)?))
    }

    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "systems differ in the type"
    )]
    const fn in_stat(found: &Stat) -> Self {
        Self { device: found.st_dev as u64, inode: found.st_ino as u64 }
    }
}

/// What stands under a name; a link itself is something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// The calls of the standard library are `statx`, which a filter of system calls may forbid.
#[cfg(unix)]
pub(in crate::engine::redb) fn kind_at(path: &Path) -> io::Result<Kind> {
    let found = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    })
}

#[cfg(not(unix))]
pub(in crate::engine::redb) fn kind_at(path: &Path) -> io::Result<Kind> {
    let kind = fs::symlink_metadata(path)?.file_type();
    Ok(match () {
        () if kind.is_symlink() => Kind::Link,
        () if kind.is_dir() => Kind::Folder,
        () if kind.is_file() => Kind::File,
        () => Kind::Other,
    })
}

/// Drops the file's pages from memory, but those that are still to be written.
#[cfg(target_os = "linux")]
pub(in crate::engine::redb) fn forget_cached(file: &File) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};
    Ok(fadvise(file, 0, None, Advice::DontNeed)?)
}

/// Other systems have no such call that is known to do it.
#[cfg(not(target_os = "linux"))]
pub(in crate::engine::redb) fn forget_cached(_: &File) -> io::Result<()> {
    Ok(())
}

/// What a kernel answers to a call that it does not know, and a filter of calls to one that it was
/// made without: a container's may be older than the kernel.
#[cfg(target_os = "linux")]
fn is_unknown(error: rustix::io::Errno) -> bool {
    matches!(error, rustix::io::Errno::NOSYS | rustix::io::Errno::PERM)
}

/// The file's length, and nothing else of it: see [`Identity::at`].
#[cfg(target_os = "linux")]
pub(in crate::engine::redb) fn len_of(file: &File) -> io::Result<u64> {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::SIZE) {
        Ok(found) => Ok(found.stx_size),
        Err(error) if is_unknown(error) => Ok(fstat(file)?.st_size.cast_unsigned()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(in crate::engine::redb) fn len_of(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// Whether a name leads to the file, as far as the system tells.
#[cfg(target_os = "linux")]
pub(in crate::engine::redb) fn has_name(file: &File) -> bool {
    match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
        Ok(found) => found.stx_nlink > 0,
        Err(_) => fstat(file).is_ok_and(|found| found.st_nlink > 0),
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
pub(in crate::engine::redb) fn has_name(file: &File) -> bool {
    fstat(file).is_ok_and(|found| found.st_nlink > 0)
}

#[cfg(not(unix))]
pub(in crate::engine::redb) fn has_name(_: &File) -> bool {
    true
}

/// A file's folder, kept open, and which file the root of all paths was then.
#[cfg(unix)]
#[derive(Debug)]
pub(in crate::engine::redb) struct OpenFolder {
    folder: Option<OwnedFd>,
    root: Option<Identity>,
}

#[cfg(unix)]
impl OpenFolder {
    /// Of a file whose path is absolute. Without rights to open it paths must do.
    pub(in crate::engine::redb) fn of(path: &Path) -> Self {
        #[cfg(target_os = "linux")]
        const ACCESS: OFlags = OFlags::PATH;
        #[cfg(not(target_os = "linux"))]
        const ACCESS: OFlags = OFlags::RDONLY;
        let flags = ACCESS | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = path.parent().and_then(|folder| open(folder, flags, Mode::empty()).ok());
        Self { folder, root: Identity::at(Path::new("/")).ok() }
    }

    /// The folder and the name in it, if the process has another root than when this was opened.
    fn elsewhere<'a>(&'a self, path: &'a Path) -> Option<(&'a OwnedFd, &'a Path)> {
        let is_moved = Identity::at(Path::new("/")).ok() != self.root;
        Some((self.folder.as_ref().filter(|_| is_moved)?, Path::new(path.file_name()?)))
    }

    /// Which file the name in the folder leads to; `None` where the path tells.
    pub(in crate::engine::redb) fn identity_of(&self, path: &Path) -> Option<io::Result<Identity>> {
        let (folder, name) = self.elsewhere(path)?;
        Some(Identity::beneath(folder, name))
    }

    /// Opens the file of that name in the folder, and follows no link; `None` where the path leads
    /// to it.
    pub(in crate::engine::redb) fn open(
        &self,
        path: &Path,
        for_writing: bool,
    ) -> Option<io::Result<File>> {
        let (folder, name) = self.elsewhere(path)?;
        let access = if for_writing { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Some(openat(folder, name, flags, Mode::empty()).map(File::from).map_err(Into::into))
    }
}

/// Elsewhere no process changes its root.
#[cfg(not(unix))]
#[derive(Debug)]
pub(in crate::engine::redb) struct OpenFolder;

#[cfg(not(unix))]
impl OpenFolder {
    pub(in crate::engine::redb) const fn of(_: &Path) -> Self {
        Self
    }

    pub(in crate::engine::redb) const fn identity_of(
        &self,
        _: &Path,
    ) -> Option<io::Result<Identity>> {
        None
    }

    pub(in crate::engine::redb) const fn open(
        &self,
        _: &Path,
        _: bool,
    ) -> Option<io::Result<File>> {
        None
    }
}

/// The same file, opened once more: with a place of its own, and errors of its own to be told of.
#[cfg(target_os = "linux")]
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
#[cfg(target_os = "linux")]
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

/// Other systems have no such calls.
#[cfg(not(target_os = "linux"))]
pub(in crate::engine::redb) fn open_apart(_: &File) -> Option<File> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(in crate::engine::redb) fn write_synced(
    _: &File,
    _: u64,
    _: &[u8],
) -> Result<(), WriteFailure> {
    Err(WriteFailure::Write(io::ErrorKind::Unsupported.into()))
}

#[cfg(target_os = "linux")]
impl Identity {
    /// Which file a name leads to, a link itself being one.
    ///
    /// Asks for nothing else, above all not for the file's times: Linux notes that somebody has
    /// seen them, changes them with the next write even within the same tick, and then the next
    /// sync has one more block to write. That made a commit a third slower.
    pub(in crate::engine::redb) fn at(path: &Path) -> io::Result<Self> {
        Self::beneath(CWD, path)
    }

    fn beneath(folder: impl AsFd + Copy, name: &Path) -> io::Result<Self> {
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

#[cfg(all(unix, not(target_os = "linux")))]
impl Identity {
    /// Which file a name leads to, a link itself being one.
    pub(in crate::engine::redb) fn at(path: &Path) -> io::Result<Self> {
        Self::beneath(CWD, path)
    }

    fn beneath(folder: impl AsFd, name: &Path) -> io::Result<Self> {
        Ok(Self::in_stat(&statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }
}

// Elsewhere a file's access follows its folder's, a link is not told apart once it is open, and
// the standard library has no stable identity of a file.
#[cfg(not(unix))]
fn is_link_error(_: &io::Error) -> bool {
    false
}

#[cfg(not(unix))]
pub(in crate::engine::redb) fn no_follow(open: &mut OpenOptions) -> &mut OpenOptions {
    open
}

#[cfg(not(unix))]
pub(in crate::engine::redb) fn private(open: &mut OpenOptions) -> &mut OpenOptions {
    open
}

#[cfg(not(unix))]
pub(in crate::engine::redb) fn make_private(_: &File) {}

#[cfg(not(unix))]
pub(in crate::engine::redb) fn unlock(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(in crate::engine::redb) fn sync_folder_of(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
impl Identity {
    pub(in crate::engine::redb) fn of(_: &File) -> io::Result<Self> {
        Ok(Self { device: 0, inode: 0 })
    }

    /// Which file a name leads to, a link itself being one.
    pub(in crate::engine::redb) fn at(path: &Path) -> io::Result<Self> {
        fs::symlink_metadata(path).map(|_| Self { device: 0, inode: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_moved_to_a_free_name_and_to_no_other_with_and_without_the_call_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for rename in [move_to_nothing, link_to_nothing] {
            fs::write(path("from"), b"new").unwrap();
            fs::write(path("taken"), b"old").unwrap();
            let refused = rename(&path("from"), &path("taken")).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(path("taken")).unwrap(), b"old");
            rename(&path("from"), &path("free")).unwrap();
            assert!(!path("from").exists());
            assert_eq!(fs::read(path("free")).unwrap(), b"new");
            fs::remove_file(path("free")).unwrap();
        }
    }
}
