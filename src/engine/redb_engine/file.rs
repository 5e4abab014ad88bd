//! The file's life: created whole or not at all, opened only if it is ours, watched while open.
//!
//! Invariant: nothing at the path is written to before its marks have been seen; a new store
//! appears there only once it is complete and on the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database};

use super::backend::{Backend, SyncFailed};
use super::compaction::compact_if_mostly_empty;
use super::failure;
use super::marks::{check_marks, write_marks};
use super::options::RedbOptions;
use super::platform::{Identity, no_follow, refused};
use super::temporary::Temporary;
use crate::{Error, Result};

/// An open file.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    identity: Identity,
    sync_failed: SyncFailed,
}

impl StoreFile {
    /// Opens the store at a path; creates it where there is nothing, or an empty file.
    pub(super) fn open(path: &Path, options: &RedbOptions) -> Result<(Self, Database)> {
        match look(path)? {
            Found::Store => Self::open_compact(path, options),
            Found::Nothing => {
                let (store, database, ()) = Self::create_filled(path, options, |_| Ok(()))?;
                Ok((store, database))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn sync_failed(&self) -> bool {
        self.sync_failed.get()
    }

    pub(super) fn len(&self) -> Result<u64> {
        let metadata = fs::metadata(&self.path);
        Ok(metadata.map_err(|error| Error::io("look at", &self.path, error))?.len())
    }

    /// Whether the path still leads to the open file. A commit to a file that nobody can open
    /// again must not be acknowledged.
    pub(super) fn check_in_place(&self) -> Result<()> {
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if Identity::of(&metadata) == self.identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("look at", &self.path, error))
            }
            _ => Err(Error::FileReplaced { path: self.path.clone() }),
        }
    }

    /// Opens the file anew after an I/O error, which redb's handle does not outlive.
    pub(super) fn reopen(&self, options: &RedbOptions) -> Result<Database> {
        self.check_in_place()?;
        let (file, database) = Self::open_existing(&self.path, options)?;
        match file.identity == self.identity {
            true => Ok(database),
            false => Err(Error::FileReplaced { path: self.path.clone() }),
        }
    }

    /// Opens a file, and gives back its space if it is mostly empty.
    fn open_compact(path: &Path, options: &RedbOptions) -> Result<(Self, Database)> {
        let (store, mut database) = Self::open_existing(path, options)?;
        // Damage that nobody looked for must not be moved about.
        if !(options.compact_on_open && options.verify_on_open) {
            return Ok((store, database));
        }
        match compact_if_mostly_empty(&mut database, store.len()?) {
            Ok(_) => Ok((store, database)),
            Err(error) if store.sync_failed() => Err(failure::from_redb("compact", path, error)),
            // A disk that is too full to be made emptier must not keep the store closed.
            Err(_) => {
                drop(database);
                Self::open_existing(path, options)
            }
        }
    }

    fn open_existing(path: &Path, options: &RedbOptions) -> Result<(Self, Database)> {
        let mut open = OpenOptions::new();
        open.read(true).write(true);
        let file = no_follow(&mut open).open(path).map_err(|e| refused("open", path, e))?;
        let metadata = file.metadata().map_err(|error| Error::io("look at", path, error))?;
        let store = Self {
            path: path.into(),
            identity: Identity::of(&metadata),
            sync_failed: SyncFailed::default(),
        };
        check_marks(path, &file)?;
        let database = store.database(file, options)?;
        Ok((store, database))
    }

    /// Builds a whole store under another name, with what `fill` puts into it, and gives it its own
    /// name once it is on the disk.
    pub(super) fn create_filled<T>(
        path: &Path,
        options: &RedbOptions,
        fill: impl FnOnce(&Database) -> Result<T>,
    ) -> Result<(Self, Database, T)> {
        let temporary = Temporary::create(path)?;
        let file = temporary.file()?;
        let metadata = file.metadata().map_err(|error| Error::io("look at", path, error))?;
        let store = Self {
            path: path.into(),
            identity: Identity::of(&metadata),
            sync_failed: SyncFailed::default(),
        };
        let database = store.database(file, options)?;
        write_marks(&database).map_err(|error| failure::from_redb("create", path, error))?;
        let filled = fill(&database)?;
        // Somebody else's file may have appeared meanwhile; it must not be replaced unseen.
        if let Found::Store = look(path)? {
            return Err(Error::AlreadyOpen { path: path.into() });
        }
        temporary.move_to(path)?;
        Ok((store, database, filled))
    }

    fn database(&self, file: File, options: &RedbOptions) -> Result<Database> {
        let on_recovery = options.on_recovery.for_file(&file);
        let backend = FileBackend::new(file).map_err(|e| failure::from_open(&self.path, e))?;
        Builder::new()
            .set_cache_size(options.page_cache_bytes())
            .set_check_integrity_on_open(options.verify_on_open)
            .set_repair_callback(on_recovery)
            .create_with_backend(Backend::new(backend, self.sync_failed.clone()))
            .map_err(|error| failure::from_open(&self.path, error))
    }
}

pub(super) enum Found {
    Nothing,
    Store,
}

/// What is at the path, without following a link, and without opening what is no file.
pub(super) fn look(path: &Path) -> Result<Found> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(Error::io("look at", path, error)),
    };
    let kind = metadata.file_type();
    let what = if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a folder"
    } else if !kind.is_file() {
        "a device or a pipe"
    } else if metadata.len() == 0 {
        return Ok(Found::Nothing);
    } else {
        return Ok(Found::Store);
    };
    Err(Error::NotARegularFile { path: path.into(), what })
}
