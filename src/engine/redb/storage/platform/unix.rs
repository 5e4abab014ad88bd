//! What Unix systems have in common.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::{fs, io};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, open, openat, statat};

use crate::descriptors::beside_standard_streams;
use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::platform::sync::sync_all;
use crate::engine::redb::storage::platform::{Kind, Owner, sync_unlisted};
use crate::error::{Error, Result};

/// Whether our lock stands in for redb's. redb must then not ask for it again, or it would meet its
/// own lock.
#[cfg(not(target_os = "android"))]
pub(in crate::engine::redb) const LOCKS_FOR_REDB: bool = false;
/// redb asks the standard library for locks, which has none on this system.
#[cfg(target_os = "android")]
pub(in crate::engine::redb) const LOCKS_FOR_REDB: bool = true;

const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Whether opening a symbolic link without following it failed with this error. FreeBSD reports too
/// many links.
pub(in crate::engine::redb::storage) fn is_link_error(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let bsd = cfg!(any(target_os = "freebsd", target_os = "dragonfly"));
    let code = error.raw_os_error();
    code == Some(Errno::LOOP.raw_os_error()) || (bsd && code == Some(Errno::MLINK.raw_os_error()))
}

/// On Unix no process can keep others from opening a file.
pub(in crate::engine::redb) const fn is_held_by_another(_: &io::Error) -> bool {
    false
}

/// Runs `act` once: no process blocks names.
pub(in crate::engine::redb) fn patiently<T>(act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    act()
}

/// No names are reserved.
pub(in crate::engine::redb) const fn reserved_name(_: &Path) -> Option<&'static str> {
    None
}

pub(in crate::engine::redb) fn no_follow(open: &mut OpenOptions) -> &mut OpenOptions {
    open.custom_flags(NO_FOLLOW)
}

/// The file was opened without following a link.
pub(in crate::engine::redb) const fn ensure_no_link(_: &Path, _: &File) -> Result<()> {
    Ok(())
}

pub(in crate::engine::redb) fn private(open: &mut OpenOptions) -> &mut OpenOptions {
    open.mode(0o600).custom_flags(NO_FOLLOW)
}

/// Resets the file's mode to that of a new one. If another user owns the file, the mode stays.
pub(in crate::engine::redb) fn make_private(file: &File) {
    let _ = file.set_permissions(fs::Permissions::from_mode(0o600));
}

pub(in crate::engine::redb) fn owner_of(file: &File) -> io::Result<Owner> {
    let found = fstat(file)?;
    Ok(Owner { user: found.st_uid, group: found.st_gid })
}

/// Gives the file to its owner-to-be, and returns once that is on the disk. The group stays if only
/// that cannot be changed, since a private file is its user's alone.
pub(in crate::engine::redb) fn give_to(file: &File, owner: Owner) -> io::Result<()> {
    if owner_of(file)? == owner {
        return Ok(());
    }
    let Owner { user, group } = owner;
    fchown(file, Some(user), Some(group)).or_else(|_| fchown(file, Some(user), None))?;
    sync_all(file)
}

/// Locks the file as redb does; `false` if somebody else has it locked.
#[cfg(not(target_os = "android"))]
pub(in crate::engine::redb) fn try_lock(path: &Path, file: &File) -> Result<bool> {
    locked(path, file.try_lock())
}

/// Keeps stores from locking the file, and allows everything else; `false` if a store has it
/// locked.
#[cfg(not(target_os = "android"))]
pub(in crate::engine::redb) fn try_lock_shared(path: &Path, file: &File) -> Result<bool> {
    locked(path, file.try_lock_shared())
}

#[cfg(not(target_os = "android"))]
fn locked(path: &Path, result: std::result::Result<(), fs::TryLockError>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            Err(Error::LocksUnsupported { path: path.into() })
        }
        Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", path, error)),
    }
}

/// Releases the lock that [`try_lock`] or [`try_lock_shared`] took, even if other handles of the
/// same opening still exist.
#[cfg(not(target_os = "android"))]
pub(in crate::engine::redb) fn unlock(file: &File) -> io::Result<()> {
    file.unlock()
}

/// The standard library has no locks on this system, but the system has.
#[cfg(target_os = "android")]
pub(in crate::engine::redb) fn try_lock(path: &Path, file: &File) -> Result<bool> {
    flocked(path, file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
}

#[cfg(target_os = "android")]
pub(in crate::engine::redb) fn try_lock_shared(path: &Path, file: &File) -> Result<bool> {
    flocked(path, file, rustix::fs::FlockOperation::NonBlockingLockShared)
}

#[cfg(target_os = "android")]
fn flocked(path: &Path, file: &File, how: rustix::fs::FlockOperation) -> Result<bool> {
    use rustix::io::Errno;
    match rustix::fs::flock(file, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => {
            Err(Error::LocksUnsupported { path: path.into() })
        }
        Err(error) => Err(Error::io("lock", path, error.into())),
    }
}

#[cfg(target_os = "android")]
pub(in crate::engine::redb) fn unlock(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock)?)
}

/// `Unsupported` if the system or the file system has no such call.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(in crate::engine::redb::storage) fn rename_to_nothing(
    from: &Path,
    to: &Path,
) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A system call filter answers `PERM` to a call that it does not know.
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        moved => Ok(moved?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(in crate::engine::redb::storage) fn rename_to_nothing(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The caller removes the file's name at once.
pub(in crate::engine::redb) fn unnamed(open: &mut OpenOptions) -> &mut OpenOptions {
    open
}

/// Whether [`unnamed`] alone makes the file nameless.
pub(in crate::engine::redb) const fn is_unnamed_by_system() -> bool {
    false
}

/// Syncs the folder of a file whose path is absolute. A folder that the process may write to and
/// not list cannot be opened for that.
pub(in crate::engine::redb) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match File::open(path.parent().unwrap_or(path)) {
        Ok(folder) => sync_all(&folder),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            sync_unlisted(path).map_err(|_| error)
        }
        Err(error) => Err(error),
    }
}

impl Identity {
    pub(in crate::engine::redb) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::in_stat(&fstat(file)?))
    }

    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        reason = "systems differ in the type"
    )]
    pub(super) const fn in_stat(found: &Stat) -> Self {
        Self { device: found.st_dev as u64, inode: found.st_ino as u64 }
    }
}

/// The standard library uses `statx`, which a system call filter may forbid.
pub(in crate::engine::redb) fn kind_at(path: &Path) -> io::Result<Kind> {
    let found = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    })
}

/// A file's folder, kept open, and the identity of the root directory at that time.
#[derive(Debug)]
pub(in crate::engine::redb) struct OpenFolder {
    folder: Option<OwnedFd>,
    root: Option<Identity>,
}

impl OpenFolder {
    /// The folder of a file whose path is absolute. If the process may not open it, paths are used.
    pub(in crate::engine::redb) fn of(path: &Path) -> Self {
        #[cfg(target_os = "linux")]
        const ACCESS: OFlags = OFlags::PATH;
        #[cfg(not(target_os = "linux"))]
        const ACCESS: OFlags = OFlags::RDONLY;
        let flags = ACCESS | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = path.parent().and_then(|folder| open(folder, flags, Mode::empty()).ok());
        let folder = folder.map(beside_standard_streams);
        Self { folder, root: Identity::at(Path::new("/")).ok() }
    }

    /// The folder and the name in it, if the process's root has changed since this was opened.
    fn elsewhere<'a>(&'a self, path: &'a Path) -> Option<(&'a OwnedFd, &'a Path)> {
        let is_moved = Identity::at(Path::new("/")).ok() != self.root;
        Some((self.folder.as_ref().filter(|_| is_moved)?, Path::new(path.file_name()?)))
    }

    /// The identity of the file with that name in the folder; `None` if the path can be used.
    pub(in crate::engine::redb) fn identity_of(&self, path: &Path) -> Option<io::Result<Identity>> {
        let (folder, name) = self.elsewhere(path)?;
        Some(Identity::beneath(folder, name))
    }

    /// Opens the file with that name in the folder, following no link; `None` if the path can be
    /// used.
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
