//! Special cases of Windows: locks that keep others from reading, names that are devices, and
//! programs that hold a file for a moment.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::platform::sync::sync_all;
use crate::engine::redb::storage::platform::{Kind, Owner};
use crate::error::{Error, Result};

/// Our locks stand in for redb's. redb would lock all bytes of the file, so that nobody could read
/// them, and would wait for itself if it met a lock of the same handle.
pub(in crate::engine::redb) const LOCKS_FOR_REDB: bool = true;

/// The bytes that every process locks when it opens the file with redb. They are far behind all
/// data, and exclude the bytes by which redb makes others wait for a moment.
const LOCKS: [(Bound<u64>, Bound<u64>); 2] = {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    const BASE: u64 = 1 << 62;
    [(Included(BASE), Excluded(BASE + 896)), (Included(BASE + 1_024), Unbounded)]
};

const ERROR_ACCESS_DENIED: i32 = 5;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_LOCK_VIOLATION: i32 = 33;
const ERROR_NOT_LOCKED: i32 = 158;

const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;

/// A link itself is opened, and [`ensure_no_link`] detects it.
pub(in crate::engine::redb::storage) const fn is_link_error(_: &io::Error) -> bool {
    false
}

/// Another program has opened the file exclusively.
pub(in crate::engine::redb) fn is_held_by_another(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION))
}

/// Tries again for a second if somebody holds the file, as virus scanners and backup programs do
/// for a moment.
pub(crate) fn patiently<T>(act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    const TRIES: u32 = 40;
    const PAUSE: Duration = Duration::from_millis(25);
    let is_for_a_moment = |error: &io::Error| {
        is_held_by_another(error) || error.raw_os_error() == Some(ERROR_ACCESS_DENIED)
    };
    for _ in 1..TRIES {
        match act() {
            Err(error) if is_for_a_moment(&error) => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
    act()
}

/// Why a name is refused: it leads to a device, to another file, or to a stream of a file.
pub(in crate::engine::redb) fn reserved_name(path: &Path) -> Option<&'static str> {
    const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    let name = path.file_name().and_then(OsStr::to_str)?;
    if name.contains(':') {
        return Some("a stream of a file");
    }
    if name.ends_with(['.', ' ']) {
        return Some("a name whose end Windows leaves out");
    }
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let is_port = ["COM", "LPT"].iter().any(|port| {
        let number = stem.strip_prefix(port).map(str::chars);
        number.is_some_and(|mut rest| {
            matches!((rest.next(), rest.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
    });
    (is_port || DEVICES.contains(&stem.as_str())).then_some("a device's name")
}

pub(in crate::engine::redb) fn no_follow(open: &mut OpenOptions) -> &mut OpenOptions {
    open.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
}

/// Refuses a link that was itself opened.
pub(in crate::engine::redb) fn ensure_no_link(path: &Path, file: &File) -> Result<()> {
    let metadata = file.metadata().map_err(|error| Error::io("look at", path, error))?;
    match metadata.file_type().is_symlink() {
        true => Err(Error::NotARegularFile { path: path.into(), what: "a symbolic link" }),
        false => Ok(()),
    }
}

/// The file has its folder's permissions.
pub(in crate::engine::redb) fn private(open: &mut OpenOptions) -> &mut OpenOptions {
    no_follow(open)
}

pub(in crate::engine::redb) const fn make_private(_: &File) {}

pub(in crate::engine::redb) const fn owner_of(_: &File) -> io::Result<Owner> {
    Ok(Owner {})
}

pub(in crate::engine::redb) const fn give_to(_: &File, _: Owner) -> io::Result<()> {
    Ok(())
}

/// Locks the file as redb does; `false` if somebody else has it locked.
pub(in crate::engine::redb) fn try_lock(path: &Path, file: &File) -> Result<bool> {
    let failed = |error: io::Error| Error::io("lock", path, error);
    // If somebody has locked the whole file, redb's attempt would wait for them.
    match file.try_lock() {
        // Wine reports an error although it has unlocked the file.
        Ok(()) => drop(file.unlock()),
        Err(fs::TryLockError::WouldBlock) => return Ok(false),
        Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
    }
    let locks = backend_of(file).map_err(failed)?;
    for (start, end) in LOCKS {
        match locks.try_lock_range(start, end) {
            Ok(true) => {}
            Ok(false) => {
                let _ = locks.close();
                return Ok(false);
            }
            Err(error) => {
                let _ = locks.close();
                return Err(failed(io::Error::other(error)));
            }
        }
    }
    Ok(true)
}

/// Keeps stores from locking the file, and allows everything else; `false` if a store has it
/// locked.
pub(in crate::engine::redb) fn try_lock_shared(path: &Path, file: &File) -> Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", path, error)),
    }
}

/// Releases the locks that [`try_lock`] or [`try_lock_shared`] took, even if other handles of the
/// same opening still exist.
pub(in crate::engine::redb) fn unlock(file: &File) -> io::Result<()> {
    // The shared lock is one on all bytes. Without it this is an error, and on Wine always.
    let _ = file.unlock();
    let locks = backend_of(file)?;
    for (start, end) in LOCKS {
        // A lock that is not held counts as released.
        match locks.unlock_range(start, end) {
            Ok(()) => {}
            Err(redb::BackendError::Io(error))
                if matches!(
                    error.raw_os_error(),
                    Some(ERROR_NOT_LOCKED | ERROR_LOCK_VIOLATION)
                ) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    Ok(())
}

/// redb's backend for the file, which locks parts of it.
fn backend_of(file: &File) -> io::Result<FileBackend> {
    FileBackend::new(file.try_clone()?).map_err(io::Error::other)
}

/// There is no such call; the caller uses a second name instead.
pub(in crate::engine::redb::storage) fn rename_to_nothing(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes the system remove the file with its last handle.
pub(in crate::engine::redb) fn unnamed(open: &mut OpenOptions) -> &mut OpenOptions {
    open.custom_flags(FILE_FLAG_DELETE_ON_CLOSE)
}

/// Whether [`unnamed`] alone makes the file nameless.
pub(in crate::engine::redb) const fn is_unnamed_by_system() -> bool {
    true
}

/// Syncs the folder of a file whose path is absolute, if the process may. Otherwise the file
/// system's journal writes the name some seconds later.
pub(in crate::engine::redb) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let mut open = OpenOptions::new();
    open.read(true).write(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS);
    match open.open(path.parent().unwrap_or(path)) {
        Ok(folder) => {
            let _ = sync_all(&folder);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => Ok(()),
    }
}

impl Identity {
    pub(in crate::engine::redb) fn of(file: &File) -> io::Result<Self> {
        let found = winapi_util::file::information(file)?;
        Ok(Self { device: found.volume_serial_number(), inode: found.file_index() })
    }

    /// The identity of the file that a name leads to; a link counts as a file itself.
    pub(in crate::engine::redb) fn at(path: &Path) -> io::Result<Self> {
        let mut open = OpenOptions::new();
        // Opened without read or write access.
        open.access_mode(0);
        open.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS);
        Self::of(&open.open(path)?)
    }
}

pub(in crate::engine::redb) fn kind_at(path: &Path) -> io::Result<Kind> {
    let kind = fs::symlink_metadata(path)?.file_type();
    Ok(match () {
        () if kind.is_symlink() => Kind::Link,
        () if kind.is_dir() => Kind::Folder,
        () if kind.is_file() => Kind::File,
        () => Kind::Other,
    })
}

/// No process changes its root.
#[derive(Debug)]
pub(in crate::engine::redb) struct OpenFolder;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_device_a_stream_or_another_file_is_told_from_others() {
        for name in ["nul", "CON", "com1", "LPT9.redb", "aux .txt", "COM²", "conin$"] {
            assert_eq!(reserved_name(Path::new(name)), Some("a device's name"), "{name}");
        }
        for name in ["s.redb.", "s.redb ", "s.redb:stream"] {
            assert!(reserved_name(Path::new(name)).is_some(), "{name}");
        }
        for name in ["sessions.redb", "console", "com10", "nul-sessions.redb", "company", "com"] {
            assert_eq!(reserved_name(Path::new(name)), None, "{name}");
        }
        for folder in [r"\\server\share", r"\\?\UNC\server\share", r"\\?\C:", r"C:", r"\\.\C:"] {
            let folder = Path::new(folder).join("con");
            assert_eq!(reserved_name(&folder.join("sessions.redb")), None, "{}", folder.display());
            assert_eq!(reserved_name(&folder), Some("a device's name"), "{}", folder.display());
        }
    }

    #[test]
    fn a_file_that_is_locked_is_read_by_others_and_locked_by_nobody_else() {
        use std::os::windows::fs::FileExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [7; 100]).unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let (first, second) = (open(), open());
        assert!(try_lock(&path, &first).unwrap());
        assert!(!try_lock(&path, &second).unwrap());
        let mut byte = [0];
        assert_eq!(second.seek_read(&mut byte, 0).unwrap(), 1);
        assert_eq!(fs::read(&path).unwrap(), [7; 100]);
        unlock(&first).unwrap();
        assert!(try_lock(&path, &second).unwrap());
    }

    #[test]
    fn a_file_that_is_held_for_a_moment_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [7; 100]).unwrap();
        let held = File::options().read(true).share_mode(0).open(&path).unwrap();
        assert!(is_held_by_another(&File::open(&path).unwrap_err()));
        let tries = std::cell::Cell::new(0);
        let held = std::cell::Cell::new(Some(held));
        patiently(|| {
            tries.set(tries.get() + 1);
            if tries.get() == 3 {
                drop(held.take());
            }
            File::open(&path)
        })
        .unwrap();
        assert_eq!(tries.get(), 3);
    }
}
