//! The file's life: created whole or not at all, opened only if it is ours, watched while open.
//!
//! Invariant: nothing at the path is written to before its marks have been seen; a new store
//! appears there only once it is complete and on the disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError};

use super::backend::{Backend, SyncFailed};
use super::compaction::compact_if_mostly_empty;
use super::failure;
use super::marks::{check_marks, write_marks};
use super::options::RedbOptions;
use super::platform::{Identity, no_follow, refused};
use super::temporary::Temporary;
use super::write_ahead_log::{Disk, WriteAheadLog};
use crate::{Error, Result};

/// What a commit goes through: the database, and the log in front of it.
pub(super) struct Connection {
    pub(super) database: Database,
    pub(super) log: WriteAheadLog,
}

/// An open file.
#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    identity: Identity,
    sync_failed: SyncFailed,
}

impl StoreFile {
    /// Opens the store at a path; creates it where there is nothing, or an empty file.
    pub(super) fn open(path: &Path, options: &RedbOptions) -> Result<(Self, Connection)> {
        match look(path)? {
            Found::Store => Self::open_compact(path, options),
            Found::Nothing => {
                let (store, connection, ()) = Self::create_filled(path, options, |_| Ok(()))?;
                Ok((store, connection))
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
        match Identity::at(&self.path) {
            Ok(identity) if identity == self.identity => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("look at", &self.path, error))
            }
            _ => Err(Error::FileReplaced { path: self.path.clone() }),
        }
    }

    /// Opens the file anew after an I/O error, which redb's handle does not outlive.
    pub(super) fn reopen(&self, options: &RedbOptions) -> Result<Connection> {
        self.check_in_place()?;
        let (file, connection) = Self::open_existing(&self.path, options)?;
        match file.identity == self.identity {
            true => Ok(connection),
            false => Err(Error::FileReplaced { path: self.path.clone() }),
        }
    }

    /// Opens a file, and gives back its space if it is mostly empty.
    fn open_compact(path: &Path, options: &RedbOptions) -> Result<(Self, Connection)> {
        let (store, mut connection) = Self::open_existing(path, options)?;
        // Damage that nobody looked for must not be moved about.
        if !(options.compact_on_open && options.verify_on_open) {
            return Ok((store, connection));
        }
        match compact_if_mostly_empty(&mut connection.database, store.len()?) {
            Ok(_) => Ok((store, connection)),
            Err(error) if store.sync_failed() => Err(failure::from_redb("compact", path, error)),
            // A disk that is too full to be made emptier must not keep the store closed.
            Err(_) => {
                drop(connection);
                Self::open_existing(path, options)
            }
        }
    }

    fn open_existing(path: &Path, options: &RedbOptions) -> Result<(Self, Connection)> {
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
        let connection = store.connect(file, options)?;
        Ok((store, connection))
    }

    /// Builds a whole store under another name, with what `fill` puts into it, and gives it its own
    /// name once it is on the disk.
    pub(super) fn create_filled<T>(
        path: &Path,
        options: &RedbOptions,
        fill: impl FnOnce(&Database) -> Result<T>,
    ) -> Result<(Self, Connection, T)> {
        let temporary = Temporary::create(path)?;
        let file = temporary.file()?;
        let metadata = file.metadata().map_err(|error| Error::io("look at", path, error))?;
        let store = Self {
            path: path.into(),
            identity: Identity::of(&metadata),
            sync_failed: SyncFailed::default(),
        };
        let connection = store.connect(file, options)?;
        write_marks(&connection.database)
            .map_err(|error| failure::from_redb("create", path, error))?;
        let filled = fill(&connection.database)?;
        // Somebody else's file may have appeared meanwhile; it must not be replaced unseen.
        if let Found::Store = look(path)? {
            return Err(Error::AlreadyOpen { path: path.into() });
        }
        temporary.move_to(path)?;
        Ok((store, connection, filled))
    }

    fn connect(&self, file: File, options: &RedbOptions) -> Result<Connection> {
        let failed = |error| failure::from_open(&self.path, error);
        let on_recovery = options.on_recovery.for_file(&file);
        let backend = FileBackend::new(file).map_err(failed)?;
        let disk = Disk::open(Box::new(backend), self.sync_failed.clone());
        let disk = Arc::new(disk.map_err(|error| failed(DatabaseError::Storage(error.into())))?);
        let database = Builder::new()
            .set_cache_size(options.page_cache_bytes())
            .set_check_integrity_on_open(options.verify_on_open)
            .set_repair_callback(on_recovery)
            .create_with_backend(Backend::new(Arc::clone(&disk)))
            .map_err(failed)?;
        let log = WriteAheadLog::recover(disk, &database, options.page_cache_bytes())
            .map_err(|error| failure::from_redb("recover", &self.path, error))?;
        Ok(Connection { database, log })
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
