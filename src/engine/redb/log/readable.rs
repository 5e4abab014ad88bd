//! What can be read of the log of a file that cannot be opened, and whether a part is missing.

use std::ops::Range;

use crate::engine::redb::keyed::Change;
use crate::engine::redb::log::PAGE;
use crate::engine::redb::log::entry::{IN_VAIN, ReadEntry, head_of, may_follow, whole_entries};
use crate::engine::redb::log::location::{DamagedLocation, Location, SECTOR, Sector};
use crate::engine::redb::log::place::Place;
use crate::engine::redb::pages::is_closed_whole;

/// Reads the bytes at an offset; false if that fails.
type Read<'r> = dyn FnMut(u64, &mut [u8]) -> bool + 'r;

/// The longest entry that is looked for behind the log, in bytes.
const LONGEST: u64 = 4 * 1024 * 1024;

/// What is readable of the log of a damaged file.
pub(in crate::engine::redb) struct Readable {
    pub(in crate::engine::redb) changes: Vec<Change>,
    /// Whether no entry is known to be missing after the last commit. A missing entry may have
    /// ended any session.
    pub(in crate::engine::redb) is_complete: bool,
}

/// Every readable change in the log of a damaged file of a length: the changes of the whole entries
/// after `checkpointed`. A record counts only if no entry after its own is missing. If
/// `checkpointed` is unknown, only removals count, because an entry of an earlier round may hold a
/// session that ended long ago.
pub(in crate::engine::redb) fn readable_changes(
    read: &mut Read<'_>,
    file_len: u64,
    checkpointed: Option<u64>,
) -> Readable {
    let (mut first, mut last) = (vec![0; PAGE], [0; SECTOR]);
    let mut is_read = read_sectors(read, 0, &mut first);
    is_read &= read(file_len.saturating_sub(SECTOR as u64), &mut last);
    let (location, is_whole) = match Place::of(&first, &last, file_len) {
        Ok(Place { sector: Sector::Log(location), .. }) => (location, true),
        Ok(_) => {
            return Readable { changes: Vec::new(), is_complete: is_read };
        }
        // The log was cut off, has moved since, or cannot be found.
        Err(DamagedLocation) => match Place::of_sectors(&first) {
            Some(location) => (location, false),
            // A log would follow redb's part.
            None if is_closed_whole(&first, file_len) => {
                return Readable { changes: Vec::new(), is_complete: is_read };
            }
            None => return Readable { changes: Vec::new(), is_complete: false },
        },
    };
    // Where nothing can be read, there may have been an entry.
    let mut bytes = vec![0; usize::try_from(location.capacity.min(file_len)).unwrap_or(0)];
    is_read &= read_sectors(read, location.start, &mut bytes);
    let all = whole_entries(&bytes, &location.salt, checkpointed);
    let newest = all.last_key_value().map_or(0, |(number, _)| *number);
    let newest = newest.max(checkpointed.unwrap_or(0));
    // Bytes that are neither zeros nor entries are foreign, unless the log's copy still ends here.
    let is_others =
        all.is_empty() && !ends_with_copy(&bytes, &location) && bytes.iter().any(|byte| *byte != 0);
    let has_left = !is_whole
        || !is_read
        || is_others
        || has_later_trace(read, location.start..file_len, &location, newest);
    let mut readable = Readable { changes: Vec::new(), is_complete: !has_left };
    let mut last = checkpointed;
    for (number, (_, found)) in all {
        if checkpointed.is_some_and(|checkpointed| number <= checkpointed) {
            continue;
        }
        if last.is_some_and(|last| !found.follows(last)) {
            readable.is_complete = false;
            readable.changes.retain(|(_, record)| record.is_none());
        }
        last = checkpointed.and(Some(number));
        readable.changes.extend(found.changes().unwrap_or_default());
    }
    // The last entries may be those that are missing, or the first.
    if checkpointed.is_none() || has_left {
        readable.without_records();
    }
    readable
}

impl Readable {
    /// Leaves only removals, because an entry or a commit may be missing after the last one.
    pub(in crate::engine::redb) fn without_records(&mut self) {
        self.is_complete = false;
        self.changes.retain(|(_, record)| record.is_none());
    }
}

/// Reads sector by sector; false if one of them cannot be read.
fn read_sectors(read: &mut Read<'_>, start: u64, bytes: &mut [u8]) -> bool {
    let mut is_read = true;
    for (number, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        is_read &= read(start.saturating_add((number * SECTOR) as u64), sector);
    }
    is_read
}

fn ends_with_copy(bytes: &[u8], location: &Location) -> bool {
    bytes.last_chunk().is_some_and(|last| *last == location.to_sector())
}

/// Whether a part of the file shows that the log has moved since its location was written: an entry
/// after the newest one, or the copy of a later location. An interrupted move leaves neither.
fn has_later_trace(
    read: &mut Read<'_>,
    part: Range<u64>,
    location: &Location,
    newest: u64,
) -> bool {
    let mut sector = [0; SECTOR];
    let most = part.end.saturating_sub(part.start);
    let (mut at, mut left) = (part.start, IN_VAIN * most);
    while at.saturating_add(SECTOR as u64) <= part.end {
        let is_of_later =
            |copy: Location| copy.salt == location.salt && copy.moves > location.moves;
        // A sector that cannot be read may be such a trace.
        if !read(at, &mut sector)
            || matches!(Sector::parse(&sector), Ok(Sector::Log(copy)) if is_of_later(copy))
        {
            return true;
        }
        // Within the log the newest entry is known.
        let head = head_of(&sector).filter(|_| at >= location.end());
        let mut step = SECTOR as u64;
        let is_tried = |(number, len): &(u64, u64)| {
            *len <= LONGEST.min(part.end - at)
                && (may_follow(*number, newest, most) || *len <= left)
        };
        if let Some((_, len)) = head.filter(is_tried) {
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            let is_read = read(at, &mut bytes);
            match ReadEntry::at_start_of(&bytes, &location.salt, &(0..=u64::MAX)) {
                Some(entry) if is_read && entry.number > newest => return true,
                Some(entry) if is_read => step = entry.len as u64,
                _ => left = left.saturating_sub(len),
            }
        }
        at += step;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::redb::log::Entry;
    use crate::engine::redb::log::entry::DIGESTED;
    use crate::engine::redb::log::location::OFFSETS;
    use crate::key::SessionKey;

    const AREA: Location =
        Location { moves: 3, database_len: 8_192, start: 8_192, capacity: 65_536, salt: [7; 16] };

    fn entry(number: u64) -> Vec<u8> {
        let change = (SessionKey::from_bytes([number as u8; 16]), Some(vec![1; 600]));
        Entry::of_bytes(&[change]).unwrap().numbered(number, &AREA.salt).to_vec()
    }

    /// A file with a log of these entries, and with more bytes behind it.
    fn file(entries: &[u64], tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; AREA.end() as usize];
        let sector = AREA.to_sector();
        for offset in OFFSETS.into_iter().chain([AREA.copy_offset()]) {
            bytes[offset as usize..][..SECTOR].copy_from_slice(&sector);
        }
        let entries: Vec<u8> = entries.iter().flat_map(|number| entry(*number)).collect();
        bytes[AREA.start as usize..][..entries.len()].copy_from_slice(&entries);
        bytes.extend(tail);
        bytes
    }

    /// Whether the log is complete after this commit, and the number of its changes.
    fn readable(bytes: &[u8], checkpointed: Option<u64>) -> (bool, usize) {
        let mut read = |offset: u64, out: &mut [u8]| {
            let found = bytes.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
            found.map(|found| out.copy_from_slice(found)).is_some()
        };
        let readable = readable_changes(&mut read, bytes.len() as u64, checkpointed);
        (readable.is_complete, readable.changes.len())
    }

    #[test]
    fn what_an_interrupted_move_left_behind_the_log_takes_nothing_from_it() {
        let older = Location { moves: 2, ..AREA }.to_sector();
        let tails =
            [vec![], vec![0; 8_192], entry(5), [entry(5), entry(6), older.to_vec()].concat()];
        for tail in tails {
            assert_eq!(readable(&file(&[5, 6], &tail), Some(4)), (true, 2));
        }
    }

    #[test]
    fn a_later_entry_or_place_behind_the_log_shows_that_it_has_moved() {
        let later = Location { moves: 4, ..AREA }.to_sector().to_vec();
        for tail in [entry(7), [vec![0; 4_096], entry(9), vec![0; 512]].concat(), later] {
            assert_eq!(readable(&file(&[5, 6], &tail), Some(4)), (false, 0));
        }
    }

    #[test]
    fn content_that_looks_like_entries_behind_the_log_is_digested_a_few_times_at_most() {
        let len = 1024 * 1024;
        let content = [0, 0, 8, 0].into_iter().cycle().take(len).collect();
        let change = (SessionKey::from_bytes([5; 16]), Some(content));
        let moved = Entry::of_bytes(&[change]).unwrap().numbered(5, &AREA.salt).to_vec();
        let digested = |tail: &[u8]| {
            let bytes = file(&[5, 6], tail);
            let before = DIGESTED.get();
            let readable = readable(&bytes, Some(4));
            (readable, (DIGESTED.get() - before) / bytes.len() as u64)
        };
        // What a move has copied is skipped as a whole.
        assert_eq!(digested(&moved), ((true, 2), 0));
        // So is none of the other parts, if the move was interrupted.
        let (readable, times) = digested(&moved[SECTOR..]);
        assert!(readable == (true, 2) && times <= IN_VAIN, "{readable:?} {times}");
        let hidden = [&moved[SECTOR..], &entry(7)].concat();
        let (readable, times) = digested(&hidden);
        assert!(readable == (false, 0) && times <= IN_VAIN, "{readable:?} {times}");
    }

    #[test]
    fn a_torn_first_entry_is_none_as_long_as_the_log_ends_with_its_copy() {
        let mut torn = file(&[5], &[]);
        torn[AREA.start as usize..][..SECTOR].fill(0);
        assert_eq!(readable(&torn, Some(4)), (true, 0));
        torn[AREA.copy_offset() as usize] ^= 1;
        assert_eq!(readable(&torn, Some(4)), (false, 0));
    }

    #[test]
    fn a_log_after_an_unknown_commit_is_never_complete() {
        assert_eq!(readable(&file(&[5, 6], &[]), None), (false, 0));
        assert_eq!(readable(&file(&[], &[]), None), (false, 0));
    }
}
