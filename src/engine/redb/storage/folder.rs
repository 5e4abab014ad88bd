//! A store's file in a folder of the operating system.
//!
//! Invariant: no link is followed, and only regular files are opened. The path leads to the opened
//! file once that is locked, so that nobody serves a store that another has replaced.

use std::fs::{File, OpenOptions};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use crate::engine::redb::error;
use crate::engine::redb::storage::draft::{Beside, remove_abandoned};
use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::os_file::OsFile;
use crate::engine::redb::storage::platform::{
    Kind, OpenFolder, ensure_no_link, kind_at, len_of, no_follow, patiently, private, refused,
    reserved_name, sync_folder_of, try_lock,
};
use crate::engine::redb::storage::{Draft, Existing, Opened, Storage};
use crate::error::{Error, Result};

/// How often opening is retried because the file was replaced before it was locked.
const TRIES: usize = 10;

/// The path of a store, whether it exists or not.
#[derive(Debug)]
pub(in crate::engine::redb) struct InFolder {
    path: PathBuf,
    /// Kept open for a process that changes its root, after which the path leads elsewhere.
    folder: OpenFolder,
}

impl InFolder {
    /// Keeps the absolute path, because the program may change its working directory while the file
    /// is open.
    pub(in crate::engine::redb) fn at(path: &Path) -> Result<Self> {
        // The system ignores a separator at the end, or takes the name for a folder's.
        if path.to_string_lossy().ends_with(std::path::is_separator) {
            return Err(Error::NotARegularFile { path: path.into(), what: "a folder's name" });
        }
        if path.components().next_back() == Some(Component::ParentDir) {
            return Err(Error::NotARegularFile { path: path.into(), what: "a folder" });
        }
        if let Some(what) = reserved_name(path) {
            return Err(Error::NotARegularFile { path: path.into(), what });
        }
        let path = std::path::absolute(path).map_err(|error| Error::io("find", path, error))?;
        let folder = OpenFolder::of(&path);
        Ok(Self { path, folder })
    }
}

impl InFolder {
    /// Opens the existing file, and follows no link.
    fn reopened(&self, for_writing: bool) -> io::Result<File> {
        if let Some(opened) = self.folder.open(&self.path, for_writing) {
            return opened;
        }
        patiently(|| {
            let mut open = OpenOptions::new();
            no_follow(open.read(true).write(for_writing)).open(&self.path)
        })
    }
}

impl Storage for InFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn found(&self) -> Result<Existing> {
        let path = &self.path;
        let what = match kind_at(path) {
            Ok(Kind::File) => return Ok(Existing::File),
            Ok(Kind::Link) => "a symbolic link",
            Ok(Kind::Folder) => "a folder",
            Ok(Kind::Other) => "a device or a pipe",
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Existing::Nothing),
            Err(error) => return Err(Error::io("look at", path, error)),
        };
        Err(Error::NotARegularFile { path: path.into(), what })
    }

    fn open(&self) -> Result<Option<Opened>> {
        for _ in 0..TRIES {
            let file = match self.reopened(true) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(refused("open", &self.path, error)),
            };
            ensure_no_link(&self.path, &file)?;
            // The file is locked before it is read, because another process that has it open may be
            // shortening it.
            let Some(opened) = locked(&self.path, file, false)? else { break };
            // A restore may have replaced the file before it was locked.
            if self.leads_to(opened.identity)? {
                return Ok(Some(opened));
            }
        }
        Err(Error::AlreadyOpen { path: self.path.clone() })
    }

    fn create(&self) -> Result<Option<Opened>> {
        let mut open = OpenOptions::new();
        open.read(true).write(true).create_new(true);
        let file = match private(&mut open).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(Error::io("create", &self.path, error)),
        };
        let identity = Identity::of(&file);
        let locked = locked(&self.path, file, true);
        if let (Err(_), Ok(identity)) = (&locked, identity) {
            self.remove(identity);
        }
        match locked? {
            Some(opened) => Ok(Some(opened)),
            None => Err(Error::AlreadyOpen { path: self.path.clone() }),
        }
    }

    fn remove(&self, identity: Identity) {
        if Identity::at(&self.path).is_ok_and(|found| found == identity) {
            let _ = patiently(|| fs::remove_file(&self.path));
        }
    }

    fn sync_name(&self) -> Result<()> {
        sync_folder_of(&self.path).map_err(|error| Error::io("create", &self.path, error))
    }

    fn draft(&self) -> Result<Box<dyn Draft>> {
        remove_abandoned(&self.path);
        Ok(Box::new(Beside::create(&self.path)?))
    }

    fn leads_to(&self, identity: Identity) -> Result<bool> {
        let found = Identity::at(&self.path);
        if found.as_ref().is_ok_and(|found| *found == identity) {
            return Ok(true);
        }
        match self.folder.identity_of(&self.path).unwrap_or(found) {
            Ok(found) => Ok(found == identity),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("look at", &self.path, error)),
        }
    }

    fn len(&self) -> Result<u64> {
        let len = self.reopened(false).and_then(|file| len_of(&file));
        len.map_err(|error| Error::io("look at", &self.path, error))
    }
}

/// The locked file; `None` if somebody else has it locked. The object that releases the lock exists
/// before the lock is taken, so that any failure releases it.
pub(in crate::engine::redb::storage) fn locked(
    path: &Path,
    file: File,
    is_new: bool,
) -> Result<Option<Opened>> {
    let handle = file.try_clone().map_err(|error| Error::io("open", path, error))?;
    let opened = opened(path, file, is_new)?;
    Ok(try_lock(path, &handle)?.then_some(opened))
}

pub(in crate::engine::redb::storage) fn opened(
    path: &Path,
    file: File,
    is_new: bool,
) -> Result<Opened> {
    let identity = Identity::of(&file).map_err(|error| Error::io("look at", path, error))?;
    let backend = OsFile::new(file).map_err(|error| error::from_open(path, error))?;
    Ok(Opened { backend: Box::new(backend), identity, is_new })
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn a_file_that_is_replaced_while_it_is_being_opened_is_not_the_one_that_is_locked() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("sessions.redb"), folder.path().join("new"));
        fs::write(&path, b"old").unwrap();
        let storage = InFolder::at(&path).unwrap();
        let is_over = AtomicBool::new(false);
        let locked = || match storage.open() {
            Ok(opened) => Some(opened.unwrap()),
            Err(Error::AlreadyOpen { .. }) => None,
            Err(error) => panic!("{error:?}"),
        };
        thread::scope(|scope| {
            // Replaces the file as a restore does: while it has the old one locked.
            scope.spawn(|| {
                for _ in 0..300 {
                    fs::write(&new, b"new").unwrap();
                    let old = std::iter::repeat_with(locked).find_map(|it| it).unwrap();
                    fs::rename(&new, &path).unwrap();
                    drop(old);
                }
                is_over.store(true, Ordering::Release);
            });
            while !is_over.load(Ordering::Acquire) {
                let Some(opened) = locked() else { continue };
                // Nobody replaces the file that is locked here.
                if !storage.leads_to(opened.identity).unwrap() {
                    is_over.store(true, Ordering::Release);
                    panic!("the file that was locked had been replaced");
                }
            }
        });
    }

    #[test]
    fn a_link_that_takes_the_place_of_the_file_unseen_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("sessions.redb"), folder.path().join("target"));
        fs::write(&target, b"somebody's").unwrap();
        let storage = InFolder::at(&path).unwrap();
        let draft = storage.draft().unwrap();
        // Nothing checks the name again between `found` and these calls.
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let refused = storage.open();
        assert!(
            matches!(refused, Err(Error::NotARegularFile { what: "a symbolic link", .. })),
            "{refused:?}"
        );
        assert!(storage.create().unwrap().is_none(), "it is something");
        // A new store does not take its place either.
        assert!(draft.move_in_place().is_err());
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the draft is gone");
        assert_eq!(fs::read(&target).unwrap(), b"somebody's");
    }
}
