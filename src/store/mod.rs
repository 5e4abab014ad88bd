//! The store: the rules of sessions, once for every engine. Callers pass typed content; engines get
//! bytes.
//!
//! Invariant: only creating creates. Every other method changes a live record that is still the one
//! that was read, or changes nothing.

// rustdoc shows the methods of `SessionStore` in this order, and those of this file after them.
pub(crate) mod save;

pub(crate) mod modify;
pub(crate) mod revoke;
pub(crate) mod users;

pub(crate) mod by_key;
pub(crate) mod listing;

pub(crate) mod check;
pub(crate) mod lifecycle;

pub(crate) mod codec;
pub(crate) mod core;
pub(crate) mod events;
pub(crate) mod maintenance;

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caught::caught;
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
/// A store is a cheap handle: clone it into every thread. All handles share one file. Dropping the
/// last one closes it. An [engine](crate::Builder::engine) that others hold is flushed, and stays
/// open.
///
/// # Durability
///
/// With the default [`Durability::Immediate`](crate::Durability::Immediate), `create`, `update`,
/// `modify`, `regenerate_id`, `destroy` and its relatives, and `clear` survive power loss once they
/// return `Ok`. A touch (`extend_lifetime`, `read_and_extend`) is durable within the
/// `touch_interval`, one second by default. After a crash a deadline may be earlier than it was,
/// never later.
///
/// # Concurrency
///
/// Every method takes `&self` and may be called from any number of threads at once. A read that
/// begins after a write returned sees that write. Reads and listings never wait for a write or its
/// sync.
///
/// # Errors
///
/// An expired session is absent: no method can tell it from one that never existed. Every method
/// fails with [`Error::Io`], [`Error::StorageFull`] or [`Error::OutcomeUnknown`] when the file
/// does, with [`Error::Closed`] after [`close`](Self::close), with [`Error::ClockOutOfRange`] when
/// the clock shows a time before 1970, and with [`Error::Forked`] in a process that was forked from
/// the one that opened the store. On a server, every method fails with [`Error::Unavailable`] while
/// the server cannot be reached. After another program has replaced the file, writes and listings
/// fail with [`Error::FileReplaced`]. The error of an engine of your own is [`Error::Engine`]. The
/// methods below list only their further errors.
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

/// The shared part of all handles. Dropping it stops and joins the threads, then drops the engine,
/// which others may hold. In a forked process it drops neither, since locks may be held there
/// forever, and the file and the threads belong to the other process.
struct Handle<C> {
    /// Opened for the store, and dropped before it.
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

    #[cfg(feature = "admin")]
    pub(crate) fn shared_core(&self) -> Arc<StoreCore> {
        Arc::clone(&self.handle.core)
    }

    #[cfg(feature = "admin")]
    pub(crate) fn guests(&self) -> &Guests {
        &self.handle.guests
    }

    /// Reads a session without extending its life; `None` if there is none, or it is expired.
    ///
    /// Costs no disk access while the record's page is in the cache, and never waits for a writer's
    /// lock.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`] if the record is damaged, [`Error::ContentMismatch`] if its content
    /// is not a `C`.
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
        let found = core.counting_damage(core.engine.load(&key, core.moment()?))?;
        let Some(record) = found else { return Ok(None) };
        self.handle.codec.session(id.clone(), key, &record, core).map(Some)
    }

    /// Reads a session and extends its life in one step, as a server does for every request.
    ///
    /// With a [`content_version`](crate::Builder::content_version) the content is read and migrated
    /// first. A session that ends in between is not extended.
    ///
    /// # Durability
    ///
    /// As for [`extend_lifetime`](Self::extend_lifetime).
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read). A session's life may be extended although its content cannot be
    /// read.
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

    /// As [`read_and_extend`](Self::read_and_extend), for content that may need a migration. A
    /// migration may take any time, so the session must still be live after it.
    fn read_then_extend(&self, id: &SessionId) -> Result<Option<Session<C>>> {
        let Some(read) = self.read(id)? else { return Ok(None) };
        let Some(record) = self.extend(&read.key)? else { return Ok(None) };
        if read.revision == record.revision() {
            let times = times_of(&record, &self.handle.core.timeouts);
            return Ok(Some(Session { times, ..read }));
        }
        // Another caller has saved it in between.
        self.handle.codec.session(id.clone(), read.key, &record, &self.handle.core).map(Some)
    }

    /// Extends a session's life to a full inactivity timeout from now, within its absolute timeout.
    /// `false` if there is no such session: an expired one is not revived.
    ///
    /// Costs a read and an entry in memory, no disk access: a touch is written with the next commit
    /// or within the `touch_interval`.
    ///
    /// In a file there are two exceptions: 262,144 other sessions have a touch that is not written
    /// yet, or the session may be ended at that moment, as all of a user's are during a login under
    /// a limit. Then the call takes its turn among the commits and writes its touch. As any caller
    /// whose turn it is, it may write up to 511 waiting changes of others in the same commit. It
    /// runs no checkpoint.
    ///
    /// # Durability
    ///
    /// The new deadline is visible to every thread at once, and durable within the
    /// `touch_interval`, one second by default. After a crash the deadline may be earlier, never
    /// later.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedRecord`] if the record is damaged.
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

    /// Ends a session; `false` if there was none. One durable commit.
    ///
    /// # Security
    ///
    /// Once this has returned, no request revives the session (ASVS 5.0, 7.4.1).
    ///
    /// # Errors
    ///
    /// Only the [general errors](SessionStore#errors).
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

    /// Ends every session of every user. One durable commit; it needs no extra space. Other changes
    /// wait for it, in a file with millions of sessions for seconds.
    ///
    /// # Errors
    ///
    /// Only the [general errors](SessionStore#errors).
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

impl<C> Handle<C> {
    /// Flushes an engine that others may hold, whose own drop may come much later. Nobody else
    /// holds an engine that was opened by its path. A server's engine has nothing to flush.
    fn flush_if_shared(&self) {
        let core = &self.core;
        if core.file.is_none() && !core.closed.load(Ordering::Acquire) {
            let _ = caught(|| {
                matches!(core.engine.server_time(), Ok(None)) && core.engine.flush().is_ok()
            });
        }
    }
}

impl<C> Drop for Handle<C> {
    fn drop(&mut self) {
        if self.core.process.is_same_by_id() {
            self.guests.close_alone();
            drop(self.maintenance.take());
            self.core.adopt_timeouts_if_due();
            self.flush_if_shared();
        } else {
            std::mem::forget(self.maintenance.take());
            self.guests.forget();
            std::mem::forget(Arc::clone(&self.core));
        }
    }
}

/// A panic in a caller's code never leaves a store half changed: the code runs with no lock held,
/// and each call makes its change in one step.
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
