//! The names of a store's keys. All have one hash tag, so a cluster puts them in one slot.
//!
//! Over several slots a rekey or a limit would take several steps, and a dying client could leave
//! half a change. With a key for each session instead of hashes, the set of keys would not be
//! known: `clear` would be no single command, and scripts could not declare their keys. Redis' own
//! expiry is not used: it has another clock, leaves index entries, and cannot follow longer
//! timeouts.
//!
//! | key | what |
//! |---|---|
//! | `{NAME}:x` | sorted set: session key, by deadline |
//! | `{NAME}:u` | sorted set: user and session key, in the order of their bytes |
//! | `{NAME}:h:00` to `{NAME}:h:ff` | hashes: session key to value, by the first byte of the key |
//! | `{NAME}:m` | hash: values about the store as a whole |

use std::fmt;

use crate::key::SessionKey;

pub(super) struct Keys {
    pub(super) meta: Vec<u8>,
    /// The index by deadline, the index by user, and the 256 buckets.
    names: Vec<Vec<u8>>,
}

/// One of the names stands for all.
impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meta = String::from_utf8_lossy(&self.meta);
        formatter.debug_struct("Keys").field("meta", &meta).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(name: &str) -> Self {
        let named = |rest: &str| format!("{{{name}}}:{rest}").into_bytes();
        let buckets = (0..=u8::MAX).map(|number| named(&format!("h:{number:02x}")));
        let names = [named("x"), named("u")].into_iter().chain(buckets).collect();
        Self { meta: named("m"), names }
    }

    /// The index by deadline, the index by user, and all buckets in order.
    pub(super) fn all(&self) -> Vec<&[u8]> {
        self.names.iter().map(Vec::as_slice).collect()
    }

    /// The two indexes, and the buckets of these keys.
    pub(super) fn of<'a>(&self, keys: impl IntoIterator<Item = &'a SessionKey>) -> Vec<&[u8]> {
        let indexes = self.names.iter().take(2).map(Vec::as_slice);
        indexes.chain(keys.into_iter().map(|key| self.bucket(key))).collect()
    }

    pub(super) fn bucket(&self, key: &SessionKey) -> &[u8] {
        let [first, ..] = key.as_bytes();
        self.bucket_at(*first)
    }

    pub(super) fn bucket_at(&self, number: u8) -> &[u8] {
        self.names.get(2 + usize::from(number)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn expiry(&self) -> &[u8] {
        self.names.first().map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn users(&self) -> &[u8] {
        self.names.get(1).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_carry_one_tag() {
        let keys = Keys::new("shop");
        assert_eq!(keys.all().len(), 258);
        assert!(keys.all().iter().all(|key| key.starts_with(b"{shop}:")));
        assert_eq!(keys.bucket(&SessionKey::from_bytes([0xfe; 16])), b"{shop}:h:fe");
        assert_eq!(keys.of([&SessionKey::from_bytes([1; 16])])[2], b"{shop}:h:01");
    }
}
