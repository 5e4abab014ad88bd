//! What is kept by session key: maps, sets and shards. The hash of a session key is the session key.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::key::SessionKey;
use crate::record::Record;

pub(in crate::engine::redb) type BuildKeyHasher = BuildHasherDefault<KeyHasher>;

/// Keys are halves of SHA-256 digests: their bits are as even as any hash could make them, and no
/// client can choose them. A map goes by the last eight bytes.
#[derive(Default)]
pub(in crate::engine::redb) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }
}

/// One of as many parts as there are.
pub(in crate::engine::redb) fn shard_of<'a, T, const N: usize>(
    shards: &'a [T; N],
    key: &SessionKey,
) -> &'a T {
    // A number of N is below N; the first one stands in for an impossible other case.
    shards.get(shard_number::<N>(key)).unwrap_or(&shards[0])
}

/// Which of N parts, by the first byte, which no map's hash depends on.
pub(in crate::engine::redb) fn shard_number<const N: usize>(key: &SessionKey) -> usize {
    const { assert!(N.is_power_of_two() && N <= 256) };
    let [first, ..] = key.as_bytes();
    usize::from(*first) % N
}

/// What a commit leaves under the keys it changed: the bytes of a record, or nothing.
pub(in crate::engine::redb) type Change = (SessionKey, Option<Vec<u8>>);

/// What a batch leaves under each key it changed; `None`: nothing.
pub(in crate::engine::redb) type Changes = HashMap<SessionKey, Option<Record>, BuildKeyHasher>;

/// Keys, each once.
pub(in crate::engine::redb) type Keys = HashSet<SessionKey, BuildKeyHasher>;
