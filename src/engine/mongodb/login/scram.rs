//! SCRAM-SHA-256: proves a password without sending it, and verifies that the server knows it too.
//!
//! Invariant: a server that does not prove that it knows the password is not used. This file knows
//! no connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The accepted numbers of hash iterations: with fewer, a stolen proof is guessed too fast; with
/// more, a server could keep the client busy.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4_096..=1_000_000;

type Sum = [u8; 32];

/// A login in progress.
pub(super) struct Scram {
    password: String,
    nonce: String,
    /// The first message, without its channel-binding part.
    first: String,
}

/// The second message, and the answer that the server must give.
pub(super) struct Proof {
    pub(super) message: String,
    expected: Sum,
}

impl Scram {
    /// `None` for a password that the standard forbids.
    pub(super) fn new(user: &str, password: &str, random: [u8; 16]) -> Option<Self> {
        let password = stringprep::saslprep(password).ok()?.into_owned();
        let nonce = STANDARD.encode(random);
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Some(Self { password, first: format!("n={user},r={nonce}"), nonce })
    }

    pub(super) fn first_message(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// The proof for the server's answer; `None` if that answer breaks the standard.
    pub(super) fn prove(&self, answer: &str) -> Option<Proof> {
        let mut fields = answer.split(',');
        let mut field = |name: &str| fields.next()?.strip_prefix(name);
        let nonce = field("r=")?;
        let salt = STANDARD.decode(field("s=")?).ok()?;
        let iterations = field("i=")?.parse().ok().filter(|number| ITERATIONS.contains(number))?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return None;
        }
        let salted = salted(self.password.as_bytes(), &salt, iterations)?;
        let unproven = format!("c=biws,r={nonce}");
        let whole = format!("{},{answer},{unproven}", self.first);
        let client_key = sign(&salted, b"Client Key")?;
        let stored_key: Sum = Sha256::digest(client_key).into();
        let mut proof = sign(&stored_key, whole.as_bytes())?;
        xor(&mut proof, &client_key);
        let server_key = sign(&salted, b"Server Key")?;
        Some(Proof {
            message: format!("{unproven},p={}", STANDARD.encode(proof)),
            expected: sign(&server_key, whole.as_bytes())?,
        })
    }
}

impl Proof {
    /// Whether the server has proved that it knows the password.
    pub(super) fn is_answered_by(&self, answer: &str) -> bool {
        let signature = answer.strip_prefix("v=").and_then(|text| STANDARD.decode(text).ok());
        signature.is_some_and(|signature| signature.ct_eq(self.expected.as_slice()).into())
    }
}

/// PBKDF2 for one block.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> Option<Sum> {
    let keyed = Hmac::<Sha256>::new_from_slice(password).ok()?;
    let mut last: Sum =
        keyed.clone().chain_update(salt).chain_update([0, 0, 0, 1]).finalize().into_bytes().into();
    let mut all = last;
    for _ in 1..iterations {
        last = keyed.clone().chain_update(last).finalize().into_bytes().into();
        xor(&mut all, &last);
    }
    Some(all)
}

fn sign(key: &Sum, text: &[u8]) -> Option<Sum> {
    let keyed = Hmac::<Sha256>::new_from_slice(key).ok()?;
    Some(keyed.chain_update(text).finalize().into_bytes().into())
}

fn xor(one: &mut Sum, other: &Sum) {
    for (byte, other) in one.iter_mut().zip(other) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange in RFC 7677.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn scram() -> Scram {
        let first = format!("n=user,r={NONCE}");
        Scram { password: "pencil".into(), nonce: NONCE.into(), first }
    }

    #[test]
    fn the_exchange_of_the_standard_is_ours() {
        let proof = scram().prove(CHALLENGE).unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(proof.is_answered_by("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        for wrong in ["v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "v=", "", "e=no"] {
            assert!(!proof.is_answered_by(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_challenge_that_is_none_is_not_answered() {
        for wrong in [
            "",
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            &CHALLENGE.replace("4096", "1"),
            &CHALLENGE.replace("4096", "99999999"),
            &CHALLENGE.replace("W22Z", "!!!!"),
        ] {
            assert!(scram().prove(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_escaped_and_a_password_is_normalised() {
        let scram = Scram::new("a=b,c", "\u{2168}", [0; 16]).unwrap();
        assert!(scram.first_message().starts_with("n,,n=a=3Db=2Cc,r="));
        assert_eq!(scram.password, "IX");
        assert!(Scram::new("a", "\u{7}", [0; 16]).is_none(), "a control character");
    }
}
