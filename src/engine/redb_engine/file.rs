//! The file's life: created whole or not at all, opened only if it is ours, watched while open.
//!
//! Invariant: nothing that is found is written to before its marks have been seen; a new store
//! is in its place only once it is complete and on the disk.

use std::path::Path;

use redb::{Builder, Database, StorageBackend};

use super::backend::{Backend, SyncFailed};
use super::failure;
use super::marks::{check_marks, write_marks};
use super::medium::{Found, Medium, Opened};
use super::options::RedbOptions;
use super::platform::Identity;
use crate::{Error, Result};

/// An open file.
#[derive(Debug)]
pub(super) struct StoreFile {
    medium: Box<dyn Medium>,
    identity: Identity,
    sync_failed: SyncFailed,
}

impl StoreFile {
    /// Opens the store on a medium; creates it where there is nothing, or an empty file.
    pub(super) fn open(medium: Box<dyn Medium>, options: &RedbOptions) -> Result<(Self, Database)> {
        match medium.found()? {
            Found::File => {
                let Opened { backend, identity } = medium.open()?;
                let store = Self { medium, identity, sync_failed: SyncFailed::default() };
                let database = store.existing(backend, options)?;
                Ok((store, database))
            }
            Found::Nothing => Self::create(medium, options),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.medium.path()
    }

    pub(super) fn sync_failed(&self) -> bool {
        self.sync_failed.get()
    }

    pub(super) fn len(&self) -> Result<u64> {
        self.medium.len()
    }

    /// Whether the path still leads to the open file. A commit to a file that nobody can open
    /// again must not be acknowledged.
    pub(super) fn check_in_place(&self) -> Result<()> {
        match self.medium.identity()? {
            Some(identity) if identity == self.identity => Ok(()),
            _ => Err(Error::FileReplaced { path: self.path().into() }),
        }
    }

    /// Opens the file anew after an I/O error, which redb's handle does not outlive. A sync that
    /// fails on the new handle counts as one on the old.
    pub(super) fn reopen(&self, options: &RedbOptions) -> Result<Database> {
        self.check_in_place()?;
        let Opened { backend, identity } = self.medium.open()?;
        match identity == self.identity {
            true => self.existing(backend, options),
            false => Err(Error::FileReplaced { path: self.path().into() }),
        }
    }

    /// Builds a whole store beside its place, and moves it there once it is on the disk.
    fn create(medium: Box<dyn Medium>, options: &RedbOptions) -> Result<(Self, Database)> {
        let draft = medium.create()?;
        let Opened { backend, identity } = draft.open()?;
        let store = Self { medium, identity, sync_failed: SyncFailed::default() };
        let database = store.database(backend, options)?;
        let marked = write_marks(&database);
        marked.map_err(|error| failure::from_redb("create", store.path(), error))?;
        // Somebody else's file may have appeared meanwhile; it must not be replaced unseen.
        if store.medium.found()? == Found::File {
            return Err(Error::AlreadyOpen { path: store.path().into() });
        }
        draft.move_in_place()?;
        Ok((store, database))
    }

    fn existing(
        &self,
        backend: Box<dyn StorageBackend>,
        options: &RedbOptions,
    ) -> Result<Database> {
        check_marks(self.path(), &*backend)?;
        self.database(backend, options)
    }

    fn database(
        &self,
        backend: Box<dyn StorageBackend>,
        options: &RedbOptions,
    ) -> Result<Database> {
        Builder::new()
            .set_cache_size(options.page_cache_bytes())
            .set_check_integrity_on_open(options.verify_on_open)
            .create_with_backend(Backend::new(backend, self.sync_failed.clone()))
            .map_err(|error| failure::from_open(self.path(), error))
    }
}
