//! The session cookie: read from a request, set and cleared in a response.
//!
//! A [`SessionCookie`] is valid by construction: building one refuses a cookie that a browser would
//! drop. Section numbers are those of RFC 6265bis, the standard that browsers follow.
//!
//! # Which cookie to choose
//!
//! [`SessionCookie::default()`] is right wherever there is TLS: `__Host-session`, `Secure`,
//! `HttpOnly`, `SameSite=Lax`, `Path=/` (OWASP ASVS 5.0, 3.3.1 to 3.3.4). Without TLS, on a
//! developer's machine, turn [`secure`](SessionCookieBuilder::secure) off.
//!
//! # Security
//!
//! Only the `__Host-` prefix keeps other hosts from setting the cookie. Without it, a sibling host
//! under the same domain, or an attacker who can answer for `http://`, can plant a cookie of the
//! same name (8.6, "cookie tossing"). Beside the right cookie, a planted id keeps the user logged
//! out, since [`read`](SessionCookie::read) accepts neither. Alone, it is read like any other.
//!
//! The id is not signed. It has 128 random bits and is worthless unless the store knows it, so a
//! signature adds no strength. A program that keeps all its cookies in a `SignedJar` can include
//! this one with [`to_cookie`](SessionCookie::to_cookie) and
//! [`read_cookie`](SessionCookie::read_cookie).

mod builder;
mod conversions;
mod header;
mod presented;
mod rules;

use std::sync::Arc;

use crate::session::Session;
use crate::session::id::SessionId;
use crate::time::clock::{Clock, SystemClock};

pub use self::builder::{CookieLifetime, SameSite, SessionCookieBuilder};
pub use self::presented::Presented;
use self::rules::Settings;

/// The cookie that carries a session id: its name, its attributes, and how it is read.
///
/// Build one at start-up and share it. It holds no id and no session.
///
/// # Security
///
/// The return values of [`set`](Self::set), [`set_id`](Self::set_id) and
/// [`to_cookie`](Self::to_cookie) contain the credential: send them, and do not log them. `Debug`
/// of a `SessionCookie` shows only the settings.
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
/// use sessile::web::cookie::SessionCookie;
///
/// let store = SessionStore::<u32>::in_memory()?;
/// let cookie = SessionCookie::default();
///
/// // At login:
/// let session = store.create_for_user("ann", 1)?;
/// let set_cookie = cookie.set(&session);
/// assert!(set_cookie.starts_with("__Host-session="));
/// assert!(set_cookie.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/"));
///
/// // At each request: the headers as the framework has them.
/// # let pair = set_cookie.split(';').next().unwrap_or_default();
/// let mut headers = http::HeaderMap::new();
/// headers.append("cookie", "theme=dark".parse()?);
/// headers.append("cookie", pair.parse()?);
/// let id = cookie.read(headers.get_all("cookie"));
/// assert_eq!(id.as_ref(), Some(session.id()));
///
/// // At logout:
/// store.destroy(session.id())?;
/// assert!(cookie.clear().starts_with("__Host-session=; "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionCookie {
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl SessionCookie {
    /// The longest lifetime of a cookie, in seconds: 400 days. Browsers shorten a longer one (5.5).
    pub const MAX_AGE_SECONDS: u64 = 400 * 24 * 60 * 60;

    /// Returns a builder with the settings of [`default`](Self::default).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::web::cookie::{SameSite, SessionCookie};
    ///
    /// let cookie = SessionCookie::builder()
    ///     .name("__Host-shop")
    ///     .same_site(SameSite::Strict)
    ///     .build()?;
    /// assert_eq!(cookie.name(), "__Host-shop");
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn builder() -> SessionCookieBuilder {
        SessionCookieBuilder::new()
    }

    const fn from_parts(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock }
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Returns the same cookie with another lifetime, for example for "remember me".
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    /// use sessile::web::cookie::{CookieLifetime, SessionCookie};
    ///
    /// # let store = SessionStore::<u32>::in_memory()?;
    /// # let session = store.create(1)?;
    /// let cookie = SessionCookie::default();
    /// let remembered = cookie.clone().with_lifetime(CookieLifetime::UntilExpiry);
    ///
    /// assert!(!cookie.set(&session).contains("Max-Age"));
    /// assert!(remembered.set(&session).ends_with("; Max-Age=900"));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: CookieLifetime) -> Self {
        self.settings.lifetime = lifetime;
        self
    }

    /// Returns the id that a request presents, from the values of its `Cookie` headers. `None` if
    /// there is no id, or more than one.
    ///
    /// Accepts several headers, as HTTP/2 sends them (RFC 9113, 8.2.3), and any bytes. Reads them
    /// once, in time linear in their length. Allocates nothing, and needs no disk access.
    ///
    /// # Security
    ///
    /// - A malformed value is ignored, so junk that a sibling host plants logs nobody out.
    /// - **Two different ids of the same name give no id.** Their order means nothing (4.2.2), so
    ///   either may be an attacker's. [`present`](Self::present) distinguishes this from a missing
    ///   cookie.
    /// - Names are compared byte by byte. Only spaces and tabs are trimmed, and nothing is decoded,
    ///   so no other name can pass for one with the `__Host-` prefix.
    /// - Quotes do not protect a semicolon. One pair of them around the whole value is ignored
    ///   (4.1.1).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::web::cookie::SessionCookie;
    ///
    /// let cookie = SessionCookie::default();
    /// let header = "theme=dark; __Host-session=AAAAAAAAAAAAAAAAAAAAAA";
    ///
    /// assert!(cookie.read([header]).is_some());            // one header
    /// assert!(cookie.read(Some(header)).is_some());        // one or none
    /// assert!(cookie.read(vec![header.as_bytes()]).is_some());
    /// assert!(cookie.read(["__Host-session=junk"]).is_none());
    /// assert!(cookie.read::<[&str; 0]>([]).is_none());
    /// ```
    #[must_use]
    pub fn read<I>(&self, headers: I) -> Option<SessionId>
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        self.present(headers).into_id()
    }

    /// As [`read`](Self::read), but also says why there is no id.
    ///
    /// A server that gets [`Presented::Several`] should log it: the user cannot log in until the
    /// other cookie is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::web::cookie::{Presented, SessionCookie};
    ///
    /// let cookie = SessionCookie::default();
    /// # let headers = ["__Host-session=AAAAAAAAAAAAAAAAAAAAAA"];
    /// let id = match cookie.present(headers) {
    ///     Presented::Several => {
    ///         eprintln!("a client has two cookies named {}", cookie.name());
    ///         None
    ///     }
    ///     presented => presented.into_id(),
    /// };
    /// # assert!(id.is_some());
    /// ```
    #[must_use]
    pub fn present<I>(&self, headers: I) -> Presented
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let mut presented = Presented::Nothing;
        for header in headers {
            for value in header::values(header.as_ref(), self.name().as_bytes()) {
                presented = match (presented, header::id(value)) {
                    (Presented::Nothing, None) => Presented::Malformed,
                    (Presented::Nothing | Presented::Malformed, Some(id)) => Presented::One(id),
                    (Presented::One(first), Some(id)) if first != id => Presented::Several,
                    (presented, _) => presented,
                };
            }
        }
        presented
    }

    /// Returns the value of a `Set-Cookie` header that gives the client the session's id.
    ///
    /// Send it when the session is created and after every
    /// [`regenerate_id`](crate::SessionStore::regenerate_id). With [`CookieLifetime::UntilExpiry`],
    /// also send it whenever the session was extended. For a session that has expired by then, the
    /// value is that of [`clear`](Self::clear).
    ///
    /// # Security
    ///
    /// The text contains the credential.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    /// use sessile::web::cookie::SessionCookie;
    ///
    /// let (store, cookie) = (SessionStore::<u32>::in_memory()?, SessionCookie::default());
    /// let session = store.create(1)?;
    ///
    /// // axum, hyper: `append`, since a response may set other cookies, too.
    /// let mut headers = http::HeaderMap::new();
    /// let mut value = http::HeaderValue::try_from(cookie.set(&session))?;
    /// value.set_sensitive(true); // `Debug` of the response does not show it
    /// headers.append("set-cookie", value);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn set<C>(&self, session: &Session<C>) -> String {
        self.to_cookie(session).to_string()
    }

    /// Returns the value of a `Set-Cookie` header for an id without a session, to which a form
    /// before a login is bound, see [`csrf`](super::csrf). The browser forgets the cookie when it
    /// ends.
    ///
    /// # Security
    ///
    /// Never log somebody in under an id from before the login: see [`set`](Self::set).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionId;
    /// use sessile::web::cookie::SessionCookie;
    ///
    /// let (cookie, id) = (SessionCookie::default(), SessionId::generate()?);
    /// let set_cookie = cookie.set_id(&id);
    /// # let pair = set_cookie.split(';').next().unwrap_or_default();
    /// assert_eq!(cookie.read([pair]), Some(id));
    /// # Ok::<(), sessile::Error>(())
    /// ```
    #[must_use]
    pub fn set_id(&self, id: &SessionId) -> String {
        self.settings.to_cookie(id.encode()).to_string()
    }

    /// Returns the value of a `Set-Cookie` header that makes the client forget the cookie.
    ///
    /// It is a courtesy: the logout itself is [`destroy`](crate::SessionStore::destroy). The value
    /// has the attributes of [`set`](Self::set), because a browser treats cookies with another path
    /// or domain as different cookies (5.7), and `Max-Age=0`.
    ///
    /// Send it in the answer to a logout alone, not whenever a request finds no session. A request
    /// that was under way while another one got a new id finds none under the old id, and its
    /// answer would take the new cookie from the browser.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::web::cookie::SessionCookie;
    ///
    /// assert_eq!(
    ///     SessionCookie::default().clear(),
    ///     "__Host-session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0"
    /// );
    /// ```
    #[must_use]
    pub fn clear(&self) -> String {
        self.to_removal().to_string()
    }
}

impl Default for SessionCookie {
    /// `__Host-session`, `Secure`, `HttpOnly`, `SameSite=Lax`, `Path=/`, until the browser ends.
    fn default() -> Self {
        Self::from_parts(Settings::default(), Arc::new(SystemClock))
    }
}
