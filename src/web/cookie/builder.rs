//! Every setting of a session cookie, and what becomes of them together.
//!
//! The rules themselves are in `rules.rs`; this file knows what was left to its default.

use std::sync::Arc;

use super::SessionCookie;
use super::rules::Settings;
use crate::error::Result;
use crate::time::clock::{Clock, SystemClock};

/// When browsers send the cookie along with a request that another site caused
/// (RFC 6265bis, 4.1.2.7 and 5.6.7).
///
/// # Examples
///
/// ```
/// use sessile::web::cookie::SameSite;
///
/// assert_eq!(SameSite::default(), SameSite::Lax);
/// // To and from the crate `cookie`.
/// assert_eq!(cookie::SameSite::from(SameSite::Strict), cookie::SameSite::Strict);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// Never, not even when a link on another site is followed: the user then seems logged out.
    Strict,
    /// When a link is followed, and never with another site's forms, images or scripts.
    #[default]
    Lax,
    /// Always: for pages that other sites embed. Needs `Secure`, and a
    /// [`CsrfToken`](crate::CsrfToken) in every form.
    None,
}

impl From<SameSite> for ::cookie::SameSite {
    fn from(same_site: SameSite) -> Self {
        match same_site {
            SameSite::Strict => Self::Strict,
            SameSite::Lax => Self::Lax,
            SameSite::None => Self::None,
        }
    }
}

impl From<::cookie::SameSite> for SameSite {
    fn from(same_site: ::cookie::SameSite) -> Self {
        match same_site {
            ::cookie::SameSite::Strict => Self::Strict,
            ::cookie::SameSite::Lax => Self::Lax,
            ::cookie::SameSite::None => Self::None,
        }
    }
}

/// How long a browser keeps the cookie. The session ends by its own timeouts either way.
///
/// # Examples
///
/// ```
/// use sessile::web::cookie::{CookieLifetime, SessionCookie};
///
/// let cookie = SessionCookie::builder().lifetime(CookieLifetime::UntilExpiry).build()?;
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CookieLifetime {
    /// Until the browser ends: no `Max-Age`. Browsers that restore their tabs keep it longer.
    #[default]
    BrowserSession,
    /// Until the session's [`expires_at`](crate::Session::expires_at), but at most
    /// [400 days](SessionCookie::MAX_AGE_SECONDS).
    ///
    /// `Max-Age` says it, whatever the client's clock shows. `Expires` would go by that clock, and
    /// `Max-Age` overrules it (RFC 6265bis, 4.1.2.2). Set the cookie again whenever the session is
    /// extended.
    UntilExpiry,
}

/// The settings of a [`SessionCookie`], each with a default that is right for most servers.
///
/// # Examples
///
/// ```
/// use sessile::web::cookie::{CookieLifetime, SessionCookie};
///
/// // Shared by shop.example.com and help.example.com, until the session expires.
/// let cookie = SessionCookie::builder()
///     .name("__Secure-session")
///     .domain("example.com")
///     .lifetime(CookieLifetime::UntilExpiry)
///     .build()?;
///
/// // What no browser would store is an error here, and says what to do.
/// let refused = SessionCookie::builder().domain("example.com").build();
/// assert!(refused.unwrap_err().to_string().contains("name the cookie `__Secure-…`"));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct SessionCookieBuilder {
    settings: Settings,
    /// Whether the name was given, so that it does not follow `secure`.
    is_named: bool,
    clock: Arc<dyn Clock>,
}

impl SessionCookieBuilder {
    pub(super) fn new() -> Self {
        Self { settings: Settings::default(), is_named: false, clock: Arc::new(SystemClock) }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// The name. Default: `__Host-session`, and `session` where [`secure`](Self::secure) is off.
    ///
    /// A name that begins with `__Host-` makes browsers keep every other host from setting the
    /// cookie (ASVS 5.0, 3.3.3). Give each program on one host a name of its own: cookies do not
    /// tell ports apart (RFC 6265bis, 8.5).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self.is_named = true;
        self
    }

    /// `Secure`: browsers send the cookie over TLS alone (ASVS 5.0, 3.3.1). Default: on.
    ///
    /// It is about what the browser speaks, so it stays on behind a proxy that terminates TLS. Turn
    /// it off for plain HTTP on a developer's machine.
    pub fn secure(self, secure: bool) -> Self {
        self.with(|settings| settings.secure = secure)
    }

    /// `HttpOnly`: no script of a page can read the cookie (ASVS 5.0, 3.3.4). Default: on.
    pub fn http_only(self, http_only: bool) -> Self {
        self.with(|settings| settings.http_only = http_only)
    }

    /// `SameSite`: whether the cookie goes along with what another site causes (ASVS 5.0, 3.3.2).
    /// Default: [`SameSite::Lax`], so that a link from elsewhere finds the user logged in.
    pub fn same_site(self, same_site: SameSite) -> Self {
        self.with(|settings| settings.same_site = same_site)
    }

    /// `Path`: which part of the host gets the cookie. Default: `/`, all of it.
    ///
    /// `/app` stands for `/app` and what is below; `/app/` only for what is below. It is no
    /// protection from other paths of the host (RFC 6265bis, 8.6). Write it as the browser shows
    /// it, percent-encoded.
    pub fn path(self, path: impl Into<String>) -> Self {
        self.with(|settings| settings.path = path.into())
    }

    /// `Domain`: the cookie goes to this host and to every one below it, and each of them can set
    /// it. Default: none, which is this host alone.
    ///
    /// Needs a name without `__Host-`. A leading dot is left out, as browsers do. A public suffix
    /// such as `co.uk` is refused by browsers; this crate has no list of them.
    pub fn domain(self, domain: impl Into<String>) -> Self {
        let domain = domain.into().to_ascii_lowercase();
        let domain = domain.strip_prefix('.').map_or_else(|| domain.clone(), str::to_owned);
        self.with(|settings| settings.domain = Some(domain))
    }

    /// How long browsers keep the cookie. Default: [`CookieLifetime::BrowserSession`].
    ///
    /// One login may differ: [`SessionCookie::with_lifetime`].
    pub fn lifetime(self, lifetime: CookieLifetime) -> Self {
        self.with(|settings| settings.lifetime = lifetime)
    }

    /// `Partitioned` (CHIPS): where other sites embed the page, each of them has a cookie of its
    /// own. Default: off. Needs [`secure`](Self::secure); to be sent when embedded it needs
    /// [`SameSite::None`], too.
    pub fn partitioned(self, partitioned: bool) -> Self {
        self.with(|settings| settings.partitioned = partitioned)
    }

    /// Where the time comes from, for [`CookieLifetime::UntilExpiry`]. Default: [`SystemClock`].
    /// Give it the clock of the store, if that has one.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// The cookie.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting), with a message of its own for each
    /// of these, all of which browsers drop, change or never send back:
    ///
    /// - a name that is empty, is no token, is too long, or spells a prefix in other letters;
    /// - `__Host-` without `Secure`, with a domain, or with a path other than `/`;
    /// - `__Secure-` without `Secure`; `__Http-` and `__Host-Http-` without `Secure` or `HttpOnly`;
    /// - `SameSite=None` or `Partitioned` without `Secure`;
    /// - a path that does not begin with `/`, is too long, or is none that a request can have;
    /// - a domain that is empty, is no host name in ASCII, is an IP address, or has one part alone.
    pub fn build(mut self) -> Result<SessionCookie> {
        if !self.is_named && !self.settings.secure {
            self.settings.name = "session".into();
        }
        self.settings.check()?;
        Ok(SessionCookie::from_parts(self.settings, self.clock))
    }
}
