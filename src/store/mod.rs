//! The store: the rules of sessions, once, for every engine. Typed content goes in, bytes go down.
//!
//! Invariant: only creating creates. Every other method changes a live record that is still the one
//! that was read, or changes nothing.

pub(crate) mod by_key;
pub(crate) mod check;
pub(crate) mod codec;
pub(crate) mod core;
pub(crate) mod events;
pub(crate) mod lifecycle;
pub(crate) mod listing;
pub(crate) mod maintenance;
pub(crate) mod modify;
pub(crate) mod revoke;
pub(crate) mod save;
pub(crate) mod users;

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::Session;
use crate::session::attributes::Attributes;
use crate::session::id::SessionId;
use crate::store::codec::{Codec, times_of};
use crate::store::core::StoreCore;
use crate::store::core::guests::Guests;
use crate::store::events::Event;
use crate::store::maintenance::Maintenance;

/// A store of sessions with content of type `C`.
///
/// A cheap handle: clone it into every thread. All handles share one file; the last one to go
/// closes it.
///
/// # Durability
///
/// With the default [`Durability::Immediate`](crate::Durability::Immediate), the effect of
/// `create`, `update`, `modify`, `regenerate_id`, `destroy` and its relatives, and `clear` survives
/// power loss once they return `Ok`. A touch (`extend_lifetime`, `read_and_extend`) survives within
/// the `touch_interval`, one second; after a crash a deadline may be earlier than it was, never
/// later.
///
/// # Concurrency
///
/// Every method takes `&self` and may be called from any number of threads at once. A read that
/// begins after a write returned sees it. Reads and listings wait for no write, nor for its sync.
///
/// # Errors
///
/// An expired session is absent: no method can tell it from one that never was. Every method fails
/// with [`Error::Io`], [`Error::StorageFull`] or [`Error::OutcomeUnknown`] when the file does, with
/// [`Error::Closed`] after [`close`](Self::close), with [`Error::ClockOutOfRange`] when the clock
/// shows a time before 1970, and with [`Error::Forked`] in a process that was forked from the one
/// that opened the store; below, only what comes on top of these is named.
///
/// # Examples
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use sessile::SessionStore;
///
/// #[derive(Serialize, Deserialize)]
/// struct Cart { items: Vec<String> }
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// let store = SessionStore::<Cart>::open(path)?;
/// let session = store.create_for_user("ann", Cart { items: vec![] })?;
/// let cookie = session.id().encode();
/// # assert_eq!(cookie.len(), 22);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SessionStore<C = Attributes> {
    handle: Arc<Handle<C>>,
}

/// Dropped with the last handle: first the thread is stopped and joined, then the engine goes. In a
/// forked process neither is touched: locks may be held there for good, and file and thread are the
/// other process's.
struct Handle<C> {
    /// What was opened for the store, and is to go before it.
    guests: Guests,
    maintenance: Option<Maintenance>,
    codec: Codec<C>,
    core: Arc<StoreCore>,
}

impl<C: Serialize + DeserializeOwned> SessionStore<C> {
    pub(crate) fn assemble(
        core: Arc<StoreCore>,
        codec: Codec<C>,
        maintenance: Option<Maintenance>,
    ) -> Self {
        let guests = Guests::default();
        Self { handle: Arc::new(Handle { guests, maintenance, codec, core }) }
    }

    pub(crate) fn core(&self) -> &StoreCore {
        &self.handle.core
    }

    #[cfg(all(feature = "admin", unix))]
    pub(crate) fn shared_core(&self) -> Arc<StoreCore> {
        Arc::clone(&self.handle.core)
    }

    #[cfg(all(feature = "admin", unix))]
    pub(crate) fn guests(&self) -> &Guests {
        &self.handle.guests
    }

    /// Reads a session; `None` if it is not there or expired. Does not extend its life.
    ///
    /// Costs no disk access while the record's page is in the cache, and never a lock of a writer.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`] or [`Error::ContentMismatch`] if what is stored is not a session
    /// with content of type `C`.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let id = store.create(7)?.id().clone();
    /// match store.read(&id)? {
    ///     Some(session) => assert_eq!(*session.content(), 7),
    ///     None => println!("log in first"),
    /// }
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn read(&self, id: &SessionId) -> Result<Option<Session<C>>> {
        let (core, key) = (&self.handle.core, id.key());
        let record = core.counting_damage(core.engine.load(&key, core.moment()?))?;
        record.map(|record| self.handle.codec.session(id.clone(), key, &record, core)).transpose()
    }

    /// Reads a session and extends its life, in one step: what a server does for every request.
    ///
    /// With a [`content_version`](crate::Builder::content_version) the content is read and migrated
    /// first. A session that ends meanwhile is not extended.
    ///
    /// # Durability
    ///
    /// That of [`extend_lifetime`](Self::extend_lifetime).
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read). The life of a session whose content cannot be read may be
    /// extended all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let created = store.create(7)?;
    /// let session = store.read_and_extend(created.id())?;
    /// assert!(session.is_some_and(|session| session.expires_at() >= created.expires_at()));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "extendLifeTime")]
    pub fn read_and_extend(&self, id: &SessionId) -> Result<Option<Session<C>>> {
        if self.handle.codec.migrate.is_some() {
            return self.read_then_extend(id);
        }
        let key = id.key();
        let Some(record) = self.extend(&key)? else { return Ok(None) };
        self.handle.codec.session(id.clone(), key, &record, &self.handle.core).map(Some)
    }

    /// The same where content may have to be migrated, which takes what time it takes: the session
    /// must be live after that.
    fn read_then_extend(&self, id: &SessionId) -> Result<Option<Session<C>>> {
        let Some(read) = self.read(id)? else { return Ok(None) };
        let Some(record) = self.extend(&read.key)? else { return Ok(None) };
        if read.revision == record.revision() {
            let times = times_of(&record, &self.handle.core.timeouts);
            return Ok(Some(Session { times, ..read }));
        }
        // Somebody has saved it meanwhile.
        self.handle.codec.session(id.clone(), read.key, &record, &self.handle.core).map(Some)
    }

    /// Extends a session's life to a full inactivity timeout from now, within its absolute one.
    /// `false` if there is no such session: an expired one is not revived.
    ///
    /// Costs a read and an entry in memory, no disk access: a touch is written with the next commit
    /// or within the `touch_interval`.
    ///
    /// # Durability
    ///
    /// Visible to every thread at once; survives a crash within the `touch_interval`, one second
    /// by default. After a crash the deadline may be earlier, never later.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`] if what is stored is not a session.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let session = store.create(7)?;
    /// assert!(store.extend_lifetime(session.id())?);
    /// store.destroy(session.id())?;
    /// assert!(!store.extend_lifetime(session.id())?);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[doc(alias = "extendLifeTime")]
    pub fn extend_lifetime(&self, id: &SessionId) -> Result<bool> {
        Ok(self.extend(&id.key())?.is_some())
    }

    fn extend(&self, key: &SessionKey) -> Result<Option<Record>> {
        let core = &self.handle.core;
        core.counting_damage(core.engine.extend(key, core.moment()?, core.touch_interval))
    }

    /// Ends a session. `false` if there was none. One durable commit.
    ///
    /// # Security
    ///
    /// Once this returned, no request revives the session (ASVS 5.0, 7.4.1).
    ///
    /// # Errors
    ///
    /// None besides the general ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let session = store.create(7)?;
    /// assert!(store.destroy(session.id())?);
    /// assert!(!store.destroy(session.id())?); // there is none any more
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn destroy(&self, id: &SessionId) -> Result<bool> {
        self.destroy_key(&id.key())
    }

    /// Ends every session of every user. One durable commit; it needs no extra space.
    ///
    /// # Errors
    ///
    /// None besides the general ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// store.create(7)?;
    /// store.clear()?;
    /// assert!(store.is_empty()?);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        let core = &self.handle.core;
        core.moment()?;
        core.engine.clear()?;
        core.tell(|| Event::Cleared);
        Ok(())
    }
}

impl<C> Drop for Handle<C> {
    fn drop(&mut self) {
        if self.core.process.is_same_by_id() {
            self.guests.close_alone();
            self.core.adopt_timeouts_if_due();
        } else {
            std::mem::forget(self.maintenance.take());
            self.guests.forget();
            std::mem::forget(Arc::clone(&self.core));
        }
    }
}

/// A panic in a caller's code never leaves a store half changed: no lock is held while it runs, and
/// what a call does is done in one step.
impl<C> UnwindSafe for SessionStore<C> {}
impl<C> RefUnwindSafe for SessionStore<C> {}

impl<C> Clone for SessionStore<C> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<C> fmt::Debug for SessionStore<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SessionStore")
            .field("engine", &self.handle.core.engine)
            .field("timeouts", &self.handle.core.timeouts)
            .finish_non_exhaustive()
    }
}
