//! The id of a session's user, and the form in which engines index it.

mod convert;

use std::fmt;

use crate::error::{Error, Result};

/// The user of a session: a number or a text that the program chooses.
///
/// A number and a text never collide: user `42` and user `"42"` are two users. Numbers compare by
/// value, whatever their integer type. Texts compare byte by byte: if `Ann` and `ann` are one user
/// to you, convert them to one case first.
///
/// The text of a user id may have up to [`MAX_LEN`](Self::MAX_LEN) bytes. User ids are stored in
/// clear and shown by `Debug`; use an opaque identifier if names must not be stored.
///
/// # Examples
///
/// ```
/// use sessile::UserId;
///
/// assert_eq!(UserId::from(42_u64), UserId::from(42_i64));
/// assert_ne!(UserId::from(42), UserId::from("42"));
/// assert_eq!(UserId::from("ann").as_text(), Some("ann"));
/// assert_eq!(UserId::from(42).to_string(), "42");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Repr);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Repr {
    /// Every number up to `i128::MAX`.
    Number(i128),
    /// A number above `i128::MAX`.
    Large(u128),
    Text(Box<str>),
}

const TAG_TEXT: u8 = 3;

impl UserId {
    /// The longest text, in bytes. OpenID Connect allows subject identifiers of this length. It is
    /// one more than the longest e-mail address.
    pub const MAX_LEN: usize = 255;

    /// Returns the number, if the user id is one.
    #[must_use]
    pub const fn as_number(&self) -> Option<i128> {
        match self.0 {
            Repr::Number(number) => Some(number),
            Repr::Large(_) | Repr::Text(_) => None,
        }
    }

    /// Returns the text, if the user id is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Repr::Number(_) | Repr::Large(_) => None,
            Repr::Text(text) => Some(text),
        }
    }

    /// Returns the bytes by which engines index the user: a tag, then the number (big-endian, 8
    /// bytes, or 16 if it needs them) or the text in UTF-8.
    pub(crate) fn to_key(&self) -> Result<UserKey> {
        let bytes = match &self.0 {
            Repr::Number(number) => convert::number_to_bytes(*number),
            Repr::Large(number) => convert::large_to_bytes(*number),
            Repr::Text(text) if text.len() > Self::MAX_LEN => {
                return Err(Error::InvalidUser { len: text.len(), max: Self::MAX_LEN });
            }
            Repr::Text(text) => [&[TAG_TEXT], text.as_bytes()].concat(),
        };
        Ok(UserKey(bytes.into()))
    }

    /// Reads the bytes of [`to_key`](Self::to_key); `None` for bytes that it never writes.
    pub(crate) fn from_key(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let repr = match *tag {
            TAG_TEXT if rest.len() <= Self::MAX_LEN => {
                Repr::Text(std::str::from_utf8(rest).ok()?.into())
            }
            tag => convert::number_from_bytes(tag, rest)?,
        };
        Some(Self(repr))
    }
}

/// A user id as engines see it: up to [`MAX_LEN`](Self::MAX_LEN) opaque bytes, equal for equal
/// users.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(Box<[u8]>);

impl UserKey {
    /// The longest user key, in bytes.
    pub const MAX_LEN: usize = UserId::MAX_LEN + 1;

    /// Makes a key from the bytes that an engine stored; `None` if they are no user's.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        UserId::from_key(bytes).map(|_| Self(bytes.into()))
    }

    /// Returns the user of this key.
    #[must_use]
    pub fn to_id(&self) -> Option<UserId> {
        UserId::from_key(&self.0)
    }

    /// Returns the bytes to index by.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UserId::from_key(&self.0) {
            Some(user) => write!(formatter, "UserKey({user:?})"),
            None => write!(formatter, "UserKey({:?})", self.0),
        }
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Number(number) => number.fmt(formatter),
            Repr::Large(number) => number.fmt(formatter),
            Repr::Text(text) => text.fmt(formatter),
        }
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Number(number) => write!(formatter, "UserId({number})"),
            Repr::Large(number) => write!(formatter, "UserId({number})"),
            Repr::Text(text) => write!(formatter, "UserId({text:?})"),
        }
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for UserId {
            fn from(number: $integer) -> Self {
                Self(Repr::Number(number.into()))
            }
        }
    )*};
}

from_integers!(u8, u16, u32, u64, i8, i16, i32, i64);

impl From<&str> for UserId {
    fn from(text: &str) -> Self {
        Self(Repr::Text(text.into()))
    }
}

impl From<String> for UserId {
    fn from(text: String) -> Self {
        Self(Repr::Text(text.into()))
    }
}

impl From<&String> for UserId {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&Self> for UserId {
    fn from(user: &Self) -> Self {
        user.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges() -> Vec<UserId> {
        vec![
            UserId::from(0),
            UserId::from(u64::MAX),
            UserId::from(i64::MAX),
            UserId::from(i64::MIN),
            UserId::from(-1),
            UserId::from(1),
            UserId::from(""),
            UserId::from("1"),
            UserId::from("-1"),
            UserId::from("\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{1}"),
            UserId::from("x".repeat(255)),
        ]
    }

    #[test]
    fn no_two_users_share_a_key() {
        let users = edges();
        for a in &users {
            for b in &users {
                assert_eq!(a == b, a.to_key().unwrap() == b.to_key().unwrap(), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn every_user_comes_back_from_its_key() {
        for user in edges() {
            assert_eq!(UserId::from_key(user.to_key().unwrap().as_bytes()), Some(user));
        }
    }

    #[test]
    fn bytes_that_no_user_has_are_refused() {
        for bytes in [&[][..], &[0], &[1], &[1, 2], &[2, 0, 0, 0, 0, 0, 0, 0, 1], &[3, 0xff], &[9]]
        {
            assert_eq!(UserId::from_key(bytes), None, "{bytes:?}");
        }
        assert_eq!(UserId::from_key(&[3; 257]), None);
    }

    #[test]
    fn a_user_is_a_number_or_a_text_and_reads_as_what_it_is() {
        let (number, text) = (UserId::from(-7), UserId::from("7"));
        assert_eq!((number.as_number(), number.as_text()), (Some(-7), None));
        assert_eq!((text.as_number(), text.as_text()), (None, Some("7")));
        assert_eq!((number.to_string(), text.to_string()), ("-7".into(), "7".into()));
    }

    #[test]
    fn a_key_prints_its_user_or_else_its_bytes() {
        let of = |bytes: &[u8]| format!("{:?}", UserKey(bytes.into()));
        assert_eq!(of(&[3, b'a']), format!("UserKey({:?})", UserId::from("a")));
        assert_eq!(of(&[9, 1]), "UserKey([9, 1])");
    }

    #[test]
    fn a_text_past_the_limit_is_refused() {
        assert!(UserId::from("x".repeat(255)).to_key().is_ok());
        let error = UserId::from("x".repeat(256)).to_key().unwrap_err();
        assert!(matches!(error, Error::InvalidUser { len: 256, max: 255 }));
    }
}
