//! The session cookie: read from a request, set and cleared in a response.
//!
//! A [`SessionCookie`] is valid by construction: what a browser would drop is refused at build.
//! Section numbers are those of RFC 6265bis, the standard that browsers follow.
//!
//! # Which cookie to choose
//!
//! [`SessionCookie::default()`] is right wherever there is TLS: `__Host-session`, `Secure`,
//! `HttpOnly`, `SameSite=Lax`, `Path=/` (OWASP ASVS 5.0, 3.3.1 to 3.3.4). Without TLS, on a
//! developer's machine, turn [`secure`](SessionCookieBuilder::secure) off.
//!
//! # Security
//!
//! Only the `__Host-` prefix makes the cookie this host's own. Without it a sibling under the same
//! domain, or an attacker who can answer for `http://`, can plant a cookie of the same name (8.6,
//! "cookie tossing"). Beside the right one a planted id keeps the user logged out, since
//! [`read`](SessionCookie::read) takes neither of two. Alone it is read like any other.
//!
//! The id is not signed. It has 128 random bits and opens nothing unless the store knows it, so a
//! signature adds no strength. A program that keeps all its cookies in a `SignedJar` puts this one
//! in, too, by [`to_cookie`](SessionCookie::to_cookie) and
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

/// The cookie that carries a session's id: its name, its attributes, and how it is read.
///
/// Build one at start-up and share it. It holds no id and no session.
///
/// # Security
///
/// What [`set`](Self::set), [`set_id`](Self::set_id) and [`to_cookie`](Self::to_cookie) return
/// contains the credential: send it, and do not log it. `Debug` of a `SessionCookie` shows the
/// settings alone.
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
    /// The longest that a cookie is kept, in seconds: 400 days. Browsers cut off what is longer
    /// (5.5).
    pub const MAX_AGE_SECONDS: u64 = 400 * 24 * 60 * 60;

    /// A builder with the settings of [`default`](Self::default).
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

    /// The same cookie with another lifetime: what "remember me" changes.
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

    /// The id that a request presents, from the values of its `Cookie` headers. `None` if there is
    /// none, or more than one.
    ///
    /// Takes several headers, as HTTP/2 sends them (RFC 9113, 8.2.3), and any bytes. Reads them
    /// once, in time linear in their length. Allocates nothing and touches no disk.
    ///
    /// # Security
    ///
    /// - A malformed value is passed over, so junk that a sibling host plants logs nobody out.
    /// - **Different ids under the name are no id.** Their order says nothing (4.2.2), so either
    ///   may be an attacker's. [`present`](Self::present) tells this from having no cookie.
    /// - Names are compared byte by byte. Only spaces and tabs are cut off, and nothing is decoded,
    ///   so no other name is taken for one with the `__Host-` prefix.
    /// - Quotes hide no semicolon. One pair of them around the whole value is ignored (4.1.1).
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

    /// As [`read`](Self::read), and says why there is no id.
    ///
    /// A server that meets [`Presented::Several`] should say so in its log: the user cannot log in
    /// until the other cookie is gone.
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

    /// The value of a `Set-Cookie` header that gives the client the session's id.
    ///
    /// Send it when the session is created and after every
    /// [`regenerate_id`](crate::SessionStore::regenerate_id). With
    /// [`CookieLifetime::UntilExpiry`] send it whenever the session was extended, too. A session
    /// that has expired by then gives the value of [`clear`](Self::clear).
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

    /// The value of a `Set-Cookie` header for an id without a session: what a form before a login
    /// is bound to, see [`csrf`](super::csrf). The browser forgets it when it ends.
    ///
    /// # Security
    ///
    /// Never use it to log somebody in with an id that was there before: see
    /// [`set`](Self::set).
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

    /// The value of a `Set-Cookie` header that makes the client forget the cookie.
    ///
    /// A courtesy: what logs out is [`destroy`](crate::SessionStore::destroy). It has the
    /// attributes of [`set`](Self::set), since a browser keeps cookies of another path or domain
    /// apart (5.7), and `Max-Age=0`.
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
