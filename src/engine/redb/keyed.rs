//! Maps, sets and shards by session key. A session key is its own hash.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::key::SessionKey;
use crate::record::Record;

pub(in crate::engine::redb) type BuildKeyHasher = BuildHasherDefault<KeyHasher>;

/// Keys are halves of SHA-256 digests: their bits are as even as any hash's, and no client can
/// choose them. The last eight bytes are a map's hash.
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

/// The shard of a key.
pub(in crate::engine::redb) fn shard_of<'a, T, const N: usize>(
    shards: &'a [T; N],
    key: &SessionKey,
) -> &'a T {
    // A number below N always has a shard; the first shard stands in for the impossible case.
    shards.get(shard_number::<N>(key)).unwrap_or(&shards[0])
}

/// The number of a key's shard, from the first byte, which no map's hash uses.
pub(in crate::engine::redb) fn shard_number<const N: usize>(key: &SessionKey) -> usize {
    const { assert!(N.is_power_of_two() && N <= 256) };
    let [first, ..] = key.as_bytes();
    usize::from(*first) % N
}

/// A key, and the bytes of the record that a commit leaves there; `None` if it leaves none.
pub(in crate::engine::redb) type Change = (SessionKey, Option<Vec<u8>>);

/// For each key that a group changed, the record it leaves there; `None` if it leaves none.
pub(in crate::engine::redb) type Changes = HashMap<SessionKey, Option<Record>, BuildKeyHasher>;

/// A set of keys.
pub(in crate::engine::redb) type Keys = HashSet<SessionKey, BuildKeyHasher>;
