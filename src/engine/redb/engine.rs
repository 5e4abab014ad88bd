//! The redb engine: sessions in one file.
//!
//! A read asks the touch buffer, the overlay, the cache of hot records, then the snapshot. A write
//! becomes a [`Question`], goes through the commit queue, and is decided by the thread that leads.
//! All changes of a group become one entry of the log; touches that the commit made void are
//! forgotten. redb's tables follow in the background.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::engine::attachment::Attachments;
use crate::engine::contract::Engine;
use crate::engine::redb::background::step_size::StepSize;
use crate::engine::redb::background::sweep::SweepPosition;
use crate::engine::redb::background::warm_up::WarmUp;
use crate::engine::redb::commit::question::{Ask, Asked, Flush, Publish, Question, WriteTouches};
use crate::engine::redb::commit::queue::CommitQueue;
use crate::engine::redb::commit::state::Committed;
use crate::engine::redb::commit::{Due, Writer};
use crate::engine::redb::database::Connection;
use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::error;
use crate::engine::redb::file::unwinding::holding;
use crate::engine::redb::file::{OpenFile, StoreFile};
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::storage::Storage;
use crate::engine::redb::storage::folder::InFolder;
use crate::engine::redb::view::View;
use crate::engine::redb::view::listing::Listing;
use crate::engine::waker::Waker;
use crate::error::{Error, Result};
use crate::process::Process;
use crate::sync::Mutex;

/// The most touches, or index entries, of one transaction: another writer may have to wait for so
/// many.
pub(in crate::engine::redb) const STEP: usize = 1_000;

/// Keeps sessions in one redb file.
///
/// [`SessionStore::open`](crate::SessionStore::open) makes one; open it yourself to wrap it in an
/// engine of your own. The file is locked for as long as the engine lives.
///
/// # Durability
///
/// As the [`Durability`](crate::Durability) it was opened with says; touches on
/// [`flush`](Engine::flush).
///
/// # Concurrency
///
/// Reads take no lock of a writer, except to open the file again after an error. Threads that write
/// at the same time share commits.
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
/// use sessile::engine::RedbEngine;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// let store: SessionStore = SessionStore::builder().engine(RedbEngine::open(path)?).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RedbEngine {
    pub(in crate::engine::redb) process: Process,
    pub(in crate::engine::redb) view: Arc<View>,
    pub(in crate::engine::redb) queue: CommitQueue<Arc<dyn Question>>,
    pub(in crate::engine::redb) writer: Arc<Writer>,
    pub(in crate::engine::redb) sweep: SweepPosition,
    pub(in crate::engine::redb) warm_up: WarmUp,
    pub(in crate::engine::redb) attachments: Attachments,
    /// Wakes the thread that runs background work, if there is one.
    pub(in crate::engine::redb) waker: Mutex<Option<Waker>>,
}

impl RedbEngine {
    /// Opens a file with the default options; creates it if it is missing or empty.
    ///
    /// # Errors
    ///
    /// As for [`Builder::open`](crate::Builder::open).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &RedbOptions::new())
    }

    /// Opens a file; creates it if it is missing or empty.
    ///
    /// # Errors
    ///
    /// As for [`Builder::open`](crate::Builder::open).
    pub fn open_with(path: impl AsRef<Path>, options: &RedbOptions) -> Result<Self> {
        Self::open_storage(Box::new(InFolder::at(path.as_ref())?), options)
    }

    pub(crate) fn open_storage(storage: Box<dyn Storage>, options: &RedbOptions) -> Result<Self> {
        if !options.create_missing {
            return Self::open_existing(storage, options);
        }
        options.check()?;
        Self::of(StoreFile::open(storage, options)?, options)
    }

    /// Opens a store that is there, and creates none.
    pub(in crate::engine::redb) fn open_existing(
        storage: Box<dyn Storage>,
        options: &RedbOptions,
    ) -> Result<Self> {
        options.check()?;
        Self::of(StoreFile::open_existing(storage, options)?, options)
    }

    /// Gives back the space that a store's file does not need, if no program has it open. How long
    /// it was, and is, in bytes.
    ///
    /// # Errors
    ///
    /// As for [`Builder::open_existing`](crate::Builder::open_existing). After an error the file is
    /// complete, shorter or not.
    pub fn compact(path: impl AsRef<Path>) -> Result<(u64, u64)> {
        let storage = || InFolder::at(path.as_ref());
        // The log goes into the tables first.
        let options = RedbOptions::new().compact_on_open(false);
        Self::open_existing(Box::new(storage()?), &options)?.close()?;
        StoreFile::compact(Box::new(storage()?))
    }

    fn of((file, opened): (StoreFile, OpenFile), options: &RedbOptions) -> Result<Self> {
        let OpenFile { database, log, logged } = opened;
        let (database, begun) = holding(database, |database| {
            let snapshot = Snapshot::of(database, 0)?;
            Ok((Committed::new(log, &logged, &snapshot)?, snapshot))
        });
        let (committed, snapshot) =
            begun.map_err(|error| error::from_redb("read", file.path(), error))?;
        let view = View::new(file, options, snapshot, &logged, committed.stored);
        let process = Process::this();
        Ok(Self {
            view: Arc::new(view),
            queue: CommitQueue::new(),
            writer: Arc::new(Writer::new(process.clone(), Connection::new(database), committed)),
            process,
            sweep: SweepPosition::new(),
            warm_up: WarmUp::new(),
            attachments: Attachments::new(),
            waker: Mutex::new(None),
        })
    }

    /// What [`check`](Engine::check) finds wrong, under the timeouts that the file's index was made
    /// under: an empty list in every sound file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    #[cfg(any(test, feature = "testing"))]
    pub fn disagreements(&self) -> Result<Vec<String>> {
        let timeouts = self
            .load_meta("timeouts")?
            .and_then(|bytes| crate::time::timeouts::Timeouts::from_bytes(&bytes));
        let mut found = Vec::new();
        self.check(
            &timeouts.unwrap_or(crate::time::timeouts::Timeouts::ENDLESS),
            &mut |finding| {
                if let crate::engine::check::Finding::Problem(problem) = finding {
                    found.push(problem.to_string());
                }
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// The store as it is now, as one whole. It waits for no commit, nor for the disk.
    pub(in crate::engine::redb) fn as_of_now(&self) -> Result<Listing> {
        self.reopen_if_lost()?;
        self.view.listing()
    }

    /// How many records there are.
    pub(in crate::engine::redb) fn stored(&self) -> Result<u64> {
        self.reopen_if_lost()?;
        self.view.stored()
    }

    pub(in crate::engine::redb) fn reopen_if_lost(&self) -> Result<()> {
        self.process.ensure_same()?;
        self.view.file.ensure_as_left()?;
        if self.view.is_handle_lost() { self.writer.reopen(&self.view) } else { Ok(()) }
    }

    /// The same in a snapshot, with its indexes.
    pub(in crate::engine::redb) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.reopen_if_lost()?;
        if !self.view.overlay.is_empty() {
            self.submit(Publish)?;
        }
        self.view.snapshot.load_full().ok_or(Error::Closed)
    }

    /// Has a question answered, by this thread or by whichever leads.
    pub(in crate::engine::redb) fn submit<T: Ask>(&self, question: T) -> Result<T::Answer> {
        self.process.ensure_same()?;
        if T::NEEDS_TABLES {
            self.writer.catch_up(&self.view);
        }
        let asked = Arc::new(Asked::new(question));
        let queued = Arc::clone(&asked) as Arc<dyn Question>;
        let committed = self.queue.submit(queued, |group| self.writer.commit(&self.view, group));
        if T::MAY_CHECKPOINT {
            self.checkpoint_if_due();
        }
        committed?;
        asked.take_answer()
    }

    /// Sees to a checkpoint that is due. The maintenance thread runs it. This thread does if there
    /// is none, or if it has not come and the log is nearly full.
    pub(in crate::engine::redb) fn checkpoint_if_due(&self) {
        let by_another = match self.writer.take_due() {
            Due::No if self.warm_up.take_due(&self.view) => self.wake(),
            Due::No => true,
            Due::Soon => self.wake(),
            Due::Now => false,
        };
        if !by_another {
            self.writer.checkpoint(&self.view);
        }
    }

    /// Wakes the thread that runs background work; whether there is one. No lock is held meanwhile,
    /// because the waker may call into the engine.
    pub(in crate::engine::redb) fn wake(&self) -> bool {
        let waker = self.waker.lock().clone();
        waker.as_ref().map(Waker::wake).is_some()
    }

    /// Reads, through a new handle if an earlier error ended the old one. An error of the read
    /// itself is its call's answer. So no call reopens the file more than once.
    pub(in crate::engine::redb) fn reading<T>(&self, read: impl Fn() -> Result<T>) -> Result<T> {
        self.process.ensure_same()?;
        let lost = self.view.is_handle_lost();
        match read() {
            // The error may be that of a checkpoint that has just failed.
            Err(ref error @ Error::Io { .. }) if lost || error::is_of_an_earlier_one(error) => {
                self.writer.reopen(&self.view)?;
                read()
            }
            // Reads of memory need no handle.
            other => other,
        }
    }

    /// Writes everything that is in memory alone.
    pub(in crate::engine::redb) fn write_pending(&self) -> Result<()> {
        self.reopen_if_lost()?;
        // A failure of one must not keep the other from being written.
        let touches = self.flush_touches();
        let written = touches.and(self.sync_if_needed());
        // A checkpoint is somebody else's, if there is anybody.
        if self.writer.take_due() != Due::No && !self.wake() {
            self.writer.checkpoint(&self.view);
        }
        written
    }

    fn sync_if_needed(&self) -> Result<()> {
        if self.view.overlay.is_volatile() {
            self.submit(Flush)?;
        }
        Ok(())
    }

    /// Writes the pending touches, a step at a time.
    fn flush_touches(&self) -> Result<()> {
        let touches = self.view.touches.take_along();
        let mut rest = touches.as_slice();
        while !rest.is_empty() {
            let step = rest.get(..STEP).unwrap_or(rest);
            let written = self.submit(WriteTouches(step.to_vec()))?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes a step of the warm-up; whether more are left.
    pub(in crate::engine::redb) fn prepare(&self) -> bool {
        // Without a filter reads are slower, and still right.
        self.warm_up.step(&self.view).unwrap_or(false)
    }

    /// Chooses the size of the next background step. Whether nobody else writes.
    pub(in crate::engine::redb) fn adapt(&self, step_size: &StepSize, limit: usize) -> bool {
        let operations = self.writer.stats().committed_operations;
        step_size.adapt(self.queue.is_busy(), operations, limit)
    }
}

impl Drop for RedbEngine {
    /// Writes what is pending. No caller gets an error of it; `close` reports one. A forked process
    /// drops nothing, because redb would take locks and write to the file.
    fn drop(&mut self) {
        if self.process.is_same_by_id() {
            let _ = self.close();
        } else {
            std::mem::forget((Arc::clone(&self.view), Arc::clone(&self.writer)));
        }
    }
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedbEngine")
            .field("path", &self.view.file.path())
            .field("options", &self.view.options)
            .finish_non_exhaustive()
    }
}
