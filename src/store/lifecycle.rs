//! Keeping the store itself: sweeping, flushing, closing.

use std::sync::atomic::Ordering;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::store::SessionStore;
use crate::store::core::adoption::Sweeper;
use crate::time::timeouts::Timeouts;

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    /// Deletes what is expired and returns how many sessions went. The maintenance thread does
    /// this every `sweep_interval`; there is no need to call it unless that is turned off.
    ///
    /// Works in steps: of up to 1,000 sessions while nobody else writes; of 16, and a pause of 2
    /// ms, while somebody does, who waits for one step at most. So under a steady load of writes it
    /// deletes 8,000 sessions a second at most. A session that is extended while this runs lives.
    /// While shorter timeouts than those on record wait to be
    /// [adopted](Self::adopt_shorter_timeouts), only what is expired under both is deleted.
    ///
    /// # Durability
    ///
    /// Each step is as durable as a `destroy`, with the store's
    /// [`Durability`](crate::Durability).
    ///
    /// # Errors
    ///
    /// None besides the general ones. What the steps before had deleted is deleted, or will be by
    /// the next call.
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
        self.handle.core.sweep(Sweeper::Caller)
    }

    /// Puts the store's timeouts on record in place of longer ones, so that sweeps delete what is
    /// expired under them. Does nothing where no longer ones are on record.
    ///
    /// A store that is opened with shorter timeouts than those on record goes by its own at once:
    /// what is expired under them is absent. But it deletes nothing for them until one of three
    /// things happened: this call,
    /// [`Builder::adopt_shorter_timeouts`](crate::Builder::adopt_shorter_timeouts), or a full
    /// `sweep_interval` during which the store was open. So a script that opens the file with other
    /// timeouts by mistake, and notices, has ended nobody's session.
    /// [`Stats::longer_timeouts_on_record`](crate::Stats::longer_timeouts_on_record) says whether
    /// it waits.
    ///
    /// # Durability
    ///
    /// One durable commit, after a pass over all sessions.
    ///
    /// # Errors
    ///
    /// None besides the general ones.
    pub fn adopt_shorter_timeouts(&self) -> Result<()> {
        self.handle.core.adopt_timeouts()
    }

    /// The timeouts for sessions without their own.
    #[must_use]
    #[doc(alias = "getExpirationTimeouts")]
    pub fn timeouts(&self) -> Timeouts {
        self.handle.core.timeouts
    }

    /// Writes what is in memory only: touches, and with
    /// [`Durability::Deferred`](crate::Durability::Deferred) the commits since the last interval.
    ///
    /// # Durability
    ///
    /// What was acknowledged before this was called survives power loss once it returned `Ok`.
    ///
    /// # Errors
    ///
    /// None besides the general ones. What could not be written is kept and tried again.
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
        self.handle.core.engine.flush()
    }

    /// Flushes and closes the store for every handle: stops the maintenance thread, waits for it,
    /// and reports what dropping the last handle would have to swallow.
    ///
    /// # Concurrency
    ///
    /// Calls under way in other threads are answered; later ones fail with [`Error::Closed`].
    ///
    /// # Errors
    ///
    /// When the last flush or the closing fails. The store is closed all the same, and the file
    /// recovers when it is opened next. [`Error::Closed`] if another handle closed it before.
    /// [`Error::Forked`] in a forked process, where nothing is closed.
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
