//! A session as the caller holds it, the options of its creation, and its line in a listing.
//!
//! A [`Session`] is plain data: it holds no lock and no reference to the store. Its times are a
//! copy; the store uses its own.

pub(crate) mod attributes;
pub(crate) mod csrf;
pub(crate) mod id;
pub(crate) mod info;
pub(crate) mod json;
pub(crate) mod options;
pub(crate) mod user;

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::error::Result;
use crate::key::SessionKey;
use crate::random::SystemRandom;
use crate::session::attributes::Attributes;
use crate::session::csrf::CsrfToken;
use crate::session::id::SessionId;
use crate::session::user::UserId;
use crate::time::clock::Timestamp;
use crate::time::timeouts::{OwnTimeouts, Timeouts};

/// One session: its id, its user, its times and its content.
///
/// Changes stay in memory until [`SessionStore::update`](crate::SessionStore::update).
///
/// # Security
///
/// [`id`](Self::id) is the credential. `Debug` shows the [`key`](Self::key) instead, and neither
/// the content nor the CSRF token.
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
///
/// let store = SessionStore::<u32>::in_memory()?;
/// let mut session = store.create(1)?;
///
/// *session.content_mut() += 1;
/// session.set_user("ann");
/// assert!(session.is_modified());
/// store.update(&mut session)?;
///
/// let read = store.read(session.id())?;
/// assert_eq!(read.as_ref().and_then(|read| read.user()), Some(&"ann".into()));
/// assert_eq!(read.map(|read| read.into_content()), Some(2));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct Session<C = Attributes> {
    pub(crate) id: SessionId,
    pub(crate) key: SessionKey,
    pub(crate) times: Times,
    pub(crate) origin: Origin,
    pub(crate) revision: u64,
    pub(crate) user: Option<UserId>,
    pub(crate) csrf_token: Option<CsrfToken>,
    pub(crate) content: C,
    pub(crate) modified: bool,
}

/// The times of a record, under the timeouts in force when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Times {
    pub(crate) created_at: Timestamp,
    pub(crate) last_active: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// The values that a save needs besides the session's visible ones, so that it does not read the
/// stored record. The revision guards them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) created_at: Timestamp,
    pub(crate) own_timeouts: OwnTimeouts,
}

impl<C> Session<C> {
    /// Returns the id: give it to the client, and to nobody else.
    #[must_use]
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// Returns the key under which the store holds the session: safe to log and to show.
    #[must_use]
    pub const fn key(&self) -> SessionKey {
        self.key
    }

    /// Returns the session's user, if it has one.
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// Gives the session to a user. Then call
    /// [`regenerate_id`](crate::SessionStore::regenerate_id), which also saves it: anyone who knew
    /// the id before the login must not know it afterwards (ASVS 5.0, 7.2.4). The session keeps its
    /// creation time, and so its absolute deadline, from before the login.
    pub fn set_user(&mut self, user: impl Into<UserId>) {
        self.user = Some(user.into());
        self.modified = true;
    }

    /// Removes the session's user. To log out, [`destroy`](crate::SessionStore::destroy) the
    /// session.
    pub fn clear_user(&mut self) {
        self.user = None;
        self.modified = true;
    }

    /// Returns when the session was created, to the millisecond. A new id does not change this.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.times.created_at.to_system_time()
    }

    /// Returns when the session was last active, as of the read or the last save.
    #[must_use]
    pub fn last_active(&self) -> SystemTime {
        self.times.last_active.to_system_time()
    }

    /// Returns when the session expires if nothing extends it: at this very millisecond it is gone.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.times.expires_at.to_system_time()
    }

    /// Gives the session its own timeouts, in place of its present ones: for a "remember me" box at
    /// a login.
    ///
    /// They apply once the session is saved, by [`update`](crate::SessionStore::update) or
    /// [`regenerate_id`](crate::SessionStore::regenerate_id); [`expires_at`](Self::expires_at) then
    /// shows them. The absolute timeout counts from the session's creation. If it is over already,
    /// the save is refused.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTimeouts`](crate::Error::InvalidTimeouts) if `inactivity` is greater than
    /// `absolute`, one of them is shorter than a millisecond, or the session would outlive the last
    /// moment that can be stored. The session keeps its present timeouts.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let mut session = store.create(1)?; // before the login, as anybody's
    ///
    /// let month = Duration::from_secs(30 * 24 * 60 * 60);
    /// session.set_user("ann");
    /// session.set_timeouts(month, month)?;
    /// store.regenerate_id(&mut session)?;
    /// assert_eq!(session.expires_at(), session.created_at() + month);
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn set_timeouts(&mut self, inactivity: Duration, absolute: Duration) -> Result<()> {
        let own = OwnTimeouts::new(Some(inactivity), Some(absolute))?;
        // Both timeouts are given, so the defaults passed here are not used.
        own.check_at_creation(self.origin.created_at, &Timeouts::default())?;
        self.origin.own_timeouts = own;
        self.modified = true;
        Ok(())
    }

    /// Returns the session's own inactivity timeout, if it has one. A request after a login with
    /// "remember me" sees by it which cookie to set again.
    ///
    /// Shows what [`set_timeouts`](Self::set_timeouts) set, also before it is saved.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let mut session = store.create(1)?;
    /// assert_eq!(session.own_inactivity(), None); // the store's applies
    ///
    /// let month = Duration::from_secs(30 * 24 * 60 * 60);
    /// session.set_timeouts(month, month)?;
    /// store.update(&mut session)?;
    /// let read = store.read(session.id())?;
    /// assert_eq!(read.and_then(|read| read.own_inactivity()), Some(month));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn own_inactivity(&self) -> Option<Duration> {
        self.origin.own_timeouts.inactivity_ms.map(Duration::from_millis)
    }

    /// Returns the session's own absolute timeout, if it has one, as
    /// [`own_inactivity`](Self::own_inactivity) does.
    #[must_use]
    pub fn own_absolute(&self) -> Option<Duration> {
        self.origin.own_timeouts.absolute_ms.map(Duration::from_millis)
    }

    /// Removes the session's own timeouts. Once it is saved, the store's apply. The save is refused
    /// if the store's absolute timeout, counted from the session's creation, is over already.
    pub fn clear_timeouts(&mut self) {
        self.origin.own_timeouts = OwnTimeouts::default();
        self.modified = true;
    }

    /// Returns the token for this session's forms, if it has one. A session without a token cannot
    /// have sent a form that needs one: refuse that form.
    #[must_use]
    pub const fn csrf_token(&self) -> Option<&CsrfToken> {
        self.csrf_token.as_ref()
    }

    /// Returns the CSRF token, and draws one if the session has none, such as a session created
    /// before the program used tokens. [`update`](crate::SessionStore::update) or
    /// [`regenerate_id`](crate::SessionStore::regenerate_id) saves the new token.
    ///
    /// # Errors
    ///
    /// [`Error::Generator`](crate::Error::Generator) if the operating system gives no random bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let mut session = store.create(1)?;
    /// let token = session.ensure_csrf_token()?.encode();
    /// store.update(&mut session)?;
    /// let read = store.read(session.id())?;
    /// let stored = read.as_ref().and_then(|read| read.csrf_token());
    /// assert!(stored.is_some_and(|stored| stored.verify(&token)));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn ensure_csrf_token(&mut self) -> Result<&CsrfToken> {
        let token = match self.csrf_token.take() {
            Some(token) => token,
            None => {
                let drawn = CsrfToken::draw_from(&SystemRandom)?;
                self.modified = true;
                drawn
            }
        };
        Ok(self.csrf_token.insert(token))
    }

    /// Returns the content.
    #[must_use]
    pub const fn content(&self) -> &C {
        &self.content
    }

    /// Returns the content, to change it. The session then counts as modified, even if nothing
    /// changes.
    pub const fn content_mut(&mut self) -> &mut C {
        self.modified = true;
        &mut self.content
    }

    /// Returns the content by value.
    #[must_use]
    pub fn into_content(self) -> C {
        self.content
    }

    /// Whether the session was changed since it was read or saved, by
    /// [`content_mut`](Self::content_mut), [`set_user`](Self::set_user),
    /// [`set_timeouts`](Self::set_timeouts), one of their opposites, or a new CSRF token.
    #[must_use]
    pub const fn is_modified(&self) -> bool {
        self.modified
    }
}

impl<C> fmt::Debug for Session<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("key", &self.key)
            .field("user", &self.user)
            .field("times", &self.times)
            .field("modified", &self.modified)
            .finish_non_exhaustive()
    }
}
