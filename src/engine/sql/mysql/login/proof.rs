//! The proof of a password, for each method that servers ask for.
//!
//! Invariant: the password itself leaves this machine only in TLS, or encrypted for the server's
//! key.

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::engine::network::transport::location::Secret;
use crate::engine::sql::mysql::login::rsa::PublicKey;
use crate::error::Result;

/// How a server wants the password to be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// `mysql_native_password`
    Native,
    /// `caching_sha2_password`
    CachingSha2,
    /// `mysql_clear_password`
    Clear,
}

impl Method {
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"mysql_native_password" => Some(Self::Native),
            b"caching_sha2_password" => Some(Self::CachingSha2),
            b"mysql_clear_password" => Some(Self::Clear),
            _ => None,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Clear => "mysql_clear_password",
        }
    }

    /// The first proof, for the server's random bytes.
    pub(super) fn proof(self, password: Option<&Secret>, challenge: &[u8]) -> Vec<u8> {
        let Some(password) = password.map(Secret::expose).filter(|text| !text.is_empty()) else {
            return Vec::new();
        };
        match self {
            Self::Native => native(password, challenge),
            Self::CachingSha2 => caching_sha2(password, challenge),
            Self::Clear => in_clear(password),
        }
    }
}

/// The password as sent on a protected connection.
pub(super) fn in_clear(password: &str) -> Vec<u8> {
    [password.as_bytes(), &[0]].concat()
}

/// The password, combined with the server's random bytes and encrypted for the server's key.
pub(super) fn encrypted(
    password: &str,
    challenge: &[u8],
    key: &PublicKey,
) -> Result<Option<Vec<u8>>> {
    let mut clear = in_clear(password);
    for (byte, mixed) in clear.iter_mut().zip(challenge.iter().cycle()) {
        *byte ^= mixed;
    }
    key.encrypt(&clear)
}

fn native(password: &str, challenge: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(password);
    let twice = Sha1::digest(once);
    let mixed = Sha1::new().chain_update(challenge).chain_update(twice).finalize();
    once.iter().zip(mixed).map(|(one, other)| one ^ other).collect()
}

fn caching_sha2(password: &str, challenge: &[u8]) -> Vec<u8> {
    let once = Sha256::digest(password);
    let twice = Sha256::digest(once);
    let mixed = Sha256::new().chain_update(twice).chain_update(challenge).finalize();
    once.iter().zip(mixed).map(|(one, other)| one ^ other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &[u8; 20] = b"01234567890123456789";

    /// Verifies as a server does: it stores a hash of a hash, and takes the first hash out of the
    /// proof.
    #[test]
    fn a_server_that_holds_the_hash_of_a_hash_finds_the_proof_right() {
        let stored = Sha1::digest(Sha1::digest("secret"));
        let mixed = Sha1::new().chain_update(CHALLENGE).chain_update(stored).finalize();
        let proof = native("secret", CHALLENGE);
        let once: Vec<u8> = proof.iter().zip(mixed).map(|(one, other)| one ^ other).collect();
        assert_eq!(Sha1::digest(&once), stored);

        let stored = Sha256::digest(Sha256::digest("secret"));
        let mixed = Sha256::new().chain_update(stored).chain_update(CHALLENGE).finalize();
        let proof = caching_sha2("secret", CHALLENGE);
        let once: Vec<u8> = proof.iter().zip(mixed).map(|(one, other)| one ^ other).collect();
        assert_eq!(Sha256::digest(&once), stored);
    }

    #[test]
    fn no_password_is_proven_by_nothing() {
        for method in [Method::Native, Method::CachingSha2, Method::Clear] {
            assert!(method.proof(None, CHALLENGE).is_empty());
            assert_eq!(Method::named(method.name().as_bytes()), Some(method));
        }
        assert_eq!(Method::named(b"client_ed25519"), None);
    }
}
