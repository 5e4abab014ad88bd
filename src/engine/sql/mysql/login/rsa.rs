//! Encryption for an RSA key: RSAES-OAEP with SHA-1, as MySQL uses it for a password.
//!
//! Invariant: only the public key is here. So the only secret in a computation is the encrypted
//! block, which the padding has randomized.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::error::{Error, Result};
use crate::random::{RandomSource, SystemRandom};

const HASH: usize = 20;

/// The longest accepted modulus, in bytes: a longer one could keep a client busy.
const LONGEST: usize = 1024;

/// A public key: big-endian numbers without leading zeros.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    modulus: Vec<u8>,
    exponent: u64,
}

impl PublicKey {
    /// Parses a key in PEM, as `PUBLIC KEY`.
    pub(super) fn parse(pem: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(pem).ok()?;
        let (_, text) = text.split_once("-----BEGIN PUBLIC KEY-----")?;
        let (text, _) = text.split_once("-----END PUBLIC KEY-----")?;
        let text: String = text.split_whitespace().collect();
        let der = STANDARD.decode(text).ok()?;
        let (info, _) = element(0x30, &der)?;
        let (_algorithm, rest) = element(0x30, info)?;
        let (bits, _) = element(0x03, rest)?;
        let (key, _) = element(0x30, bits.strip_prefix(&[0])?)?;
        let (modulus, rest) = element(0x02, key)?;
        let (exponent, _) = element(0x02, rest)?;
        let modulus = without_zeros(modulus);
        let exponent = without_zeros(exponent);
        let mut number = [0; 8];
        number.get_mut(8_usize.checked_sub(exponent.len())?..)?.copy_from_slice(exponent);
        let is_odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
        (is_odd && (128..=LONGEST).contains(&modulus.len()))
            .then(|| Self { modulus: modulus.to_vec(), exponent: u64::from_be_bytes(number) })
    }

    /// Encrypts a text; `None` if it is too long for the key.
    ///
    /// # Errors
    ///
    /// [`Error::Generator`] if the operating system gives no random bytes.
    pub(super) fn encrypt(&self, text: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut seed = [0; HASH];
        SystemRandom.fill(&mut seed).map_err(|source| Error::Generator { source })?;
        Ok(self.padded(text, &seed).map(|padded| self.power(&padded)))
    }

    /// OAEP: `0 || masked seed || masked (hash of nothing || zeros || 1 || text)`.
    fn padded(&self, text: &[u8], seed: &[u8; HASH]) -> Option<Vec<u8>> {
        let zeros = self.modulus.len().checked_sub(text.len() + 2 * HASH + 2)?;
        let mut block = Sha1::digest([]).to_vec();
        block.resize(HASH + zeros, 0);
        block.push(1);
        block.extend_from_slice(text);
        mask(&mut block, seed);
        let mut masked_seed = seed.to_vec();
        mask(&mut masked_seed, &block);
        Some([&[0], masked_seed.as_slice(), &block].concat())
    }

    /// `base ^ exponent mod modulus`, with the length of the modulus.
    fn power(&self, base: &[u8]) -> Vec<u8> {
        let modulus = limbs(&self.modulus);
        let base = limbs(base);
        let mut result = limbs(&[1]);
        for bit in (0..u64::BITS - self.exponent.leading_zeros()).rev() {
            result = product(&result, &result, &modulus);
            if self.exponent >> bit & 1 == 1 {
                result = product(&result, &base, &modulus);
            }
        }
        let mut bytes: Vec<u8> = result.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
        let surplus = bytes.len().saturating_sub(self.modulus.len());
        bytes.drain(..surplus);
        let mut padded = vec![0; self.modulus.len() - bytes.len()];
        padded.append(&mut bytes);
        padded
    }
}

/// A DER element of the given kind, and the bytes after it.
fn element(kind: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[kind])?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

fn without_zeros(mut bytes: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// XORs MGF1 of the seed into bytes.
fn mask(bytes: &mut [u8], seed: &[u8]) {
    for (number, part) in (0_u32..).zip(bytes.chunks_mut(HASH)) {
        let hash = Sha1::new().chain_update(seed).chain_update(number.to_be_bytes()).finalize();
        part.iter_mut().zip(hash).for_each(|(byte, mixed)| *byte ^= mixed);
    }
}

/// A number as limbs, least significant first.
fn limbs(bytes: &[u8]) -> Vec<u32> {
    let limb = |part: &[u8]| part.iter().fold(0, |limb, byte| limb << 8 | u32::from(*byte));
    bytes.rchunks(4).map(limb).collect()
}

/// `one * other mod modulus`, by doubling and adding; each factor is less than the modulus.
fn product(one: &[u32], other: &[u32], modulus: &[u32]) -> Vec<u32> {
    let mut sum = vec![0; modulus.len() + 1];
    for limb in one.iter().rev() {
        for bit in (0..u32::BITS).rev() {
            let doubled = sum.clone();
            add(&mut sum, &doubled);
            reduce(&mut sum, modulus);
            if limb >> bit & 1 == 1 {
                add(&mut sum, other);
                reduce(&mut sum, modulus);
            }
        }
    }
    sum.truncate(modulus.len());
    sum
}

fn add(to: &mut [u32], number: &[u32]) {
    let mut carry = 0;
    for (at, limb) in to.iter_mut().enumerate() {
        let sum = u64::from(*limb) + u64::from(number.get(at).copied().unwrap_or(0)) + carry;
        *limb = sum as u32;
        carry = sum >> 32;
    }
}

/// Subtracts the modulus once, if the number is not less.
fn reduce(number: &mut [u32], modulus: &[u32]) {
    let limb_of = |at: usize| modulus.get(at).copied().unwrap_or(0);
    let is_less = number
        .iter()
        .enumerate()
        .rev()
        .find_map(|(at, limb)| (*limb != limb_of(at)).then(|| *limb < limb_of(at)))
        .unwrap_or(false);
    if is_less {
        return;
    }
    let mut borrowed = false;
    for (at, limb) in number.iter_mut().enumerate() {
        let (less, first) = limb.overflowing_sub(limb_of(at));
        let (less, second) = less.overflowing_sub(u32::from(borrowed));
        (*limb, borrowed) = (less, first || second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("rsa-test-key.pem");

    #[test]
    fn a_power_is_that_of_any_calculator() {
        // 2^512 + 2^256 + 3 has 65 bytes, fewer than the least length of a real key.
        let mut modulus = vec![1];
        modulus.resize(33, 0);
        modulus[32] = 1;
        modulus.resize(65, 0);
        modulus[64] = 3;
        let key = PublicKey { modulus: modulus.clone(), exponent: 3 };
        let mut expected = vec![0; 65];
        expected[64] = 125;
        assert_eq!(key.power(&[5]), expected);
        // (n - 1)^3 = -1 mod n
        let mut less = modulus.clone();
        less[64] = 2;
        assert_eq!(key.power(&less), less);
        let key = PublicKey { modulus, exponent: 65_537 };
        assert_eq!(key.power(&less), less);
    }

    #[test]
    fn a_key_is_read_and_what_is_none_is_not() {
        let key = PublicKey::parse(KEY.as_bytes()).unwrap();
        assert_eq!((key.modulus.len(), key.exponent), (256, 65_537));
        for cut in (0..KEY.len() - 26).step_by(7) {
            assert!(PublicKey::parse(&KEY.as_bytes()[..cut]).is_none(), "{cut}");
        }
        assert!(PublicKey::parse(&[0xff; 300]).is_none());
    }

    #[test]
    fn the_padding_gives_the_text_back_and_is_never_twice_the_same() {
        let key = PublicKey::parse(KEY.as_bytes()).unwrap();
        // The result of another implementation, which also decrypted it.
        let known = key.power(&key.padded(b"secret\0", &[7; HASH]).unwrap());
        let digest = "86a5e3d64884a2b516e1e0b1e3d5a73ed1477ef711f8b7966a626d3151335452";
        let found = sha2::Sha256::digest(known);
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest);
        let padded = key.padded(b"secret\0", &[7; HASH]).unwrap();
        assert_eq!((padded.len(), padded[0]), (256, 0));
        let (mut seed, mut block) = (padded[1..=HASH].to_vec(), padded[HASH + 1..].to_vec());
        mask(&mut seed, &block);
        assert_eq!(seed, [7; HASH]);
        mask(&mut block, &seed);
        assert_eq!(block[..HASH], Sha1::digest([])[..]);
        let text = block[HASH..].iter().position(|byte| *byte == 1).unwrap() + HASH + 1;
        assert_eq!(&block[text..], b"secret\0");
        assert_ne!(key.encrypt(b"x").unwrap(), key.encrypt(b"x").unwrap());
        assert_eq!(key.encrypt(&[1; 215]).unwrap(), None, "it has no room");
        assert_eq!(key.encrypt(&[1; 214]).unwrap().unwrap().len(), 256);
    }
}
