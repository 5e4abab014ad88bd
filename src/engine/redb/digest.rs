//! Half a SHA-256, which identifies entries, sectors and drafts.

use sha2::{Digest, Sha256};

pub(in crate::engine::redb) const DIGEST_LEN: usize = 16;

/// The first half of the digest.
pub(in crate::engine::redb) fn digest_of(bytes: &[u8]) -> [u8; DIGEST_LEN] {
    let mut half = [0; DIGEST_LEN];
    for (to, from) in half.iter_mut().zip(Sha256::digest(bytes)) {
        *to = from;
    }
    half
}
