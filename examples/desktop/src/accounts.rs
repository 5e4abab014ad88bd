//! A stub with two users. Your own program asks its server, or has the user choose a password at
//! the first start.
//!
//! Invariant: no password is kept or shown, and an unknown name takes as long as a wrong password.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier};
use zeroize::Zeroizing;

/// A password on its way from the window. Dropping it wipes its memory, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the typed text.
    #[must_use]
    pub fn new(typed: String) -> Self {
        Self(Zeroizing::new(typed))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(..)")
    }
}

/// Names, and the argon2 hashes of their passwords: "correct horse" and "battery staple".
const ACCOUNTS: [(&str, &str); 2] = [
    (
        "ann",
        "$argon2id$v=19$m=19456,t=2,p=1$bjvTdzORKix9e4FN4yJSHA$l9eiePoIr+1nQTrTb+naCfglRMJG3ePiJebNKX63VQ0",
    ),
    (
        "bob",
        "$argon2id$v=19$m=19456,t=2,p=1$xcyC3iFtH6Dnj82orqWrow$GRjwNXiHAYEeibjgLPX6ju6wcacKBt80vCRRRIPQohk",
    ),
];

/// Whether the password is this user's. Takes tens of milliseconds.
#[must_use]
pub fn is_right(name: &str, password: &Password) -> bool {
    let [(_, nobodys), _] = ACCOUNTS;
    let known = ACCOUNTS.iter().find(|(known, _)| *known == name);
    let hash = known.map_or(nobodys, |(_, hash)| hash);
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    let fits = Argon2::default().verify_password(password.0.as_bytes(), &hash).is_ok();
    fits && known.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_right(name: &str, password: &str) -> bool {
        super::is_right(name, &Password::new(password.into()))
    }

    #[test]
    fn each_has_a_password_and_nobody_elses() {
        assert!(is_right("ann", "correct horse"));
        assert!(is_right("bob", "battery staple"));
        assert!(!is_right("bob", "correct horse"));
        assert!(!is_right("eve", "correct horse"), "the hash for unknown names is a user's");
        assert!(!is_right("ann", ""));
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Password::new("correct horse".into())), "Password(..)");
    }
}
