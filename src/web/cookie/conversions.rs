//! Conversion between the session cookie and a `Cookie` of the crate `cookie`, which formats it.
//!
//! Only this file decides how long a browser keeps the cookie.

use std::time::Duration;

use ::cookie::{Cookie, time};

use super::builder::CookieLifetime;
use super::{SessionCookie, header};
use crate::session::Session;
use crate::session::id::SessionId;

impl SessionCookie {
    /// As [`set`](Self::set), but returns a [`Cookie`] of the crate `cookie` 0.18, for a
    /// `CookieJar` or a framework that takes one.
    ///
    /// # Security
    ///
    /// `Debug` of a [`Cookie`] shows its value, which is the credential.
    ///
    /// # Examples
    ///
    /// Signed, together with the program's other cookies (feature `signed` of the crate `cookie`):
    ///
    /// ```
    /// use cookie::{CookieJar, Key};
    /// use sessile::SessionStore;
    /// use sessile::web::cookie::SessionCookie;
    ///
    /// let store = SessionStore::<u32>::in_memory()?;
    /// let session = store.create(1)?;
    /// let (session_cookie, key) = (SessionCookie::default(), Key::generate());
    ///
    /// let mut jar = CookieJar::new();
    /// jar.signed_mut(&key).add(session_cookie.to_cookie(&session));
    ///
    /// let received = jar.signed(&key).get(session_cookie.name());
    /// let id = received.and_then(|cookie| session_cookie.read_cookie(&cookie));
    /// assert_eq!(id.as_ref(), Some(session.id()));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn to_cookie<C>(&self, session: &Session<C>) -> Cookie<'static> {
        match self.settings.lifetime {
            CookieLifetime::BrowserSession => self.settings.to_cookie(session.id().encode()),
            CookieLifetime::UntilExpiry => self.lasting(session),
        }
    }

    /// As [`clear`](Self::clear), but returns a [`Cookie`] of the crate `cookie` 0.18.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::web::cookie::SessionCookie;
    ///
    /// let removal = SessionCookie::default().to_removal();
    /// assert_eq!(removal.name_value(), ("__Host-session", ""));
    /// assert_eq!(removal.max_age(), Some(cookie::time::Duration::ZERO));
    /// ```
    #[must_use]
    pub fn to_removal(&self) -> Cookie<'static> {
        let mut cookie = self.settings.to_cookie(String::new());
        cookie.set_max_age(time::Duration::ZERO);
        cookie
    }

    /// Returns the id in a [`Cookie`] of the crate `cookie` 0.18 that a jar or a framework has
    /// parsed; `None` if it has another name or holds no id.
    ///
    /// # Security
    ///
    /// Prefer [`read`](Self::read) if you have the headers. The crate's parser trims all Unicode
    /// white space, and jars that decode percent signs decode names too. Both let a sibling host
    /// plant a cookie whose name only *becomes* `__Host-…` on the server. And a jar keeps only one
    /// of two cookies with the same name.
    ///
    /// # Examples
    ///
    /// ```
    /// use cookie::Cookie;
    /// use sessile::web::cookie::SessionCookie;
    ///
    /// let session_cookie = SessionCookie::default();
    /// let parsed = Cookie::parse("__Host-session=AAAAAAAAAAAAAAAAAAAAAA")?;
    /// assert!(session_cookie.read_cookie(&parsed).is_some());
    /// assert!(session_cookie.read_cookie(&Cookie::new("theme", "dark")).is_none());
    /// # Ok::<(), cookie::ParseError>(())
    /// ```
    #[must_use]
    pub fn read_cookie(&self, cookie: &Cookie<'_>) -> Option<SessionId> {
        if cookie.name() == self.name() { header::id(cookie.value().as_bytes()) } else { None }
    }

    /// The cookie of a session until the session's expiry, by this cookie's clock.
    fn lasting<C>(&self, session: &Session<C>) -> Cookie<'static> {
        let left = session.expires_at().duration_since(self.clock.now()).unwrap_or_default();
        if left.is_zero() {
            return self.to_removal();
        }
        let seconds = whole_seconds(left).min(Self::MAX_AGE_SECONDS);
        let mut cookie = self.settings.to_cookie(session.id().encode());
        // At most 400 days, so the conversion never saturates.
        cookie.set_max_age(time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
        cookie
    }
}

/// Rounded up, so that the cookie never ends before its session.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}
