//! One stored session as an operator sees it: its whole record, without an id, which is not stored.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::key::SessionKey;
use crate::record::Record;
use crate::record::content::ContentKind;
use crate::session::attributes::Attributes;
use crate::session::user::UserId;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// A stored session: its record, under the timeouts that its [`Inspector`] uses.
///
/// # Security
///
/// It holds no credential, but the content may be confidential. `Debug` shows neither the content
/// nor the CSRF token.
///
/// # Examples
///
/// See [`Inspector`].
///
/// [`Inspector`]: super::Inspector
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSession {
    key: SessionKey,
    record: Record,
    timeouts: Timeouts,
    expired: bool,
}

impl StoredSession {
    pub(super) fn new(key: SessionKey, record: Record, moment: Moment) -> Self {
        let expired = record.is_expired(moment);
        Self { key, record, timeouts: moment.timeouts, expired }
    }

    /// Returns the session's key.
    #[must_use]
    pub const fn key(&self) -> SessionKey {
        self.key
    }

    /// Returns the session's user, if it has one.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.record.user_id()
    }

    /// Returns when the session was created.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.record.created_at().to_system_time()
    }

    /// Returns when the session was last active.
    #[must_use]
    pub fn last_active(&self) -> SystemTime {
        self.record.last_active().to_system_time()
    }

    /// Returns when the session expires if nothing extends it.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.record.deadline(&self.timeouts).to_system_time()
    }

    /// Whether the session is expired: absent to every program, and deleted by the next sweep.
    #[must_use]
    pub const fn is_expired(&self) -> bool {
        self.expired
    }

    /// Returns how often the session was saved: 1 when created.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.record.revision()
    }

    /// Returns the session's own inactivity timeout, if it has one.
    #[must_use]
    pub fn own_inactivity(&self) -> Option<Duration> {
        self.record.own_timeouts().inactivity_ms.map(Duration::from_millis)
    }

    /// Returns the session's own absolute timeout, if it has one.
    #[must_use]
    pub fn own_absolute(&self) -> Option<Duration> {
        self.record.own_timeouts().absolute_ms.map(Duration::from_millis)
    }

    /// Whether the session has a CSRF token. The token itself is not shown.
    #[must_use]
    pub fn has_csrf_token(&self) -> bool {
        self.record.csrf_token().is_some()
    }

    /// Returns the version of the content's type.
    #[must_use]
    pub fn content_version(&self) -> u32 {
        self.record.stored_content().version()
    }

    /// Returns the content as stored, without the digest of its shape. These bytes are
    /// self-describing only if there is [`json`](Self::json).
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.record.stored_content().bytes()
    }

    /// Returns the content as a JSON text, if it is [`Attributes`](crate::Attributes) or
    /// [`Json`](crate::Json); `None` if it has a type of the program, or cannot be read.
    #[must_use]
    pub fn json(&self) -> Option<String> {
        self.record.stored_content().to_json().ok().flatten()
    }

    /// Returns the content as [`Attributes`]; `None` if it is something else.
    #[must_use]
    pub fn attributes(&self) -> Option<Attributes> {
        let content = self.record.stored_content();
        let is_one = content.kind() == Some(ContentKind::Attributes);
        is_one.then(|| content.decode().ok()).flatten()
    }
}

impl fmt::Debug for StoredSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoredSession")
            .field("key", &self.key)
            .field("user", &self.user())
            .field("revision", &self.revision())
            .field("expired", &self.expired)
            .finish_non_exhaustive()
    }
}
