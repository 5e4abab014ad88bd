//! The session id, which is the credential, and parsing of the session key, its public name.
//!
//! Invariant: the id has no `Display`, no `Serialize`, and a `Debug` that shows nothing of it. The
//! key is derived from the id by a one-way function, and a store sees only the key.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::random::{RandomSource, SystemRandom, draw};

/// The client's secret for one session: 128 random bits, written as 22 characters.
///
/// Put [`encode`](Self::encode) into the cookie and [`parse`](Self::parse) the cookie of a request.
///
/// # Security
///
/// Anyone who has the id is logged in. It comes from the operating system's generator with 128 bits
/// of entropy (OWASP ASVS 5.0, 7.2.3). It is never stored: the store holds the [`SessionKey`], a
/// digest, so a copied file logs nobody in. `Debug` prints a placeholder, there is no `Display`,
/// and `==` takes the same time wherever the ids differ. There is no `Hash` and no order, because
/// the time of a look-up would leak parts of the secret: use the [`key`](Self::key) in a map.
///
/// # Examples
///
/// ```
/// use sessile::SessionId;
///
/// let id = SessionId::generate()?;
/// let cookie = id.encode();
/// assert_eq!(cookie.len(), SessionId::ENCODED_LEN);
/// assert_eq!(SessionId::parse(&cookie)?, id);
/// assert_eq!(format!("{id:?}"), "SessionId(..)");
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// The length of an encoded id, in characters.
    pub const ENCODED_LEN: usize = 22;

    /// Draws a new id from the operating system's generator. The store does this when it creates a
    /// session.
    ///
    /// # Errors
    ///
    /// [`Error::Generator`] if the operating system gives no random bytes.
    #[doc(alias = "generateSessionID")]
    pub fn generate() -> Result<Self> {
        Self::draw_from(&SystemRandom)
    }

    pub(crate) fn draw_from(source: &dyn RandomSource) -> Result<Self> {
        draw(source).map(Self)
    }

    /// Parses an id as [`encode`](Self::encode) wrote it: 22 characters of base64url (RFC 4648,
    /// section 5) without padding. Needs no disk access.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidId`] for any other text: another length, another alphabet, padding, or a
    /// last character with bits that no id has. Each id has exactly one spelling. The error does
    /// not repeat the text.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionId;
    ///
    /// assert!(SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").is_ok());
    /// assert!(SessionId::parse("AAAAAAAAAAAAAAAAAAAAAB").is_err()); // not canonical
    /// assert!(SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA==").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        decode_128_bits(text).map(Self).map_err(|reason| Error::InvalidId { reason })
    }

    /// Returns the text for the cookie: 22 characters of `A`-`Z`, `a`-`z`, `0`-`9`, `-` and `_`.
    ///
    /// # Security
    ///
    /// The text is the credential itself. Send it to its owner over TLS, and nowhere else: not into
    /// a log, a URL or an error message.
    #[must_use]
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Returns the key under which the store holds this session. Costs one SHA-256 of 16 bytes.
    #[must_use]
    pub fn key(&self) -> SessionKey {
        let digest = Sha256::digest(self.0);
        let mut key = [0; 16];
        key.copy_from_slice(digest.split_at(16).0);
        SessionKey::from_bytes(key)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionId(..)")
    }
}

impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SessionId {}

impl FromStr for SessionKey {
    type Err = Error;

    /// Parses 32 lower-case hexadecimal digits, as `Display` writes them.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`] for any other text.
    fn from_str(text: &str) -> Result<Self> {
        let invalid = |reason| Error::InvalidKey { reason };
        if text.len() != 32 {
            return Err(invalid("it does not have 32 characters"));
        }
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !text.bytes().all(lower_hex) {
            return Err(invalid("it has other characters than 0-9 and a-f"));
        }
        let bits = u128::from_str_radix(text, 16)
            .map_err(|_| invalid("it has other characters than 0-9 and a-f"))?;
        Ok(Self::from_bytes(bits.to_be_bytes()))
    }
}

/// Deserializes a key from its 32 hexadecimal digits.
impl<'de> serde::Deserialize<'de> for SessionKey {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Decodes 128 bits from their only spelling in base64url, or returns the reason for a refusal.
pub(crate) fn decode_128_bits(text: &str) -> std::result::Result<[u8; 16], &'static str> {
    if text.len() != SessionId::ENCODED_LEN {
        return Err("it does not have 22 characters");
    }
    let mut bytes = [0; 16];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(16) => Ok(bytes),
        _ => Err("it is not base64url as this library writes it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_first_half_of_the_digest() {
        // SHA-256 of sixteen zero bytes, computed with coreutils' sha256sum.
        let id = SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        assert_eq!(id.key().to_string(), "374708fff7719dd5979ec875d56cd228");
    }

    #[test]
    fn ids_are_equal_if_all_their_bits_are() {
        let id = SessionId([0x5a; 16]);
        assert!(id == id.clone());
        for bit in 0..128 {
            let other = u128::from_be_bytes(id.0) ^ (1 << bit);
            assert!(id != SessionId(other.to_be_bytes()), "bit {bit}");
        }
    }

    #[test]
    fn what_is_printed_of_an_id_is_nothing_and_of_a_key_all_of_it() {
        let id = SessionId([0; 16]);
        assert_eq!(format!("{id:?}"), "SessionId(..)");
        let printed = format!("{:?}", id.key());
        assert_eq!(printed, "SessionKey(374708fff7719dd5979ec875d56cd228)");
    }

    #[test]
    fn ids_that_differ_in_one_bit_have_keys_that_share_no_prefix() {
        // A look-up compares keys, so its time reveals nothing about a guess that comes close.
        let id = SessionId::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        for bit in 0..128 {
            let close = SessionId((1_u128 << bit).to_be_bytes());
            let keys = [*id.key().as_bytes(), *close.key().as_bytes()];
            let shared = keys[0].iter().zip(&keys[1]).take_while(|(a, b)| a == b).count();
            assert!(shared < 3, "bit {bit}: {shared} bytes");
        }
    }

    #[test]
    fn every_malformed_id_is_refused() {
        let malformed = [
            "",
            "A",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAA==",
            "AAAAAAAAAAAAAAAAAAAA+A",
            "AAAAAAAAAAAAAAAAAAAA/A",
            "AAAAAAAAAAAAAAAAAAAA\0A",
            " AAAAAAAAAAAAAAAAAAAAA",
            "../../../../../../../.",
            "\u{e4}AAAAAAAAAAAAAAAAAAAA",
            "\u{212a}AAAAAAAAAAAAAAAAAAA",
            // Valid ids with something added.
            "AAAAAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAAAA==",
            "AAAAAAAAAAAAAAAAAAAAAAA=",
            " AAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAA ",
            "AAAAAAAAAAAAAAAAAAAAAA\n",
            "AAAAAAAAAAAAAAAAAAAAAA\0",
            "AAAAAAAAAAA AAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "../AAAAAAAAAAAAAAAAAAAAAA",
        ];
        for text in malformed {
            let error = SessionId::parse(text).unwrap_err();
            assert!(matches!(error, Error::InvalidId { .. }), "{text:?}");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let ending_in = |last: char| format!("AAAAAAAAAAAAAAAAAAAAA{last}");
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let parsed = |last: &char| SessionId::parse(&ending_in(*last)).is_ok();
        // 22 characters hold 132 bits, so the last one carries two bits of the id.
        assert_eq!(alphabet.chars().filter(parsed).collect::<String>(), "AQgw");
        for last in "AQgw".chars() {
            assert_eq!(SessionId::parse(&ending_in(last)).unwrap().encode(), ending_in(last));
        }
    }

    #[test]
    fn a_key_has_one_spelling() {
        let key = SessionId::generate().unwrap().key();
        let text = key.to_string();
        assert_eq!(text.parse::<SessionKey>().unwrap(), key);
        assert!(text.to_uppercase().parse::<SessionKey>().is_err() || text == text.to_uppercase());
        assert!(format!("+{}", &text[1..]).parse::<SessionKey>().is_err());
        assert!(text[1..].parse::<SessionKey>().is_err());
        assert!("\u{e4}".repeat(16).parse::<SessionKey>().is_err());
    }
}
