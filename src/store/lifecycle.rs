//! Maintenance by the caller: sweeping, adopting timeouts, flushing, closing.

use std::sync::atomic::Ordering;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::store::SessionStore;
use crate::store::core::adoption::Sweeper;
use crate::time::timeouts::Timeouts;

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Deletes expired sessions and returns how many. The maintenance thread does this every
    /// `sweep_interval`; call it only if that thread is turned off.
    ///
    /// Deletes in steps of up to 1,000 sessions while nobody else writes. While others write, a
    /// step deletes up to 16 sessions and a pause of 2 ms follows; a writer waits for one step at
    /// most. So under a steady load of writes the limit is 8,000 sessions a second. A session that
    /// is extended meanwhile stays. While shorter timeouts than those on record wait to be
    /// [adopted](Self::adopt_shorter_timeouts), only sessions that are expired under both are
    /// deleted.
    ///
    /// # Durability
    ///
    /// Each step is as durable as a `destroy`, with the store's
    /// [`Durability`](crate::Durability).
    ///
    /// # Errors
    ///
    /// Only the [general errors](SessionStore#errors). After an error, earlier steps stay
    /// deleted, or the next call deletes them.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::builder().manual_maintenance().in_memory()?;
    /// store.create(7)?;
    /// assert_eq!(store.clean_up_expired()?, 0); // nothing is expired yet
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "cleanUpExpiredSessions")]
    pub fn clean_up_expired(&self) -> Result<u64> {
        let swept = self.handle.core.sweep(Sweeper::Caller);
        self.note_engine_without_threads();
        swept
    }

    /// Puts the store's shorter timeouts on record, so that sweeps delete what is expired under
    /// them. Does nothing if the record holds no longer ones.
    ///
    /// A store that is opened with shorter timeouts than those on record applies its own at once:
    /// sessions expired under them are absent. But sweeps go by the longer ones until this call,
    /// [`Builder::adopt_shorter_timeouts`](crate::Builder::adopt_shorter_timeouts), or a full
    /// `sweep_interval` with the store open. So a script that opens the file with wrong timeouts,
    /// and is stopped in time, has ended nobody's session. A store that is full meanwhile looks for
    /// room every 10 seconds, not at each refused session.
    /// [`Stats::longer_timeouts_on_record`](crate::Stats::longer_timeouts_on_record) shows whether
    /// timeouts wait.
    ///
    /// # Durability
    ///
    /// One durable commit, after a pass over all sessions.
    ///
    /// # Errors
    ///
    /// Only the [general errors](SessionStore#errors).
    pub fn adopt_shorter_timeouts(&self) -> Result<()> {
        self.handle.core.adopt_timeouts(&|| true).map(drop)
    }

    /// Returns the timeouts of sessions without their own.
    #[must_use]
    #[doc(alias = "getExpirationTimeouts")]
    pub fn timeouts(&self) -> Timeouts {
        self.handle.core.timeouts
    }

    /// Writes all state that is in memory only: touches, and with
    /// [`Durability::Deferred`](crate::Durability::Deferred) the commits since the last flush.
    ///
    /// # Durability
    ///
    /// Every change acknowledged before this call survives power loss once the call has returned
    /// `Ok`.
    ///
    /// # Errors
    ///
    /// Only the [general errors](SessionStore#errors). A change that could not be written is kept
    /// and tried again.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.redb");
    /// let store = SessionStore::<u32>::open(path)?;
    /// let session = store.create(7)?;
    /// store.extend_lifetime(session.id())?; // on the disk within a second
    /// store.flush()?; // on the disk now
    /// assert_eq!(store.stats()?.pending_touches, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.handle.core.ensure_open()?;
        let flushed = self.handle.core.engine.flush();
        self.note_engine_without_threads();
        flushed
    }

    /// Tells observers what the engine has done, where no thread of the store does. A server has
    /// nothing to tell, and its numbers would cost a round trip.
    fn note_engine_without_threads(&self) {
        let core = &self.handle.core;
        if self.handle.maintenance.is_none() && matches!(core.engine.server_time(), Ok(None)) {
            core.note_engine();
        }
    }

    /// Flushes and closes the store for every handle, and reports the errors that dropping the last
    /// handle would hide. Stops the maintenance threads and waits for them.
    ///
    /// Closes the engine too, though others may hold it: every call of another store on it then
    /// fails with [`Error::Closed`], and a [`MemoryEngine`](crate::MemoryEngine) loses its
    /// sessions. Drop a store instead, and the engine stays open.
    ///
    /// # Concurrency
    ///
    /// Calls under way in other threads complete; later calls fail with [`Error::Closed`]. A
    /// listing under way on a file ends with [`Error::Closed`], too.
    ///
    /// # Errors
    ///
    /// If the last flush or the closing fails. The store is closed all the same, and the file
    /// recovers at the next opening. [`Error::Closed`] if another handle has closed it before.
    /// [`Error::Forked`] in a forked process; nothing is closed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{Error, SessionStore};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.redb");
    /// let store = SessionStore::<u32>::open(path)?;
    /// let another_handle = store.clone();
    /// store.close()?;
    /// assert!(matches!(another_handle.len(), Err(Error::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(self) -> Result<()> {
        let core = &self.handle.core;
        if !core.process.is_same_by_id() {
            return Err(core.process.forked());
        }
        if core.closed.swap(true, Ordering::AcqRel) {
            return Err(Error::Closed);
        }
        self.handle.guests.close();
        if let Some(maintenance) = &self.handle.maintenance {
            maintenance.stop();
        }
        core.adopt_timeouts_if_due();
        let closed = core.engine.close();
        let attachment = core.attachment.lock().take();
        drop(attachment);
        closed
    }
}
