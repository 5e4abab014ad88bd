//! The settings of a session cookie, and the rules for combining them.
//!
//! Invariant: browsers store a cookie whose settings pass [`Settings::check`] exactly as it was
//! set, and send it back. This file knows nothing of requests, and of ids only their length.

use ::cookie::Cookie;

use super::builder::{CookieLifetime, SameSite};
use crate::error::{Error, Result};
use crate::session::id::SessionId;

/// The limit of name and value together; browsers drop a longer cookie (RFC 6265bis, 5.6).
const MAX_COOKIE_LEN: usize = 4096;
/// The limit of one attribute's value; browsers ignore a longer one (RFC 6265bis, 5.6).
const MAX_ATTRIBUTE_LEN: usize = 1024;
/// The longest name in the DNS (RFC 1035, 2.3.4).
const MAX_DOMAIN_LEN: usize = 253;
const MAX_LABEL_LEN: usize = 63;

/// The settings that the builder collects.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) same_site: SameSite,
    pub(super) path: String,
    /// In lower case, without a leading dot.
    pub(super) domain: Option<String>,
    pub(super) lifetime: CookieLifetime,
    pub(super) partitioned: bool,
}

/// A prefix of a name, and the rules that browsers enforce for it.
struct Prefix {
    text: &'static str,
    /// Requires `Path=/`, and no `Domain`.
    is_of_one_host: bool,
    is_http_only: bool,
}

/// Longer prefixes first, since one is the beginning of another. All of them require `Secure`. The
/// two with `Http` are newer than RFC 6265bis; browsers that do not know them treat the second as
/// `__Host-`.
const PREFIXES: [Prefix; 4] = [
    Prefix { text: "__Host-Http-", is_of_one_host: true, is_http_only: true },
    Prefix { text: "__Host-", is_of_one_host: true, is_http_only: false },
    Prefix { text: "__Http-", is_of_one_host: false, is_http_only: true },
    Prefix { text: "__Secure-", is_of_one_host: false, is_http_only: false },
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "__Host-session".into(),
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            path: "/".into(),
            domain: None,
            lifetime: CookieLifetime::BrowserSession,
            partitioned: false,
        }
    }
}

impl Settings {
    /// The cookie with a value, without a lifetime.
    pub(super) fn to_cookie(&self, value: String) -> Cookie<'static> {
        let mut cookie = Cookie::new(self.name.clone(), value);
        cookie.set_http_only(self.http_only);
        cookie.set_same_site(::cookie::SameSite::from(self.same_site));
        cookie.set_secure(self.secure);
        cookie.set_partitioned(self.partitioned);
        cookie.set_path(self.path.clone());
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain.clone());
        }
        cookie
    }

    /// Refuses settings for which browsers drop, change or never send back the cookie.
    pub(super) fn check(&self) -> Result<()> {
        self.check_name()?;
        self.check_prefix()?;
        if self.same_site == SameSite::None && !self.secure {
            return Err(Error::setting(
                "same_site",
                "is `None`, and browsers refuse such a cookie without `secure` (RFC 6265bis, 5.7); \
                 turn that on, or use `Lax`",
            ));
        }
        if self.partitioned && !self.secure {
            return Err(Error::setting(
                "partitioned",
                "is on, and browsers refuse such a cookie without `secure` (CHIPS); turn that on, \
                 or this off",
            ));
        }
        check_path(&self.path)?;
        self.domain.as_deref().map_or(Ok(()), check_domain)
    }

    fn check_name(&self) -> Result<()> {
        let name = &self.name;
        if name.is_empty() {
            return Err(Error::setting(
                "name",
                "is empty, and a browser would send the bare value (RFC 6265bis, 5.8.3); name it",
            ));
        }
        if let Some(other) = name.chars().find(|&character| !is_token(character)) {
            return Err(Error::setting(
                "name",
                format!(
                    "has {other:?} in it, which no cookie's name may have (RFC 6265bis, 4.1.1); \
                     use letters, digits, `-` and `_`"
                ),
            ));
        }
        let len = name.len();
        let max = MAX_COOKIE_LEN - SessionId::ENCODED_LEN;
        if len > max {
            return Err(Error::setting(
                "name",
                format!(
                    "has {len} bytes, and browsers drop a cookie of more than {MAX_COOKIE_LEN} \
                     with its value (RFC 6265bis, 5.6); use {max} at most"
                ),
            ));
        }
        Ok(())
    }

    /// A prefix requires its settings (RFC 6265bis, 4.1.3 and 5.7).
    fn check_prefix(&self) -> Result<()> {
        let of_name = |prefix: &&Prefix| {
            let start = self.name.get(..prefix.text.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.text))
        };
        let Some(prefix) = PREFIXES.iter().find(of_name) else { return Ok(()) };
        let text = prefix.text;
        if !self.name.starts_with(text) {
            return Err(Error::setting(
                "name",
                format!(
                    "begins with `{text}` in other letters, which not every browser knows for it \
                     (RFC 6265bis, 5.4); write `{text}`"
                ),
            ));
        }
        if !self.secure {
            return Err(Error::setting(
                "secure",
                format!(
                    "is off, and browsers refuse a cookie named `{text}…` without it (RFC \
                     6265bis, 4.1.3); turn it on, or choose a name without the prefix"
                ),
            ));
        }
        if prefix.is_http_only && !self.http_only {
            return Err(Error::setting(
                "http_only",
                format!(
                    "is off, and browsers refuse a cookie named `{text}…` without it; turn it on, \
                     or choose a name without `Http-`"
                ),
            ));
        }
        if prefix.is_of_one_host && self.domain.is_some() {
            return Err(Error::setting(
                "domain",
                format!(
                    "is set, and browsers refuse a cookie named `{text}…` with it (RFC 6265bis, \
                     4.1.3.2); leave it out, or name the cookie `__Secure-…`"
                ),
            ));
        }
        if prefix.is_of_one_host && self.path != "/" {
            return Err(Error::setting(
                "path",
                format!(
                    "is not `/`, and browsers refuse a cookie named `{text}…` with another one \
                     (RFC 6265bis, 4.1.3.2); leave it out, or name the cookie `__Secure-…`"
                ),
            ));
        }
        Ok(())
    }
}

/// A path in the form that browsers compare with a request's path (RFC 6265bis, 5.1.4 and 5.6.4).
fn check_path(path: &str) -> Result<()> {
    if !path.starts_with('/') {
        return Err(Error::setting(
            "path",
            "does not begin with `/`, and browsers would use the request's folder instead (RFC \
             6265bis, 5.6.4); begin it with `/`",
        ));
    }
    if path.len() > MAX_ATTRIBUTE_LEN {
        return Err(Error::setting(
            "path",
            format!(
                "has {} bytes, and browsers pass over one of more than {MAX_ATTRIBUTE_LEN} (RFC \
                 6265bis, 5.6); shorten it",
                path.len()
            ),
        ));
    }
    if let Some(other) = path.chars().find(|&character| !is_of_path(character)) {
        return Err(Error::setting(
            "path",
            format!(
                "has {other:?} in it, which a request's path never has or which would end the \
                 attribute (RFC 6265bis, 4.1.1); write it percent-encoded, as the browser does"
            ),
        ));
    }
    let is_dots = |segment: &str| {
        matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
    };
    if path.split('/').any(is_dots) {
        return Err(Error::setting(
            "path",
            "has `.` or `..` for a segment, which browsers resolve before they compare, so that \
             they would never send the cookie; write the path that results",
        ));
    }
    Ok(())
}

/// A domain that cookies can have (RFC 6265bis, 5.1.3, 5.6.3 and 5.7).
fn check_domain(domain: &str) -> Result<()> {
    let refused = |reason: String| Err(Error::setting("domain", reason));
    if domain.is_empty() {
        return refused(
            "is empty, and browsers pass over that (RFC 6265bis, 5.6.3); leave it out".into(),
        );
    }
    if !domain.is_ascii() {
        return refused(
            "is not ASCII, and browsers refuse such a cookie (RFC 6265bis, 5.7); write it as \
             `xn--…`"
                .into(),
        );
    }
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if let Some(other) = domain.bytes().find(|&byte| !is_of_host(byte)) {
        return refused(format!(
            "has {:?} in it, which no host name has; name the host alone, without scheme or port",
            char::from(other)
        ));
    }
    let is_label = |label: &str| (1..=MAX_LABEL_LEN).contains(&label.len());
    if domain.len() > MAX_DOMAIN_LEN || !domain.split('.').all(is_label) {
        return refused(format!(
            "is no host name: it has at most {MAX_DOMAIN_LEN} characters, in parts of 1 to \
             {MAX_LABEL_LEN} between its dots, and none at its end"
        ));
    }
    match domain.rsplit_once('.') {
        Some((_, last)) if is_number(last) => refused(
            "is an IP address, which has no other hosts under it (RFC 6265bis, 5.1.3); leave it out"
                .into(),
        ),
        Some(_) => Ok(()),
        None => refused(
            "has no dot in it: browsers refuse a cookie for a whole top-level domain, and keep one \
             for this very host to the host (RFC 6265bis, 5.7); leave it out"
                .into(),
        ),
    }
}

/// Whether a token may contain the character (RFC 9110, 5.6.2).
fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

/// Whether browsers leave the character unencoded in the path of a request (URL Standard, path
/// percent-encode set); the semicolon is excluded.
fn is_of_path(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~!$&'()*+,=:@/%[]|".contains(character)
}

/// Whether a host with this last label is an IPv4 address.
fn is_number(label: &str) -> bool {
    let digits = label.bytes().all(|byte| byte.is_ascii_digit());
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    digits || hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
