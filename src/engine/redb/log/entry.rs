//! Encodes one commit as a log entry, and decodes it.
//!
//! Invariant: bytes count as an entry only if their digest is right. The digest covers the log's
//! salt and the entry's number. An entry's length is a multiple of a sector, so writing one entry
//! never touches another. Without the salt, content that a client makes up to look like an entry
//! could pass for one where an entry was torn.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::engine::redb::digest::{DIGEST_LEN, digest_of_both};
use crate::engine::redb::keyed::{Change, Changes};
use crate::engine::redb::log::backlog;
use crate::engine::redb::log::location::{MAX_CAPACITY, SECTOR};
use crate::key::SessionKey;
use crate::record::Record;

/// Digest, number, length of the changes.
const HEAD: usize = DIGEST_LEN + 8 + 4;
/// Stands in place of a record's length if the record was removed.
const REMOVED: u32 = u32::MAX;
/// Set on the first entry after a checkpoint begins. The checkpoint takes the number n - 1 and may
/// never finish, so the entry n follows both n - 1 and n - 2. docs/internals/format.md has an
/// example.
const FOLLOWS_CHECKPOINT: u32 = 1 << 31;
/// The most bytes of an entry: no log is longer.
const LONGEST: usize = MAX_CAPACITY as usize;
const _: () = assert!(LONGEST < FOLLOWS_CHECKPOINT as usize);
/// How many bytes are digested in vain, for each byte in which entries are looked for.
pub(in crate::engine::redb) const IN_VAIN: u64 = 4;

#[cfg(test)]
std::thread_local! {
    /// The number of entries that this thread has encoded.
    pub(in crate::engine::redb) static ENCODED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    /// The number of bytes that this thread has digested.
    pub(in crate::engine::redb) static DIGESTED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// The changes of one commit as bytes. The number is added when the entry is written.
#[derive(Debug)]
pub(in crate::engine::redb) struct Entry {
    /// Room for the head, then the changes, then padding.
    bytes: Vec<u8>,
    /// The length of the changes, with the flag [`FOLLOWS_CHECKPOINT`] if it is set.
    changes_len: u32,
    /// The entry's weight in the backlog.
    weight: usize,
}

impl Entry {
    /// `None` if no log could hold the changes. Those beyond the longest log are not encoded.
    pub(in crate::engine::redb) fn of(changes: &Changes) -> Option<Self> {
        let mut entry = Self::begin();
        for (key, record) in changes {
            entry.add_key(key, record.as_ref().map(Record::stored_len))?;
            if let Some(record) = record {
                record.encode_behind(key, &mut entry.bytes);
            }
        }
        entry.finish()
    }

    /// As [`of`](Self::of), for records that are already bytes.
    #[cfg(test)]
    pub(in crate::engine::redb) fn of_bytes(changes: &[Change]) -> Option<Self> {
        let mut entry = Self::begin();
        for (key, record) in changes {
            entry.add_key(key, record.as_ref().map(Vec::len))?;
            entry.bytes.extend_from_slice(record.as_deref().unwrap_or_default());
        }
        entry.finish()
    }

    fn begin() -> Self {
        #[cfg(test)]
        ENCODED.with(|encoded| encoded.set(encoded.get() + 1));
        Self { bytes: vec![0; HEAD], changes_len: 0, weight: 0 }
    }

    /// Adds a key and the length of the record that follows; `len` is `None` for a removal. Adds
    /// nothing, and returns `None`, if the entry would be too long.
    fn add_key(&mut self, key: &SessionKey, len: Option<usize>) -> Option<()> {
        if len.unwrap_or(0) >= LONGEST.saturating_sub(self.bytes.len()) {
            return None;
        }
        self.weight += backlog::weight(len.is_some());
        self.bytes.extend_from_slice(key.as_bytes());
        let len = len.map_or(REMOVED, |len| len as u32);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        Some(())
    }

    fn finish(mut self) -> Option<Self> {
        if self.bytes.len() > LONGEST {
            return None;
        }
        self.changes_len = (self.bytes.len() - HEAD) as u32;
        self.bytes.resize(self.bytes.len().next_multiple_of(SECTOR), 0);
        Some(self)
    }

    /// Sets whether the entry follows a checkpoint that may never finish.
    pub(in crate::engine::redb) const fn following_checkpoint(
        &mut self,
        follows: bool,
    ) -> &mut Self {
        self.changes_len &= !FOLLOWS_CHECKPOINT;
        if follows {
            self.changes_len |= FOLLOWS_CHECKPOINT;
        }
        self
    }

    pub(in crate::engine::redb) const fn weight(&self) -> usize {
        self.weight
    }

    pub(in crate::engine::redb) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The bytes to write as the entry with this number.
    pub(in crate::engine::redb) fn numbered(&mut self, number: u64, salt: &[u8; 16]) -> &[u8] {
        let head = [&number.to_le_bytes()[..], &self.changes_len.to_le_bytes()[..]].concat();
        if let Some(place) = self.bytes.get_mut(DIGEST_LEN..HEAD) {
            place.copy_from_slice(&head);
        }
        let digest = digest_with(salt, self.bytes.get(DIGEST_LEN..).unwrap_or_default());
        if let Some(place) = self.bytes.get_mut(..DIGEST_LEN) {
            place.copy_from_slice(&digest);
        }
        &self.bytes
    }
}

/// An entry that was read.
#[derive(Debug)]
pub(in crate::engine::redb) struct ReadEntry<'a> {
    pub(in crate::engine::redb) number: u64,
    pub(in crate::engine::redb) len: usize,
    follows_checkpoint: bool,
    changes: &'a [u8],
}

impl<'a> ReadEntry<'a> {
    /// The entry at the start of `bytes`, if it is whole and its number is in `numbers`.
    pub(in crate::engine::redb) fn at_start_of(
        bytes: &'a [u8],
        salt: &[u8; 16],
        numbers: &RangeInclusive<u64>,
    ) -> Option<Self> {
        let (digest, rest) = bytes.split_first_chunk::<DIGEST_LEN>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let number = u64::from_le_bytes(*number);
        if !numbers.contains(&number) {
            return None;
        }
        let (changes_len, rest) = rest.split_first_chunk::<4>()?;
        let changes_len = u32::from_le_bytes(*changes_len);
        let follows_checkpoint = changes_len & FOLLOWS_CHECKPOINT != 0;
        let changes = rest.get(..(changes_len & !FOLLOWS_CHECKPOINT) as usize)?;
        let len = (HEAD + changes.len()).next_multiple_of(SECTOR);
        let covered = bytes.get(DIGEST_LEN..len)?;
        let is_whole = digest_with(salt, covered) == *digest;
        is_whole.then_some(Self { number, len, follows_checkpoint, changes })
    }

    /// Whether this entry may directly follow the entry or commit with this number.
    pub(in crate::engine::redb) const fn follows(&self, number: u64) -> bool {
        self.number == number.wrapping_add(1)
            || (self.follows_checkpoint && self.number == number.wrapping_add(2))
    }

    /// The entry's changes; `None` if [`Entry::of`] could not have written them, which the digest
    /// rules out.
    pub(in crate::engine::redb) fn changes(&self) -> Option<Vec<Change>> {
        let mut rest = self.changes;
        let mut changes = Vec::new();
        while !rest.is_empty() {
            let (key, after) = rest.split_first_chunk::<{ SessionKey::LEN }>()?;
            let (len, after) = after.split_first_chunk::<4>()?;
            let key = SessionKey::from_bytes(*key);
            let len = u32::from_le_bytes(*len);
            let (record, after) = match len {
                REMOVED => (None, after),
                len => {
                    let (record, after) = after.split_at_checked(len as usize)?;
                    (Some(record.to_vec()), after)
                }
            };
            changes.push((key, record));
            rest = after;
        }
        Some(changes)
    }
}

/// Every whole entry in a log, by its number, with its offset.
///
/// An entry stands at the log's start or behind another one. Elsewhere there are remnants, and a
/// client may have made up content that looks like entries there. So other entries than those that
/// may follow `checkpointed` are tried only until too many bytes were digested in vain.
pub(in crate::engine::redb) fn whole_entries<'a>(
    log: &'a [u8],
    salt: &[u8; 16],
    checkpointed: Option<u64>,
) -> BTreeMap<u64, (usize, ReadEntry<'a>)> {
    let len = log.len() as u64;
    let may_be_needed = |number| checkpointed.is_some_and(|last| may_follow(number, last, len));
    let (mut entries, mut left) = (BTreeMap::new(), IN_VAIN * len);
    let (mut rest, mut is_behind_another) = (log, true);
    while !rest.is_empty() {
        let fits = |(_, len): &(u64, u64)| *len <= rest.len() as u64;
        let tried = head_of(rest)
            .filter(fits)
            .filter(|(number, len)| is_behind_another || may_be_needed(*number) || *len <= left);
        let found = tried.and_then(|_| ReadEntry::at_start_of(rest, salt, &(0..=u64::MAX)));
        is_behind_another = found.is_some();
        let len = found.as_ref().map_or(SECTOR, |found| found.len);
        match found {
            Some(found) => {
                entries.insert(found.number, (log.len() - rest.len(), found));
            }
            None => left = left.saturating_sub(tried.map_or(0, |(_, len)| len)),
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    entries
}

/// Whether one of the entries after the `last` number, in so many bytes, may have this number. Of
/// two numbers at most one is a checkpoint's, which has no entry.
pub(in crate::engine::redb) fn may_follow(number: u64, last: u64, bytes: u64) -> bool {
    let most = 2 * (bytes / SECTOR as u64);
    number.checked_sub(last).is_some_and(|ahead| (1..=most).contains(&ahead))
}

/// The number and the length of the entry that a sector may begin with. Nothing shows that it is an
/// entry.
pub(in crate::engine::redb) fn head_of(sector: &[u8]) -> Option<(u64, u64)> {
    let (number, rest) = sector.get(DIGEST_LEN..)?.split_first_chunk::<8>()?;
    let changes_len = u32::from_le_bytes(*rest.first_chunk()?) & !FOLLOWS_CHECKPOINT;
    let len = (HEAD as u64 + u64::from(changes_len)).next_multiple_of(SECTOR as u64);
    Some((u64::from_le_bytes(*number), len))
}

fn digest_with(salt: &[u8; 16], bytes: &[u8]) -> [u8; DIGEST_LEN] {
    #[cfg(test)]
    DIGESTED.with(|digested| digested.set(digested.get() + bytes.len() as u64));
    digest_of_both(salt, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 16] = [9; 16];

    fn changes() -> Vec<Change> {
        let key = |byte| SessionKey::from_bytes([byte; 16]);
        vec![(key(1), Some(vec![5; 700])), (key(2), None), (key(3), Some(Vec::new()))]
    }

    fn written() -> Vec<u8> {
        Entry::of_bytes(&changes()).unwrap().numbered(4, &SALT).to_vec()
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        let mut bytes = written();
        assert_eq!(bytes.len() % SECTOR, 0);
        let len = bytes.len();
        bytes.extend([0xee; 100]);
        let found = ReadEntry::at_start_of(&bytes, &SALT, &(4..=4)).unwrap();
        assert_eq!((found.number, found.len, found.changes()), (4, len, Some(changes())));
        assert_eq!([2, 3, 4].map(|number| found.follows(number)), [false, true, false]);
    }

    #[test]
    fn an_entry_after_a_checkpoint_follows_it_and_the_entry_before_it() {
        let mut entry = Entry::of_bytes(&changes()).unwrap();
        let bytes = entry.following_checkpoint(true).numbered(4, &SALT);
        let found = ReadEntry::at_start_of(bytes, &SALT, &(4..=4)).unwrap();
        assert_eq!(found.changes(), Some(changes()));
        let follows = [1, 2, 3, 4].map(|number| found.follows(number));
        assert_eq!(follows, [false, true, true, false]);
    }

    #[test]
    fn what_is_torn_flipped_or_salted_otherwise_is_no_entry() {
        let bytes = written();
        assert!(ReadEntry::at_start_of(&bytes, &SALT, &(5..=6)).is_none(), "another number");
        assert!(ReadEntry::at_start_of(&bytes, &[8; 16], &(4..=4)).is_none());
        for sector in 0..bytes.len() / SECTOR {
            let mut torn = bytes.clone();
            torn[sector * SECTOR..][..SECTOR].fill(0);
            assert!(ReadEntry::at_start_of(&torn, &SALT, &(4..=4)).is_none(), "sector {sector}");
            assert!(ReadEntry::at_start_of(&bytes[..sector * SECTOR], &SALT, &(4..=4)).is_none());
        }
        for byte in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[byte] ^= 1;
            assert!(ReadEntry::at_start_of(&flipped, &SALT, &(0..=9)).is_none(), "byte {byte}");
        }
    }

    #[test]
    fn an_entry_is_no_longer_than_any_log_and_what_is_too_long_is_not_encoded() {
        let changes = |lens: &[usize]| {
            let change = |(number, len): (u8, &usize)| {
                (SessionKey::from_bytes([number; 16]), Some(vec![5; *len]))
            };
            (0..).zip(lens).map(change).collect::<Vec<_>>()
        };
        let room = LONGEST - HEAD - SessionKey::LEN - 4;
        let longest = Entry::of_bytes(&changes(&[room])).map(|entry| entry.len());
        assert_eq!(longest, Some(MAX_CAPACITY));
        assert!(Entry::of_bytes(&changes(&[room + 1])).is_none());
        let mut entry = Entry::begin();
        let add = |entry: &mut Entry, len| entry.add_key(&SessionKey::from_bytes([1; 16]), len);
        assert!(add(&mut entry, Some(LONGEST)).is_none() && entry.bytes.len() == HEAD);
        entry.bytes.resize(LONGEST, 0);
        assert!(add(&mut entry, None).is_none() && entry.bytes.len() == LONGEST);
    }

    /// An entry whose content looks like long entries in each of its sectors.
    fn made_up(number: u64, len: usize) -> Vec<u8> {
        let content = [0, 0, 0x20, 0].into_iter().cycle().take(len).collect();
        let change = (SessionKey::from_bytes([7; 16]), Some(content));
        Entry::of_bytes(&[change]).unwrap().numbered(number, &SALT).to_vec()
    }

    /// The numbers of the entries that are found, and how often all bytes were digested.
    fn found_in(log: &[u8], checkpointed: Option<u64>) -> (Vec<u64>, u64) {
        let before = DIGESTED.get();
        let found = whole_entries(log, &SALT, checkpointed).into_keys().collect();
        (found, (DIGESTED.get() - before) / log.len() as u64)
    }

    #[test]
    fn content_that_looks_like_entries_is_digested_a_few_times_at_most() {
        const LONG: usize = 2 * 1024 * 1024;
        let log = [made_up(1, LONG), made_up(2, LONG / 2), made_up(3, LONG / 4)].concat();
        // What is already in the tables is skipped as a whole.
        assert_eq!(found_in(&log, Some(3)), (vec![1, 2, 3], 0));
        // As after a round that has overwritten the first sector of the first one.
        for checkpointed in [Some(0), Some(2), None] {
            let torn = [&made_up(4, 10), &log[SECTOR..]].concat();
            let (found, times) = found_in(&torn, checkpointed);
            assert!(found.contains(&4) && times <= IN_VAIN + 1, "{found:?} {times}");
            // What follows the last commit is found though all attempts were in vain.
            assert_eq!(found.contains(&3), checkpointed.is_some(), "{found:?}");
        }
    }
}
