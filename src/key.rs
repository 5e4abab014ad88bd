//! The session key: the digest under which the store holds a session.
//!
//! Invariant: a key is safe to show. It is derived from the session id by a one-way function that
//! nothing reverses. This file does not know ids, nor how a key is parsed: `session/id.rs` does.

use std::fmt;

/// The key under which the store holds a session: the first 128 bits of the SHA-256 digest of its
/// [`SessionId`](crate::SessionId).
///
/// # Security
///
/// A key is safe to show, to log and to put into a form: no id can be computed from it, and it is
/// not accepted as an id. Its text has 32 hexadecimal digits and an id's has 22 characters, so
/// neither passes for the other. ASVS 5.0, 16.2.5 asks that session tokens be logged only hashed;
/// the key is such a hash.
///
/// # Examples
///
/// ```
/// use sessile::{SessionId, SessionKey};
///
/// let key = SessionId::generate()?.key();
/// let text = key.to_string();
/// assert_eq!(text.len(), 32);
/// assert_eq!(text.parse::<SessionKey>()?, key);
/// assert!(SessionId::parse(&text).is_err());
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey([u8; 16]);

impl SessionKey {
    /// The length of a key, in bytes.
    pub const LEN: usize = 16;

    /// Makes a key from the bytes that an engine stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes that an engine stores.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; Self::LEN]> for SessionKey {
    fn from(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

/// Succeeds for a slice of exactly [`SessionKey::LEN`] bytes.
impl TryFrom<&[u8]> for SessionKey {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl AsRef<[u8]> for SessionKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SessionKey({self})")
    }
}

impl fmt::LowerHex for SessionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Serializes the key as its 32 hexadecimal digits.
impl serde::Serialize for SessionKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
