//! Hot records in memory. Their checksums have been verified.
//!
//! Invariant: for each key in it, the cache holds the same record as the last published snapshot. A
//! commit removes its changed keys before its snapshot is published. A reader of an older snapshot
//! must not insert its record: each shard knows the last commit that changed it, and both commits
//! and readers take its lock.
//!
//! Memory stays within a budget. To make room, the cache drops a record that was not read since the
//! clock's hand last passed it. If there is no spare room, a record read from the file is cached
//! only at its second reading. So a walk that reads more sessions than fit once each evicts
//! nothing.
//!
//! # Why no library
//!
//! `quick_cache` 0.6.24 was tried in its place, with the same budget, hasher and 64 shards. Between
//! a key's removal and the next snapshot, a reader can take a guard and insert from the snapshot
//! before. So a destroyed session could come back. The walk after opening has no guard, and no call
//! for "only if there is room". So each shard's last commit and lock stayed ours, and 237 lines
//! became 107. Medians of three runs' medians, in turn, by
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- --only aj`, and `--only n`:
//!
//! | | ours | `quick_cache` |
//! |---|---|---|
//! | a, `read` to LMDB in a transaction kept open | 1.16 (1.08–1.25) | 1.13 (1.06–1.16) |
//! | a, `read` to the `HashMap` | 1.36 (1.26–1.48) | 1.30 (1.30–1.32) |
//! | j, p99 of `read` while 4 threads write, to idle | 0.96 (0.93–1.01) | 1.07 (0.97–1.08) |
//! | n, `read` among 10,000,000, to among 10,000 | 12.2 (10.3–15.0) | 12.9 (9.3–15.9) |
//!
//! Two runs of the same code differ by more. All interleavings pass with `quick_cache`, 200
//! schedules each (`RUSTC_WORKSPACE_WRAPPER=tests/cfg/shuttle cargo test --lib interleavings`); its
//! own locks are not explored. A dependency that saves no time and half of one file is not worth
//! its review.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::engine::redb::keyed::{BuildKeyHasher, shard_of};
use crate::key::SessionKey;
use crate::record::Record;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const SHARDS: usize = 64;
/// The bytes of an entry besides its record's tail: a slot and a place in the map. On average a
/// vector's capacity exceeds its content by a quarter, and a map's by a half. 32 more bytes are the
/// counts in front of the tail and the allocator's overhead.
const OVERHEAD: usize = size_of::<Slot>() * 5 / 4 + size_of::<(SessionKey, usize)>() * 3 / 2 + 32;

/// The cache remembers one read but uncached key for every 256 bytes of its budget.
const BYTES_PER_MEMORY: usize = 256;

#[derive(Debug)]
pub(in crate::engine::redb) struct RecordCache {
    shards: [RwLock<Shard>; SHARDS],
    readings: Readings,
}

/// The most keys that the cache remembers, 64 MiB of them: enough for a budget of 4 GiB.
const MOST_WORDS: usize = 1 << 24;

/// How many words are allocated together.
const WORDS_PER_PART: usize = 512;

/// The keys lately read from the file, one word each. A part is allocated when a reading first
/// falls into it. So opening a store costs little with any budget: at most 32,768 empty parts.
#[derive(Debug)]
struct Readings {
    words: usize,
    parts: Box<[OnceLock<Box<[AtomicU32]>>]>,
}

impl Readings {
    fn new(bytes: usize) -> Self {
        // Where interleavings are explored, each word is costly and allocated for every schedule.
        let most = if cfg!(shuttle) { 16 } else { MOST_WORDS };
        let words = (bytes / BYTES_PER_MEMORY).min(most);
        let parts = words.div_ceil(WORDS_PER_PART);
        Self { words, parts: (0..parts).map(|_| OnceLock::new()).collect() }
    }

    /// Notes a reading; true if the previous reading in this place was of the same key.
    fn is_second(&self, key: &SessionKey) -> bool {
        let [.., a, b, c, d] = *key.as_bytes();
        let place = u64::from_le_bytes(*key.as_bytes().first_chunk().unwrap_or(&[0; 8]));
        let place = place.checked_rem(self.words as u64).unwrap_or(0) as usize;
        let tag = u32::from_le_bytes([a, b, c, d]) | 1;
        let Some(part) = self.parts.get(place / WORDS_PER_PART) else { return false };
        let words = WORDS_PER_PART.min(self.words);
        let part = part.get_or_init(|| (0..words).map(|_| AtomicU32::new(0)).collect());
        let last = part.get(place % WORDS_PER_PART);
        last.is_some_and(|last| last.swap(tag, Ordering::Relaxed) == tag)
    }
}

#[derive(Debug)]
struct Shard {
    places: HashMap<SessionKey, usize, BuildKeyHasher>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    /// The position of the clock's hand.
    hand: usize,
    bytes: usize,
    budget: usize,
    /// The last commit that changed a key of this shard.
    changed_by: u64,
}

#[derive(Debug)]
struct Slot {
    key: SessionKey,
    record: Record,
    used: AtomicBool,
}

impl RecordCache {
    /// A cache of about this many bytes; 0 turns the cache off.
    pub(in crate::engine::redb) fn new(bytes: usize) -> Self {
        let budget = bytes / SHARDS;
        Self {
            shards: std::array::from_fn(|_| RwLock::new(Shard::new(budget))),
            readings: Readings::new(bytes),
        }
    }

    pub(in crate::engine::redb) fn get(&self, key: &SessionKey) -> Option<Record> {
        let shard = self.shard(key).read();
        let slot = shard.slot(key)?;
        // The flag is written only if it changes, so that its cache line stays in other cores'
        // caches.
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(slot.record.clone())
    }

    pub(in crate::engine::redb) fn contains(&self, key: &SessionKey) -> bool {
        self.shard(key).read().places.contains_key(key)
    }

    /// Caches a record from a commit's snapshot, unless a later commit has changed the shard.
    pub(in crate::engine::redb) fn fill(&self, key: &SessionKey, record: &Record, commit: u64) {
        let mut shard = self.shard(key).write();
        if commit >= shard.changed_by {
            shard.put(*key, record);
        }
    }

    /// As [`fill`](Self::fill), for a record that a reader found in the file. If another record
    /// would have to make room, this record is cached only at its second reading.
    pub(in crate::engine::redb) fn fill_read(
        &self,
        key: &SessionKey,
        record: &Record,
        commit: u64,
    ) {
        let has_room = self.shard(key).read().has_room_for(record);
        if has_room || self.readings.is_second(key) {
            self.fill(key, record, commit);
        }
    }

    /// As [`fill`](Self::fill), if there is spare room.
    pub(in crate::engine::redb) fn fill_spare_room(
        &self,
        key: &SessionKey,
        record: &Record,
        commit: u64,
    ) {
        let mut shard = self.shard(key).write();
        let is_wanted = shard.has_room_for(record) && !shard.places.contains_key(key);
        if commit >= shard.changed_by && is_wanted {
            shard.put(*key, record);
        }
    }

    /// Removes a key that a commit changed, before the commit is published.
    pub(in crate::engine::redb) fn invalidate(&self, key: &SessionKey, commit: u64) {
        let mut shard = self.shard(key).write();
        shard.changed_by = commit;
        shard.remove(key);
    }

    /// Removes everything: the commit may have changed every key.
    pub(in crate::engine::redb) fn invalidate_all(&self, commit: u64) {
        for shard in &self.shards {
            let mut shard = shard.write();
            *shard = Shard { changed_by: commit, ..Shard::new(shard.budget) };
        }
    }

    fn shard(&self, key: &SessionKey) -> &RwLock<Shard> {
        shard_of(&self.shards, key)
    }
}

impl Shard {
    fn new(budget: usize) -> Self {
        Self {
            places: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            bytes: 0,
            budget,
            changed_by: 0,
        }
    }

    fn has_room_for(&self, record: &Record) -> bool {
        self.bytes + weight(record) <= self.budget
    }

    fn slot(&self, key: &SessionKey) -> Option<&Slot> {
        self.slots.get(*self.places.get(key)?)?.as_ref()
    }

    fn put(&mut self, key: SessionKey, record: &Record) {
        self.remove(&key);
        let bytes = weight(record);
        if bytes > self.budget {
            return;
        }
        while self.bytes + bytes > self.budget {
            self.advance_hand();
        }
        let slot = Slot { key, record: record.clone(), used: AtomicBool::new(false) };
        let place = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(place) {
            Some(free) => *free = Some(slot),
            None => self.slots.push(Some(slot)),
        }
        self.places.insert(key, place);
        self.bytes += bytes;
    }

    fn remove(&mut self, key: &SessionKey) {
        let Some(place) = self.places.remove(key) else { return };
        if let Some(slot) = self.slots.get_mut(place).and_then(Option::take) {
            self.bytes -= weight(&slot.record);
            self.free.push(place);
        }
    }

    /// Advances the hand. A record that was used since the hand last passed it stays; another
    /// record is removed.
    fn advance_hand(&mut self) {
        self.hand = if self.hand + 1 < self.slots.len() { self.hand + 1 } else { 0 };
        let unused = self.slots.get_mut(self.hand).and_then(Option::as_mut).and_then(|slot| {
            let used = std::mem::take(slot.used.get_mut());
            (!used).then_some(slot.key)
        });
        if let Some(key) = unused {
            self.remove(&key);
        }
    }
}

fn weight(record: &Record) -> usize {
    OVERHEAD + record.tail_len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Parts;
    use crate::time::clock::Timestamp;
    use crate::time::timeouts::{OwnTimeouts, Timeouts};

    /// Keys that all fall into one shard.
    fn key(number: u64) -> SessionKey {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        SessionKey::from_bytes(u128::from(spread).to_be_bytes())
    }

    fn record(revision: u64) -> Record {
        let parts = Parts {
            user: None,
            csrf_token: None,
            own_timeouts: OwnTimeouts::default(),
            revision,
            created_at: Timestamp::from_millis(0),
            last_active: Timestamp::from_millis(0),
            content_version: 0,
            content: &[0; 100],
        };
        Record::new(&parts, &Timeouts::default()).unwrap()
    }

    fn cache_of(records: usize) -> RecordCache {
        RecordCache::new(SHARDS * records * weight(&record(0)))
    }

    #[test]
    fn what_an_older_snapshot_held_is_not_taken_in() {
        let cache = cache_of(10);
        cache.fill(&key(1), &record(1), 4);
        assert_eq!(cache.get(&key(1)), Some(record(1)));
        cache.invalidate(&key(1), 5);
        assert_eq!(cache.get(&key(1)), None);
        cache.fill(&key(1), &record(1), 4);
        assert_eq!(cache.get(&key(1)), None);
        cache.fill(&key(1), &record(2), 5);
        assert_eq!(cache.get(&key(1)), Some(record(2)));
        cache.invalidate_all(6);
        assert!(!cache.contains(&key(1)));
    }

    #[test]
    fn the_budget_holds_and_what_is_used_stays() {
        let cache = cache_of(10);
        for number in 0..1_000 {
            cache.fill(&key(number), &record(number), 1);
            assert!(number == 0 || cache.get(&key(0)).is_some(), "evicted at {number}");
            let shard = cache.shard(&key(0)).read();
            assert!(shard.bytes <= shard.budget);
            assert!(shard.slots.len() <= 11 && shard.places.len() <= 10);
        }
    }

    #[test]
    fn what_is_read_once_pushes_nothing_out_and_what_is_read_again_comes_in() {
        let cache = cache_of(10);
        (0..10).for_each(|number| cache.fill_read(&key(number), &record(number), 1));
        // A walk over many more records, each read once.
        (10..1_000).for_each(|number| cache.fill_read(&key(number), &record(number), 1));
        assert!((0..10).all(|number| cache.get(&key(number)) == Some(record(number))));
        cache.fill_read(&key(2_000), &record(1), 1);
        assert!(!cache.contains(&key(2_000)));
        cache.fill_read(&key(2_000), &record(1), 1);
        assert!(cache.contains(&key(2_000)));
    }

    #[test]
    fn spare_room_is_filled_and_nothing_goes_for_it() {
        let cache = cache_of(10);
        for number in 0..10 {
            cache.fill_spare_room(&key(number), &record(number), 1);
        }
        cache.fill_spare_room(&key(0), &record(99), 1);
        cache.fill_spare_room(&key(10), &record(10), 1);
        assert!((0..10).all(|number| cache.get(&key(number)) == Some(record(number))));
        assert!(!cache.contains(&key(10)));
        cache.invalidate(&key(3), 2);
        cache.fill_spare_room(&key(3), &record(3), 1);
        assert!(!cache.contains(&key(3)), "an older commit's record is not taken in");
    }

    #[test]
    fn a_budget_may_exceed_all_memory() {
        let cache = RecordCache::new(usize::MAX);
        assert_eq!(cache.readings.parts.len(), MOST_WORDS / WORDS_PER_PART);
        let second = |number| cache.readings.is_second(&key(number));
        assert_eq!([second(1), second(1)], [false, true]);
        cache.fill_read(&key(1), &record(1), 1);
        assert_eq!(cache.get(&key(1)), Some(record(1)));
    }

    #[test]
    fn without_a_budget_nothing_is_kept() {
        let cache = RecordCache::new(0);
        cache.fill(&key(1), &record(1), 1);
        assert_eq!(cache.get(&key(1)), None);
    }
}
