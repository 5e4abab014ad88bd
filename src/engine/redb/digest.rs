//! Half a SHA-256 digest, which identifies entries, sectors and drafts.

use sha2::{Digest, Sha256};

pub(in crate::engine::redb) const DIGEST_LEN: usize = 16;

/// The first half of the bytes' SHA-256 digest.
pub(in crate::engine::redb) fn digest_of(bytes: &[u8]) -> [u8; DIGEST_LEN] {
    digest_of_both(bytes, &[])
}

/// As [`digest_of`], for `first` followed by `second`.
pub(in crate::engine::redb) fn digest_of_both(first: &[u8], second: &[u8]) -> [u8; DIGEST_LEN] {
    let digest = Sha256::new().chain_update(first).chain_update(second).finalize();
    let mut half = [0; DIGEST_LEN];
    for (to, from) in half.iter_mut().zip(digest) {
        *to = from;
    }
    half
}
