//! One stored session as an operator sees it: all of its record, and no id, which is not stored.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::key::SessionKey;
use crate::record::Record;
use crate::record::content::ContentKind;
use crate::session::attributes::Attributes;
use crate::session::user::UserId;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// A stored session: what its record holds, under the timeouts that its [`Inspector`] goes by.
///
/// # Security
///
/// It holds no credential; the content may be confidential all the same. `Debug` shows neither the
/// content nor the CSRF token.
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

    /// The session's key.
    #[must_use]
    pub const fn key(&self) -> SessionKey {
        self.key
    }

    /// Whose session it is, if anybody's.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.record.user_id()
    }

    /// When the session was created.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.record.created_at().to_system_time()
    }

    /// When the session was last active.
    #[must_use]
    pub fn last_active(&self) -> SystemTime {
        self.record.last_active().to_system_time()
    }

    /// When the session expires if nothing touches it.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.record.deadline(&self.timeouts).to_system_time()
    }

    /// Whether it is expired, and so absent to every program; it waits for a sweep.
    #[must_use]
    pub const fn is_expired(&self) -> bool {
        self.expired
    }

    /// How often it was saved: 1 when created.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.record.revision()
    }

    /// The inactivity timeout of its own, if it has one.
    #[must_use]
    pub fn own_inactivity(&self) -> Option<Duration> {
        self.record.own_timeouts().inactivity_ms.map(Duration::from_millis)
    }

    /// The absolute timeout of its own, if it has one.
    #[must_use]
    pub fn own_absolute(&self) -> Option<Duration> {
        self.record.own_timeouts().absolute_ms.map(Duration::from_millis)
    }

    /// Whether it was created with a CSRF token. The token itself is not shown.
    #[must_use]
    pub fn has_csrf_token(&self) -> bool {
        self.record.csrf_token().is_some()
    }

    /// The version of the content's type.
    #[must_use]
    pub fn content_version(&self) -> u32 {
        self.record.stored_content().version()
    }

    /// The content as it is stored, without the digest of its shape. It describes itself only where
    /// it is [`json`](Self::json).
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.record.stored_content().bytes()
    }

    /// The content as a JSON text, where it is [`Attributes`](crate::Attributes) or
    /// [`Json`](crate::Json); `None` if it is of a type of the program's, or cannot be read.
    #[must_use]
    pub fn json(&self) -> Option<String> {
        self.record.stored_content().to_json().ok().flatten()
    }

    /// The content as [`Attributes`]; `None` if it is something else.
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
