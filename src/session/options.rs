//! The options of a new session.

use std::time::Duration;

use crate::error::Result;
use crate::session::user::UserId;
use crate::time::timeouts::OwnTimeouts;

/// Options of a new session besides its content. All are optional.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sessile::{SessionOptions, SessionStore};
///
/// // "Remember me": a month, instead of the store's seven days.
/// let month = Duration::from_secs(30 * 24 * 60 * 60);
/// let options = SessionOptions::new().user("ann").csrf_token().inactivity(month).absolute(month);
///
/// let store: SessionStore = SessionStore::in_memory()?;
/// let session = store.create_with(Default::default(), &options)?;
/// assert_eq!(session.expires_at(), session.created_at() + month);
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until `create_with` gets them"]
#[doc(alias = "applySessionOptions")]
pub struct SessionOptions {
    user: Option<UserId>,
    csrf_token: bool,
    inactivity: Option<Duration>,
    absolute: Option<Duration>,
}

impl SessionOptions {
    /// No user, no CSRF token, the store's timeouts.
    pub fn new() -> Self {
        Self::default()
    }

    /// The user of the session.
    pub fn user(self, user: impl Into<UserId>) -> Self {
        Self { user: Some(user.into()), ..self }
    }

    /// Draws a [`CsrfToken`](crate::CsrfToken) for the session.
    pub fn csrf_token(self) -> Self {
        Self { csrf_token: true, ..self }
    }

    /// The session's own inactivity timeout, even if the store's changes later.
    pub fn inactivity(self, timeout: Duration) -> Self {
        Self { inactivity: Some(timeout), ..self }
    }

    /// The session's own absolute timeout, even if the store's changes later.
    pub fn absolute(self, timeout: Duration) -> Self {
        Self { absolute: Some(timeout), ..self }
    }

    pub(crate) const fn user_id(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    pub(crate) const fn wants_csrf_token(&self) -> bool {
        self.csrf_token
    }

    pub(crate) fn own_timeouts(&self) -> Result<OwnTimeouts> {
        OwnTimeouts::new(self.inactivity, self.absolute)
    }
}
