//! A new store while it is being made: beside its place, and gone again if that fails.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::platform::{
    no_follow, private, refused, sync_folder_of, try_lock,
};
use crate::error::{Error, Result};

/// A new file beside the path, which goes away unless it is moved there.
pub(in crate::engine::redb) struct Temporary {
    path: PathBuf,
    file: File,
    /// Whether the name leads to this file, so that it is ours to remove.
    ours: bool,
}

impl Temporary {
    /// The name is fixed, so that what a killed creation left is found and taken away by the next.
    pub(in crate::engine::redb) fn create(path: &Path) -> Result<Self> {
        const TRIES: usize = 10;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = path.with_file_name(name);
        for _ in 0..TRIES {
            remove_abandoned(path, &temporary)?;
            let mut open = OpenOptions::new();
            open.read(true).write(true).create_new(true);
            private(&mut open);
            match open.open(&temporary) {
                Ok(file) => {
                    let mut created = Self { path: temporary.clone(), file, ours: true };
                    if lock_if_at(&created.path, &created.file)? {
                        return Ok(created);
                    }
                    // Another creator took it for abandoned, and away.
                    created.ours = false;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", path, error)),
            }
        }
        Err(Error::AlreadyOpen { path: path.into() })
    }

    /// The file, for redb to write to. It shares the lock.
    pub(in crate::engine::redb) fn file(&self) -> Result<File> {
        self.file.try_clone().map_err(|error| Error::io("open", &self.path, error))
    }

    pub(in crate::engine::redb) fn move_to(mut self, path: &Path) -> Result<()> {
        let failed = |error| Error::io("create", path, error);
        self.file.sync_all().map_err(failed)?;
        fs::rename(&self.path, path).map_err(failed)?;
        self.ours = false;
        sync_folder_of(path).map_err(failed)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.ours {
            // The error that led here is the one to report; the next creation tries again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what a killed creation left behind. What a living one holds is locked, and stays.
pub(in crate::engine::redb) fn remove_abandoned(path: &Path, temporary: &Path) -> Result<()> {
    let mut open = OpenOptions::new();
    open.read(true).write(true);
    match no_follow(&mut open).open(temporary) {
        Ok(file) if lock_if_at(temporary, &file)? => {
            fs::remove_file(temporary).map_err(|error| Error::io("replace", temporary, error))
        }
        Ok(_) => Err(Error::AlreadyOpen { path: path.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused("open", temporary, error)),
    }
}

/// Locks the file; `false` if somebody else has, or if the name leads to another file by now.
fn lock_if_at(path: &Path, file: &File) -> Result<bool> {
    if !try_lock(path, file)? {
        return Ok(false);
    }
    let failed = |error| Error::io("look at", path, error);
    let held = Identity::of(&file.metadata().map_err(failed)?);
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Identity::of(&metadata) == held),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error)),
    }
}
