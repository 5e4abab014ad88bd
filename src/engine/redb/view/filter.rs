//! A filter of the keys that are certainly not in the store. With it, looking up an id that never
//! existed reads nothing from the file.
//!
//! Invariant: every key of the last published snapshot is in the current filter. A key is added
//! before the commit that brings it is published, and is never removed. The filter is rebuilt once
//! it holds more keys than it was built for; meanwhile new keys go into both filters. After a
//! failed commit the filter is forgotten, because it may lack keys that the commit wrote.

use std::sync::Arc;

use crate::key::SessionKey;
use crate::sync::ArcSwapOption;
use crate::sync::atomic::{AtomicU64, Ordering};

/// With this many bits for each key, about one absent key in a hundred seems present.
const BITS_PER_KEY: u64 = 12;
const BITS_SET: u32 = 6;
/// The fewest keys that a filter is built for.
const LEAST: u64 = 4_096;

/// A Bloom filter in front of the file. Until it is built, every key may be present.
#[derive(Debug)]
pub(in crate::engine::redb) struct KeyFilter {
    current: ArcSwapOption<Bits>,
    /// The filter under construction.
    next: ArcSwapOption<Bits>,
}

/// A blocked Bloom filter. A block is one cache line of the processor, and all bits of a key are in
/// one block.
#[derive(Debug)]
pub(in crate::engine::redb) struct Bits {
    blocks: Vec<[AtomicU64; 8]>,
    capacity: u64,
    /// The number of keys that set at least one new bit.
    added: AtomicU64,
}

impl KeyFilter {
    pub(in crate::engine::redb) fn new() -> Self {
        Self { current: ArcSwapOption::empty(), next: ArcSwapOption::empty() }
    }

    /// Whether the key may be in the store.
    pub(in crate::engine::redb) fn may_contain(&self, key: &SessionKey) -> bool {
        self.current.load().as_ref().is_none_or(|bits| bits.may_contain(key))
    }

    /// Adds a key of a commit that is about to be published.
    pub(in crate::engine::redb) fn add(&self, key: &SessionKey) {
        for bits in [self.current.load_full(), self.next.load_full()].into_iter().flatten() {
            bits.add(key);
        }
    }

    /// Whether there is no filter, or it holds more keys than it was built for.
    pub(in crate::engine::redb) fn is_worn_out(&self) -> bool {
        self.current
            .load()
            .as_ref()
            .is_none_or(|bits| bits.added.load(Ordering::Relaxed) > bits.capacity)
    }

    /// Begins a filter for this many keys, in place of any filter begun before. New keys go into it
    /// from now on; the caller adds the existing keys. No commit may be published during the call.
    pub(in crate::engine::redb) fn begin(&self, keys: u64) -> Arc<Bits> {
        let bits = Arc::new(Bits::for_keys(keys));
        self.next.store(Some(Arc::clone(&bits)));
        bits
    }

    /// Whether this filter was begun last, and not forgotten since.
    pub(in crate::engine::redb) fn is_next(&self, bits: &Arc<Bits>) -> bool {
        self.next.load_full().is_some_and(|next| Arc::ptr_eq(&next, bits))
    }

    /// Makes the filter current; the caller has added every key. No commit may be published during
    /// the call. A filter that is no longer the next one has missed keys, and is dropped.
    pub(in crate::engine::redb) fn finish(&self, bits: Arc<Bits>) {
        if self.is_next(&bits) {
            self.current.store(Some(bits));
            self.next.store(None);
        }
    }

    /// Forgets both filters.
    pub(in crate::engine::redb) fn forget(&self) {
        self.current.store(None);
        self.next.store(None);
    }
}

impl Bits {
    fn for_keys(keys: u64) -> Self {
        let capacity = keys.saturating_add(keys / 2).max(LEAST);
        let blocks = capacity.saturating_mul(BITS_PER_KEY).div_ceil(512);
        let block = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { blocks: (0..blocks).map(|_| block()).collect(), capacity, added: AtomicU64::new(0) }
    }

    pub(in crate::engine::redb) fn add(&self, key: &SessionKey) {
        let Some((block, masks)) = self.place(key) else { return };
        let mut is_new = false;
        for (word, mask) in block.iter().zip(masks) {
            is_new |= mask != 0 && word.fetch_or(mask, Ordering::Relaxed) & mask != mask;
        }
        self.added.fetch_add(u64::from(is_new), Ordering::Relaxed);
    }

    fn may_contain(&self, key: &SessionKey) -> bool {
        self.place(key).is_none_or(|(block, masks)| {
            block.iter().zip(masks).all(|(word, mask)| word.load(Ordering::Relaxed) & mask == mask)
        })
    }

    /// The key's block, and its bits in it. Keys are digests, so their bits serve as hash bits.
    fn place(&self, key: &SessionKey) -> Option<(&[AtomicU64; 8], [u64; 8])> {
        let number = u128::from_be_bytes(*key.as_bytes());
        let (high, mut low) = ((number >> 64) as u64, number as u64);
        let block = (u128::from(high) * self.blocks.len() as u128) >> 64;
        let mut masks = [0; 8];
        for _ in 0..BITS_SET {
            if let Some(mask) = masks.get_mut((low & 7) as usize) {
                *mask |= 1 << (low >> 3 & 63);
            }
            low >>= 9;
        }
        Some((self.blocks.get(usize::try_from(block).ok()?)?, masks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> SessionKey {
        let spread = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        SessionKey::from_bytes((spread ^ (spread >> 61)).wrapping_mul(spread | 1).to_be_bytes())
    }

    #[test]
    fn what_was_added_is_always_found_and_most_of_the_rest_is_not() {
        let filter = KeyFilter::new();
        assert!(
            filter.may_contain(&key(0)) && filter.is_worn_out(),
            "without bits nothing is known"
        );
        let bits = filter.begin(10_000);
        filter.add(&key(0));
        (1..10_000).for_each(|number| bits.add(&key(number)));
        filter.finish(bits);
        assert!((0..10_000).all(|number| filter.may_contain(&key(number))));
        let wrong = (10_000..20_000).filter(|number| filter.may_contain(&key(*number))).count();
        assert!(wrong < 300, "{wrong} of 10,000 absent keys look present");
        assert!(!filter.is_worn_out());
        (20_000..26_000).for_each(|number| filter.add(&key(number)));
        assert!(filter.is_worn_out());
        filter.forget();
        assert!(filter.may_contain(&key(30_000)));
    }

    #[test]
    fn a_key_that_is_written_again_and_again_wears_nothing_out() {
        let filter = KeyFilter::new();
        let bits = filter.begin(10);
        filter.finish(bits);
        (0..100_000).for_each(|_| filter.add(&key(1)));
        assert!(!filter.is_worn_out());
    }

    #[test]
    fn a_filter_that_missed_keys_is_never_used() {
        let filter = KeyFilter::new();
        let first = filter.begin(10);
        let second = filter.begin(10);
        filter.add(&key(1));
        filter.finish(first);
        assert!(filter.may_contain(&key(1)), "the first one did not get the key");
        filter.forget();
        filter.add(&key(2));
        filter.finish(second);
        assert!(filter.may_contain(&key(2)), "the second one was forgotten");
    }
}
