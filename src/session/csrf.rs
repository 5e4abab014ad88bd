//! The CSRF token in a session's forms, which keeps another site from submitting them.
//!
//! The token is stored in the session's record. This file knows nothing of stores.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::error::Result;
use crate::random::{RandomSource, draw};
use crate::session::id::decode_128_bits;

/// A random value that is stored with the session and repeated in every form of its pages: the
/// synchronizer token pattern of the OWASP CSRF Prevention Cheat Sheet.
///
/// A session has a token if it was created with
/// [`SessionOptions::csrf_token`](crate::SessionOptions::csrf_token), or after
/// [`Session::ensure_csrf_token`](crate::Session::ensure_csrf_token). A new session id brings a new
/// token, so a token that an attacker learned before a login is worthless after it.
///
/// # Security
///
/// The token is a secret between the server and its own pages: `Debug` shows nothing of it. Unlike
/// the session id it is stored in clear, because it is useless without the session's cookie.
/// [`verify`](Self::verify) compares a submitted text, which never becomes a token.
///
/// # Examples
///
/// ```
/// use sessile::{SessionOptions, SessionStore};
///
/// let store: SessionStore = SessionStore::in_memory()?;
/// let session = store.create_with(Default::default(), &SessionOptions::new().csrf_token())?;
/// let token = session.csrf_token().ok_or("a session without a token")?;
///
/// let form_field = token.encode();
/// assert!(token.verify(&form_field));
/// assert!(!token.verify("something else"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CsrfToken([u8; 16]);

impl CsrfToken {
    pub(crate) fn draw_from(source: &dyn RandomSource) -> Result<Self> {
        draw(source).map(Self)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the text for the form: 22 characters of base64url, safe in HTML without escaping.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Whether a submitted text is this token.
    ///
    /// # Security
    ///
    /// The comparison takes the same time wherever the texts differ (ASVS 5.0, 11.2.4). A malformed
    /// text is not the token.
    #[must_use]
    pub fn verify(&self, submitted: &str) -> bool {
        decode_128_bits(submitted).is_ok_and(|bytes| self.0.ct_eq(&bytes).into())
    }
}

impl fmt::Debug for CsrfToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CsrfToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn a_token_verifies_its_own_encoding_and_no_other() {
        let token = CsrfToken::draw_from(&SystemRandom).unwrap();
        let other = CsrfToken::draw_from(&SystemRandom).unwrap();
        assert!(token.verify(&token.encode()));
        assert!(!token.verify(&other.encode()));
        assert!(!token.verify(""));
        assert!(!token.verify(&token.encode()[1..]));
        assert!(!token.verify(&format!("{}A", token.encode())));
    }

    #[test]
    fn debug_shows_nothing_of_the_token() {
        let token = CsrfToken::draw_from(&SystemRandom).unwrap();
        assert_eq!(format!("{token:?}"), "CsrfToken(..)");
    }
}
