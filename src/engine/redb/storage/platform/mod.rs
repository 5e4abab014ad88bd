//! The differences between operating systems: links, locks, modes, and a file's identity.
//!
//! Invariant: every system has the same functions. A system's own file has its special calls;
//! `portable.rs` has the substitutes for systems that lack them. `--cfg portable` makes Linux use
//! the substitutes too, so that they are tested here.

#[cfg(all(target_os = "linux", not(portable)))]
mod linux;
#[cfg(any(not(target_os = "linux"), portable))]
mod portable;
mod sync;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::OpenOptions;
use std::path::Path;
use std::{fs, io};

use crate::engine::redb::storage::identity::Identity;
#[cfg(all(target_os = "linux", not(portable)))]
pub(in crate::engine::redb) use crate::engine::redb::storage::platform::linux::*;
#[cfg(any(not(target_os = "linux"), portable))]
pub(in crate::engine::redb) use crate::engine::redb::storage::platform::portable::*;
pub(in crate::engine::redb) use crate::engine::redb::storage::platform::sync::sync_data;
#[cfg(unix)]
pub(in crate::engine::redb) use crate::engine::redb::storage::platform::unix::*;
#[cfg(all(feature = "admin", windows))]
pub(crate) use crate::engine::redb::storage::platform::windows::patiently;
#[cfg(windows)]
pub(in crate::engine::redb) use crate::engine::redb::storage::platform::windows::*;
use crate::error::Error;

/// The kind of file under a name; a link counts as itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// Whom a file belongs to. Windows has none to copy: a file has its folder's permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    #[cfg(unix)]
    user: u32,
    #[cfg(unix)]
    group: u32,
}

/// The error for a file that could not be opened.
pub(in crate::engine::redb) fn refused(
    action: &'static str,
    path: &Path,
    error: io::Error,
) -> Error {
    if is_link_error(&error) {
        return Error::NotARegularFile { path: path.into(), what: "a symbolic link" };
    }
    if is_held_by_another(&error) {
        return Error::AlreadyOpen { path: path.into() };
    }
    match error.kind() {
        io::ErrorKind::IsADirectory => {
            Error::NotARegularFile { path: path.into(), what: "a folder" }
        }
        _ => Error::io(action, path, error),
    }
}

/// Gives a file another name, which must not exist.
pub(crate) fn move_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    rename_to_nothing(from, to).or_else(|error| match error.kind() {
        io::ErrorKind::Unsupported if gives_names_apart(from) => rename_over_own(from, to),
        io::ErrorKind::Unsupported => link_to_nothing(from, to),
        _ => Err(error),
    })
}

/// As [`move_to_nothing`], through a second name.
fn link_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match patiently(|| fs::hard_link(from, to)) {
        Ok(()) => patiently(|| fs::remove_file(from)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Links are unsupported too.
        Err(_) => rename_over_own(from, to),
    }
}

/// As [`move_to_nothing`]: the file replaces an empty file that this call has created.
fn rename_over_own(from: &Path, to: &Path) -> io::Result<()> {
    replace_own(to, || patiently(|| fs::rename(from, to)))
}

/// Creates an empty file, and replaces it. It is locked meanwhile: `open` would take it for a new
/// store.
fn replace_own(to: &Path, replace: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let mut open = OpenOptions::new();
    let empty = private(open.write(true).create_new(true)).open(to)?;
    if matches!(try_lock(to, &empty), Ok(false)) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let created = Identity::of(&empty);
    // Windows replaces no file that is open.
    let locked = cfg!(unix).then_some(empty);
    let replaced = replace();
    if replaced.is_err() && created.is_ok_and(|it| Identity::at(to).is_ok_and(|at| at == it)) {
        let _ = patiently(|| fs::remove_file(to));
    }
    drop(locked);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_moved_to_a_free_name_and_to_no_other_with_and_without_the_call_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for rename in [move_to_nothing, link_to_nothing, rename_over_own] {
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

    #[cfg(unix)]
    #[test]
    fn the_empty_file_that_is_replaced_becomes_nobodys_store_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        let lock = || {
            let opened = OpenOptions::new().read(true).write(true).open(&to).unwrap();
            try_lock(&to, &opened).unwrap()
        };
        let replace = || {
            assert!(!lock());
            fs::write(&from, b"new").and_then(|()| fs::rename(&from, &to))
        };
        replace_own(&to, replace).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert!(lock());
    }

    #[test]
    fn a_file_that_cannot_be_moved_leaves_no_empty_one_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // A missing file can neither be linked nor renamed.
        for rename in [move_to_nothing, link_to_nothing, rename_over_own] {
            assert!(rename(&path("missing"), &path("free")).is_err());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
