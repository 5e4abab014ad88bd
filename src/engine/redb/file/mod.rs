//! The file's life: created completely or not at all, opened only if it is a store, watched while
//! open.
//!
//! Invariant: an existing file is written to only after our signature was seen in it. An incomplete
//! store has a mark that says so.

pub(in crate::engine::redb) mod backend;
pub(in crate::engine::redb) mod compaction;
pub(in crate::engine::redb) mod creation;
pub(in crate::engine::redb) mod signature;
pub(in crate::engine::redb) mod unwinding;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use redb::{Builder, Database, DatabaseError, StorageBackend};

use crate::caught::discard;
use crate::engine::redb::database::snapshot::stored_sequence;
use crate::engine::redb::error;
use crate::engine::redb::file::backend::Backend;
use crate::engine::redb::file::compaction::compact_if_mostly_empty;
use crate::engine::redb::file::signature::{check_format, check_signature, was_closed};
use crate::engine::redb::file::unwinding::holding;
use crate::engine::redb::keyed::Changes;
use crate::engine::redb::log::head::Head;
use crate::engine::redb::log::{SharedFile, WriteAheadLog};
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::pages::verify::{Verdict, verify};
use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::sync_failed::SyncFailed;
use crate::engine::redb::storage::{Existing, Opened, Storage, StorageFile};
use crate::error::{Error, Result};

/// A store's file.
#[derive(Debug)]
pub(in crate::engine::redb) struct StoreFile {
    storage: Arc<dyn Storage>,
    identity: Identity,
    sync_failed: SyncFailed,
    /// The bytes that this process last wrote to the file, through any of its openings.
    head: Arc<Head>,
    /// The length of the live pages when the file was opened last, if they were counted.
    live: Mutex<Option<u64>>,
    /// The current opening; none while the file waits to be reopened.
    disk: Mutex<Weak<SharedFile>>,
}

/// redb's handle, the log, and the logged changes that the database lacks.
pub(in crate::engine::redb) struct OpenFile {
    pub(in crate::engine::redb) database: Database,
    pub(in crate::engine::redb) log: WriteAheadLog,
    pub(in crate::engine::redb) logged: Changes,
}

impl StoreFile {
    fn new(storage: Box<dyn Storage>, identity: Identity) -> Self {
        Self {
            storage: storage.into(),
            identity,
            sync_failed: SyncFailed::default(),
            head: Arc::default(),
            live: Mutex::default(),
            disk: Mutex::default(),
        }
    }

    pub(in crate::engine::redb) fn path(&self) -> &Path {
        self.storage.path()
    }

    pub(in crate::engine::redb) fn sync_failed(&self) -> bool {
        self.sync_failed.get()
    }

    /// The open file's length in bytes, whatever file its name leads to now.
    pub(in crate::engine::redb) fn len(&self) -> Result<u64> {
        match self.disk() {
            Some(disk) => {
                let len = disk.inner().len();
                len.map_err(|error| Error::io("look at", self.path(), error))
            }
            None => self.storage.len(),
        }
    }

    /// The length of the live pages when the file was opened last, if they were counted.
    pub(in crate::engine::redb) fn live_bytes(&self) -> Option<u64> {
        *self.live.lock()
    }

    /// The length of the log, and how much of it is needed; `None` if there is no log, or if it is
    /// being written.
    pub(in crate::engine::redb) fn log_bytes(&self) -> Option<(u64, u64)> {
        self.disk()?.log_bytes()
    }

    fn disk(&self) -> Option<Arc<SharedFile>> {
        self.disk.lock().upgrade()
    }

    /// Returns an error if the path no longer leads to the open file, or somebody else wrote to it.
    /// A commit must not be acknowledged if nobody can reopen its file, or if a copy over the file
    /// replaces it.
    pub(in crate::engine::redb) fn check_in_place(&self) -> Result<()> {
        match self.storage.leads_to(self.identity) {
            Ok(true) => self.ensure_as_left(),
            Ok(false) => Err(self.replaced()),
            // A process that has dropped the right to look up names still has the file.
            Err(error)
                if is_denied(&error) && self.disk().is_some_and(|disk| disk.inner().has_name()) =>
            {
                self.ensure_as_left()
            }
            Err(error) => Err(error),
        }
    }

    /// Returns an error if somebody else wrote to the open file.
    pub(in crate::engine::redb) fn ensure_as_left(&self) -> Result<()> {
        self.unless_replaced(SharedFile::ensure_as_left)
    }

    /// Returns an error if redb has read pages that somebody else wrote. The file is looked at only
    /// if redb has read any since the last look: what redb keeps in memory is not somebody else's.
    pub(in crate::engine::redb) fn ensure_pages_as_left(&self) -> Result<()> {
        match self.head.has_unseen_reads() {
            true => self.unless_replaced(SharedFile::ensure_pages_as_left),
            false => Ok(()),
        }
    }

    fn unless_replaced(&self, compare: fn(&SharedFile) -> io::Result<()>) -> Result<()> {
        match self.disk().map(|disk| compare(&disk)) {
            Some(Err(_)) => Err(self.replaced()),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn replaced(&self) -> Error {
        Error::FileReplaced { path: self.path().into() }
    }

    /// Reopens the file after an I/O error, which ends redb's handle. A failed sync on the new
    /// handle counts as one on the old.
    pub(in crate::engine::redb) fn reopen(&self, options: &RedbOptions) -> Result<OpenFile> {
        self.check_in_place()?;
        match self.storage.open()? {
            Some(Opened { backend, identity, .. }) if identity == self.identity => {
                // Compared before the signature is read, since the content may now be another
                // file's.
                self.head.ensure_as_left(&*backend).map_err(|_| self.replaced())?;
                Ok(self.existing(backend, options)?.0)
            }
            _ => Err(self.replaced()),
        }
    }

    /// Opens a file, and shrinks it if it is mostly empty.
    fn open_compact(
        storage: Box<dyn Storage>,
        opened: Opened,
        options: &RedbOptions,
    ) -> Result<(Self, OpenFile)> {
        let Opened { backend, identity, .. } = opened;
        let store = Self::new(storage, identity);
        let (mut opened, live) = store.existing(backend, options)?;
        if !options.compacts() {
            return Ok((store, opened));
        }
        match compact_if_mostly_empty(&mut opened.database, store.len()?, live) {
            Ok(_) => Ok((store, opened)),
            Err(error) if store.sync_failed() => {
                Err(error::from_redb("compact", store.path(), error))
            }
            // A disk too full for compaction must not prevent opening the store.
            Err(_) => {
                drop(opened);
                let opened = store.reopen(options)?;
                Ok((store, opened))
            }
        }
    }

    fn existing(
        &self,
        backend: Box<dyn StorageFile>,
        options: &RedbOptions,
    ) -> Result<(OpenFile, Option<u64>)> {
        check_signature(self.path(), &*backend)?;
        self.connect(backend, options, Existing::File)
    }

    /// Opens the database and its log. Also returns the length of the live pages in bytes, if they
    /// were counted.
    fn connect(
        &self,
        backend: Box<dyn StorageFile>,
        options: &RedbOptions,
        found: Existing,
    ) -> Result<(OpenFile, Option<u64>)> {
        let failed = |error| error::from_open(self.path(), error);
        let was_closed = was_closed(&*backend);
        let watch = options.on_recovery.watch(was_closed);
        let head = Arc::clone(&self.head);
        let disk = match found {
            Existing::File => SharedFile::open(backend, head, self.sync_failed.clone()),
            Existing::Nothing => SharedFile::unborn(backend, head, self.sync_failed.clone()),
        };
        let disk = Arc::new(disk.map_err(|error| failed(DatabaseError::Storage(error.into())))?);
        *self.disk.lock() = Arc::downgrade(&disk);
        let backend = Backend::new(Arc::clone(&disk));
        let release = |error| {
            let _ = backend.close();
            Err(failed(error))
        };
        // The file is synced first: a killed process's writes must be on the disk before redb's
        // header, which says how long the file is.
        if let Err(error) = backend.sync_data() {
            return release(DatabaseError::Storage(error.into()));
        }
        let looks = options.verify_on_open || !was_closed;
        let verdict = match disk.database_len() {
            Ok(len) if looks => verify(disk.inner(), len, &|progress| watch.goes_on(progress)),
            _ => Verdict::Open,
        };
        let live = match verdict {
            Verdict::Sound { live } => Some(live),
            Verdict::Open => None,
            Verdict::CalledOff => return release(DatabaseError::RepairAborted),
        };
        *self.live.lock() = live;
        let mut builder = Builder::new();
        builder
            .set_cache_size(options.page_cache_bytes())
            .set_check_integrity_on_open(looks && live.is_none())
            .set_repair_callback(Rc::clone(&watch).for_redb());
        // A debug build of redb may panic on an invalid header.
        let opened = catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(backend)));
        let database = match opened {
            Ok(database) => database.map_err(failed)?,
            Err(panic) if watch.is_called() => resume_unwind(panic),
            Err(panic) => {
                discard(panic);
                return Err(error::panicked(self.path()));
            }
        };
        let (database, recovered) = holding(database, |database| {
            if found == Existing::File {
                check_format(self.path(), database)?;
            }
            stored_sequence(database)
                .and_then(|number| {
                    Ok(WriteAheadLog::recover(disk, number, options.page_cache_bytes())?)
                })
                .map_err(|error| error::from_redb("recover", self.path(), error))
        });
        let (log, logged) = recovered?;
        Ok((OpenFile { database, log, logged }, live))
    }
}

/// Whether the system denied access to the path.
fn is_denied(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    let cause = source.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied)
}
