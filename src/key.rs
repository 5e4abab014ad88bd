//! The session key: what the store knows a session by.
//!
//! Invariant: a key is safe to show. It is derived from the id by a one-way function, and nothing
//! leads back. It knows nothing of ids, nor how a key is read from text: `session/id.rs` does.

use std::fmt;

/// What the store knows a session by: the first 128 bits of SHA-256 of its
/// [`SessionId`](crate::SessionId).
///
/// # Security
///
/// Safe to show, to log and to put into a form: no id can be computed from it, and it is not
/// accepted where an id is expected. Its text has 32 hexadecimal digits, so that the two cannot
/// be taken for one another. ASVS 5.0, 16.2.5 asks that session tokens be logged only hashed;
/// this is that hash.
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

    /// From the bytes an engine stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes an engine stores.
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

/// From a slice of exactly [`SessionKey::LEN`] bytes.
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

/// As its 32 hexadecimal digits.
impl serde::Serialize for SessionKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
