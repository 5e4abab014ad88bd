//! Owns the digests of names: of a field, of a variant, and of all fields of a struct in order.
//!
//! The type determines the names, and a client cannot, so a fast digest suffices. Each thread
//! caches the digests of whole structs by the address of serde's static list. So decoding a struct
//! costs one table look-up.

use std::cell::Cell;

/// FNV-1a, 64 bits.
#[inline]
pub(super) const fn name(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut digest = 0xcbf2_9ce4_8422_2325;
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        digest = (digest ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
        rest = tail;
    }
    digest
}

/// The digest of a struct without fields.
pub(super) const NO_FIELDS: u64 = 0x243f_6a88_85a3_08d3;

/// The digest of a struct's names so far, extended by one more.
#[inline]
pub(super) const fn and(names: u64, next: &str) -> u64 {
    (names ^ name(next)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

fn all(fields: &[&str]) -> u64 {
    fields.iter().fold(NO_FIELDS, |names, field| and(names, field))
}

/// The number of lists whose digests a thread caches; a power of two.
const KEPT: usize = 64;

#[derive(Clone, Copy)]
struct Entry {
    address: usize,
    len: usize,
    digest: u64,
}

impl Entry {
    /// Matches no list: a list without names is not cached.
    const EMPTY: Self = Self { address: 0, len: 0, digest: 0 };
}

thread_local! {
    static TABLE: [Cell<Entry>; KEPT] = const { [const { Cell::new(Entry::EMPTY) }; KEPT] };
}

/// The digest of a struct's names. A static list never moves or changes, so its address and length
/// identify it.
#[inline]
pub(super) fn of_fields(fields: &'static [&'static str]) -> u64 {
    let (address, len) = (fields.as_ptr() as usize, fields.len());
    let slot = (address >> 4 ^ address >> 10) % KEPT;
    let kept = TABLE.try_with(|table| table.get(slot).map(Cell::get));
    match kept {
        Ok(Some(entry)) if entry.address == address && entry.len == len && len > 0 => entry.digest,
        _ => learn(fields, slot),
    }
}

#[cold]
fn learn(fields: &'static [&'static str], slot: usize) -> u64 {
    let (address, len) = (fields.as_ptr() as usize, fields.len());
    let digest = all(fields);
    // A thread that is ending has no table any more.
    let _ = TABLE.try_with(|table| {
        if let Some(entry) = table.get(slot) {
            entry.set(Entry { address, len, digest });
        }
    });
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_digested_as_fnv_does() {
        // Vectors of the test program by FNV's authors.
        assert_eq!(name(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(name("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(name("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn order_number_and_boundaries_of_names_count() {
        let lists: [&[&str]; 7] =
            [&[], &[""], &["a", "b"], &["b", "a"], &["ab"], &["a", "b", ""], &["", "a", "b"]];
        for (at, one) in lists.iter().enumerate() {
            assert!(lists[at + 1..].iter().all(|other| all(one) != all(other)), "{one:?}");
        }
    }

    /// Two lists in one slot replace each other, and a list is never confused with a part of
    /// itself.
    #[test]
    fn what_is_kept_is_what_would_be_computed() {
        let lists: &'static [[&'static str; 3]] = Box::leak(
            (0..1_000).map(|_| ["one", "two", "three"]).collect::<Vec<_>>().into_boxed_slice(),
        );
        for _ in 0..2 {
            for list in lists {
                for len in 0..=3 {
                    let (part, _) = list.split_at(len);
                    assert_eq!(of_fields(part), all(part));
                }
            }
        }
    }
}
