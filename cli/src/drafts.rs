//! Files under construction: an archive that gets its name once it is complete, and the removal of
//! drafts when the tool ends at once.
//!
//! Invariant: a draft is private, replaces nothing, and no file that the user has named is removed.
//! A file is on the disk before it has its name, and so is its name before the tool tells of it.

use std::fs::File;
use std::io;
use std::path::Path;

/// The start of the name of an archive's draft, where the system has no nameless files.
const EXPORT: &str = ".sessile-export-";

/// A new file that has no name yet, or only a draft's.
pub(crate) enum Draft {
    #[cfg(target_os = "linux")]
    Nameless(File),
    Named(tempfile::NamedTempFile),
}

impl Draft {
    /// Creates a draft in the folder of `path`, for this user alone.
    pub(crate) fn beside(path: &Path) -> io::Result<Self> {
        let folder = folder_of(path);
        #[cfg(target_os = "linux")]
        if let Some(file) = linux::nameless_in(folder) {
            return Ok(Self::Nameless(file));
        }
        tempfile::Builder::new().prefix(EXPORT).tempfile_in(folder).map(Self::Named)
    }

    pub(crate) fn file(&self) -> &File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    /// Writes the complete file to the disk and gives it its name, if nothing has that. Returns once
    /// the name is on the disk too, where a program can wait for that.
    pub(crate) fn name(self, path: &Path) -> io::Result<()> {
        self.file().sync_all()?;
        match self {
            #[cfg(target_os = "linux")]
            Self::Nameless(file) => linux::name(&file, path)?,
            Self::Named(file) => {
                file.persist_noclobber(path).map(drop).map_err(|error| error.error)?;
            }
        }
        #[cfg(unix)]
        sync_folder_of(path)?;
        Ok(())
    }
}

/// Syncs the folder of a file, on Linux with its whole file system if this user may not list it.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> io::Result<()> {
    match File::open(folder_of(path)) {
        Ok(folder) => folder.sync_all(),
        #[cfg(target_os = "linux")]
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(rustix::fs::syncfs(File::open(path)?)?)
        }
        Err(error) => Err(error),
    }
}

/// The folder of a file; `.` for a name alone.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes the drafts that this process has open, the library's included. Only Linux tells which
/// these are; elsewhere the next backup to the same place removes its draft, and an archive's stays.
pub(crate) fn remove() {
    #[cfg(target_os = "linux")]
    for draft in linux::open_files().filter(|path| is_draft(path) && !is_named_by_user(path)) {
        let _ = std::fs::remove_file(draft);
    }
}

/// Whether a file has a name that the tool or the library gives a draft.
#[cfg(any(target_os = "linux", test))]
fn is_draft(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    if name.starts_with(EXPORT) {
        return true;
    }
    let digits = |text: &str, len| {
        text.len() == len && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts = name.strip_prefix(".sessile-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(file, number)| digits(file, 16) && digits(number, 32))
}

#[cfg(target_os = "linux")]
fn is_named_by_user(path: &Path) -> bool {
    std::env::args_os().any(|it| Path::new(&it).file_name() == path.file_name())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::{Path, PathBuf};

    use rustix::fs::{AtFlags, CWD, OFlags, linkat};

    const OPEN_FILES: &str = "/proc/self/fd";

    /// A file without a name, which disappears with the process; `None` if the file system has no
    /// such files, or the system does not show open files, by which one gets its name.
    pub(super) fn nameless_in(folder: &Path) -> Option<File> {
        let mut open = OpenOptions::new();
        let flags = i32::try_from(OFlags::TMPFILE.bits()).ok()?;
        let file = open.write(true).mode(0o600).custom_flags(flags).open(folder).ok()?;
        fs::symlink_metadata(shown(&file)).ok()?;
        Some(file)
    }

    pub(super) fn name(file: &File, path: &Path) -> io::Result<()> {
        Ok(linkat(CWD, shown(file), CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }

    pub(super) fn open_files() -> impl Iterator<Item = PathBuf> {
        let files = fs::read_dir(OPEN_FILES).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok())
    }

    fn shown(file: &File) -> PathBuf {
        Path::new(OPEN_FILES).join(file.as_raw_fd().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_told_from_what_only_begins_like_one() {
        let draft = format!(".sessile-{}-{}", "0a".repeat(8), "1b".repeat(16));
        assert!(is_draft(Path::new(&draft)));
        assert!(is_draft(Path::new("folder/.sessile-export-x1Y2z3")));
        let longer = format!("{draft} (deleted)");
        for other in [".sessile-store.redb", ".sessile-", "sessions.redb", &draft[1..], &longer] {
            assert!(!is_draft(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn a_draft_is_private_gets_a_free_name_and_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        let named = || {
            let named = tempfile::Builder::new().prefix(EXPORT).tempfile_in(folder.path());
            Draft::Named(named.unwrap())
        };
        let path = folder.path().join("a.jsonl");
        for make in [&|| Draft::beside(&path).unwrap(), &named as &dyn Fn() -> Draft] {
            let draft = make();
            io::Write::write_all(&mut draft.file(), b"whole").unwrap();
            drop(make());
            draft.name(&path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"whole");
            let taken = make().name(&path).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
            std::fs::remove_file(&path).unwrap();
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
