//! The settings of a session cookie, and the cookie that they make.
//!
//! The rules themselves are in `rules.rs`; this file knows which settings have their defaults.

use std::sync::Arc;

use super::SessionCookie;
use super::rules::Settings;
use crate::error::Result;
use crate::time::clock::{Clock, SystemClock};

/// When browsers send the cookie with a request that another site caused (RFC 6265bis, 4.1.2.7 and
/// 5.6.7).
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
    /// Never, not even when the user follows a link on another site: the user then seems logged
    /// out. A login page that such a link opens must not set this cookie: it would replace the
    /// session's, and the user would be logged out.
    Strict,
    /// When the user follows a link, but never with another site's forms, images or scripts.
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

/// How long a browser keeps the cookie. The session's own timeouts end the session either way.
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
    /// Until the browser ends: no `Max-Age`. A browser that restores its tabs keeps the cookie
    /// longer.
    #[default]
    BrowserSession,
    /// Until the session's [`expires_at`](crate::Session::expires_at), but at most
    /// [400 days](SessionCookie::MAX_AGE_SECONDS).
    ///
    /// Uses `Max-Age`, which does not depend on the client's clock. `Expires` would, and `Max-Age`
    /// overrules it (RFC 6265bis, 4.1.2.2). Set the cookie again whenever the session is extended.
    UntilExpiry,
}

/// The settings of a [`SessionCookie`]; their defaults suit most servers.
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
/// assert!(refused.is_err_and(|error| error.to_string().contains("name the cookie `__Secure-…`")));
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct SessionCookieBuilder {
    settings: Settings,
    /// Whether a name was given, so that it does not depend on `secure`.
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

    /// Sets the name. Default: `__Host-session`, or `session` if [`secure`](Self::secure) is off.
    ///
    /// With a name that begins with `__Host-`, browsers let no other host set the cookie (ASVS 5.0,
    /// 3.3.3). Give each program on one host its own name: cookies do not distinguish ports (RFC
    /// 6265bis, 8.5).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self.is_named = true;
        self
    }

    /// `Secure`: browsers send the cookie only over TLS (ASVS 5.0, 3.3.1). Default: on.
    ///
    /// The setting concerns the browser's connection, so leave it on behind a proxy that terminates
    /// TLS. Turn it off for plain HTTP on a developer's machine.
    pub fn secure(self, secure: bool) -> Self {
        self.with(|settings| settings.secure = secure)
    }

    /// `HttpOnly`: no script of a page can read the cookie (ASVS 5.0, 3.3.4). Default: on.
    pub fn http_only(self, http_only: bool) -> Self {
        self.with(|settings| settings.http_only = http_only)
    }

    /// `SameSite`: whether browsers send the cookie with requests that another site causes (ASVS
    /// 5.0, 3.3.2). Default: [`SameSite::Lax`], so that a user who follows a link from elsewhere is
    /// logged in.
    pub fn same_site(self, same_site: SameSite) -> Self {
        self.with(|settings| settings.same_site = same_site)
    }

    /// `Path`: the part of the host that gets the cookie. Default: `/`, the whole host.
    ///
    /// `/app` covers `/app` and the paths below it; `/app/` only those below. It does not protect
    /// from other paths of the host (RFC 6265bis, 8.6). Write it percent-encoded, as the browser
    /// shows it.
    pub fn path(self, path: impl Into<String>) -> Self {
        self.with(|settings| settings.path = path.into())
    }

    /// `Domain`: browsers send the cookie to this host and to every host below it, and each of them
    /// can set it. Default: none, which means only this host.
    ///
    /// Needs a name without `__Host-`. A leading dot is removed, as browsers do. Browsers refuse a
    /// public suffix such as `co.uk`; this crate has no list of them.
    pub fn domain(self, domain: impl Into<String>) -> Self {
        let domain = domain.into().to_ascii_lowercase();
        let domain = domain.strip_prefix('.').map_or_else(|| domain.clone(), str::to_owned);
        self.with(|settings| settings.domain = Some(domain))
    }

    /// How long browsers keep the cookie. Default: [`CookieLifetime::BrowserSession`].
    ///
    /// For another lifetime of one login, see [`SessionCookie::with_lifetime`].
    pub fn lifetime(self, lifetime: CookieLifetime) -> Self {
        self.with(|settings| settings.lifetime = lifetime)
    }

    /// `Partitioned` (CHIPS): if other sites embed the page, browsers keep a separate cookie for
    /// each of them. Default: off. Needs [`secure`](Self::secure), and also [`SameSite::None`] to
    /// be sent in embedded pages.
    pub fn partitioned(self, partitioned: bool) -> Self {
        self.with(|settings| settings.partitioned = partitioned)
    }

    /// Sets the source of the time for [`CookieLifetime::UntilExpiry`]. Default: [`SystemClock`].
    /// Give it the store's clock, if the store has its own.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Builds the cookie.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting), with a separate message for each of
    /// these cookies, which browsers drop, change or never send back:
    ///
    /// - a name that is empty, is not a token, is too long, or spells a prefix in another case;
    /// - `__Host-` without `Secure`, with a domain, or with a path other than `/`;
    /// - `__Secure-` without `Secure`; `__Http-` and `__Host-Http-` without `Secure` or `HttpOnly`;
    /// - `SameSite=None` or `Partitioned` without `Secure`;
    /// - a path that does not begin with `/`, is too long, or cannot occur in a request;
    /// - a domain that is empty, is not an ASCII host name, is an IP address, or has only one
    ///   label.
    pub fn build(mut self) -> Result<SessionCookie> {
        if !self.is_named && !self.settings.secure {
            self.settings.name = "session".into();
        }
        self.settings.check()?;
        Ok(SessionCookie::from_parts(self.settings, self.clock))
    }
}
