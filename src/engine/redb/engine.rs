//! The redb engine: sessions in one file.
//!
//! A read looks in the touch buffer, the overlay, the cache of hot records, then the snapshot. A
//! write becomes a [`Question`] in the commit queue, and the leading thread decides it. All changes
//! of a group become one log entry. Touches of sessions that the commit removed are dropped. A
//! checkpoint copies the changes to redb's tables in the background.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::attachment::Attachments;
use crate::engine::contract::Engine;
use crate::engine::durability::Durability;
use crate::engine::redb::background::step_size::StepSize;
use crate::engine::redb::background::sweep::{Candidates, SweepPosition};
use crate::engine::redb::background::warm_up::WarmUp;
use crate::engine::redb::commit::question::{
    Ask, Asked, Flush, Question, RemoveStrays, WriteTouches,
};
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
use crate::engine::waker::{Waker, Wakers};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::process::Process;
use crate::sync::Mutex;
use crate::time::ticks;

/// The most touches, or index entries, in one transaction: another writer may have to wait for this
/// many.
pub(in crate::engine::redb) const STEP: usize = 1_000;

/// An engine that stores sessions in one redb file.
///
/// [`SessionStore::open`](crate::SessionStore::open) opens one. Open it yourself to wrap it in your
/// own engine. The file is locked while the engine lives.
///
/// # Durability
///
/// Writes have the [`Durability`](crate::Durability) that the engine was opened with. Touches are
/// durable after the next [`flush`](Engine::flush).
///
/// # Concurrency
///
/// Reads take no writer's lock, except to reopen the file after an error. Threads that write at the
/// same time share commits.
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
    /// Wake the threads that run background work, if there are any.
    pub(in crate::engine::redb) wakers: Mutex<Wakers>,
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

    /// Opens an existing store, and creates none.
    pub(in crate::engine::redb) fn open_existing(
        storage: Box<dyn Storage>,
        options: &RedbOptions,
    ) -> Result<Self> {
        options.check()?;
        Self::of(StoreFile::open_existing(storage, options)?, options)
    }

    /// Shrinks a store's file, if no program has it open, and returns its length before and after,
    /// in bytes.
    ///
    /// # Errors
    ///
    /// As for [`Builder::open_existing`](crate::Builder::open_existing). After an error the file is
    /// complete; it may or may not be shorter.
    pub fn compact(path: impl AsRef<Path>) -> Result<(u64, u64)> {
        let storage = || InFolder::at(path.as_ref());
        // Closing the store first writes the log to the tables.
        let options = RedbOptions::new().compact_on_open(false);
        Self::open_existing(Box::new(storage()?), &options)?.close()?;
        StoreFile::compact(Box::new(storage()?))
    }

    pub(in crate::engine::redb) fn of(
        (file, opened): (StoreFile, OpenFile),
        options: &RedbOptions,
    ) -> Result<Self> {
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
            wakers: Mutex::new(Wakers::default()),
        })
    }

    /// The findings of [`check`](Engine::check) under the timeouts that the file's index was built
    /// with, once the tables hold every change. The list is empty if the file is sound.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    #[cfg(any(test, feature = "testing"))]
    pub fn disagreements(&self) -> Result<Vec<String>> {
        let timeouts = self
            .load_meta("timeouts")?
            .and_then(|bytes| crate::time::timeouts::Timeouts::from_bytes(&bytes));
        drop(self.snapshot()?);
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

    /// The store's present state, as one consistent whole. This call waits for no commit and no
    /// disk.
    pub(in crate::engine::redb) fn as_of_now(&self) -> Result<Listing> {
        self.reopen_to_read()?;
        self.view.listing()
    }

    /// The number of records.
    pub(in crate::engine::redb) fn stored(&self) -> Result<u64> {
        self.reopen_to_read()?;
        self.reading(|| self.view.stored())
    }

    /// As [`reopen_if_lost`](Self::reopen_if_lost). After a failed sync no file is opened again,
    /// but a handle that was lost by the log's sync still reads.
    pub(in crate::engine::redb) fn reopen_to_read(&self) -> Result<()> {
        if !self.view.file.sync_failed() {
            return self.reopen_if_lost();
        }
        self.process.ensure_same()?;
        self.view.file.ensure_as_left()
    }

    pub(in crate::engine::redb) fn reopen_if_lost(&self) -> Result<()> {
        self.process.ensure_same()?;
        self.view.file.ensure_as_left()?;
        if self.view.is_handle_lost() { self.writer.reopen(&self.view) } else { Ok(()) }
    }

    /// A snapshot of the present state, with its indexes.
    #[cfg(any(test, feature = "testing"))]
    pub(in crate::engine::redb) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.reopen_if_lost()?;
        if !self.view.overlay.is_empty() {
            self.submit(crate::engine::redb::commit::question::Publish)?;
        }
        self.view.snapshot.load_full().ok_or(Error::Closed)
    }

    /// Has a question answered, by this thread or by the thread that leads the commit queue.
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

    /// Starts a checkpoint if one is due, preferably in the maintenance thread. This thread runs it
    /// if there is no maintenance thread, or if the log is nearly full and that thread has not
    /// started.
    pub(in crate::engine::redb) fn checkpoint_if_due(&self) {
        let by_another = match self.writer.take_due() {
            Due::No if self.warm_up.take_due(&self.view) => self.wake(),
            Due::No => true,
            Due::Soon => self.wake(),
            Due::Now => false,
        };
        if !by_another {
            self.run_checkpoint();
        }
    }

    /// Runs a checkpoint in this thread. If it fails, a maintenance thread tells of it.
    fn run_checkpoint(&self) {
        self.writer.checkpoint(&self.view);
        if self.writer.has_failure() {
            self.wake();
        }
    }

    /// Wakes a thread that runs background work; false if there is none. No lock is held during
    /// the call, because the waker may call into the engine.
    pub(in crate::engine::redb) fn wake(&self) -> bool {
        let waker = self.wakers.lock().heard();
        waker.as_ref().map(Waker::wake).is_some()
    }

    /// Reads, through a new handle if an earlier error ended the old one. If the read itself fails,
    /// its error is returned, so no call reopens the file more than once.
    pub(in crate::engine::redb) fn reading<T>(
        &self,
        mut read: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        self.process.ensure_same()?;
        let lost = self.view.is_handle_lost();
        let found = read();
        match &found {
            // The error may come from a checkpoint that has just failed.
            Err(error @ Error::Io { .. }) if lost || error::is_of_an_earlier_one(error) => {
                self.writer.reopen(&self.view)?;
                read()
            }
            // A read that memory answers needs no handle.
            _ => found,
        }
    }

    /// Writes everything that is only in memory.
    pub(in crate::engine::redb) fn write_pending(&self) -> Result<()> {
        self.reopen_if_lost()?;
        // If one of the two writes fails, the other is still attempted.
        let touches = self.flush_touches();
        let written = touches.and(self.sync_if_needed());
        // A due checkpoint is left to the maintenance thread, if there is one.
        if self.writer.take_due() != Due::No && !self.wake() {
            self.run_checkpoint();
        }
        written
    }

    fn sync_if_needed(&self) -> Result<()> {
        if self.view.overlay.is_volatile() {
            self.submit(Flush)?;
        }
        Ok(())
    }

    /// Writes the pending touches, [`STEP`] at a time. While a checkpoint runs, other commits have
    /// half of the log, until the oldest touch is almost late, and then a quarter. With `Deferred`
    /// each step goes from memory into the log by itself, so that the changes that wait in memory
    /// never exceed the log, and other deferred commits are written with it.
    fn flush_touches(&self) -> Result<()> {
        let (is_logged, left) = match self.view.options.durability {
            Durability::Immediate => (true, self.view.touches.left()),
            // Deferred commits that come meanwhile must not wait for touches that have time.
            Durability::Deferred { .. } => (true, Duration::ZERO),
            Durability::TwoPhase => (false, Duration::ZERO),
        };
        let almost_late = ticks::now() + left;
        let touches = self.view.touches.take_along();
        let mut rest = touches.as_slice();
        while !rest.is_empty() {
            if is_logged {
                self.sync_if_needed()?;
                // A step that found a full log would go into the tables, and all others would wait.
                self.checkpoint_if_due();
                let left = almost_late.saturating_duration_since(ticks::now());
                self.writer.yield_log_room_for(left);
            }
            let step = rest.get(..STEP).unwrap_or(rest);
            let written = self.submit(WriteTouches(step.to_vec()))?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Removes the stray entries among those of the sessions that a step of a sweep left unmoved.
    pub(in crate::engine::redb) fn remove_strays(
        &self,
        passed: &Candidates,
        unmoved: &[SessionKey],
    ) -> Result<()> {
        let strays = self.reading(|| passed.stray(&self.view, unmoved))?;
        if !strays.is_empty() {
            self.submit(RemoveStrays(strays))?;
        }
        Ok(())
    }

    /// Runs one step of the warm-up; true if more steps are left.
    pub(in crate::engine::redb) fn prepare(&self) -> bool {
        // Without a filter, reads are slower but correct.
        self.warm_up.step(&self.view).unwrap_or(false)
    }

    /// Chooses the size of the next background step; true if nobody else writes.
    pub(in crate::engine::redb) fn adapt(&self, step_size: &StepSize, limit: usize) -> bool {
        let operations = self.writer.stats().committed_operations;
        step_size.adapt(self.queue.is_busy(), operations, limit)
    }
}

impl Drop for RedbEngine {
    /// Writes what is pending. Errors are not reported here; `close` reports them. A forked process
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
