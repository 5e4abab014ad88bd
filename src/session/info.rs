//! A session's line in a listing.

use std::time::SystemTime;

use crate::key::SessionKey;
use crate::session::Times;
use crate::session::user::UserId;

/// A session in a listing: everything but its id and its content.
///
/// # Security
///
/// It holds no credential, so it is safe to show to the session's own user. To end the session for
/// that user, pass the [`key`](Self::key) to
/// [`SessionStore::destroy_of`](crate::SessionStore::destroy_of).
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
///
/// let store: SessionStore = SessionStore::in_memory()?;
/// let session = store.create_for_user("ann", Default::default())?;
///
/// let listed = store.sessions_of("ann")?;
/// assert_eq!(listed.len(), 1);
/// for info in listed {
///     assert_eq!(info.key(), session.key());
///     assert_eq!(info.created_at(), session.created_at());
/// }
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionInfo {
    pub(crate) key: SessionKey,
    pub(crate) user: Option<UserId>,
    pub(crate) times: Times,
}

impl SessionInfo {
    /// Returns the session's key.
    #[must_use]
    pub const fn key(&self) -> SessionKey {
        self.key
    }

    /// Returns the session's user, if it has one.
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// Returns when the session was created.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.times.created_at.to_system_time()
    }

    /// Returns when the session was last active.
    #[must_use]
    pub fn last_active(&self) -> SystemTime {
        self.times.last_active.to_system_time()
    }

    /// Returns when the session expires if nothing extends it.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.times.expires_at.to_system_time()
    }
}

/// Serializes the times in milliseconds since 1970: `created_at_ms`, `last_active_ms`,
/// `expires_at_ms`.
impl serde::Serialize for SessionInfo {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut line = serializer.serialize_struct("SessionInfo", 5)?;
        line.serialize_field("key", &self.key)?;
        line.serialize_field("user", &self.user)?;
        line.serialize_field("created_at_ms", &self.times.created_at.as_millis())?;
        line.serialize_field("last_active_ms", &self.times.last_active.as_millis())?;
        line.serialize_field("expires_at_ms", &self.times.expires_at.as_millis())?;
        line.end()
    }
}
